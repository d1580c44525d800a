//! Runs the lines that `cyxcloud dev` prints for pasting, exactly as printed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Starts a cluster, cuts the pasteable block out of its greeting, and gives it to a shell that has the clients on its PATH.
pub fn run(binary: &Path, work_dir: &str) -> Result<()> {
    let data_dir = std::path::absolute(format!("target/pasted-lines-{}", std::process::id()))?;
    let mut process = Command::new(binary)
        .args(["dev", "--http-addr", "127.0.0.1:0", "--data-dir"])
        .arg(&data_dir)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cyxcloud dev")?;
    let outcome = paste(BufReader::new(process.stdout.take().context("stdout is piped")?), work_dir);
    process.kill()?;
    process.wait()?;
    std::fs::remove_dir_all(&data_dir)?;
    outcome
}

fn paste(greeting: impl BufRead, work_dir: &str) -> Result<()> {
    let lines: Vec<String> =
        greeting.lines().take_while(|line| line.as_ref().map_or(true, |l| !l.starts_with("Ctrl-C"))).collect::<Result<_, _>>()?;
    let from = lines.iter().position(|line| line == "# aws").context("the greeting has no aws lines")?;
    let to = lines.iter().position(|line| line.starts_with("Lose some nodes")).context("the greeting has no end")?;
    // Twice, as someone does who comes back after a restart.
    let script = [&lines[from..to], &lines[from..to]].concat().join("\n");
    let clients = std::path::absolute(format!("{work_dir}/venv/bin"))?;
    let path = format!("{}:{}", clients.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("bash").args(["-e", "-c", &script]).env("PATH", path).stderr(Stdio::inherit()).output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    print!("{printed}");
    // One from each of the three clients, each time.
    let hellos = printed.lines().filter(|line| *line == "hello").count();
    if !output.status.success() || hellos != 6 {
        bail!("the pasted lines printed {hellos} of 6 hellos and ended with {}", output.status);
    }
    println!("ok  the aws, rclone and boto3 lines work as printed");
    Ok(())
}
