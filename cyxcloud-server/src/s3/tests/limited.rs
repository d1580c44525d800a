//! Accounts that ask too often.

use super::*;

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let alice = Client::limited(3).await;
    for _ in 0..3 {
        assert_eq!(alice.status("GET", "/", b"").await, "200");
    }
    let (status, headers, document) = alice.send("GET", "/", &[], "UNSIGNED-PAYLOAD", b"").await;
    assert_eq!((status, code(&document).as_str()), (503, "SlowDown"));
    let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    // Whoever cannot sign uses up nobody's requests, and nobody another's.
    let bob = alice.with("bob", "secret", "localhost");
    for _ in 0..5 {
        assert_eq!(alice.with("bob", "guessed", "localhost").status("GET", "/", b"").await, "403 SignatureDoesNotMatch");
    }
    assert_eq!(bob.status("GET", "/", b"").await, "200");
}
