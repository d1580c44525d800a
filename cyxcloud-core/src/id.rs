//! Names and identifiers. Everything that came from outside is checked here, once, and carried as a type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Writes `bytes` as lower-case hexadecimal.
fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

/// Reads exactly `N` bytes of hexadecimal.
fn parse_hex<const N: usize>(what: &str, text: &str) -> Result<[u8; N]> {
    let bad = || Error::invalid(format!("{what} must be {} hexadecimal digits", 2 * N));
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return Err(bad());
    }
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let nibble = |c: u8| (c as char).to_digit(16).ok_or_else(bad);
        *byte = (nibble(pair[0])? << 4 | nibble(pair[1])?) as u8;
    }
    Ok(out)
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident, $bytes:literal, $what:literal);* $(;)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($what, " {}"), self)
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                parse_hex($what, text).map(Self)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = Error;
            fn try_from(bytes: &[u8]) -> Result<Self> {
                bytes.try_into().map(Self).map_err(|_| Error::corrupt(concat!("stored ", $what, " has a wrong length")))
            }
        }
    )*};
}

id! {
    /// A storage node.
    NodeId, 16, "node id";
    /// An account: who owns buckets.
    AccountId, 16, "account id";
    /// One life of a bucket: a bucket deleted and made again under the same name has another id.
    BucketId, 16, "bucket id";
    /// One version of one object; new on every write.
    VersionId, 16, "version id";
    /// A multipart upload.
    UploadId, 16, "upload id";
    /// A chunk, named by what it holds: see [`crate::data::chunk::chunk_id`].
    ChunkId, 32, "chunk id";
    /// BLAKE3 hash of a shard's payload, the root of its verification tree.
    ShardRoot, 32, "shard root";
}

impl ChunkId {
    /// The id right before this one; None for the first.
    pub fn before(self) -> Option<Self> {
        let mut bytes = self.0;
        for byte in bytes.iter_mut().rev() {
            let (less, borrowed) = byte.overflowing_sub(1);
            *byte = less;
            if !borrowed {
                return Some(Self(bytes));
            }
        }
        None
    }
}

/// What a node stores a shard under: never the hash of the shard's own bytes, since the shards of an all-zero chunk are alike.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardKey {
    /// The chunk this shard belongs to.
    pub chunk: ChunkId,
    /// Index among the chunk's `k+m` shards; the first `k` are data.
    pub index: u8,
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.chunk, self.index)
    }
}

impl fmt::Debug for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {self}")
    }
}

/// A bucket name by the rules of S3: 3-63 of `a-z 0-9 . -`, letter or digit at both ends, no `..`, not an IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(String);

impl BucketName {
    /// Checks `name`. [`crate::ErrorKind::Invalid`] says which rule it breaks.
    ///
    /// ```
    /// use cyxcloud_core::id::BucketName;
    /// assert!(BucketName::new("photos-2026").is_ok());
    /// assert!(BucketName::new("Photos").is_err());
    /// ```
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let bad = |rule: &str| Err(Error::invalid(format!("bucket name {name:?}: {rule}")));
        if !(3..=63).contains(&name.len()) {
            return bad("must have 3 to 63 characters");
        }
        if !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-')) {
            return bad("only a-z, 0-9, '.' and '-' are allowed");
        }
        if name.starts_with(['.', '-']) || name.ends_with(['.', '-']) {
            return bad("must begin and end with a letter or digit");
        }
        if name.contains("..") || name.contains(".-") || name.contains("-.") {
            return bad("'.' must stand between letters or digits");
        }
        if name.parse::<std::net::Ipv4Addr>().is_ok() {
            return bad("must not look like an IP address");
        }
        if name.starts_with("xn--") || name.ends_with("-s3alias") {
            return bad("prefix xn-- and suffix -s3alias are reserved by S3");
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An object key: opaque UTF-8 of 1 to 1024 bytes, without `.` or `..` segments and without NUL. Keys never become file names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// Longest key, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Checks `key`. [`crate::ErrorKind::Invalid`] says which rule it breaks.
    ///
    /// ```
    /// use cyxcloud_core::id::ObjectKey;
    /// assert!(ObjectKey::new("a//b c+%48.txt").is_ok());
    /// assert!(ObjectKey::new("a/../b").is_err());
    /// ```
    pub fn new(key: impl Into<String>) -> Result<Self> {
        let key = key.into();
        if key.is_empty() || key.len() > Self::MAX_BYTES {
            return Err(Error::invalid(format!("object key must have 1 to {} bytes, not {}", Self::MAX_BYTES, key.len())));
        }
        if key.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(Error::invalid("object key must not contain '.' or '..' as a path segment"));
        }
        if key.contains('\0') {
            return Err(Error::invalid("object key must not contain NUL"));
        }
        Ok(Self(key))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_as_hex() {
        let id = NodeId([0xab; 16]);
        assert_eq!(id.to_string().parse::<NodeId>().unwrap(), id);
        assert!("xyz".parse::<NodeId>().is_err());
        assert!("+1".repeat(16).parse::<NodeId>().is_err());
    }

    #[test]
    fn the_id_before() {
        let mut id = [7; 32];
        id[31] = 0;
        let before = ChunkId(id).before().unwrap();
        assert!(before < ChunkId(id));
        assert_eq!((before.0[29], before.0[30], before.0[31]), (7, 6, 0xff));
        assert_eq!(ChunkId([0; 32]).before(), None);
    }

    #[test]
    fn bucket_names_follow_s3() {
        for good in ["abc", "a.b-c", "0123456789", &"a".repeat(63)] {
            assert!(BucketName::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in ["", "ab", "aB3", "a_b", "-ab", "ab-", ".ab", "a..b", "a.-b", "192.168.0.1", "xn--abc", "abc-s3alias", "ä-b", &long] {
            assert!(BucketName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_are_opaque_but_bounded() {
        let longest = "é".repeat(512);
        for good in ["a", "/", "a//b", " +%48🙂", "...", "a/.../b", &longest] {
            assert!(ObjectKey::new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(1025);
        for bad in ["", ".", "..", "a/..", "../a", "a/./b", "a\0b", &long] {
            assert!(ObjectKey::new(bad).is_err(), "{bad}");
        }
    }
}
