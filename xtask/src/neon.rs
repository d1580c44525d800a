//! The tests of the coding kernels on 64-bit ARM: emulated, with Debian's compiler and libraries, since rustup may be absent or another's.

use std::process::Command;

use anyhow::{Result, bail};

use crate::sh;

const TRIPLE: &str = "aarch64-unknown-linux-gnu";

/// A compiler with a standard library for arm64, a C compiler and libc for it, and the emulator.
const PACKAGES: [&str; 5] =
    ["rustc-web", "libstd-rust-web-dev:arm64", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user-static"];

/// The emulator may hang: no test binary takes longer than this.
const RUNNER: &str = "timeout 240 qemu-aarch64-static";

/// Runs them; every kernel that ARM has takes part, and a test there says that NEON is one.
pub fn run() -> Result<()> {
    let mut command = Command::new("cargo");
    command.args(["test", "-p", "cyxcloud-core", "--lib", "--test", "guard_pages"]);
    if cfg!(not(target_arch = "aarch64")) {
        install()?;
        command
            .args(["--target", TRIPLE])
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTDOC", "/usr/bin/rustdoc")
            .env("CARGO_TARGET_DIR", "target/arm")
            .env("RUSTFLAGS", "-Ctarget-feature=+crt-static")
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", RUNNER)
            .env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc")
            // Little is run, and compiling takes most of the time.
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("PROPTEST_CASES", "16");
    }
    command.args(["--", "data::erasure", "data::coded", "no_kernel"]);
    sh::say(&format!("cargo test -p cyxcloud-core --target {TRIPLE} -- data::erasure data::coded no_kernel"));
    sh::check(&mut command, "the tests on 64-bit ARM")?;
    println!("ok  the kernels work on 64-bit ARM");
    Ok(())
}

/// Installs what is missing, on Debian and as root.
fn install() -> Result<()> {
    let there = || sh::has("qemu-aarch64-static") && sh::has("aarch64-linux-gnu-gcc") && std_is_there();
    if there() {
        return Ok(());
    }
    let packages = PACKAGES.join(" ");
    if !sh::has("apt-get") || sh::output("id", &["-u"])?.trim() != "0" {
        bail!(
            "the tests on 64-bit ARM need Debian, and as root: dpkg --add-architecture arm64 && apt-get update && apt-get install {packages}"
        );
    }
    eprintln!("installing a compiler and an emulator for 64-bit ARM");
    sh::run("dpkg", &["--add-architecture", "arm64"])?;
    sh::run("apt-get", &["update", "-qq"])?;
    sh::run("apt-get", &[&["install", "-y", "-qq", "--no-install-recommends"], &PACKAGES[..]].concat())?;
    if !there() {
        bail!("{packages} are installed, but /usr/bin/rustc has no standard library for {TRIPLE}");
    }
    Ok(())
}

fn std_is_there() -> bool {
    std::fs::exists(format!("/usr/lib/rustlib/{TRIPLE}/lib")).unwrap_or(false)
}
