//! Whether code that uses the last release still builds with this one.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::sh;

/// The newest that was tried with the toolchain of this workspace: it reads a format of rustdoc that changes.
const VERSION: &str = "0.51.0";
const ROOT: &str = "target/semver";
/// The packages that applications use, with all features that need no library of the system.
const PACKAGES: [(&str, &str); 2] = [
    ("cyxcloud-core", "seal,testing"),
    ("cyxcloud-sdk", "default,bucket-store,compat-object-store-013,encryption,object-store-signer,postgres,redis,remote"),
];

/// Compares the public items of core and SDK with those of `baseline`, a commit or tag, or of the last tag `v*`. What breaks code has to be a new minor
/// version as long as the major one is 0.
pub fn run(baseline: Option<&str>) -> Result<()> {
    let Some(baseline) = baseline.map(str::to_owned).or_else(last_release) else {
        println!("no release is tagged (v*) yet: there is nobody's code to break");
        return Ok(());
    };
    let tool = Path::new(ROOT).join("bin/cargo-semver-checks");
    if !tool.exists() {
        sh::run("cargo", &["install", "--quiet", "--locked", "--root", ROOT, "--version", VERSION, "cargo-semver-checks"])?;
    }
    for (package, features) in PACKAGES {
        let mut check = Command::new(&tool);
        check.args([
            "semver-checks",
            "--baseline-rev",
            &baseline,
            "--only-explicit-features",
            "--features",
            features,
            "--package",
            package,
        ]);
        sh::say(&format!("{check:?}"));
        sh::check(&mut check, "cargo semver-checks")?;
    }
    Ok(())
}

/// A shallow clone has no tags, and a repository without a release none of that name.
fn last_release() -> Option<String> {
    let described = Command::new("git").args(["describe", "--tags", "--abbrev=0", "--match", "v*"]).output().ok()?;
    let tag = String::from_utf8(described.stdout).ok()?.trim().to_owned();
    (described.status.success() && !tag.is_empty()).then_some(tag)
}
