//! Any bytes as a record, a segment header or a footer of the segment store: nothing, or what encodes to the same bytes.
#![no_main]

// The format alone: the whole driver would bring a runtime and a database into the build.
#[allow(dead_code, reason = "the driver uses what this does not")]
#[path = "../../cyxcloud-sdk/src/store/identity.rs"]
mod identity;
#[allow(dead_code, reason = "the driver uses what this does not")]
#[path = "../../cyxcloud-sdk/src/store/segment/layout.rs"]
mod layout;
#[allow(dead_code, reason = "the driver uses what this does not")]
#[path = "../../cyxcloud-sdk/src/store/segment/record.rs"]
mod record;

use libfuzzer_sys::fuzz_target;

use identity::SEGMENT;
use layout::{DATA_START, ENTRY_BYTES, SegmentHeader, Trailer, encode_footer, footer_bytes};
use record::{BLOCK_BYTES, HEADER_BYTES, Home, MAX_BODY_BYTES, RecordHeader, Tombstone};

const HOME: Home = Home { store: [0x5e; 16], segment: 7 };
const SEGMENT_BYTES: u64 = 1 << 20;

/// The bytes with the fields that are checked first made right, so that the rest is reached.
fn sealed(bytes: &[u8], magic: &[u8; 8], len: usize, home: &[(usize, &[u8])]) -> Option<Vec<u8>> {
    let mut out = bytes.get(..len)?.to_vec();
    out[..10].copy_from_slice(&[&magic[..], &[1, 0]].concat());
    for (at, bytes) in home {
        out[*at..*at + bytes.len()].copy_from_slice(bytes);
    }
    let check = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, &out[..len - 8]);
    out[len - 8..].copy_from_slice(&check.to_le_bytes());
    Some(out)
}

fn record(bytes: &[u8]) {
    if let Ok(Some(header)) = RecordHeader::decode(bytes, &HOME) {
        let again = header.encode(&HOME);
        assert_eq!(RecordHeader::decode(&again, &HOME).expect("its own version"), Some(header));
        assert!(header.body_bytes <= MAX_BODY_BYTES);
        assert!(header.record_bytes() >= HEADER_BYTES as u64 + header.body_bytes && header.record_bytes() % BLOCK_BYTES == 0);
    }
}

fn trailer(bytes: &[u8], entries: &[u8]) {
    let Ok(Some(trailer)) = Trailer::decode(bytes, &HOME, SEGMENT_BYTES) else { return };
    assert!(trailer.tail >= DATA_START && trailer.tail + footer_bytes(trailer.entries) <= SEGMENT_BYTES);
    if let Some(listed) = trailer.decode_entries(entries) {
        assert_eq!(listed.len() as u64, trailer.entries);
        assert!(
            listed.iter().all(|entry| entry.offset >= DATA_START && entry.offset + record::record_bytes(entry.size_bytes) <= trailer.tail)
        );
        let again = encode_footer(&HOME, trailer.life, trailer.tail, &listed);
        let last = again.len() - BLOCK_BYTES as usize;
        let decoded = Trailer::decode(&again[last..], &HOME, SEGMENT_BYTES).expect("its own version").expect("an encoded footer is whole");
        assert_eq!(decoded.decode_entries(&again[..listed.len() * ENTRY_BYTES]), Some(listed));
    }
}

fuzz_target!(|bytes: &[u8]| {
    record(bytes);
    trailer(bytes, bytes);
    let _ = SegmentHeader::decode(bytes, &HOME);
    let tombstones = Tombstone::decode_all(bytes);
    assert_eq!(tombstones.iter().flat_map(Tombstone::encode).count(), tombstones.len() * record::TOMBSTONE_BYTES);
    if let Ok(Ok(store)) = std::str::from_utf8(bytes).map(|text| SEGMENT.decode(text)) {
        assert_eq!(SEGMENT.encode(store).as_bytes(), bytes);
    }
    let segment: &[u8] = &HOME.segment.to_le_bytes();
    if let Some(bytes) = sealed(bytes, b"CYXRECRD", HEADER_BYTES, &[(12, segment), (88, &HOME.store)]) {
        record(&bytes);
    }
    if let Some(header) = sealed(bytes, b"CYXSEGMT", 72, &[(12, segment), (16, &HOME.store)]) {
        assert!(SegmentHeader::decode(&header, &HOME).expect("it is at home").is_some());
    }
    if let Some((front, entries)) = bytes.split_at_checked(72) {
        // A footer of whole entries, whatever they say.
        let entries = &entries[..entries.len() / ENTRY_BYTES * ENTRY_BYTES];
        let check = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, entries).to_le_bytes();
        let count = (entries.len() as u64 / ENTRY_BYTES as u64).to_le_bytes();
        let home: [(usize, &[u8]); 4] = [(12, segment), (16, &HOME.store), (40, &count), (56, &check)];
        if let Some(footer) = sealed(front, b"CYXFOOTR", 72, &home) {
            trailer(&footer, entries);
        }
    }
});
