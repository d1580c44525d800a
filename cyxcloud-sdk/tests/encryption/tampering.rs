//! Whoever keeps the objects can change everything about them; nothing of that is taken for what was stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use cyxcloud_sdk::encryption::{Keyring, METADATA_NAME};
use cyxcloud_sdk::{ErrorKind, GetOptions, Metadata};
use futures::StreamExt;

use super::{Bench, CHUNK, password, put_raw, random, read, stored};

const PLAIN_CHUNK: usize = CHUNK - 16;

#[tokio::test]
async fn flipped_bits_are_refused() {
    let bench = Bench::new().await;
    let sealed = bench.sealed("key");
    for len in [0, 1, 40, 2 * PLAIN_CHUNK + 100] {
        sealed.put("object", random(7, len)).await.unwrap();
        let (head, good) = stored(&bench.plain, "object").await;
        let bits = good.len() * 8;
        // All of what is short; of the rest some of every chunk, its tag among them.
        let step = (bits / 200).max(1) | 1;
        for bit in (0..bits).step_by(step).chain([bits - 1]) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            put_raw(&bench.plain, "object", &head.metadata, bad).await;
            assert_eq!(read(&sealed, "object").await.unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit} of {len} bytes");
        }
        put_raw(&bench.plain, "object", &head.metadata, good).await;
        assert_eq!(read(&sealed, "object").await.unwrap(), random(7, len));
    }
}

#[tokio::test]
async fn chunks_in_another_order_or_number_are_refused() {
    let bench = Bench::new().await;
    let sealed = bench.sealed("key");
    sealed.put("object", random(1, 4 * PLAIN_CHUNK)).await.unwrap();
    sealed.put("other", random(2, 4 * PLAIN_CHUNK)).await.unwrap();
    let ((head, good), (_, other)) = (stored(&bench.plain, "object").await, stored(&bench.plain, "other").await);
    let chunks: Vec<&[u8]> = good.chunks(CHUNK).collect();
    let others: Vec<&[u8]> = other.chunks(CHUNK).collect();
    assert_eq!(chunks.len(), 4);
    let bad: [(&str, Vec<&[u8]>); 9] = [
        ("swapped", vec![chunks[1], chunks[0], chunks[2], chunks[3]]),
        ("the last one first", vec![chunks[3], chunks[1], chunks[2], chunks[0]]),
        ("twice", vec![chunks[0], chunks[0], chunks[2], chunks[3]]),
        ("one left out", vec![chunks[0], chunks[2], chunks[3]]),
        ("one more", vec![chunks[0], chunks[1], chunks[2], chunks[3], chunks[3]]),
        ("cut at a chunk's end", vec![chunks[0], chunks[1], chunks[2]]),
        ("cut within a chunk", vec![chunks[0], &chunks[1][..100]]),
        ("cut to nothing", vec![]),
        ("of another object", vec![chunks[0], others[1], chunks[2], chunks[3]]),
    ];
    for (what, bytes) in bad {
        put_raw(&bench.plain, "object", &head.metadata, bytes.concat()).await;
        assert_eq!(read(&sealed, "object").await.unwrap_err().kind(), ErrorKind::Corrupt, "{what}");
    }
    // An error ends the stream, and what came before it is right.
    put_raw(&bench.plain, "object", &head.metadata, [chunks[0], chunks[1], chunks[3]].concat()).await;
    let mut body = sealed.get_stream("object", GetOptions::default()).await.unwrap().body;
    let plain = random(1, 4 * PLAIN_CHUNK);
    assert_eq!(body.next().await.unwrap().unwrap(), plain[..PLAIN_CHUNK]);
    assert_eq!(body.next().await.unwrap().unwrap(), plain[PLAIN_CHUNK..2 * PLAIN_CHUNK]);
    assert_eq!(body.next().await.unwrap().unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn objects_in_the_place_of_others_are_refused() {
    let bench = Bench::new().await;
    let sealed = bench.sealed("key");
    sealed.put("salary/alice", "100").await.unwrap();
    sealed.put("salary/bob", "900").await.unwrap();
    let (alice, bob) = (stored(&bench.plain, "salary/alice").await, stored(&bench.plain, "salary/bob").await);
    let refused = async |what: &str, metadata: &Metadata, bytes: &[u8]| {
        put_raw(&bench.plain, "salary/alice", metadata, bytes.to_vec()).await;
        assert_eq!(read(&sealed, "salary/alice").await.unwrap_err().kind(), ErrorKind::Corrupt, "{what}");
    };
    refused("bytes", &alice.0.metadata, &bob.1).await;
    refused("metadata", &bob.0.metadata, &alice.1).await;
    refused("both", &bob.0.metadata, &bob.1).await;
    // The same key in another bucket.
    let films = bench.cluster.create_bucket("films").await.unwrap();
    put_raw(&films, "salary/alice", &alice.0.metadata, alice.1.clone()).await;
    let moved = films.with_encryption(Keyring::new(bench.key("key")));
    assert_eq!(read(&moved, "salary/alice").await.unwrap_err().kind(), ErrorKind::Corrupt);
    // Another version of the same object: each with its own metadata is whole, mixed they are not.
    put_raw(&bench.plain, "salary/alice", &alice.0.metadata, alice.1.clone()).await;
    assert_eq!(read(&sealed, "salary/alice").await.unwrap(), b"100");
    sealed.put("salary/alice", "200").await.unwrap();
    let newer = stored(&bench.plain, "salary/alice").await;
    refused("old bytes", &newer.0.metadata, &alice.1).await;
    refused("old metadata", &alice.0.metadata, &newer.1).await;
}

#[tokio::test]
async fn a_mark_that_is_taken_away_is_missed() {
    let bench = Bench::new().await;
    let sealed = bench.sealed("key");
    sealed.put("object", "what was meant").await.unwrap();
    let (head, bytes) = stored(&bench.plain, "object").await;
    for forged in [bytes, b"what was not meant".to_vec()] {
        put_raw(&bench.plain, "object", &Metadata::default(), forged).await;
        for refused in [read(&sealed, "object").await, sealed.get_range("object", 0..3).await.map(Into::into)] {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid);
            assert!(refused.to_string().contains("not encrypted"), "{refused}");
        }
    }
    let trusting = bench.plain.clone().with_encryption(Keyring::new(bench.key("key")).allow_plain(true));
    assert_eq!(read(&trusting, "object").await.unwrap(), b"what was not meant");
    assert_eq!(trusting.get_range("object", 0..4).await.unwrap(), "what");
    // With the mark there is no way around it.
    put_raw(&bench.plain, "object", &head.metadata, b"what was not meant".to_vec()).await;
    assert_eq!(read(&trusting, "object").await.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// Four gigabytes of memory, a week of passes, and what costs a guesser nothing.
#[tokio::test]
async fn forged_costs_are_refused_before_they_are_paid() {
    let bench = Bench::new().await;
    let sealed = bench.plain.clone().with_encryption(Keyring::new(password("secret")));
    sealed.put("object", "bytes").await.unwrap();
    let (head, bytes) = stored(&bench.plain, "object").await;
    let envelope = BASE64.decode(&head.metadata.user[METADATA_NAME]).unwrap();
    for (memory_kib, passes, lanes) in
        [(u32::MAX, 3, 4), (4 << 20, 1, 1), (65_536, u32::MAX, 1), (65_536, 3, u32::MAX), (8, 1, 1), (0, 0, 0)]
    {
        let mut forged = envelope.clone();
        for (at, number) in [(38, memory_kib), (42, passes), (46, lanes)] {
            forged[at..at + 4].copy_from_slice(&u32::to_le_bytes(number));
        }
        let user = [(METADATA_NAME.to_owned(), BASE64.encode(forged))].into();
        put_raw(&bench.plain, "object", &Metadata { user, ..Metadata::default() }, bytes.clone()).await;
        let refused = read(&sealed, "object").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "{refused}");
    }
    // Nothing readable at all. The list goes on, with the size that is stored.
    let user = [(METADATA_NAME.to_owned(), "nonsense".to_owned())].into();
    put_raw(&bench.plain, "object", &Metadata { user, ..Metadata::default() }, bytes.clone()).await;
    assert_eq!(read(&sealed, "object").await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(sealed.head("object").await.unwrap().size_bytes, bytes.len() as u64);
}
