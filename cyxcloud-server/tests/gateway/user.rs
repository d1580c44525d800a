//! The command `cyxcloud`, as a user of a fleet runs it.

use std::path::PathBuf;

use tokio::process::Command;

use super::direct::Fleet;

/// A user at the command line.
pub(super) struct User<'a> {
    fleet: &'a Fleet,
    home: tempfile::TempDir,
}

impl<'a> User<'a> {
    pub(super) fn new(fleet: &'a Fleet) -> Self {
        Self { fleet, home: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// What `cyxcloud` answers and prints.
    pub(super) async fn run_with(&self, environment: &[(&str, &str)], args: &[&str]) -> (bool, String) {
        let pair = self.fleet.bench.gateway.keys.root();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cyxcloud"));
        command.env_clear().current_dir(&self.home).args(args);
        command.env("CYX_GATEWAY", self.fleet.bench.gateway.grpc_addr.to_string());
        command.env("CYX_ACCESS_KEY_ID", &pair.access_key_id).env("CYX_SECRET_ACCESS_KEY", &pair.secret_access_key);
        command.envs(environment.iter().copied());
        let output = command.output().await.unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    pub(super) async fn run(&self, args: &[&str]) -> (bool, String) {
        self.run_with(&[], args).await
    }

    pub(super) async fn must(&self, args: &[&str]) -> String {
        let (good, said) = self.run(args).await;
        assert!(good, "{args:?}: {said}");
        said
    }

    pub(super) async fn refused(&self, args: &[&str], says: &str) {
        let (good, said) = self.run(args).await;
        assert!(!good && said.contains(says), "{args:?}: {said}");
    }
}
