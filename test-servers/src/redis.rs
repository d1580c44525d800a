//! Redis.

use std::fs;
use std::io::{self, Error, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Guarded, free_port};

/// It answers within this, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A Redis server of its own on the loopback interface, which keeps nothing on the disk.
#[derive(Debug)]
pub struct Redis {
    directory: PathBuf,
    port: u16,
    server: Option<Guarded>,
}

impl Redis {
    /// Starts it.
    ///
    /// # Errors
    /// When Redis is not installed, or does not start; the message says what to do.
    pub fn start() -> io::Result<Self> {
        if !Self::is_installed() {
            return Err(Error::other("Redis is not installed; on Debian: apt-get install -y redis-server"));
        }
        let directory = tempfile::Builder::new().prefix("cyxcloud-redis-").tempdir()?.keep();
        let mut this = Self { directory, port: free_port()?, server: None };
        this.run()?;
        Ok(this)
    }

    /// Whether it can be started on this machine.
    pub fn is_installed() -> bool {
        Command::new("redis-server").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    }

    /// Ends it. Whoever is connected is cut off, and all that it held is forgotten.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop();
        }
    }

    /// Starts it again after [`Redis::stop`], on the same port, with nothing in it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn run(&mut self) -> io::Result<()> {
        let (port, directory) = (self.port.to_string(), self.directory.display().to_string());
        let command = ["redis-server", "--port", &port, "--bind", "127.0.0.1", "--dir", &directory, "--save", "", "--appendonly", "no"];
        self.server = Some(Guarded::start(&self.directory, &command)?);
        let began = Instant::now();
        while self.ping().is_err() {
            if began.elapsed() > PATIENCE {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(Error::other(format!("Redis did not start:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn ping(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        if &answer == b"+PONG\r\n" { Ok(()) } else { Err(Error::other("it answers, but not as Redis")) }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}
