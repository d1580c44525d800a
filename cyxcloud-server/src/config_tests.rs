#![allow(clippy::unwrap_used, reason = "a test")]

use clap::Parser;

use super::*;

#[derive(Parser, Debug)]
struct Test {
    #[arg(long, default_value_t = 1)]
    grpc_port: u16,
    #[arg(long)]
    must: String,
    #[arg(long)]
    flag: bool,
    #[arg(long, hide_env_values = true)]
    secret: Option<String>,
    #[arg(long, value_delimiter = ',')]
    many: Vec<u32>,
    #[command(flatten)]
    config: ConfigArgs,
}

fn with(file: &str, flags: &[&str]) -> Result<Loaded<Test>, clap::Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.toml");
    std::fs::write(&path, file).unwrap();
    let mut argv: Vec<OsString> = vec!["test".into(), "--config".into(), path.into()];
    argv.extend(flags.iter().map(OsString::from));
    load(argv)
}

#[test]
fn flags_go_before_the_file_and_the_file_before_defaults() {
    let loaded = with("grpc-port = 7\nmust = \"x\"\nflag = true\nmany = [1, 2]", &["--grpc-port", "8"]).unwrap();
    let Test { grpc_port, must, flag, many, .. } = &loaded.args;
    assert_eq!((*grpc_port, must.as_str(), *flag, many.as_slice()), (8, "x", true, [1, 2].as_slice()));
    let loaded = with("grpc_port = 7\nmust = \"x\"", &[]).unwrap();
    assert_eq!((loaded.args.grpc_port, loaded.args.flag), (7, false));
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let loaded = with("must = 'a \"b\" #c'\nmany = [3]\nsecret = 's3cret'", &["--flag"]).unwrap();
    let text = loaded.to_toml();
    assert!(!text.contains("s3cret"), "{text}");
    assert!(text.contains("# secret is set and not shown") && text.contains("# flag") && text.contains("# file"), "{text}");
    let again = with(&text, &[]).unwrap();
    assert_eq!((again.args.must.as_str(), again.args.flag, again.args.many.as_slice()), ("a \"b\" #c", true, [3].as_slice()));
}

#[test]
fn mistakes_are_named() {
    for (file, flags, says) in [
        ("must = 'x'\ngrcp-port = 1", &[][..], "unknown key \"grcp-port\""),
        ("must = 'x'\nconfig = 'y'", &[], "unknown key"),
        ("must = 'x'\ngrpc-port = 70000", &[], "test.toml: invalid value '70000'"),
        ("must = 'x'\ngrpc-port = {}", &[], "must be a text"),
        ("must = 'x'\nmust = 'y'", &[], "duplicate key"),
        ("grpc_port = 1\ngrpc-port = 2\nmust = 'x'", &[], "twice"),
        ("", &[], "--must"),
        ("must = 'x'", &["--nonsense"], "--nonsense"),
        ("must = ", &[], "test.toml"),
    ] {
        let error = with(file, flags).unwrap_err().to_string();
        assert!(error.contains(says), "{file}: {error}");
    }
    let error = load::<Test>(["test", "--config", "/nowhere.toml"].map(OsString::from)).unwrap_err().to_string();
    assert!(error.contains("/nowhere.toml: cannot be read"), "{error}");
}

#[test]
fn durations_have_units() {
    assert_eq!(parse_duration("90s").unwrap(), Duration::from_secs(90));
    assert_eq!(parse_duration("2h").unwrap(), Duration::from_secs(7200));
    for bad in ["", "5", "h", "-1s", "1w", "99999999999999999999s", "18446744073709551615d"] {
        assert!(parse_duration(bad).is_err(), "{bad}");
    }
}
