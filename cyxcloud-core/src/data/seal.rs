//! Client-side sealing of one chunk: AES-256-GCM under the data key of one object version.
//!
//! A sealed chunk is the ciphertext, as long as the chunk, followed by its tag of [`TAG_BYTES`]. Neither nonce nor associated data
//! are stored: whoever opens a chunk knows what he asked for, and a chunk that is anything else is refused.
//!
//! ```text
//! nonce                                     (all numbers little-endian)
//! offset  bytes
//!      0      4  chunk index
//!      4      1  1 for the last chunk, 0 for the others
//!      5      7  zero
//!
//! associated data
//! offset  bytes
//!      0     16  "cyxcloud seal v1"
//!     16     16  id of the object version
//!     32      4  chunk index
//!     36      1  1 for the last chunk, 0 for the others
//! ```
//!
//! The index refuses chunks in another order, the flag an object cut at a chunk's end, the id chunks of another object sealed under
//! the same key. An empty object is one empty last chunk, so that even cutting everything off is noticed.
//!
//! The nonce is the position, so a data key belongs to one version: **two different chunks sealed at one position under one key give both
//! away**. Sealing the same bytes there again under the same id, for a retry, gives the same sealed chunk and is harmless.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce, Tag};

use crate::policy::Policy;
use crate::{Error, Result};

/// Bytes of a data key.
pub const KEY_BYTES: usize = 32;
/// Bytes of the id a sealed chunk is bound to.
pub const ID_BYTES: usize = 16;
/// Bytes by which a sealed chunk is longer than the chunk.
pub const TAG_BYTES: usize = 16;
/// Longest chunk that can be sealed: with its tag it must itself be a chunk.
pub const MAX_PLAIN_BYTES: usize = Policy::MAX_CHUNK_BYTES as usize - TAG_BYTES;

const CONTEXT: &[u8; 16] = b"cyxcloud seal v1";
const NONCE_BYTES: usize = 12;
const AAD_BYTES: usize = CONTEXT.len() + ID_BYTES + 5;

/// Who computes AES-256-GCM. The bytes are the same whoever does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// The crate `aes-gcm`, pure Rust.
    AesGcm,
    /// AWS-LC through `aws-lc-rs`, feature `aws-lc`.
    #[cfg(feature = "aws-lc")]
    AwsLc,
}

impl Backend {
    /// Every backend of this build, the fastest first.
    pub fn available() -> &'static [Self] {
        &[
            // Three times as fast as AesGcm and more: `cargo bench -p cyxcloud-benches --bench seal`.
            #[cfg(feature = "aws-lc")]
            Self::AwsLc,
            Self::AesGcm,
        ]
    }

    /// The fastest backend of this build.
    pub fn best() -> Self {
        Self::available()[0]
    }

    /// Its name in logs and benches.
    pub fn name(self) -> &'static str {
        match self {
            Self::AesGcm => "aes-gcm",
            #[cfg(feature = "aws-lc")]
            Self::AwsLc => "aws-lc",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where in its object a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Number of the chunk, from 0.
    pub index: u32,
    /// Whether the object ends with it.
    pub last: bool,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.index, if self.last { " (the last)" } else { "" })
    }
}

/// Seals and opens the chunks of one object version. Cheap to share; what it keeps of the key is wiped when it is dropped.
pub struct Sealer {
    cipher: Cipher,
    id: [u8; ID_BYTES],
}

impl Sealer {
    /// A sealer with the fastest backend. `key` is random and of this version alone; `id` names the version to everybody who may open it.
    pub fn new(key: &[u8; KEY_BYTES], id: [u8; ID_BYTES]) -> Self {
        Self::with_backend(key, id, Backend::best())
    }

    /// A sealer with this backend.
    pub fn with_backend(key: &[u8; KEY_BYTES], id: [u8; ID_BYTES], backend: Backend) -> Self {
        Self { cipher: Cipher::new(key, backend), id }
    }

    /// The backend this sealer was made with.
    pub fn backend(&self) -> Backend {
        self.cipher.backend()
    }

    /// Turns `chunk` into its ciphertext, in place; the tag belongs behind it.
    ///
    /// ```
    /// use cyxcloud_core::data::seal::{Position, Sealer};
    /// let (sealer, position) = (Sealer::new(&[7; 32], [1; 16]), Position { index: 0, last: true });
    /// let mut sealed = b"some bytes".to_vec();
    /// let tag = sealer.seal(position, &mut sealed)?;
    /// sealed.extend(tag);
    /// assert_eq!(sealer.open(position, &mut sealed)?, b"some bytes");
    /// # Ok::<(), cyxcloud_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] for a chunk longer than [`MAX_PLAIN_BYTES`], which is left as it was.
    pub fn seal(&self, position: Position, chunk: &mut [u8]) -> Result<[u8; TAG_BYTES]> {
        if chunk.len() > MAX_PLAIN_BYTES {
            return Err(Error::invalid(format!("a chunk of {} bytes cannot be sealed; the most is {MAX_PLAIN_BYTES}", chunk.len())));
        }
        Ok(self.cipher.encrypt(nonce(position), &self.aad(position), chunk))
    }

    /// Turns a sealed chunk, ciphertext and tag, into the chunk, in place, and gives its bytes without the tag.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Corrupt`] when it is not what was sealed at this position of this version under this key. Its
    /// bytes are zeros then, so that nothing unverified can be used.
    pub fn open<'a>(&self, position: Position, sealed: &'a mut [u8]) -> Result<&'a mut [u8]> {
        let length = sealed.len();
        if !(TAG_BYTES..=MAX_PLAIN_BYTES + TAG_BYTES).contains(&length) {
            sealed.fill(0);
            return Err(Error::corrupt(format!("sealed chunk {position}: impossible length of {length} bytes")));
        }
        if !self.cipher.decrypt(nonce(position), &self.aad(position), sealed) {
            // Backends differ in what a failure leaves here.
            sealed.fill(0);
            let what = "it was changed, moved, cut or taken from another object, or the key is wrong";
            return Err(Error::corrupt(format!("sealed chunk {position} cannot be opened: {what}")));
        }
        Ok(&mut sealed[..length - TAG_BYTES])
    }

    fn aad(&self, position: Position) -> [u8; AAD_BYTES] {
        let mut aad = [0; AAD_BYTES];
        aad[..16].copy_from_slice(CONTEXT);
        aad[16..32].copy_from_slice(&self.id);
        aad[32..36].copy_from_slice(&position.index.to_le_bytes());
        aad[36] = position.last.into();
        aad
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer by {}, key not shown", self.backend())
    }
}

fn nonce(position: Position) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[..4].copy_from_slice(&position.index.to_le_bytes());
    // So that a chunk sealed first as one of many and then as the last does not use a nonce twice.
    nonce[4] = position.last.into();
    nonce
}

/// AES-256-GCM as the standard has it, by one of the backends. Both wipe the expanded key: `aes-gcm` by its feature `zeroize`,
/// AWS-LC because its allocator clears what it frees.
enum Cipher {
    AesGcm(Box<Aes256Gcm>),
    #[cfg(feature = "aws-lc")]
    AwsLc(aws_lc_rs::aead::LessSafeKey),
}

impl Cipher {
    fn new(key: &[u8; KEY_BYTES], backend: Backend) -> Self {
        match backend {
            Backend::AesGcm => Self::AesGcm(Box::new(Aes256Gcm::new(key.into()))),
            #[cfg(feature = "aws-lc")]
            Backend::AwsLc => {
                use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
                Self::AwsLc(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("keys of AES-256 have 32 bytes")))
            }
        }
    }

    fn backend(&self) -> Backend {
        match self {
            Self::AesGcm(_) => Backend::AesGcm,
            #[cfg(feature = "aws-lc")]
            Self::AwsLc(_) => Backend::AwsLc,
        }
    }

    /// Encrypts `text` in place; its length is far below the 64 GiB that GCM allows.
    fn encrypt(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], text: &mut [u8]) -> [u8; TAG_BYTES] {
        match self {
            Self::AesGcm(cipher) => {
                cipher.encrypt_inout_detached(&Nonce::from(nonce), aad, text.into()).expect("chunks are shorter than GCM allows").into()
            }
            #[cfg(feature = "aws-lc")]
            Self::AwsLc(key) => {
                use aws_lc_rs::aead::{Aad, Nonce};
                let tag = key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), text);
                let tag = tag.expect("chunks are shorter than GCM allows");
                tag.as_ref().try_into().expect("tags of AES-256-GCM have 16 bytes")
            }
        }
    }

    /// Decrypts `sealed`, which ends with its tag, in place. False when the tag is wrong.
    fn decrypt(&self, nonce: [u8; NONCE_BYTES], aad: &[u8], sealed: &mut [u8]) -> bool {
        match self {
            Self::AesGcm(cipher) => {
                let Some((text, tag)) = sealed.split_last_chunk_mut::<TAG_BYTES>() else { return false };
                cipher.decrypt_inout_detached(&Nonce::from(nonce), aad, text.into(), &Tag::from(*tag)).is_ok()
            }
            #[cfg(feature = "aws-lc")]
            Self::AwsLc(key) => {
                use aws_lc_rs::aead::{Aad, Nonce};
                key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), sealed).is_ok()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorKind;

    fn hex(text: &str) -> Vec<u8> {
        let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
        text.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
    }

    fn sealed(sealer: &Sealer, position: Position, chunk: &[u8]) -> Vec<u8> {
        let mut out = chunk.to_vec();
        let tag = sealer.seal(position, &mut out).unwrap();
        out.extend(tag);
        out
    }

    /// Test cases 13 to 16 of McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B.
    #[test]
    fn the_vectors_of_the_specification() {
        let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
        let text = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
        let cipher = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                      8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad";
        let (zero, iv) = ("0".repeat(64), "cafebabefacedbaddecaf888");
        let cases = [
            (&zero[..], &zero[..24], "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
            (&zero, &zero[..24], "", &zero[..32], "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"),
            (key, iv, "", text, cipher, "b094dac5d93471bdec1a502270e3cc6c"),
            (key, iv, "feedfacedeadbeeffeedfacedeadbeefabaddad2", &text[..120], &cipher[..120], "76fc6ece0f4e1768cddf8853bb2d551b"),
        ];
        for (key, iv, aad, text, cipher, tag) in cases {
            let (key, iv, aad) = (hex(key).try_into().unwrap(), hex(iv).try_into().unwrap(), hex(aad));
            for &backend in Backend::available() {
                let primitive = Cipher::new(&key, backend);
                let mut bytes = hex(text);
                let got = primitive.encrypt(iv, &aad, &mut bytes);
                assert_eq!((&bytes, got.to_vec()), (&hex(cipher), hex(tag)), "{backend}");
                bytes.extend(got);
                assert!(primitive.decrypt(iv, &aad, &mut bytes), "{backend}");
                assert_eq!(bytes[..bytes.len() - TAG_BYTES], hex(text), "{backend}");
            }
        }
    }

    #[test]
    fn the_sealed_form_is_the_documented_one() {
        let (key, id) = (std::array::from_fn(|i| i as u8), std::array::from_fn(|i| 0xa0 + i as u8));
        let position = Position { index: 0x0102_0304, last: true };
        assert_eq!(nonce(position), [4, 3, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
        let golden = hex("9b389c31ca84ae60a0c922fd1c6e34c50b18adcbe50c064ff9b6da51ac96a1a721052cca");
        for &backend in Backend::available() {
            let sealer = Sealer::with_backend(&key, id, backend);
            assert_eq!(sealer.aad(position).to_vec(), [&b"cyxcloud seal v1"[..], &id, &[4, 3, 2, 1, 1]].concat());
            assert_eq!(sealed(&sealer, position, b"a chunk of an object"), golden, "{backend}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_short_is_refused() {
        let position = Position { index: 0, last: true };
        for &backend in Backend::available() {
            let sealer = Sealer::with_backend(&[1; 32], [2; 16], backend);
            let mut bytes = vec![0; MAX_PLAIN_BYTES + TAG_BYTES + 1];
            assert_eq!(sealer.seal(position, &mut bytes[..MAX_PLAIN_BYTES + 1]).unwrap_err().kind(), ErrorKind::Invalid);
            assert_eq!(sealer.open(position, &mut bytes).unwrap_err().kind(), ErrorKind::Corrupt);
            for len in 0..TAG_BYTES {
                assert_eq!(sealer.open(position, &mut vec![0; len]).unwrap_err().kind(), ErrorKind::Corrupt);
            }
            let tag = sealer.seal(position, &mut bytes[..MAX_PLAIN_BYTES]).unwrap();
            bytes[MAX_PLAIN_BYTES..][..TAG_BYTES].copy_from_slice(&tag);
            assert!(sealer.open(position, &mut bytes[..MAX_PLAIN_BYTES + TAG_BYTES]).unwrap().iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn keys_are_not_printed() {
        for &backend in Backend::available() {
            let shown = format!("{:?}", Sealer::with_backend(&[0xab; 32], [0xcd; 16], backend));
            assert_eq!(shown, format!("Sealer by {backend}, key not shown"));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_backend_makes_and_opens_the_same_bytes(
            key: [u8; 32], id: [u8; 16], index: u32, last: bool, len in 0usize..70_000, seed: u64,
        ) {
            let mut random = crate::testing::SplitMix64(seed);
            let chunk: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            let position = Position { index, last };
            let first = sealed(&Sealer::new(&key, id), position, &chunk);
            prop_assert_eq!(first.len(), len + TAG_BYTES);
            for &maker in Backend::available() {
                let made = sealed(&Sealer::with_backend(&key, id, maker), position, &chunk);
                prop_assert!(made == first, "{} makes other bytes", maker);
                for &opener in Backend::available() {
                    let mut made = made.clone();
                    let opened = Sealer::with_backend(&key, id, opener).open(position, &mut made).unwrap();
                    prop_assert!(opened == chunk, "{} does not open what {} made", opener, maker);
                }
            }
        }

        #[test]
        fn whatever_is_changed_is_refused(
            key: [u8; 32], id: [u8; 16], index: u32, last: bool, chunk in prop::collection::vec(any::<u8>(), 1..300), bit: u32, cut: u16,
        ) {
            let position = Position { index, last };
            let good = sealed(&Sealer::new(&key, id), position, &chunk);
            let flipped = |bytes: &[u8], from: usize| {
                let (mut bytes, at) = (bytes.to_vec(), bit as usize % ((bytes.len() - from) * 8));
                bytes[from + at / 8] ^= 1 << (at % 8);
                bytes
            };
            let other_key = flipped(&key, 0).try_into().unwrap();
            let other_id = flipped(&id, 0).try_into().unwrap();
            let elsewhere = Position { index: index ^ 1 << (bit % 32), last };
            let in_text = [flipped(&good[..chunk.len()], 0), good[chunk.len()..].to_vec()].concat();
            let shorter = good[..usize::from(cut) % good.len()].to_vec();
            let longer = [&good[..], &[0]].concat();
            let without_first = good[1..].to_vec();
            for &backend in Backend::available() {
                let refused = |what: &str, key, id, position, bytes: &[u8]| {
                    let mut bytes = bytes.to_vec();
                    let result = Sealer::with_backend(key, id, backend).open(position, &mut bytes).map(|_| ());
                    prop_assert_eq!(result.map_err(|e| e.kind()), Err(ErrorKind::Corrupt), "{}: {}", backend, what);
                    prop_assert!(bytes.iter().all(|b| *b == 0), "{}: {}: something is left", backend, what);
                    Ok(())
                };
                refused("ciphertext", &key, id, position, &in_text)?;
                refused("tag", &key, id, position, &flipped(&good, chunk.len()))?;
                refused("index", &key, id, elsewhere, &good)?;
                refused("last flag", &key, id, Position { index, last: !last }, &good)?;
                refused("id", &key, other_id, position, &good)?;
                refused("key", &other_key, id, position, &good)?;
                refused("cut at the end", &key, id, position, &shorter)?;
                refused("cut at the start", &key, id, position, &without_first)?;
                refused("longer", &key, id, position, &longer)?;
            }
        }
    }
}
