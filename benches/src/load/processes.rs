//! The servers that a run starts for itself.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::client::Target;

/// A server asked to end gets this long; a cluster lets requests in flight end first.
const END_TIME: Duration = Duration::from_secs(15);
/// How often it is looked whether it has ended.
const POLL: Duration = Duration::from_millis(20);

/// A process that serves; it has ended when this is dropped.
pub struct Server {
    process: Child,
    target: Target,
    /// Removed when it has ended.
    data_dir: Option<PathBuf>,
}

impl Server {
    /// Starts `cyxcloud dev` on a free port, in a fresh directory below `data_dir`.
    ///
    /// # Errors
    /// When it does not start; the message has what it printed.
    pub fn dev(binary: &Path, more: &[String], data_dir: &Path, bucket: &str) -> Result<Self> {
        let data_dir = own_directory(data_dir, "cluster")?;
        let mut command = Command::new(binary);
        command.args(["dev", "--json", "--http-addr", "127.0.0.1:0", "--data-dir"]).arg(&data_dir).args(more);
        let (mut process, line) = start(command, &format!("{} dev", binary.display()))?;
        let parsed = serde_json::from_str::<Value>(&line).ok();
        let field = |name: &str| parsed.as_ref().and_then(|about| about[name].as_str()).map(str::to_owned);
        let fields = (|| Some((field("endpoint")?, field("access_key_id")?, field("secret_access_key")?, field("region")?)))();
        let Some((endpoint, access_key, secret_key, region)) = fields else {
            end(&mut process);
            // It is ours, and there is nothing in it.
            let _ = std::fs::remove_dir_all(&data_dir);
            anyhow::bail!("{} dev --json did not say where it listens but {line:?}; is it a current cyxcloud?", binary.display());
        };
        let target = Target { endpoint, access_key, secret_key, region, bucket: bucket.to_owned() };
        Ok(Self { process, target, data_dir: Some(data_dir) })
    }

    /// Starts this program as the null server.
    ///
    /// # Errors
    /// When it does not start.
    pub fn null(object_bytes: usize) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["null-server", "--object-bytes", &object_bytes.to_string()]);
        let (process, line) = start(command, "the null server")?;
        let text = String::from;
        let target = Target {
            endpoint: line.trim().to_owned(),
            access_key: text("null"),
            secret_key: text("null"),
            region: text("us-east-1"),
            bucket: text("null"),
        };
        Ok(Self { process, target, data_dir: None })
    }

    /// Where it listens.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.process);
        if let Some(data_dir) = &self.data_dir {
            // What cannot be removed is left for who runs this; the figures stand.
            let _ = std::fs::remove_dir_all(data_dir);
        }
    }
}

/// A directory of this run alone below `parent`.
///
/// # Errors
/// When it cannot be made.
pub fn own_directory(parent: &Path, name: &str) -> Result<PathBuf> {
    let path = parent.join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}; choose another --data-dir", path.display()))?;
    Ok(path)
}

/// Starts `command` and waits for the first line it prints.
fn start(mut command: Command, what: &str) -> Result<(Child, String)> {
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = spawned.with_context(|| format!("cannot start {what}; build it first, or correct its path"))?;
    let mut line = String::new();
    if let Some(stdout) = process.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    Ok((process, line))
}

/// Asks the process to end, and ends it if it does not.
fn end(process: &mut Child) {
    drop(process.stdin.take());
    // Errors mean that it has ended already.
    let _ = kill_process(Pid::from_child(process), Signal::TERM);
    let asked = Instant::now();
    while asked.elapsed() < END_TIME {
        match process.try_wait() {
            Ok(None) => std::thread::sleep(POLL),
            _ => return,
        }
    }
    let _ = process.kill();
    let _ = process.wait();
}
