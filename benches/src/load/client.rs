//! A lean S3 client: presigned URLs over kept HTTP/1.1 connections, so that it costs little beside the server it measures.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rusty_s3::actions::{CreateBucket, DeleteObject, GetObject, HeadBucket, PutObject, S3Action};
use rusty_s3::{Bucket, Credentials, UrlStyle};

/// Presigned URLs are used at once; this only bounds how wrong clocks may be.
const URL_LIFE: Duration = Duration::from_secs(3600);
/// How much of an answer that is an error is read and shown.
const MAX_ERROR_BYTES: usize = 16 << 10;

/// Where requests go and who signs them.
#[derive(Clone, Debug)]
pub struct Target {
    /// Such as `http://127.0.0.1:8080`.
    pub endpoint: String,
    /// Access key.
    pub access_key: String,
    /// Secret key.
    pub secret_key: String,
    /// Region to sign for.
    pub region: String,
    /// Bucket of all requests.
    pub bucket: String,
}

/// Puts and gets objects of one bucket.
pub struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    bucket: Bucket,
    credentials: Credentials,
    timeout: Duration,
}

impl Client {
    /// A client that keeps `connections` open. Connects with the first requests.
    ///
    /// # Errors
    /// When the endpoint is no URL of HTTP.
    pub fn new(target: &Target, connections: usize, timeout: Duration) -> Result<Self> {
        let endpoint = &target.endpoint;
        let url = endpoint.parse().with_context(|| format!("{endpoint:?} is no URL; give --endpoint http://HOST:PORT"))?;
        ensure!(endpoint.starts_with("http://"), "the load client speaks plain HTTP; give --endpoint http://HOST:PORT, not {endpoint:?}");
        let bucket = Bucket::new(url, UrlStyle::Path, target.bucket.clone(), target.region.clone())?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(timeout));
        let http =
            HttpClient::builder(TokioExecutor::new()).pool_max_idle_per_host(connections).retry_canceled_requests(false).build(connector);
        Ok(Self { http, bucket, credentials: Credentials::new(&target.access_key, &target.secret_key), timeout })
    }

    /// Makes the bucket unless it is there.
    ///
    /// # Errors
    /// When the endpoint does not answer or refuses; the message says what to check.
    pub async fn ensure_bucket(&self) -> Result<()> {
        let head = HeadBucket::new(&self.bucket, Some(&self.credentials));
        if self.send(Method::HEAD, &head, Bytes::new()).await?.status().is_success() {
            return Ok(());
        }
        // Elsewhere the region has to be named in the request.
        let region = self.bucket.region();
        let constraint = match region {
            "us-east-1" => String::new(),
            _ => format!(
                r#"<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"#
            ),
        };
        let create = CreateBucket::new(&self.bucket, &self.credentials);
        self.expect(Method::PUT, &create, constraint.into(), StatusCode::OK)
            .await
            .with_context(|| format!("cannot make bucket {}; check keys and --region, or choose another --bucket", self.bucket.name()))?;
        Ok(())
    }

    /// Stores `body` under `key`, without copying it.
    ///
    /// # Errors
    /// When the endpoint refuses or takes too long.
    pub async fn put(&self, key: &str, body: Bytes) -> Result<()> {
        let put = PutObject::new(&self.bucket, Some(&self.credentials), key);
        let answer = self.expect(Method::PUT, &put, body, StatusCode::OK).await.with_context(|| format!("PUT {key}"))?;
        // Read to its end, so that the connection can be used again.
        self.in_time(async { Limited::new(answer.into_body(), MAX_ERROR_BYTES).collect().await.map_err(anyhow::Error::from_boxed) })
            .await?;
        Ok(())
    }

    /// Reads `key` and compares it with `expected`, piece by piece as it comes.
    ///
    /// # Errors
    /// When the endpoint refuses, takes too long or sends other bytes.
    pub async fn get(&self, key: &str, expected: &[u8]) -> Result<()> {
        let get = GetObject::new(&self.bucket, Some(&self.credentials), key);
        let answer = self.expect(Method::GET, &get, Bytes::new(), StatusCode::OK).await.with_context(|| format!("GET {key}"))?;
        self.in_time(compare(answer.into_body(), expected)).await.with_context(|| format!("GET {key}"))
    }

    /// Removes `key`.
    ///
    /// # Errors
    /// When the endpoint refuses or takes too long.
    pub async fn delete(&self, key: &str) -> Result<()> {
        let delete = DeleteObject::new(&self.bucket, Some(&self.credentials), key);
        self.expect(Method::DELETE, &delete, Bytes::new(), StatusCode::NO_CONTENT).await.with_context(|| format!("DELETE {key}"))?;
        Ok(())
    }

    async fn expect<'a>(&self, method: Method, action: &impl S3Action<'a>, body: Bytes, wanted: StatusCode) -> Result<Response<Incoming>> {
        let answer = self.send(method, action, body).await?;
        let status = answer.status();
        if status == wanted {
            return Ok(answer);
        }
        let document = self.in_time(async { Ok(Limited::new(answer.into_body(), MAX_ERROR_BYTES).collect().await) }).await?;
        let document = document.map(|whole| whole.to_bytes()).unwrap_or_default();
        bail!("the endpoint answered {status}: {}", String::from_utf8_lossy(&document));
    }

    async fn send<'a>(&self, method: Method, action: &impl S3Action<'a>, body: Bytes) -> Result<Response<Incoming>> {
        let url = action.sign(URL_LIFE);
        let request = Request::builder().method(method).uri(url.as_str()).body(Full::new(body))?;
        let sent = async { Ok(self.http.request(request).await?) };
        self.in_time(sent).await.with_context(|| format!("no answer from {}; is it running?", url.origin().ascii_serialization()))
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let late = || format!("not done after {} s; allow more with --timeout-s, or lower --concurrency", self.timeout.as_secs());
        tokio::time::timeout(self.timeout, work).await.with_context(late)?
    }
}

async fn compare(mut body: Incoming, expected: &[u8]) -> Result<()> {
    let mut at = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        ensure!(expected.get(at..at + data.len()) == Some(&data[..]), "wrong bytes in the {} at offset {at}", data.len());
        at += data.len();
    }
    ensure!(at == expected.len(), "{at} bytes came instead of {}", expected.len());
    Ok(())
}
