//! PostgreSQL.

use std::fs;
use std::io::{self, Error};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Guarded, free_port};

/// It answers within this, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a server is set up.
#[derive(Clone, Copy, Debug)]
pub struct PostgresSettings {
    /// Whether a commit waits for the disk, as it does where data matter. Off is faster where only rules are tested.
    pub fsync: bool,
    /// Connections at most.
    pub connections: u16,
    /// Whether it takes connections with TLS only; [`Postgres::certificate`] is then the one to trust.
    pub tls: bool,
}

impl Default for PostgresSettings {
    fn default() -> Self {
        Self { fsync: true, connections: 200, tls: false }
    }
}

/// A PostgreSQL server of its own on the loopback interface, with a superuser `postgres` who needs no password.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    directory: PathBuf,
    settings: PostgresSettings,
    port: u16,
    server: Option<Guarded>,
}

impl Postgres {
    /// Makes a cluster of databases and starts it. Takes a second or two.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start; the message says what to do.
    pub fn start(settings: PostgresSettings) -> io::Result<Self> {
        let bin = binaries()?;
        let directory = tempfile::Builder::new().prefix("cyxcloud-postgres-").tempdir()?.keep();
        let mut this = Self { bin, directory, settings, port: free_port()?, server: None };
        let data = this.data();
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&this.directory))?;
        }
        let init = [this.bin.join("initdb"), "-D".into(), data, "-U".into(), "postgres".into()];
        let init: Vec<String> = init.iter().map(|part| part.display().to_string()).collect();
        let options = ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"].map(str::to_owned);
        let command = as_postgres(init.into_iter().chain(options).collect());
        run(Command::new(&command[0]).args(&command[1..]))?;
        if settings.tls {
            this.demand_tls()?;
        }
        this.run()?;
        Ok(this)
    }

    /// Whether it can be started on this machine.
    pub fn is_installed() -> bool {
        binaries().is_ok()
    }

    /// Makes a certificate for 127.0.0.1, and lets nobody in without TLS.
    fn demand_tls(&self) -> io::Result<()> {
        let (key, certificate) = (self.data().join("server.key"), self.certificate());
        let openssl: Vec<String> =
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
                .map(str::to_owned)
                .into_iter()
                .chain(["-subj", "/CN=PostgreSQL of a test", "-addext", "subjectAltName=IP:127.0.0.1"].map(str::to_owned))
                .chain(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"].map(str::to_owned))
                .chain([key.display().to_string(), "-out".into(), certificate.display().to_string()])
                .collect();
        let command = as_postgres(openssl);
        run(Command::new(&command[0]).args(&command[1..]))?;
        fs::write(self.data().join("pg_hba.conf"), "hostssl all all 127.0.0.1/32 trust\n")
    }

    /// The certificate of a server with TLS.
    pub fn certificate(&self) -> PathBuf {
        self.data().join("server.crt")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Ends it. Whoever is connected is cut off; what was committed is there when it runs again.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// Starts it again after [`Postgres::stop`], on the same port.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&mut self) -> io::Result<()> {
        let on_off = |on: bool| if on { "on" } else { "off" };
        let settings = [
            format!("fsync={}", on_off(self.settings.fsync)),
            format!("full_page_writes={}", on_off(self.settings.fsync)),
            format!("max_connections={}", self.settings.connections),
            format!("ssl={}", on_off(self.settings.tls)),
            format!("unix_socket_directories={}", self.directory.display()),
            "listen_addresses=127.0.0.1".to_owned(),
            // Several of them may share a small machine.
            "shared_buffers=128MB".to_owned(),
        ];
        // What need not survive a crash need not fill a small disk with its log either.
        let small_log = ["min_wal_size=32MB".to_owned(), "max_wal_size=64MB".to_owned()];
        let small_log = small_log.into_iter().filter(|_| !self.settings.fsync);
        let mut command: Vec<String> =
            vec![self.bin.join("postgres").display().to_string(), "-D".into(), self.data().display().to_string()];
        command.extend(["-p".to_owned(), self.port.to_string()]);
        command.extend(settings.into_iter().chain(small_log).flat_map(|setting| ["-c".to_owned(), setting]));
        let command = as_postgres(command);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        self.server = Some(Guarded::start(&self.directory, &command)?);
        self.wait()
    }

    fn wait(&self) -> io::Result<()> {
        let began = Instant::now();
        while self.psql("postgres", "SELECT 1").is_err() {
            if began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(Error::other(format!("PostgreSQL did not start:\n{log}")));
            }
            // Until it listens, connecting fails at once.
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// The URL of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// What `psql` prints of a statement: a line for each row, columns separated by `|`.
    ///
    /// # Errors
    /// When it is refused; the message is psql's.
    pub fn psql(&self, database: &str, sql: &str) -> io::Result<String> {
        let mut psql = Command::new(self.bin.join("psql"));
        run(psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql]))
    }
}

/// The directory of the newest PostgreSQL that is installed.
fn binaries() -> io::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some((entry.as_ref().ok()?.file_name().to_str()?.parse().ok()?, entry.ok()?.path().join("bin"))))
        .filter(|(_, bin): &(u32, PathBuf)| bin.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((_, bin)) = found.pop() {
        return Ok(bin);
    }
    let elsewhere = run(Command::new("pg_config").arg("--bindir")).map(|bin| PathBuf::from(bin.trim()));
    match elsewhere {
        Ok(bin) if bin.join("initdb").exists() => Ok(bin),
        _ => Err(Error::other("PostgreSQL is not installed; on Debian: apt-get install -y postgresql")),
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| std::os::unix::fs::MetadataExt::uid(&metadata) == 0)
}

/// PostgreSQL refuses to run as root.
fn as_postgres(command: Vec<String>) -> Vec<String> {
    if !is_root() {
        return command;
    }
    let change = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"].map(str::to_owned);
    change.into_iter().chain(command).collect()
}

fn run(command: &mut Command) -> io::Result<String> {
    let output = command.current_dir(Path::new("/")).output()?;
    if !output.status.success() {
        return Err(Error::other(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
