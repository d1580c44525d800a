//! Requests of people who mean harm, and of clients that are wrong: a clean 4xx, and nothing changes.

use super::*;

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

async fn with_photos() -> Client {
    let client = Client::new().await;
    assert_eq!(client.status("PUT", "/photos", b"").await, "200");
    assert_eq!(client.status("PUT", "/photos/k", b"kept").await, "200");
    client
}

#[tokio::test]
async fn one_spelling_of_a_path_decides_for_everybody() {
    let client = with_photos().await;
    for bad in ["/photos/a%zz", "/photos/a%4", "/photos/a%", "/photos/a%ff%fe"] {
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(client.status(method, bad, b"").await, "400 InvalidURI", "{method} {bad}");
        }
    }
    // An encoded slash is a slash: the body is an object's, which may hold any byte and any length.
    let body = vec![0u8; 9 << 20];
    assert_eq!(client.status("PUT", "/photos%2Fbig", &body).await, "200");
    let (_, _, back) = client.send("GET", "/s3%2Fphotos%2Fbig", &[], UNSIGNED, b"").await;
    assert!(back == body);
    for odd in ["//photos/k", "/s3//photos/k", "/s3/../photos/k", "/photos/../photos/k"] {
        let status = client.status("GET", odd, b"").await;
        assert!(status.starts_with("400"), "{odd}: {status}");
    }
}

#[tokio::test]
async fn a_host_names_a_bucket_and_nothing_else() {
    let client = with_photos().await;
    for host in ["photos?policy&x=.localhost", "photos/k?x=.localhost", "photos%2Fk.localhost", "..localhost", "a_b.localhost"] {
        let spoof = client.with("alice", "secret", host);
        for method in ["GET", "PUT", "DELETE"] {
            assert_eq!(spoof.status(method, "/new", b"").await, "400 InvalidBucketName", "{method} {host}");
        }
    }
    for host in ["health.localhost", "cyx-admin.localhost", "metrics.localhost:80"] {
        assert_eq!(client.with("alice", "secret", host).status("PUT", "/", b"").await, "400 InvalidBucketName", "{host}");
    }
}

#[tokio::test]
async fn a_sub_resource_is_never_taken_for_the_thing_itself() {
    let client = with_photos().await;
    assert_eq!(client.status("PUT", "/empty", b"").await, "200");
    for name in ["location", "versions", "uploads", "delete"] {
        assert_eq!(client.status("DELETE", &format!("/empty?{name}"), b"").await, "405 MethodNotAllowed", "{name}");
        assert_eq!(client.status("PUT", &format!("/fresh?{name}"), b"").await, "405 MethodNotAllowed", "{name}");
        assert_eq!(client.status("DELETE", &format!("/photos/k?{name}"), b"").await, "405 MethodNotAllowed", "{name}");
    }
    for twice in ["uploadId=x&uploadId=x", "uploadId=x&uploadId=y&partNumber=1", "uploads&uploads"] {
        for method in ["PUT", "DELETE", "POST", "GET"] {
            assert_eq!(client.status(method, &format!("/photos/k?{twice}"), b"").await, "400 InvalidArgument", "{method} {twice}");
        }
    }
    for what in ["tagging", "acl", "attributes"] {
        assert_eq!(client.status("GET", &format!("/photos/k?{what}"), b"").await, "501 NotImplemented");
    }
    assert_eq!(client.status("HEAD", "/empty", b"").await, "200");
    assert_eq!(client.status("HEAD", "/fresh", b"").await, "404 NoSuchBucket");
    assert_eq!(client.status("GET", "/photos/k", b"").await, "200");
}

#[tokio::test]
async fn every_operation_asks_whose_bucket_it_is() {
    let client = with_photos().await;
    let bob = client.with("bob", "secret", "localhost");
    assert_eq!(bob.status("PUT", "/bobs", b"").await, "200");
    let (_, _, document) = client.send("POST", "/photos/k?uploads", &[], UNSIGNED, b"").await;
    let text = String::from_utf8_lossy(&document).into_owned();
    let id = text.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
    let delete = b"<Delete><Object><Key>k</Key></Object></Delete>";
    let complete = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>";
    let part = format!("partNumber=1&uploadId={id}");
    let attempts: Vec<(&str, String, &[u8])> = vec![
        ("HEAD", "/photos".into(), b""),
        ("DELETE", "/photos".into(), b""),
        ("GET", "/photos".into(), b""),
        ("GET", "/photos?list-type=2".into(), b""),
        ("GET", "/photos?location".into(), b""),
        ("GET", "/photos?versioning".into(), b""),
        ("GET", "/photos?versions".into(), b""),
        ("GET", "/photos?uploads".into(), b""),
        ("POST", "/photos?delete".into(), delete),
        ("GET", "/photos/k".into(), b""),
        ("HEAD", "/photos/k".into(), b""),
        ("PUT", "/photos/k".into(), b"x"),
        ("DELETE", "/photos/k".into(), b""),
        ("POST", "/photos/k?uploads".into(), b""),
        ("PUT", format!("/photos/k?{part}"), b"x"),
        ("GET", format!("/photos/k?uploadId={id}"), b""),
        ("POST", format!("/photos/k?uploadId={id}"), complete),
        ("DELETE", format!("/photos/k?uploadId={id}"), b""),
    ];
    for (method, target, body) in attempts {
        assert_eq!(bob.status(method, &target, body).await, "403 AccessDenied", "{method} {target}");
    }
    // Alice's upload by way of Bob's own bucket, and under another key of hers.
    for target in [format!("/bobs/k?{part}"), format!("/bobs/other?{part}")] {
        assert_eq!(bob.status("PUT", &target, b"x").await, "404 NoSuchUpload");
    }
    assert_eq!(bob.status("DELETE", &format!("/bobs/k?uploadId={id}"), b"").await, "404 NoSuchUpload");
    assert_eq!(client.status("PUT", &format!("/photos/other?{part}"), b"x").await, "404 NoSuchUpload");
    // Alice's object as the source of copies.
    let source = [("x-amz-copy-source", "/photos/k")];
    let (_, _, own) = bob.send("POST", "/bobs/k?uploads", &[], UNSIGNED, b"").await;
    let own = String::from_utf8_lossy(&own).into_owned();
    let own = own.split_once("<UploadId>").and_then(|(_, rest)| rest.split_once('<')).unwrap().0;
    for target in ["/bobs/stolen".to_owned(), format!("/bobs/k?partNumber=1&uploadId={own}")] {
        let (status, _, document) = bob.send("PUT", &target, &source, UNSIGNED, b"").await;
        assert_eq!((status, code(&document).as_str()), (403, "AccessDenied"), "{target}");
    }
    assert_eq!(client.status("GET", &format!("/photos/k?uploadId={id}"), b"").await, "200");
}

#[tokio::test]
async fn unreadable_conditions_and_values_are_not_ignored_and_no_500() {
    let client = with_photos().await;
    let put = async |headers: &[(&'static str, &str)]| client.send("PUT", "/photos/k", headers, UNSIGNED, b"new").await.0;
    assert_eq!(put(&[("if-match", "\"\u{e9}\"")]).await, 412);
    assert_eq!(put(&[("if-none-match", "\"x\", *")]).await, 412);
    for query in [
        "response-content-type=a%0Ab",
        "response-content-disposition=%00",
        "response-expires=soon",
        "response-cache-control=%0D%0Ax%3A%20y",
        "partNumber=x",
        "partNumber=0",
        "versionId=%00",
    ] {
        for method in ["GET", "HEAD"] {
            let (status, _, _) = client.send(method, &format!("/photos/k?{query}"), &[], UNSIGNED, b"").await;
            assert!((400..500).contains(&status), "{method} {query}: {status}");
        }
    }
    for query in
        ["max-keys=x", "list-type=3", "list-type=2&max-keys=-1", "marker=%00&delimiter=%00", "uploads&upload-id-marker=x&key-marker=a"]
    {
        let (status, _, _) = client.send("GET", &format!("/photos?{query}"), &[], UNSIGNED, b"").await;
        assert!(status < 500, "{query}: {status}");
    }
    for (name, value) in [("x-amz-meta-a", "\u{e9}\u{1f642}"), ("content-type", "\u{e9}"), ("x-amz-meta-b", "=?utf-8?B?////?=")] {
        let status = put(&[(name, value)]).await;
        assert!(status < 500, "{name}: {status}");
        assert!(client.send("GET", "/photos/k", &[], UNSIGNED, b"").await.0 < 500, "{name}");
    }
}

#[tokio::test]
async fn names_round_trip_through_xml() {
    let client = with_photos().await;
    assert_eq!(client.status("PUT", "/photos/a%0Db%0D%0A%3C%26", b"").await, "200");
    for query in ["", "?list-type=2", "?versions"] {
        let (_, _, document) = client.send("GET", &format!("/photos{query}"), &[], UNSIGNED, b"").await;
        let text = String::from_utf8(document.to_vec()).unwrap();
        assert!(text.contains("<Key>a&#13;b&#13;\n&lt;&amp;</Key>"), "{text}");
    }
    // What is stored is never touched.
    let xml = b"<?xml version=\"1.0\"?>\r\n<a/>";
    client.send("PUT", "/photos/x.xml", &[("content-type", "application/xml")], UNSIGNED, xml).await;
    assert_eq!(client.send("GET", "/photos/x.xml", &[], UNSIGNED, b"").await.2, &xml[..]);
}

#[tokio::test]
async fn errors_say_what_aws_says() {
    let client = with_photos().await;
    for (method, target, message) in [
        ("GET", "/photos/missing", "The specified key does not exist."),
        ("GET", "/nowhere/k", "The specified bucket does not exist"),
        ("DELETE", "/photos", "The bucket you tried to delete is not empty"),
        (
            "GET",
            "/photos/k?uploadId=x",
            "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
        ),
    ] {
        let (_, _, document) = client.send(method, target, &[], UNSIGNED, b"").await;
        let text = String::from_utf8_lossy(&document).into_owned();
        assert!(text.contains(&format!("<Message>{message}</Message>")), "{text}");
    }
}

#[tokio::test]
async fn a_copy_gets_the_checksum_it_asks_for() {
    let client = with_photos().await;
    let body = vec![7u8; 10_000_000];
    client.send("PUT", "/photos/big", &[("x-amz-sdk-checksum-algorithm", "CRC32")], UNSIGNED, &body).await;
    let wanted = super::super::checksum::Algorithm::Sha256.of(&body);
    let headers = [("x-amz-copy-source", "photos/big"), ("x-amz-checksum-algorithm", "SHA256")];
    let (status, _, document) = client.send("PUT", "/photos/copy", &headers, UNSIGNED, b"").await;
    let text = String::from_utf8_lossy(&document).into_owned();
    assert_eq!(status, 200);
    assert!(text.contains(&format!("<ChecksumSHA256>{wanted}</ChecksumSHA256>")) && !text.contains("CRC32"), "{text}");
    let (_, headers, _) = client.send("HEAD", "/photos/copy", &[("x-amz-checksum-mode", "ENABLED")], UNSIGNED, b"").await;
    assert_eq!(
        (&headers["x-amz-checksum-sha256"], &headers["x-amz-checksum-type"]),
        (&wanted.parse().unwrap(), &"FULL_OBJECT".parse().unwrap())
    );
    let unknown = [("x-amz-copy-source", "photos/big"), ("x-amz-checksum-algorithm", "MD4")];
    assert_eq!(client.send("PUT", "/photos/copy", &unknown, UNSIGNED, b"").await.0, 400);
}

#[tokio::test]
async fn deletes_take_the_keys_that_are_written() {
    let client = with_photos().await;
    for (key, encoded, written) in [("🙂", "%F0%9F%99%82", "&#128578;"), ("<k>", "%3Ck%3E", "<![CDATA[<k>]]>"), ("k1", "k1", "k<!-- -->1")]
    {
        assert_eq!(client.status("PUT", &format!("/photos/{encoded}"), b"").await, "200");
        let body = format!("<Delete><Quiet>true</Quiet><Object><Key>{written}</Key></Object></Delete>");
        assert_eq!(client.status("POST", "/photos?delete", body.as_bytes()).await, "200", "{key}");
        assert_eq!(client.status("GET", &format!("/photos/{encoded}"), b"").await, "404 NoSuchKey", "{key}");
    }
    assert_eq!(client.status("GET", "/photos/k", b"").await, "200");
}
