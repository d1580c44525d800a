//! The RocksDB store: `cyxcloud-sdk` with the feature `rocksdb`, which no other build has, linked with the RocksDB of Debian.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{sh, store_crash};

/// RocksDB, and what reads its header: the crate makes its bindings from the one that is installed.
const PACKAGES: [&str; 3] = ["librocksdb-dev", "clang", "libclang-dev"];

/// The only build with the feature.
const PACKAGE: [&str; 4] = ["-p", "cyxcloud-sdk", "--features", "rocksdb"];

/// Lints the driver, runs the suite of its port, then kills, power cuts, failing syncs and full disks under it.
pub fn run(rounds: u32, cuts: u32) -> Result<()> {
    let variables = variables()?;
    cargo("clippy", &["--all-targets", "--quiet", "--", "-D", "warnings"], &variables)?;
    cargo("test", &["--quiet", "--test", "store_rocksdb"], &variables)?;
    store_crash::suite(&PACKAGE, &variables, &["rocksdb::"], rounds, cuts)
}

fn cargo(command: &str, arguments: &[&str], variables: &[(&str, String)]) -> Result<()> {
    let words = [&[command], &PACKAGE[..], arguments].concat();
    sh::say(&format!("cargo {}", words.join(" ")));
    sh::check(Command::new("cargo").args(words).envs(variables.iter().cloned()), command)
}

/// Where RocksDB is, unless the environment says it, and a target directory of its own: other features would have the workspace built anew.
fn variables() -> Result<Vec<(&'static str, String)>> {
    let mut variables = vec![("CARGO_TARGET_DIR", "target/rocksdb".to_owned())];
    if std::env::var_os("ROCKSDB_LIB_DIR").is_none() {
        variables.push(("ROCKSDB_LIB_DIR", library()?));
        variables.push(("ROCKSDB_INCLUDE_DIR", "/usr/include".to_owned()));
    }
    Ok(variables)
}

/// The directory of the library, installed where it is missing, on Debian and as root.
fn library() -> Result<String> {
    if let Some(directory) = find()? {
        return Ok(directory);
    }
    sh::install("the RocksDB store (without ROCKSDB_LIB_DIR)", &PACKAGES)?;
    match find()? {
        Some(directory) => Ok(directory),
        None => bail!("RocksDB is installed, but the C compiler finds no librocksdb.so"),
    }
}

fn find() -> Result<Option<String>> {
    if !sh::has("cc") {
        bail!("the RocksDB store needs a C compiler (Debian: apt-get install gcc)");
    }
    // The bare name comes back when there is none.
    let found = sh::output("cc", &["-print-file-name=librocksdb.so"])?;
    let directory = Path::new(found.trim()).parent().filter(|directory| directory.is_absolute());
    let there = sh::has("clang") && Path::new("/usr/include/rocksdb/c.h").exists();
    Ok(directory.filter(|_| there).map(|directory| directory.display().to_string()))
}
