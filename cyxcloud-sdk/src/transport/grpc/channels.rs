//! Connections to many addresses, made when they are first needed and kept.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cyxcloud_core::{Error, ErrorKind, Result};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::guard::{AddressGuard, GuardedConnector};

/// How connections are made.
#[derive(Clone, Debug)]
pub struct ChannelOptions {
    /// Connections to each address.
    pub per_address: usize,
    /// Time to connect.
    pub connect_timeout_ms: u64,
    /// Idle connections are asked this often whether the other side is still there.
    pub keep_alive_ms: u64,
    /// Speak TLS, and trust whom.
    pub tls: Option<ClientTls>,
    /// Which machines may be connected to; None where addresses come from the operator himself.
    pub guard: Option<AddressGuard>,
}

/// TLS of a client.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// PEM of the authorities to trust.
    pub ca_pem: String,
    /// PEM of our own certificate and key, where the other side wants one.
    pub identity_pem: Option<(String, String)>,
    /// The name to expect in certificates, where it is not that of the address.
    pub domain: Option<String>,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self { per_address: 4, connect_timeout_ms: 2_000, keep_alive_ms: 10_000, tls: None, guard: None }
    }
}

/// Connections by address. Clones share them.
#[derive(Clone, Debug)]
pub struct Channels {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: ChannelOptions,
    next: AtomicUsize,
    open: Mutex<HashMap<String, Vec<Channel>>>,
}

impl Channels {
    /// No connection yet.
    pub fn new(options: ChannelOptions) -> Self {
        Self { inner: Arc::new(Inner { options, next: AtomicUsize::new(0), open: Mutex::default() }) }
    }

    /// A connection to `address`, host and port. It is made when the first call needs it, and again when it breaks.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when this is no address.
    pub fn to(&self, address: &str) -> Result<Channel> {
        let mut open = self.inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.contains_key(address) {
            let options = &self.inner.options;
            let endpoint = options.endpoint(address)?;
            let channels = (0..options.per_address.max(1)).map(|_| options.connect_lazy(&endpoint)).collect();
            open.insert(address.to_owned(), channels);
        }
        let channels = &open[address];
        Ok(channels[self.inner.next.fetch_add(1, Ordering::Relaxed) % channels.len()].clone())
    }

    /// Forgets connections to addresses that nobody uses any more.
    pub fn retain(&self, used: impl Fn(&str) -> bool) {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|address, _| used(address));
    }
}

impl ChannelOptions {
    /// A connection that is made when it is needed, to nothing but what the guard allows.
    fn connect_lazy(&self, endpoint: &Endpoint) -> Channel {
        match &self.guard {
            Some(guard) => endpoint.connect_with_connector_lazy(GuardedConnector(guard.clone())),
            None => endpoint.connect_lazy(),
        }
    }

    /// Connects to `address` now, once, to nothing but what the guard allows.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when this is no address or one that the guard refuses, [`cyxcloud_core::ErrorKind::Unavailable`] with the
    /// reason when there is no connection.
    pub async fn connect(&self, address: &str) -> Result<Channel> {
        let endpoint = self.endpoint(address)?;
        let connected = match &self.guard {
            Some(guard) => endpoint.connect_with_connector(GuardedConnector(guard.clone())).await,
            None => endpoint.connect().await,
        };
        connected.map_err(|e| {
            let (cause, refused) = root_cause(&e);
            let kind = if refused { ErrorKind::Invalid } else { ErrorKind::Unavailable };
            Error::new(kind, format!("cannot connect to {address}: {cause}")).with_source(e)
        })
    }

    /// The endpoint at `address`, host and port.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when this is no address, or the TLS files make no sense.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint> {
        let bad = |e: &dyn std::fmt::Display| Error::invalid(format!("{address:?} is not host:port of a gRPC service: {e}"));
        // Not a URL: nothing but a host and a port is to be smuggled in.
        let host_and_port = address.parse::<SocketAddr>().is_ok()
            || address.rsplit_once(':').is_some_and(|(host, port)| {
                let name = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_');
                name && port.parse::<u16>().is_ok()
            });
        if !host_and_port {
            return Err(bad(&"no URL, no path, only a host and a port"));
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(|e| bad(&e))?
            .connect_timeout(Duration::from_millis(self.connect_timeout_ms))
            .initial_stream_window_size(4 << 20)
            .initial_connection_window_size(32 << 20)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_millis(self.keep_alive_ms))
            .keep_alive_timeout(Duration::from_millis(self.keep_alive_ms))
            .keep_alive_while_idle(true);
        if let Some(tls) = &self.tls {
            let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.ca_pem));
            if let Some((certificate, key)) = &tls.identity_pem {
                config = config.identity(Identity::from_pem(certificate, key));
            }
            if let Some(domain) = &tls.domain {
                config = config.domain_name(domain.clone());
            }
            endpoint = endpoint.tls_config(config).map_err(|e| bad(&e))?;
        }
        Ok(endpoint)
    }
}

/// What it comes down to, since tonic only says "transport error"; and whether the guard refused the address.
fn root_cause(mut error: &(dyn std::error::Error + 'static)) -> (String, bool) {
    let mut refused = false;
    while let Some(source) = error.source() {
        error = source;
        refused |= error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied);
    }
    (error.to_string(), refused)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[tokio::test]
    async fn only_hosts_and_ports_are_addresses() {
        let channels = Channels::new(ChannelOptions::default());
        for address in ["node-1:50051", "127.0.0.1:1", "[::1]:50051", "a.b_c:65535"] {
            channels.to(address).unwrap();
        }
        for address in
            ["", "node", "node:", ":1", "node:65536", "http://node:1", "node:1/path", "user@node:1", "no de:1", "node:1?x", "[::1:1"]
        {
            assert!(channels.to(address).is_err(), "{address}");
        }
    }
}
