//! `cyxcloud bucket`, against a gateway and nodes.

use super::direct::Fleet;
use super::user::User;

#[tokio::test]
async fn buckets_are_made_and_set_at_the_command_line() {
    let fleet = Fleet::new(6).await;
    let user = User::new(&fleet);
    user.must(&["bucket", "create", "plain"]).await;
    user.refused(&["bucket", "create", "plain"], "plain").await;
    let made = user.must(&["bucket", "create", "scratch", "--scheme=2+2", "--write-quorum=3", "--json"]).await;
    for told in [r#""scheme":"2+2""#, r#""write_quorum":3"#, r#""chunk_size_bytes":null"#, r#""objects":0"#] {
        assert!(made.contains(told), "{told} in {made}");
    }
    std::fs::write(user.path("cat"), vec![7; 100_000]).unwrap();
    user.must(&["upload", "--direct", "cat", "scratch/cat"]).await;
    let chunks = fleet.bench.gateway.engine.meta().scan_chunks(None, 10).await.unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.scheme.to_string()).collect::<Vec<_>>(), ["2+2"]);

    // What is not named stays, and what contradicts itself is refused with the bounds.
    let set = user.must(&["bucket", "set", "scratch", "--chunk-size-bytes=65536"]).await;
    assert!(set.contains("scheme 2+2, chunks of 65536 bytes, write quorum 3"), "{set}");
    user.refused(&["bucket", "set", "scratch", "--write-quorum=2"], "write_quorum must be 3 to 4").await;
    user.refused(&["bucket", "set", "scratch", "--scheme=1+9"], "at most 3 times").await;
    user.refused(&["bucket", "set", "none", "--scheme=2+2"], "none").await;
    let listed = user.must(&["bucket", "list"]).await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("1 objects, 100000 bytes  scheme 2+2"), "{listed}");
    user.must(&["bucket", "set", "scratch", "--reset"]).await;
    assert!(user.must(&["bucket", "show", "scratch", "--json"]).await.contains(r#""scheme":null"#));
    fleet.bench.gateway.stop().await;
}
