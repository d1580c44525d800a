//! What every executable does: log to standard error, and end when it is told to.

use std::io::IsTerminal;
use std::time::Duration;

use tokio::sync::watch;

/// What is logged unless `RUST_LOG` says otherwise. The S3 library reports every mistake of a client as an error.
const DEFAULT_LOG: &str = "warn,s3s=off";
/// Requests in flight get this long after Ctrl-C.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Logs to standard error, as `RUST_LOG` says.
pub fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| DEFAULT_LOG.into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
}

/// Ends this process with the one that started it, where that asks for it by `CYX_END_WITH_PARENT`: a test that is killed leaves nobody behind. To be
/// called first in `main`.
pub fn end_with_parent() {
    #[cfg(target_os = "linux")]
    if std::env::var_os("CYX_END_WITH_PARENT").is_some_and(|value| !value.is_empty()) {
        // Refused, it is as if nobody had asked.
        let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
}

/// Returns when the process is to stop.
pub async fn wait(mut stopped: watch::Receiver<bool>) {
    // An error means the sender is gone, which is a stop as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Returns at Ctrl-C or SIGTERM.
pub async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
