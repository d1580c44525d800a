//! Checksums of multipart objects: a checksum of the parts' checksums, or the checksum of the whole put together from them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::checksum::Algorithm;

/// How the checksum of a multipart object is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Checksum of the concatenated checksums of the parts, with `-N` behind it.
    Composite,
    /// Checksum of all bytes.
    FullObject,
}

impl Kind {
    /// Its name in S3.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// The kind of this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Composite, Self::FullObject].into_iter().find(|k| k.name() == name)
    }

    /// What AWS takes when the client names none.
    pub(super) fn default_of(algorithm: Algorithm) -> Self {
        if algorithm == Algorithm::Crc64Nvme { Self::FullObject } else { Self::Composite }
    }

    /// Whether AWS knows this combination.
    pub(super) fn allowed(self, algorithm: Algorithm) -> bool {
        match self {
            Self::Composite => algorithm != Algorithm::Crc64Nvme,
            Self::FullObject => algorithm.crc().is_some(),
        }
    }

    /// The checksum of parts with these checksums and sizes; None when one of them is not a checksum of this algorithm.
    pub(super) fn combine(self, algorithm: Algorithm, parts: &[(String, u64)]) -> Option<String> {
        match self {
            Self::Composite => composite(algorithm, parts),
            Self::FullObject => full_object(algorithm, parts),
        }
    }
}

fn composite(algorithm: Algorithm, parts: &[(String, u64)]) -> Option<String> {
    let mut all = Vec::with_capacity(parts.len() * algorithm.length());
    for (sum, _) in parts {
        all.extend(algorithm.decode(sum)?);
    }
    Some(format!("{}-{}", algorithm.of(&all), parts.len()))
}

fn full_object(algorithm: Algorithm, parts: &[(String, u64)]) -> Option<String> {
    let crc = algorithm.crc()?;
    let mut whole: Option<u64> = None;
    for (sum, size_bytes) in parts {
        let value = algorithm.decode(sum)?.into_iter().fold(0, |value, byte| value << 8 | u64::from(byte));
        whole = Some(match whole {
            Some(before) => crc_fast::checksum_combine(crc, before, value, *size_bytes),
            None => value,
        });
    }
    Some(BASE64.encode(&whole?.to_be_bytes()[8 - algorithm.length()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(algorithm: Algorithm, bodies: &[&[u8]]) -> Vec<(String, u64)> {
        bodies.iter().map(|b| (algorithm.of(b), b.len() as u64)).collect()
    }

    #[test]
    fn full_object_is_the_checksum_of_all_bytes() {
        let bodies: [&[u8]; 4] = [b"12345", b"", b"6", b"789"];
        for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
            let combined = Kind::FullObject.combine(algorithm, &parts(algorithm, &bodies)).unwrap();
            assert_eq!(combined, algorithm.of(b"123456789"), "{}", algorithm.name());
        }
        assert_eq!(Kind::FullObject.combine(Algorithm::Sha1, &parts(Algorithm::Sha1, &bodies)), None);
    }

    #[test]
    fn composite_is_the_checksum_of_checksums() {
        let bodies: [&[u8]; 2] = [b"12345", b"6789"];
        for algorithm in Algorithm::ALL {
            let sums: Vec<u8> = bodies.iter().flat_map(|b| algorithm.decode(&algorithm.of(b)).unwrap()).collect();
            let combined = Kind::Composite.combine(algorithm, &parts(algorithm, &bodies)).unwrap();
            assert_eq!(combined, format!("{}-2", algorithm.of(&sums)), "{}", algorithm.name());
        }
        assert_eq!(Kind::Composite.combine(Algorithm::Crc32, &[("AAA=".into(), 1)]), None);
    }

    #[test]
    fn combinations_are_those_of_aws() {
        assert!(!Kind::Composite.allowed(Algorithm::Crc64Nvme) && Kind::FullObject.allowed(Algorithm::Crc64Nvme));
        assert!(Kind::Composite.allowed(Algorithm::Sha256) && !Kind::FullObject.allowed(Algorithm::Sha256));
        assert_eq!(Kind::default_of(Algorithm::Crc32), Kind::Composite);
    }
}
