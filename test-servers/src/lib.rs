//! Throw-away servers for tests and benchmarks: real ones, of the installed packages, in a temporary directory and on a port of their own. They end,
//! and their directory goes, with the process that started them, however that ends.

mod postgres;
mod redis;

pub use postgres::{Postgres, PostgresSettings};
pub use redis::Redis;

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// Runs a server and ends it when its end of the pipe is closed, by whom or whatever; then the directory goes, unless the last word was to keep it.
const GUARD: &str = r#"
directory=$1; shift
"$@" >"$directory/log" 2>&1 &
server=$!
read -r word
kill -INT $server
wait $server
[ "$word" = keep ] || rm -rf "$directory"
"#;

/// A server that ends with this.
#[derive(Debug)]
struct Guarded {
    guard: Child,
    pipe: Option<ChildStdin>,
}

impl Guarded {
    /// Runs `command`, which lives in `directory`.
    fn start(directory: &Path, command: &[&str]) -> io::Result<Self> {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(directory).args(command);
        let mut guard = guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pipe = guard.stdin.take();
        Ok(Self { guard, pipe })
    }

    /// Ends the server and keeps the directory.
    fn stop(mut self) {
        if let Some(pipe) = &mut self.pipe {
            // A guard that is gone has nothing to keep.
            let _ = pipe.write_all(b"keep\n");
        }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // Nothing is left to do if it cannot be waited for.
        let _ = self.guard.wait();
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
