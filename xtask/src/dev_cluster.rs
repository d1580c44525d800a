//! A `cyxcloud dev` of its own for a test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

/// A running cluster with a fresh data directory; both are gone when it is dropped.
pub struct DevCluster {
    process: Child,
    data_dir: PathBuf,
    about: Value,
}

impl DevCluster {
    /// Starts one on a free port and waits until it serves.
    pub fn start(binary: &Path) -> Result<Self> {
        let data_dir = std::path::absolute(format!("target/dev-cluster-{}", std::process::id()))?;
        if data_dir.exists() {
            std::fs::remove_dir_all(&data_dir)?;
        }
        let mut process = Command::new(binary)
            .args(["dev", "--json", "--http-addr", "127.0.0.1:0", "--data-dir"])
            .arg(&data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start cyxcloud dev")?;
        let mut line = String::new();
        let stdout = process.stdout.take().context("stdout is piped")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let about = serde_json::from_str(&line).with_context(|| format!("cyxcloud dev printed {line:?}"))?;
        Ok(Self { process, data_dir, about })
    }

    /// The line it printed: endpoint, access_key_id, secret_access_key, region, data_dir.
    pub fn about(&self) -> &Value {
        &self.about
    }
}

/// Makes a further account in the cluster that `about` describes.
pub fn account(binary: &Path, about: &Value, name: &str) -> Result<Value> {
    let address = about["endpoint"].as_str().context("nobody said where the endpoint is")?.trim_start_matches("http://");
    let output = Command::new(binary).args(["dev-key", "create", name, "--json", "--http-addr", address]).output()?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("dev-key create: {}", String::from_utf8_lossy(&output.stderr)))
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        // Nothing is left to do when the process is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.data_dir);
    }
}
