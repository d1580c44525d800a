//! The command line of `cyxcloud-node`, as far as it needs no network.

use std::path::Path;
use std::process::{Command, Output};

fn node(environment: &[(&str, &str)], flags: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cyxcloud-node"));
    command.env_clear().envs(environment.iter().copied()).args(flags).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_environment_of_the_specification_is_understood() {
    let environment = [
        ("NODE_ID", "node-1"),
        ("NODE_NAME", ""),
        ("GRPC_HOST", "127.0.0.1"),
        ("GRPC_PORT", "50061"),
        ("METRICS_PORT", "9091"),
        ("LIBP2P_PORT", "4001"),
        ("STORAGE_PATH", "/tmp/x"),
        ("STORAGE_CAPACITY_GB", "50"),
        ("CENTRAL_SERVER_ADDR", "http://gateway:50052"),
        ("BOOTSTRAP_PEERS", ""),
        ("CYXWIZ_API_URL", "http://api:3002"),
        ("CYXWIZ_EMAIL", "a@b"),
        ("CYXWIZ_PASSWORD", "very secret"),
        ("CYX_JOIN_TOKEN", "token secret"),
    ];
    let printed = node(&environment, &["--print-config", "--grpc-port", "50062"]);
    let out = text(&printed.stdout);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    for line in ["node-id = \"node-1\"", "grpc-port = 50062", "metrics-port = 9091", "central-server-addr = \"http://gateway:50052\""] {
        assert!(out.contains(line), "{line:?} is not in\n{out}");
    }
    assert!(out.contains("# environment METRICS_PORT") && out.contains("# node-name is not set") && !out.contains("secret\""), "{out}");
    assert!(!out.contains("very secret") && !out.contains("token secret"), "{out}");
}

#[test]
fn what_is_printed_is_a_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("node.toml");
    let first = node(&[("CENTRAL_SERVER_ADDR", "gateway:1"), ("NODE_NAME", "a")], &["--print-config", "--allow-node-cidr", "10.0.0.0/8"]);
    std::fs::write(&path, &first.stdout).unwrap();
    let again = node(&[], &["--print-config", "--config", path.to_str().unwrap()]);
    let values = |output: &Output| {
        text(&output.stdout).lines().map(|line| line.split(" #").next().unwrap().trim_end().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&first), values(&again), "{}", text(&again.stderr));
    assert!(text(&again.stdout).contains("# file"));
}

fn check(storage: &Path, flags: &[&str]) -> (bool, String) {
    let environment = [("CENTRAL_SERVER_ADDR", "gateway:50052"), ("STORAGE_PATH", storage.to_str().unwrap())];
    let found = node(&environment, &[&["--check-config"], flags].concat());
    (found.status.success(), text(&found.stderr) + &text(&found.stdout))
}

#[test]
fn what_is_wrong_is_said_before_anything_starts() {
    let directory = tempfile::tempdir().unwrap();
    let storage = directory.path().join("storage");
    let (good, said) = check(&storage, &[]);
    assert!(good && said.contains("good"), "{said}");
    assert!(!storage.exists(), "a check changes nothing");
    let file = directory.path().join("file");
    std::fs::write(&file, "no PEM").unwrap();
    let file = file.to_str().unwrap();
    for (flags, says) in [
        (&["--storage-capacity-gb", "2"][..], "STORAGE_CAPACITY_GB"),
        (&["--storage-path", file], "no directory"),
        (&["--central-server-addr", "gateway"], "CENTRAL_SERVER_ADDR"),
        (&["--central-server-addr", "https://gateway:1"], "--tls-ca"),
        (&["--tls-cert", file], "--tls-key"),
        (&["--tls-cert", file, "--tls-key", file], "no private key"),
        (&["--tls-ca", file], "no certificate"),
        (&["--advertise-addr", "http://x:1/y"], "--advertise-addr"),
        (&["--grpc-port", "7", "--metrics-port", "7"], "both 7"),
        (&["--cluster-key", "12"], "64 hexadecimal"),
        (&["--grpc-port", "70000"], "70000"),
        (&["--allow-node-cidr", "10.0.0.0/33"], "range of addresses"),
        (&["--config", "/nowhere.toml"], "/nowhere.toml"),
    ] {
        let (good, said) = check(&storage, flags);
        assert!(!good && said.contains(says), "{flags:?}: {said}");
    }
    let missing = node(&[], &["--check-config"]);
    assert!(text(&missing.stderr).contains("--central-server-addr"));
}

#[test]
fn maintenance_of_a_node_that_never_ran_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let environment = [("CENTRAL_SERVER_ADDR", "127.0.0.1:1"), ("STORAGE_PATH", directory.path().to_str().unwrap())];
    let refused = node(&environment, &["--maintenance", "2h"]);
    assert!(!refused.status.success() && text(&refused.stderr).contains("no node was ever started"), "{}", text(&refused.stderr));
}
