//! `cargo xtask cluster`: a gateway, nodes and a rebalancer as real processes on this machine.
//!
//! Every process is started with the ports it was given, and the line of JSON says how: a test that kills one starts it again the same way.
//! Whoever dies here takes the others with it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cyxcloud_test_servers::{Postgres, PostgresSettings};
use serde_json::{Value, json};

use crate::{meta, sh};

/// Until all nodes are online.
const START_TIME: Duration = Duration::from_secs(120);
/// From SIGTERM to SIGKILL.
const STOP_TIME: Duration = Duration::from_secs(15);

/// What to start.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// Storage nodes.
    #[arg(long, default_value_t = 14)]
    pub nodes: usize,
    /// Rebalancers; without any the gateway repairs.
    #[arg(long, default_value_t = 1)]
    pub rebalancers: usize,
    /// Keep the metadata in a PostgreSQL server that is started for it and ends with it, so in a fresh data directory only. DATABASE_URL in the
    /// environment names one that lasts.
    #[arg(long)]
    pub postgres: bool,
    /// Print one line of JSON when every node is online.
    #[arg(long)]
    pub json: bool,
    /// Where everything is kept; what is there is used again.
    #[arg(long, default_value = "target/cluster")]
    pub data_dir: PathBuf,
    /// Address of S3; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub http_addr: SocketAddr,
    /// Address of the gateway's gRPC services.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub grpc_addr: SocketAddr,
    /// What each node offers, in GiB.
    #[arg(long, default_value_t = 100)]
    pub node_capacity_gb: u64,
    /// A further argument of every node; may be given several times.
    #[arg(long, allow_hyphen_values = true)]
    pub node_arg: Vec<String>,
    /// A further argument of the gateway only.
    #[arg(long, allow_hyphen_values = true)]
    pub gateway_arg: Vec<String>,
    /// Directory of the executables, instead of building them.
    #[arg(long)]
    pub bin_dir: Option<PathBuf>,
    /// Arguments of gateway and rebalancers, e.g. timers: -- --heartbeat-ms 1000 --offline-after-ms 3000
    #[arg(last = true)]
    pub upkeep: Vec<String>,
}

impl ClusterArgs {
    /// One for a test, in a fresh directory.
    pub fn fresh(nodes: usize) -> Result<Self> {
        let data_dir = std::path::absolute(format!("target/cluster-{}", std::process::id()))?;
        if data_dir.exists() {
            std::fs::remove_dir_all(&data_dir)?;
        }
        Ok(Self {
            nodes,
            rebalancers: 1,
            postgres: false,
            json: false,
            data_dir,
            http_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            grpc_addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            node_capacity_gb: 100,
            node_arg: Vec::new(),
            gateway_arg: Vec::new(),
            bin_dir: None,
            upkeep: Vec::new(),
        })
    }
}

/// Starts one, says where it is and stays until it is told to end or the gateway has ended.
pub fn run(args: &ClusterArgs) -> Result<()> {
    let mut cluster = Cluster::start(args)?;
    if args.json {
        println!("{}", cluster.about);
    } else {
        cluster.greet()?;
    }
    std::io::stdout().flush()?;
    loop {
        sleep(Duration::from_millis(200));
        cluster.reap();
    }
}

/// Processes that run; they end when this is dropped.
pub struct Cluster {
    processes: Vec<Process>,
    /// Ends after the processes.
    postgres: Option<Postgres>,
    remove: Option<PathBuf>,
    /// What `--json` prints.
    pub about: Value,
}

struct Process {
    name: String,
    child: Child,
    /// How to start it again, at the same ports.
    command: Vec<String>,
    /// What it printed when it served.
    said: Value,
    ended: bool,
}

impl Cluster {
    /// Starts everything and waits until all nodes are online.
    pub fn start(args: &ClusterArgs) -> Result<Self> {
        let bin = match &args.bin_dir {
            Some(directory) => std::path::absolute(directory)?,
            None => sh::executables()?,
        };
        let data_dir = std::path::absolute(&args.data_dir)?;
        std::fs::create_dir_all(&data_dir)?;
        let mut cluster = Self { processes: Vec::new(), postgres: None, remove: None, about: Value::Null };
        if args.postgres {
            meta::install()?;
            cluster.postgres = Some(Postgres::start(PostgresSettings::default())?);
        }
        cluster.start_gateway(args, &bin, &data_dir)?;
        // All at once: each waits for its own disk and for the gateway.
        let started: Vec<(String, Child, Vec<String>)> =
            (0..args.nodes).map(|number| cluster.spawn_node(args, &bin, &data_dir, number)).collect::<Result<_>>()?;
        for (name, child, command) in started {
            let mut process = Process { name, child, command, said: Value::Null, ended: false };
            process.said = said(&mut process.child, &process.name)?;
            fix_ports(&mut process.command, &[("--grpc-port", "grpc_addr"), ("--metrics-port", "metrics_addr")], &process.said);
            cluster.processes.push(process);
        }
        for number in 0..args.rebalancers {
            cluster.start_rebalancer(args, &bin, &data_dir, number)?;
        }
        cluster.wait_until_online(args.nodes)?;
        cluster.about = cluster.describe(&data_dir);
        Ok(cluster)
    }

    /// One in a fresh directory that is removed at the end, for tests.
    pub fn temporary(args: &ClusterArgs) -> Result<Self> {
        let mut cluster = Self::start(args)?;
        cluster.remove = Some(args.data_dir.clone());
        Ok(cluster)
    }

    /// A field of what `--json` prints.
    pub fn field(&self, name: &str) -> Result<&str> {
        self.about[name].as_str().with_context(|| format!("the cluster has no {name}"))
    }

    fn start_gateway(&mut self, args: &ClusterArgs, bin: &Path, data_dir: &Path) -> Result<()> {
        let mut command: Vec<String> = vec![
            text(&bin.join("cyxcloud-gateway")),
            "--json".into(),
            "--local-admin".into(),
            format!("--http-addr={}", args.http_addr),
            format!("--grpc-addr={}", args.grpc_addr),
            format!("--data-dir={}", text(&data_dir.join("gateway"))),
            "--allow-node-cidr=127.0.0.0/8".into(),
            format!("--repair={}", args.rebalancers == 0),
        ];
        command.extend(self.database());
        command.extend(args.upkeep.iter().chain(&args.gateway_arg).cloned());
        let mut child = spawn(&command, &[], Stdio::piped())?;
        let said = said(&mut child, "the gateway")?;
        let endpoint = said["endpoint"].as_str().unwrap_or_default();
        let address = endpoint.rsplit('/').next().unwrap_or_default().to_owned();
        for argument in &mut command {
            if argument.starts_with("--http-addr=") {
                *argument = format!("--http-addr={address}");
            } else if argument.starts_with("--grpc-addr=") {
                *argument = format!("--grpc-addr={}", said["grpc_addr"].as_str().unwrap_or_default());
            }
        }
        self.processes.push(Process { name: "gateway".into(), child, command, said, ended: false });
        Ok(())
    }

    /// The argument that names the server; it has no password.
    fn database(&self) -> Option<String> {
        self.postgres.as_ref().map(|server| format!("--database-url={}", server.url("postgres")))
    }

    fn gateway(&self, field: &str) -> &str {
        self.processes.first().and_then(|gateway| gateway.said[field].as_str()).unwrap_or_default()
    }

    fn spawn_node(&self, args: &ClusterArgs, bin: &Path, data_dir: &Path, number: usize) -> Result<(String, Child, Vec<String>)> {
        let name = format!("node-{number:02}");
        let mut command: Vec<String> = vec![
            text(&bin.join("cyxcloud-node")),
            "--json".into(),
            format!("--node-name={name}"),
            "--grpc-host=127.0.0.1".into(),
            "--grpc-port=0".into(),
            "--metrics-port=0".into(),
            format!("--storage-path={}", text(&data_dir.join("nodes").join(&name))),
            format!("--storage-capacity-gb={}", args.node_capacity_gb),
            format!("--central-server-addr={}", self.gateway("grpc_addr")),
            "--allow-node-cidr=127.0.0.0/8".into(),
        ];
        command.extend(args.node_arg.iter().cloned());
        // In the environment: command lines are seen by everybody.
        let token = std::fs::read_to_string(data_dir.join("gateway/join.token")).context("the gateway has made no join token")?;
        let child = spawn(&command, &[("CYX_JOIN_TOKEN", token.trim())], Stdio::piped())?;
        Ok((name, child, command))
    }

    fn start_rebalancer(&mut self, args: &ClusterArgs, bin: &Path, data_dir: &Path, number: usize) -> Result<()> {
        let mut command: Vec<String> = vec![
            text(&bin.join("cyxcloud-rebalancer")),
            format!("--data-dir={}", text(&data_dir.join("gateway"))),
            "--allow-node-cidr=127.0.0.0/8".into(),
        ];
        command.extend(self.database());
        command.extend(args.upkeep.iter().cloned());
        let child = spawn(&command, &[], Stdio::null())?;
        self.processes.push(Process { name: format!("rebalancer-{number}"), child, command, said: Value::Null, ended: false });
        Ok(())
    }

    fn wait_until_online(&mut self, nodes: usize) -> Result<()> {
        let address = self.gateway("endpoint").rsplit('/').next().unwrap_or_default().to_owned();
        let begun = Instant::now();
        loop {
            let online = get(&address, "/health/cluster").ok().map(|health| online(&health)).unwrap_or(0);
            if online >= nodes {
                return Ok(());
            }
            self.reap();
            if let Some(ended) = self.processes.iter().find(|process| process.ended) {
                bail!("{} ended before the cluster was complete; what it said is above", ended.name);
            }
            ensure!(begun.elapsed() < START_TIME, "only {online} of {nodes} nodes are online after {} s", START_TIME.as_secs());
            sleep(Duration::from_millis(100));
        }
    }

    fn describe(&self, data_dir: &Path) -> Value {
        let mut about = self.processes[0].said.clone();
        let one = |process: &Process| json!({ "name": process.name, "pid": process.child.id(), "command": process.command });
        let node = |process: &Process| {
            let mut about = one(process);
            about["grpc_addr"] = process.said["grpc_addr"].clone();
            about["metrics_addr"] = process.said["metrics_addr"].clone();
            about["node_id"] = process.said["node_id"].clone();
            about["data_dir"] = process.said["storage_path"].clone();
            about
        };
        let named = |prefix: &'static str| self.processes.iter().filter(move |process| process.name.starts_with(prefix));
        about["data_dir"] = text(data_dir).into();
        about["join_token_file"] = text(&data_dir.join("gateway/join.token")).into();
        about["gateway"] = one(&self.processes[0]);
        about["nodes"] = named("node-").map(node).collect();
        about["rebalancers"] = named("rebalancer-").map(one).collect();
        about["rebalancer"] = about["rebalancers"].get(0).cloned().unwrap_or(Value::Null);
        about
    }

    fn greet(&self) -> Result<()> {
        println!("S3 endpoint   {}", self.field("endpoint")?);
        println!("access key    {}", self.field("access_key_id")?);
        println!("secret key    {}", self.field("secret_access_key")?);
        println!("region        {}", self.field("region")?);
        println!("gRPC          {}", self.field("grpc_addr")?);
        println!("data          {}", self.field("data_dir")?);
        for process in &self.processes {
            println!("{:<14}pid {}", process.name, process.child.id());
        }
        println!("Ctrl-C ends all of them.");
        Ok(())
    }

    /// Says who has ended; nobody is started again.
    fn reap(&mut self) {
        for process in self.processes.iter_mut().filter(|process| !process.ended) {
            if let Ok(Some(status)) = process.child.try_wait() {
                eprintln!("{} ended: {status}", process.name);
                process.ended = true;
            }
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let running = self.processes.iter_mut().filter(|process| !process.ended).map(|process| &mut process.child);
        let mut running: Vec<&mut Child> = running.collect();
        for child in &running {
            // Gone already, it needs no signal.
            let _ = Command::new("kill").arg(child.id().to_string()).stderr(Stdio::null()).status();
        }
        let begun = Instant::now();
        while !running.is_empty() && begun.elapsed() < STOP_TIME {
            running.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            sleep(Duration::from_millis(20));
        }
        for child in running {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(directory) = &self.remove {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

fn spawn(command: &[String], environment: &[(&str, &str)], stdout: Stdio) -> Result<Child> {
    let (program, arguments) = command.split_first().context("an empty command")?;
    Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .env("CYX_END_WITH_PARENT", "1")
        .stdin(Stdio::null())
        .stdout(stdout)
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

/// The line of JSON that a process prints when it serves.
fn said(child: &mut Child, name: &str) -> Result<Value> {
    let mut line = String::new();
    let stdout = child.stdout.take().context("its output is piped")?;
    BufReader::new(stdout).read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("{name} printed {line:?} instead of where it is; what it says is above"))
}

/// Puts the ports that were found into a command, so that it can be given again.
fn fix_ports(command: &mut [String], flags: &[(&str, &str)], said: &Value) {
    for (flag, field) in flags {
        let port = said[*field].as_str().and_then(|address| address.rsplit(':').next()).unwrap_or("0");
        if let Some(argument) = command.iter_mut().find(|argument| argument.starts_with(&format!("{flag}="))) {
            *argument = format!("{flag}={port}");
        }
    }
}

/// Nodes that are online and reachable.
fn online(health: &Value) -> usize {
    let is_online = |node: &&Value| node["state"] == "online" && node["reachable"] == true;
    health["nodes"].as_array().map_or(0, |nodes| nodes.iter().filter(is_online).count())
}

/// A JSON answer of a plain HTTP server.
fn get(address: &str, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
