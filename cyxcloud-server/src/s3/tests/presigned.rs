//! Presigned URLs in the hands of people who want more than they were given.

use super::*;

impl Client {
    /// `target` presigned for a minute, with only `host` signed.
    fn presign(&self, method: &Method, target: &str) -> String {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let scope = self.scope();
        let credential = format!("{}%2F{}%2Fus-east-1%2Fs3%2Faws4_request", self.key, scope.date);
        let separator = if query.is_empty() { "" } else { "&" };
        let query = format!(
            "{query}{separator}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={}&X-Amz-Expires=60\
             &X-Amz-SignedHeaders=host",
            scope.timestamp
        );
        let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static(self.host))]);
        let (parsed, names) = (Query::parse(&query).unwrap(), ["host".to_owned()]);
        let signed = Signed { method, path, query: &parsed, headers: &headers, signed_headers: &names, payload: "UNSIGNED-PAYLOAD" };
        let signature = Signer::new(self.secret, scope).sign_request(&signed.canonical_requests()[0]);
        format!("{path}?{query}&X-Amz-Signature={signature}")
    }

    /// Sends exactly this.
    async fn bare(&self, method: &Method, target: &str, headers: &[(&'static str, &str)], body: &'static [u8]) -> String {
        let mut request = Request::builder().method(method).uri(target).header("host", self.host).header("content-length", body.len());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body)).unwrap();
        let (status, _, document) = answer(self.service.clone().call(request).await.unwrap()).await;
        format!("{status} {}", code(&document)).trim().to_owned()
    }
}

#[tokio::test]
async fn a_presigned_url_gives_what_was_signed_and_no_more() {
    let client = Client::new().await;
    assert_eq!(client.status("PUT", "/photos", b"").await, "200");
    assert_eq!(client.status("PUT", "/photos/secret", b"secret").await, "200");
    let put = client.presign(&Method::PUT, "/photos/k?x-amz-meta-a=b");
    assert_eq!(client.bare(&Method::PUT, &put, &[], b"x").await, "200");
    let get = client.presign(&Method::GET, "/photos/k");
    assert_eq!(client.bare(&Method::GET, &get, &[("range", "bytes=0-0")], b"").await, "206");
    for (method, url) in [
        (Method::DELETE, &get),
        (Method::PUT, &get),
        (Method::GET, &get.replace("/k?", "/secret?")),
        (Method::GET, &get.replace("/k?", "/k?partNumber=1&")),
        (Method::GET, &get.replace("X-Amz-Expires=60", "X-Amz-Expires=600000")),
        (Method::GET, &get.replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Brange")),
        (Method::PUT, &put.replace("x-amz-meta-a=b", "x-amz-meta-a=c")),
        (Method::PUT, &put.replace("x-amz-meta-a=b", "x-amz-meta-a=b&X-Amz-Copy-Source=photos%2Fsecret")),
        (Method::PUT, &format!("{put}&uploads")),
    ] {
        assert_eq!(client.bare(&method, url, &[("range", "bytes=0-0")], b"").await, "403 SignatureDoesNotMatch", "{method} {url}");
    }
    assert_eq!(client.with("alice", "secret", "other.localhost").bare(&Method::GET, &get, &[], b"").await, "403 SignatureDoesNotMatch");
    for header in ["x-amz-copy-source", "x-amz-acl", "x-amz-meta-a", "x-amz-decoded-content-length", "x-amz-trailer"] {
        assert_eq!(client.bare(&Method::PUT, &put, &[(header, "photos/secret")], b"").await, "403 AccessDenied", "{header}");
    }
    assert_eq!(client.bare(&Method::GET, &format!("{get}&X-Amz-Signature=00"), &[], b"").await, "400 InvalidArgument");
    assert_eq!(client.bare(&Method::GET, &get, &[("authorization", "AWS4-HMAC-SHA256 x")], b"").await, "400 InvalidArgument");
    // How the body is read was decided when the URL was signed.
    let streaming = ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER");
    assert_eq!(client.bare(&Method::PUT, &put, &[streaming], b"1\r\na\r\n0\r\n\r\n").await, "200");
    assert_eq!(client.send("GET", "/photos/k", &[], "UNSIGNED-PAYLOAD", b"").await.2, "1\r\na\r\n0\r\n\r\n");
}
