//! The identity file of a store: kind, version, id.

use cyxcloud_core::id::NodeId;
use cyxcloud_core::{Error, Result};

/// A kind of store, as its directory knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    version: u32,
    /// The directory under the root with what is stored.
    pub(super) content: &'static str,
}

pub(super) const SEGMENT: Kind = Kind { name: "segment", version: 1, content: "segments" };
/// Known in every build, so that every build says what it refuses to open.
pub(super) const ROCKSDB: Kind = Kind { name: "rocksdb", version: 1, content: "rocksdb" };

impl Kind {
    fn first_line(self) -> String {
        format!("cyxcloud {} store", self.name)
    }

    /// The kind that the text of an identity file names, if it is known.
    pub(super) fn named_in(text: &str) -> Option<Self> {
        let line = text.lines().next()?;
        [SEGMENT, ROCKSDB].into_iter().find(|kind| kind.first_line() == line)
    }

    /// The text of the identity file: kind, version, store id.
    pub(super) fn encode(self, store: [u8; 16]) -> String {
        format!("{}\nversion {}\nid {}\n", self.first_line(), self.version, NodeId(store))
    }

    /// Reads an identity file of this kind: Invalid for a version that is unknown, Corrupt for anything else.
    pub(super) fn decode(self, text: &str) -> Result<[u8; 16]> {
        let bad = || {
            Error::corrupt(
                "the identity file is damaged; restore it from a copy, or move the directory away and let repair refill the node",
            )
        };
        let mut lines = text.lines();
        let (first, version, id) = (lines.next(), lines.next(), lines.next());
        if first != Some(&*self.first_line()) {
            return Err(bad());
        }
        let version: u64 = version.and_then(|line| line.strip_prefix("version ")).and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        if version != u64::from(self.version) {
            return Err(Error::invalid(format!(
                "{} store of version {version}; this program knows {}: use the program that wrote it, or a newer one",
                self.name, self.version
            )));
        }
        let id: NodeId = id.and_then(|line| line.strip_prefix("id ")).and_then(|text| text.parse().ok()).ok_or_else(bad)?;
        if text != self.encode(id.0) {
            return Err(bad());
        }
        Ok(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cyxcloud_core::ErrorKind;

    #[test]
    fn identities() {
        for kind in [SEGMENT, ROCKSDB] {
            assert_eq!(kind.decode(&kind.encode([0xab; 16])).unwrap(), [0xab; 16]);
            let newer = kind.encode([1; 16]).replace("version 1", "version 2");
            assert_eq!(kind.decode(&newer).unwrap_err().kind(), ErrorKind::Invalid);
        }
        for bad in ["", "cyxcloud segment store\nversion 1\nid 12\n", "something else"] {
            assert_eq!(SEGMENT.decode(bad).unwrap_err().kind(), ErrorKind::Corrupt, "{bad}");
        }
    }
}
