//! Every range of every length is that of the plain bytes.

use bytes::Bytes;
use cyxcloud_sdk::encryption::{Keyring, sealed_size};
use cyxcloud_sdk::{Error, ErrorKind, GetOptions, PutOptions, ReadRange};
use futures::{TryStreamExt, stream};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Bench, CHUNK, password, random, stored};

#[test]
fn ranges_are_those_of_the_plain_bytes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::new());
    let sealed = bench.sealed("key");
    let lengths = prop_oneof![
        0usize..20_000,
        // Around the ends of chunks.
        (0usize..4, 0usize..5).prop_map(|(chunks, more)| (chunks * (CHUNK - 16) + more).saturating_sub(2)),
    ];
    let case = (lengths, prop_oneof![Just(None), (1024u32..9000).prop_map(Some)], 1usize..9000, any::<u64>(), any::<[(u16, u16); 6]>());
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&case, |(len, chunk_size_bytes, piece, seed, ranges)| {
        let bytes = random(seed, len);
        runtime.block_on(async {
            let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok::<_, Error>(Bytes::copy_from_slice(piece))).collect();
            // Every other time the length is not known before.
            let options = PutOptions { chunk_size_bytes, size_bytes: (seed % 2 == 0).then_some(len as u64), ..PutOptions::default() };
            let put = sealed.put_stream("object", stream::iter(pieces), options).await.unwrap();
            let head = sealed.head("object").await.unwrap();
            prop_assert_eq!((put.size_bytes, head.size_bytes), (len as u64, len as u64));
            let listed: Vec<_> = sealed.list("object").try_collect().await.unwrap();
            prop_assert_eq!(listed[0].size_bytes, len as u64);
            let stored_bytes = sealed_size(len as u64, chunk_size_bytes.unwrap_or(CHUNK as u32)).unwrap();
            prop_assert_eq!(bench.plain.head("object").await.unwrap().size_bytes, stored_bytes);
            prop_assert!(sealed.get("object").await.unwrap() == bytes);
            for (from, to) in ranges {
                let (from, to) = (usize::from(from) % (len + 1), usize::from(to) % (len + 1));
                let (from, to) = (from.min(to), from.max(to));
                let got = sealed.get_range("object", from as u64..to as u64).await;
                // An empty range is nobody's.
                prop_assert!(from == to && got.is_err() || got.is_ok_and(|got| got == bytes[from..to]), "{}..{}", from, to);
            }
            let last = GetOptions { range: ReadRange::Last(100), ..GetOptions::default() };
            let last = sealed.get_stream("object", last).await.unwrap();
            prop_assert_eq!(last.range, len.saturating_sub(100) as u64..len as u64);
            let pieces: Vec<Bytes> = last.body.try_collect().await.unwrap();
            prop_assert!(pieces.concat() == bytes[len.saturating_sub(100)..]);
            let beyond = sealed.get_range("object", len as u64..len as u64 + 1).await.unwrap_err();
            prop_assert_eq!(beyond.kind(), ErrorKind::Invalid);
            Ok(())
        })
    });
    outcome.unwrap();
}

/// So that a range reads no more chunks than it lies in.
#[tokio::test]
async fn every_sealed_chunk_is_a_chunk_of_the_cluster() {
    let bench = Bench::new().await;
    let sealed = bench.sealed("key");
    let plain_chunk = CHUNK - 16;
    sealed.put("three", random(1, 2 * plain_chunk + 1)).await.unwrap();
    let key = cyxcloud_core::id::ObjectKey::new("three").unwrap();
    let object = bench.cluster.engine().meta().object(sealed.id(), &key).await.unwrap();
    let sizes: Vec<u32> = object.manifest.chunks().iter().map(|chunk| chunk.size_bytes).collect();
    assert_eq!(sizes, [CHUNK as u32, CHUNK as u32, 17]);
    // The last chunk is damaged, and whoever does not read it does not notice.
    let (head, mut bytes) = stored(&bench.plain, "three").await;
    *bytes.last_mut().unwrap() ^= 1;
    super::put_raw(&bench.plain, "three", &head.metadata, bytes).await;
    sealed.get_range("three", 0..2 * plain_chunk as u64).await.unwrap();
    assert_eq!(sealed.get_range("three", 2 * plain_chunk as u64..2 * plain_chunk as u64 + 1).await.unwrap_err().kind(), ErrorKind::Corrupt);
}

/// A body that breaks off stores nothing, whole chunks or not.
#[tokio::test]
async fn a_body_that_fails_stores_nothing() {
    let bench = Bench::new().await;
    let sealed = bench.plain.clone().with_encryption(Keyring::new(password("secret")));
    for len in [10, 10 * CHUNK] {
        let body = stream::iter([Ok(random(1, len)), Err("the pipe broke")]);
        let refused = sealed.put_stream("object", body, PutOptions::default()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Body);
        assert!(std::error::Error::source(&refused).unwrap().to_string().contains("the pipe broke"));
        assert_eq!(sealed.head("object").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
}
