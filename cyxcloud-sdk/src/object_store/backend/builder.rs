//! From environment, configuration and `cyx://` URLs to a store.

use std::fmt;
use std::str::FromStr;

use tokio::sync::OnceCell;
use url::Url;

use super::convert::{invalid, path};
use super::{CyxStore, Source, api};
use crate::{Bucket, Cluster, Error};
use api::path::Path;
use api::{ObjectStore, Result};

/// The scheme of our URLs: `cyx://BUCKET/KEY`.
const SCHEME: &str = "cyx";

/// What can be said of a store: by these names in configurations, and in upper case in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CyxConfigKey {
    /// `cyx_bucket`: the bucket.
    Bucket,
    /// `cyx_directory`: the directory of a cluster of this process. One process has it open once: open the [`Cluster`] yourself where several stores
    /// are wanted, and use [`CyxStore::new`] or [`super::register_all`].
    Directory,
    /// `cyx_gateway`: host and port of the gRPC services of a gateway.
    Gateway,
    /// `cyx_ca_cert`: a PEM file with the authorities that vouch for gateway and nodes; with it TLS is spoken.
    CaCert,
    /// `cyx_access_key_id`: the public half of an access key.
    AccessKeyId,
    /// `cyx_secret_access_key`: its secret half.
    SecretAccessKey,
    /// `cyx_key_file`: a key file under which objects are encrypted and opened here.
    KeyFile,
    /// `cyx_create_bucket`: `true` to make the bucket where it is missing.
    CreateBucket,
    /// `cyx_s3_endpoint`: where the gateway serves S3, e.g. `http://127.0.0.1:8080`; for signed URLs.
    S3Endpoint,
    /// `cyx_region`: the region that signed URLs name, `us-east-1` unless said.
    Region,
}

const KEYS: [(CyxConfigKey, &str); 10] = [
    (CyxConfigKey::Bucket, "cyx_bucket"),
    (CyxConfigKey::Directory, "cyx_directory"),
    (CyxConfigKey::Gateway, "cyx_gateway"),
    (CyxConfigKey::CaCert, "cyx_ca_cert"),
    (CyxConfigKey::AccessKeyId, "cyx_access_key_id"),
    (CyxConfigKey::SecretAccessKey, "cyx_secret_access_key"),
    (CyxConfigKey::KeyFile, "cyx_key_file"),
    (CyxConfigKey::CreateBucket, "cyx_create_bucket"),
    (CyxConfigKey::S3Endpoint, "cyx_s3_endpoint"),
    (CyxConfigKey::Region, "cyx_region"),
];

impl AsRef<str> for CyxConfigKey {
    fn as_ref(&self) -> &str {
        KEYS.iter().find(|(key, _)| key == self).map_or("", |(_, name)| name)
    }
}

impl FromStr for CyxConfigKey {
    type Err = api::Error;

    /// The names above, in any case and with or without `cyx_`.
    fn from_str(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        let found = KEYS.iter().find(|(_, known)| *known == lower || known.strip_prefix("cyx_") == Some(&lower));
        found.map(|(key, _)| *key).ok_or_else(|| api::Error::UnknownConfigurationKey { store: "CyxCloud", key: name.to_owned() })
    }
}

/// Makes a [`CyxStore`] of what environment, URL and configuration say; what is said later counts.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(all(feature = "directory", feature = "object-store"))] {
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path().display();
/// use cyxcloud_sdk::object_store::{CyxBuilder, CyxConfigKey};
/// use object_store::{ObjectStoreExt, path::Path};
///
/// let builder = CyxBuilder::from_env().with_url("cyx://photos")?.with_directory(directory.to_string()).with_create_bucket(true);
/// assert_eq!(builder.get_config_value(CyxConfigKey::Bucket), Some("photos"));
/// let store = builder.build()?;
/// store.put(&Path::from("cat.jpg"), "meow".into()).await?;
/// # }
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing before it builds"]
#[derive(Clone, Default)]
pub struct CyxBuilder {
    said: Vec<(CyxConfigKey, String)>,
}

impl CyxBuilder {
    /// Nothing said.
    pub fn new() -> Self {
        Self::default()
    }

    /// What `CYX_BUCKET`, `CYX_DIRECTORY`, `CYX_GATEWAY` and so on say.
    pub fn from_env() -> Self {
        let read = |(key, name): &(CyxConfigKey, &str)| Some((*key, std::env::var(name.to_ascii_uppercase()).ok()?));
        Self { said: KEYS.iter().filter_map(read).collect() }
    }

    /// The bucket of `cyx://BUCKET` or `cyx://BUCKET/KEY`.
    ///
    /// # Errors
    /// For a URL of another form.
    pub fn with_url(self, url: impl AsRef<str>) -> Result<Self> {
        let url = Url::parse(url.as_ref()).map_err(|error| invalid(format!("{:?} is no URL: {error}", url.as_ref())))?;
        let (bucket, _) = split_url(&url)?;
        Ok(self.with_config(CyxConfigKey::Bucket, bucket))
    }

    /// One setting by its name.
    ///
    /// # Errors
    /// [`api::Error::UnknownConfigurationKey`].
    pub fn try_with_config(self, key: impl AsRef<str>, value: impl Into<String>) -> Result<Self> {
        let key = key.as_ref().parse()?;
        Ok(self.with_config(key, value))
    }

    /// One setting.
    pub fn with_config(mut self, key: CyxConfigKey, value: impl Into<String>) -> Self {
        self.said.push((key, value.into()));
        self
    }

    /// The bucket.
    pub fn with_bucket_name(self, bucket: impl Into<String>) -> Self {
        self.with_config(CyxConfigKey::Bucket, bucket)
    }

    /// The directory of a cluster of this process.
    pub fn with_directory(self, directory: impl Into<String>) -> Self {
        self.with_config(CyxConfigKey::Directory, directory)
    }

    /// Host and port of the gRPC services of a gateway.
    pub fn with_gateway(self, gateway: impl Into<String>) -> Self {
        self.with_config(CyxConfigKey::Gateway, gateway)
    }

    /// The public half of an access key.
    pub fn with_access_key_id(self, id: impl Into<String>) -> Self {
        self.with_config(CyxConfigKey::AccessKeyId, id)
    }

    /// The secret half of an access key.
    pub fn with_secret_access_key(self, secret: impl Into<String>) -> Self {
        self.with_config(CyxConfigKey::SecretAccessKey, secret)
    }

    /// Whether the bucket is made where it is missing.
    pub fn with_create_bucket(self, create: bool) -> Self {
        self.with_config(CyxConfigKey::CreateBucket, create.to_string())
    }

    /// What was said last.
    pub fn get_config_value(&self, key: CyxConfigKey) -> Option<&str> {
        self.said.iter().rev().find(|(said, _)| *said == key).map(|(_, value)| value.as_str())
    }

    /// The store. The cluster is opened or reached when the store is used first.
    ///
    /// # Errors
    /// When no bucket was said, and neither or both of directory and gateway, or `cyx_ca_cert` without a gateway.
    pub fn build(self) -> Result<CyxStore> {
        if self.bucket_name().is_empty() {
            return Err(invalid("no bucket was said: with_url(\"cyx://BUCKET\") or cyx_bucket"));
        }
        match (self.get_config_value(CyxConfigKey::Directory), self.get_config_value(CyxConfigKey::Gateway)) {
            (Some(_), Some(_)) => Err(invalid("cyx_directory and cyx_gateway were both said; one of them says where the cluster is")),
            (Some(_), None) if self.get_config_value(CyxConfigKey::CaCert).is_some() => {
                Err(invalid("cyx_ca_cert is for a gateway, and a directory was said"))
            }
            (None, None) => Err(invalid("nothing says where the cluster is: cyx_directory, or cyx_gateway with the keys of an account")),
            _ => Ok(CyxStore::closed(self)),
        }
    }

    pub(crate) fn bucket_name(&self) -> &str {
        self.get_config_value(CyxConfigKey::Bucket).unwrap_or("")
    }

    pub(super) async fn open(&self) -> crate::Result<Bucket> {
        // A bucket that cannot be used as it was said is not made either.
        let encrypted = self.get_config_value(CyxConfigKey::KeyFile).map(encryption).transpose()?;
        let cluster = match self.get_config_value(CyxConfigKey::Gateway) {
            Some(gateway) => self.connect(gateway).await?,
            None => open_directory(self.get_config_value(CyxConfigKey::Directory).unwrap_or("")).await?,
        };
        let bucket = match self.get_config_value(CyxConfigKey::CreateBucket) {
            Some("true" | "1") => cluster.ensure_bucket(self.bucket_name()).await?,
            None | Some("false" | "0" | "") => cluster.bucket(self.bucket_name()).await?,
            Some(other) => return Err(Error::invalid(format!("cyx_create_bucket is true or false, not {other:?}"))),
        };
        Ok(match encrypted {
            Some(encrypted) => encrypted(bucket),
            None => bucket,
        })
    }

    #[cfg(feature = "remote")]
    async fn connect(&self, gateway: &str) -> crate::Result<Cluster> {
        let said = |key: CyxConfigKey| {
            self.get_config_value(key).ok_or_else(|| Error::invalid(format!("{} must be said with cyx_gateway", key.as_ref())))
        };
        let (id, secret) = (said(CyxConfigKey::AccessKeyId)?, said(CyxConfigKey::SecretAccessKey)?);
        let mut options = crate::ConnectOptions::new(gateway, id, secret);
        if let Some(file) = self.get_config_value(CyxConfigKey::CaCert) {
            let read = std::fs::read_to_string(file);
            let ca_pem = read.map_err(|e| Error::invalid(format!("cannot read cyx_ca_cert {file}: {e}")).with_source(e))?;
            options.tls = Some(crate::transport::grpc::ClientTls { ca_pem, ..Default::default() });
        }
        Cluster::connect(options).await
    }

    #[cfg(not(feature = "remote"))]
    async fn connect(&self, _gateway: &str) -> crate::Result<Cluster> {
        Err(Error::invalid("this build of cyxcloud-sdk reaches no gateway; build it with the feature `remote`"))
    }
}

#[cfg(feature = "directory")]
async fn open_directory(directory: &str) -> crate::Result<Cluster> {
    Cluster::open(directory).await
}

#[cfg(not(feature = "directory"))]
async fn open_directory(_directory: &str) -> crate::Result<Cluster> {
    Err(Error::invalid("this build of cyxcloud-sdk opens no directory; build it with the feature `directory`"))
}

/// What encrypts a bucket.
type Encrypt = Box<dyn FnOnce(Bucket) -> Bucket + Send>;

#[cfg(feature = "encryption")]
fn encryption(key_file: &str) -> crate::Result<Encrypt> {
    use crate::encryption::{Key, Keyring};
    let keyring = Keyring::new(Key::from_file(key_file)?);
    Ok(Box::new(|bucket| bucket.with_encryption(keyring)))
}

#[cfg(not(feature = "encryption"))]
fn encryption(_key_file: &str) -> crate::Result<Encrypt> {
    Err(Error::invalid("this build of cyxcloud-sdk encrypts nothing; build it with the feature `encryption`"))
}

/// Without secrets.
impl fmt::Debug for CyxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.said.iter().map(|(key, value)| (key, if *key == CyxConfigKey::SecretAccessKey { "(hidden)" } else { value }));
        f.debug_map().entries(shown).finish()
    }
}

/// The bucket and the path that `cyx://BUCKET/KEY` names.
///
/// # Errors
/// For a URL of another form.
pub(crate) fn split_url(url: &Url) -> Result<(String, Path)> {
    let form = |why: &str| invalid(format!("{url} is no URL of a bucket ({why}); the form is cyx://BUCKET/KEY"));
    if url.scheme() != SCHEME {
        return Err(form("another scheme"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.port().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(form("there is more in it than a bucket and a key"));
    }
    let bucket = url.host_str().filter(|bucket| !bucket.is_empty()).ok_or_else(|| form("no bucket"))?;
    // URLs are encoded, keys are not.
    let key = Path::from_url_path(url.path())?;
    Ok((bucket.to_owned(), path(key.as_ref()).unwrap_or(key)))
}

/// The store and the path of a URL, for URLs of every scheme that the crate `object_store` knows in this build, and ours: like its own
/// `parse_url_opts`. For `cyx://` the options are those of [`CyxConfigKey`], above what the environment says.
///
/// # Errors
/// For a URL of another form and for options that are unknown.
pub fn parse_url_opts<I, K, V>(url: &Url, options: I) -> Result<(Box<dyn ObjectStore>, Path)>
where
    I: IntoIterator<Item = (K, V)>,
    K: AsRef<str>,
    V: Into<String>,
{
    if url.scheme() != SCHEME {
        return api::parse_url_opts(url, options);
    }
    let (bucket, path) = split_url(url)?;
    let mut builder = CyxBuilder::from_env().with_bucket_name(bucket);
    for (key, value) in options {
        builder = builder.try_with_config(key, value)?;
    }
    Ok((Box::new(builder.build()?), path))
}

impl CyxStore {
    pub(super) fn closed(builder: CyxBuilder) -> Self {
        Self { source: std::sync::Arc::new(Source::Closed(builder, OnceCell::new())) }
    }
}
