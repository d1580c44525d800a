//! TLS to the server: with the authorities to trust named, or not at all. What PostgreSQL calls `prefer` would encrypt for whoever stands between.

use std::sync::Arc;

use cyxcloud_core::{Error, Result};
use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{CancelToken, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How connections are made.
#[derive(Clone)]
pub(super) enum Tls {
    Off {
        /// Whether what is sent leaves this machine.
        is_exposed: bool,
    },
    On(MakeRustlsConnect),
}

impl Tls {
    /// TLS with the certificates in `authorities_pem` as those to trust, which then is demanded; without them, none.
    pub(super) fn new(config: &mut Config, authorities_pem: Option<&[u8]>) -> Result<Self> {
        let Some(pem) = authorities_pem else {
            if config.get_ssl_mode() == SslMode::Require {
                return Err(Error::invalid("sslmode=require also needs the authorities to trust: name a PEM file with their certificates"));
            }
            config.ssl_mode(SslMode::Disable);
            return Ok(Self::Off { is_exposed: leaves_the_machine(config) });
        };
        config.ssl_mode(SslMode::Require);
        let unusable = |why: String| Error::invalid(format!("the authorities to trust for the database cannot be used: {why}"));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let added = certificate.map_err(|e| e.to_string()).and_then(|c| roots.add(c).map_err(|e| e.to_string()));
            added.map_err(unusable)?;
        }
        if roots.is_empty() {
            return Err(unusable("there is no certificate in it".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|e| Error::internal("TLS cannot be set up").with_source(e))?;
        Ok(Self::On(MakeRustlsConnect::new(builder.with_root_certificates(roots).with_no_client_auth())))
    }

    pub(super) fn manager(&self, config: Config) -> Manager {
        let how = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        match self {
            Self::Off { .. } => Manager::from_config(config, NoTls, how),
            Self::On(tls) => Manager::from_config(config, tls.clone(), how),
        }
    }

    pub(super) fn is_exposed(&self) -> bool {
        matches!(self, Self::Off { is_exposed: true })
    }

    /// Ends the statement that a connection carries out.
    pub(super) async fn cancel(self, token: CancelToken) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Off { .. } => token.cancel_query(NoTls).await,
            Self::On(tls) => token.cancel_query(tls).await,
        }
    }
}

fn leaves_the_machine(config: &Config) -> bool {
    // Where addresses are given, names are only for certificates.
    config.get_hostaddrs().iter().any(|ip| !ip.is_loopback())
        || config.get_hosts().iter().any(|host| match host {
            Host::Tcp(name) => name != "localhost" && !name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback()),
            #[cfg(unix)]
            Host::Unix(_) => false,
        })
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn what_leaves_the_machine_in_clear_text_is_known() {
        let exposed = |url: &str| Tls::new(&mut Config::from_str(url).unwrap(), None).map(|tls| tls.is_exposed());
        for url in ["postgres://u@127.0.0.1/d", "postgres://u@localhost/d", "postgres://u@[::1]/d", "postgres:///d?host=/run/postgresql"] {
            assert!(!exposed(url).unwrap(), "{url}");
        }
        assert!(exposed("postgres://u@10.0.0.1/d").unwrap());
        assert!(exposed("postgres://u@localhost,db/d").unwrap());
        assert!(exposed("postgres://u@localhost/d?hostaddr=10.0.0.1").unwrap());
        assert!(exposed("postgres://u@db/d?sslmode=require").unwrap_err().to_string().contains("authorities"));
    }

    #[test]
    fn authorities_that_are_none_are_refused() {
        let mut config = Config::new();
        for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            assert!(Tls::new(&mut config, Some(pem.as_bytes())).is_err(), "{pem}");
        }
    }
}
