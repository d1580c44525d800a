//! URLs that let whoever has them do one thing with one object for a while: presigned S3 URLs of the gateway.

use std::time::Duration;

use ::object_store::Result;
use ::object_store::path::Path;
use ::object_store::signer::{Method, Signer, Url};
use async_trait::async_trait;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use super::backend::convert::{invalid, unsupported};
use super::{CyxBuilder, CyxConfigKey, CyxStore};

/// The longest that S3 lets a signed URL live.
const MAX_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

struct Presigner {
    bucket: Bucket,
    credentials: Credentials,
}

impl Presigner {
    fn new(builder: &CyxBuilder) -> Result<Self> {
        let said = |key: CyxConfigKey| builder.get_config_value(key).ok_or_else(|| invalid(format!("signing needs {}", key.as_ref())));
        let (endpoint, id, secret) =
            (said(CyxConfigKey::S3Endpoint)?, said(CyxConfigKey::AccessKeyId)?, said(CyxConfigKey::SecretAccessKey)?);
        let endpoint = Url::parse(endpoint).map_err(|error| invalid(format!("cyx_s3_endpoint {endpoint:?} is no URL: {error}")))?;
        let region = builder.get_config_value(CyxConfigKey::Region).unwrap_or("us-east-1").to_owned();
        let bucket = Bucket::new(endpoint, UrlStyle::Path, builder.bucket_name().to_owned(), region);
        let bucket = bucket.map_err(|error| invalid(format!("cyx_s3_endpoint cannot be used: {error}")))?;
        Ok(Self { bucket, credentials: Credentials::new(id, secret) })
    }

    fn sign(&self, method: &Method, path: &Path, expires_in: Duration) -> Result<Url> {
        let (bucket, credentials, key) = (&self.bucket, Some(&self.credentials), path.as_ref());
        Ok(match *method {
            Method::GET => bucket.get_object(credentials, key).sign(expires_in),
            Method::HEAD => bucket.head_object(credentials, key).sign(expires_in),
            Method::PUT => bucket.put_object(credentials, key).sign(expires_in),
            Method::DELETE => bucket.delete_object(credentials, key).sign(expires_in),
            _ => return Err(unsupported("URLs can be signed for GET, HEAD, PUT and DELETE")),
        })
    }
}

#[async_trait]
impl Signer for CyxStore {
    /// Needs `cyx_s3_endpoint` and the keys of an account: see [`CyxConfigKey`].
    async fn signed_url(&self, method: Method, path: &Path, expires_in: Duration) -> Result<Url> {
        if expires_in.is_zero() || expires_in > MAX_LIFE {
            return Err(invalid("a signed URL lives from one second to seven days"));
        }
        let builder = self.builder().ok_or_else(|| unsupported("signing needs the S3 endpoint and keys that CyxBuilder is given"))?;
        if builder.get_config_value(CyxConfigKey::KeyFile).is_some() {
            return Err(unsupported("whoever has a signed URL has no key: objects of a store with cyx_key_file are encrypted"));
        }
        Presigner::new(builder)?.sign(&method, path, expires_in)
    }
}
