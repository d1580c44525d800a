//! TLS from PEM files, for listeners and for those who connect to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use cyxcloud_sdk::transport::grpc::ClientTls;
use cyxcloud_sdk::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

/// Who connects gets this long for the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// Chooses the one implementation of TLS; to be called first in `main`, before anything can choose another.
pub fn install_provider() {
    // An error says that one was installed before, by a test in the same process.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// TLS of a listener.
#[derive(Args, Clone, Debug, Default)]
pub struct ListenTls {
    /// PEM file with the certificate to show and those between it and its authority. Without it there is no TLS.
    #[arg(long, env = "CYX_TLS_CERT", value_name = "PATH")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, env = "CYX_TLS_KEY", value_name = "PATH")]
    pub tls_key: Option<PathBuf>,
    /// PEM file with the authorities whose certificates clients must show; without it they need not show any.
    #[arg(long, env = "CYX_TLS_CLIENT_CA", value_name = "PATH")]
    pub tls_client_ca: Option<PathBuf>,
}

/// TLS of those who connect.
#[derive(Args, Clone, Debug, Default)]
pub struct ConnectTls {
    /// PEM file with the authorities to trust when connecting to gateways and nodes.
    #[arg(long, env = "CYX_TLS_CA", value_name = "PATH")]
    pub tls_ca: Option<PathBuf>,
    /// The name to expect in certificates, where it is not the one connected to.
    #[arg(long, env = "CYX_TLS_DOMAIN", value_name = "NAME")]
    pub tls_domain: Option<String>,
}

impl ListenTls {
    /// Whether there is TLS.
    pub fn is_on(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// What tonic needs; None without TLS.
    ///
    /// # Errors
    /// [`cyxcloud_sdk::ErrorKind::Invalid`] naming the file that cannot be used.
    pub fn grpc(&self) -> Result<Option<ServerTlsConfig>> {
        // tonic finds mistakes when it serves; this finds them now and names the file.
        if self.rustls()?.is_none() {
            return Ok(None);
        }
        let Some((cert, key)) = self.pair()? else { return Ok(None) };
        let mut config = ServerTlsConfig::new().identity(Identity::from_pem(read(cert)?, read(key)?)).timeout(HANDSHAKE_TIME);
        if let Some(ca) = &self.tls_client_ca {
            config = config.client_ca_root(Certificate::from_pem(read(ca)?));
        }
        Ok(Some(config))
    }

    /// What a listener of HTTPS needs, HTTP/2 and HTTP/1.1; None without TLS.
    ///
    /// # Errors
    /// As [`ListenTls::grpc`].
    pub fn rustls(&self) -> Result<Option<Arc<rustls::ServerConfig>>> {
        let Some((cert, key)) = self.pair()? else { return Ok(None) };
        let builder = rustls::ServerConfig::builder();
        let builder = match &self.tls_client_ca {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots(ca)?)).build().map_err(|e| bad(ca, &e))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|e| bad(key, &format!("no private key in it: {e}")))?;
        let mut config = builder
            .with_single_cert(certificates(cert)?, secret)
            .map_err(|e| bad(cert, &format!("with the key {}: {e}", key.display())))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Arc::new(config)))
    }

    fn pair(&self) -> Result<Option<(&Path, &Path)>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some((cert, key))),
            (None, None) if self.tls_client_ca.is_none() => Ok(None),
            (None, None) => Err(Error::invalid("--tls-client-ca needs --tls-cert and --tls-key")),
            (Some(_), None) => Err(Error::invalid("--tls-cert needs --tls-key")),
            (None, Some(_)) => Err(Error::invalid("--tls-key needs --tls-cert")),
        }
    }
}

impl ConnectTls {
    /// What channels need, showing the certificate of `own` where one is asked for; None without TLS.
    ///
    /// # Errors
    /// As [`ListenTls::grpc`].
    pub fn client(&self, own: &ListenTls) -> Result<Option<ClientTls>> {
        let Some(ca) = &self.tls_ca else {
            return if self.tls_domain.is_some() { Err(Error::invalid("--tls-domain needs --tls-ca")) } else { Ok(None) };
        };
        roots(ca)?;
        let identity_pem = own.pair()?.map(|(cert, key)| Ok::<_, Error>((text(cert)?, text(key)?))).transpose()?;
        Ok(Some(ClientTls { ca_pem: text(ca)?, identity_pem, domain: self.tls_domain.clone() }))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(&read(path)?).collect::<Result<Vec<_>, _>>().map_err(|e| bad(path, &e))?;
    if found.is_empty() { Err(bad(path, &"no certificate in it; it must begin with -----BEGIN CERTIFICATE-----")) } else { Ok(found) }
}

fn roots(path: &Path) -> Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|e| bad(path, &e))?;
    }
    Ok(roots)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| bad(path, &e))
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| bad(path, &e))
}

fn bad(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("TLS file {}: {why}", path.display()))
}
