//! Every example runs to its end and prints what it is for. `custom_store` has its tests in its own file.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::process::Command;

/// What an example prints, in a directory of its own. `cargo test` builds it beside the tests.
fn printed(example: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().with_file_name("examples").join(example);
    let output = Command::new(&program).current_dir(&directory).output().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{example} ended with {}\n{printed}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    printed
}

#[test]
fn hello() {
    assert_eq!(printed("hello"), "10000 bytes are on 14 nodes\n");
}

/// What a newcomer copies is what runs here, and it is short.
#[test]
fn the_readme_has_the_first_example() {
    let (readme, hello) = (include_str!("../../README.md"), include_str!("../hello.rs"));
    let program = hello.split_once("\n\n").unwrap().1;
    assert!(readme.contains(&format!("```rust\n{program}```\n")));
    assert_eq!(readme.matches("\ncargo add ").count(), 2);
    assert!(program.lines().count() + 2 <= 15);
}

#[test]
fn lose_four_nodes() {
    let printed = printed("lose_four_nodes");
    assert_eq!(printed.matches("lost its disk").count(), 8, "{printed}");
    assert_eq!(printed.matches("all 5 objects read back, byte for byte").count(), 2, "{printed}");
    assert!(printed.contains("upkeep has made all of them again"), "{printed}");
}

#[test]
fn embed_object_store() {
    assert_eq!(printed("embed_object_store"), "a second create: refused\n2026/11/28: 24000000 bytes, noon is [12, 12, 12]\n");
}

#[test]
fn encrypted_backup() {
    let printed = printed("encrypted_backup");
    assert!(printed.starts_with("without the key: backup/home/diary is encrypted"), "{printed}");
    assert!(printed.contains("home/letters: Done") && printed.ends_with("1800000 bytes restored with the new key\n"), "{printed}");
}
