//! Any bytes as the header of a shard: an error or a header that encodes to the same bytes.
#![no_main]

use cyxcloud_core::data::shard::{HEADER_BYTES, Header};
use libfuzzer_sys::fuzz_target;

fn decode(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        // Bytes that decoding ignores are allowed to differ; what it read is not.
        assert_eq!(Header::decode(&header.encode()).expect("an encoded header decodes"), header);
        assert!(header.frame_bytes() >= HEADER_BYTES as u64 + header.payload_bytes);
    }
}

fuzz_target!(|bytes: &[u8]| {
    decode(bytes);
    if let Some(header) = bytes.get(..96) {
        // With a right checksum and magic, so that the rest is reached.
        let mut sealed = [&b"CYXSHARD\x01\x00"[..], &header[10..]].concat();
        let check = blake3::hash(&sealed);
        sealed.extend(check.as_bytes());
        decode(&sealed);
    }
});
