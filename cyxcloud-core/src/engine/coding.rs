//! How one upload is coded and when it is acknowledged: the policy, and what its bucket has of its own.

use crate::control::health::{has_quorum, suffices};
use crate::data::erasure::Scheme;
use crate::data::manifest::Copy;
use crate::policy::Policy;
use crate::port::BucketSettings;

/// The policy with the settings of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) scheme: Scheme,
    pub(super) chunk_size_bytes: u32,
    /// Shards that suffice where the others fail or are late; None where all are waited for.
    write_quorum: Option<usize>,
}

impl Coding {
    /// Settings that were checked.
    pub(super) fn new(policy: &Policy, settings: &BucketSettings) -> Self {
        Self {
            scheme: settings.scheme.unwrap_or(policy.scheme),
            chunk_size_bytes: settings.chunk_size_bytes.unwrap_or(policy.chunk_size_bytes),
            write_quorum: settings.write_quorum.map(usize::from),
        }
    }

    /// Whether chunks may be committed that lack more shards than the loss of a node or two would explain.
    pub(super) fn may_lack_shards(&self) -> bool {
        self.write_quorum.is_some()
    }

    /// Whether these copies of a chunk are the quorum that the bucket asks for, if it asks for one.
    pub(super) fn is_quorate(&self, copies: &[Copy]) -> bool {
        self.write_quorum.is_some_and(|quorum| has_quorum(copies, quorum))
    }

    /// Whether a chunk of which these copies are left may be acknowledged.
    pub(super) fn suffices(&self, copies: &[Copy], node_tolerance: usize) -> bool {
        self.is_quorate(copies) || suffices(self.scheme, copies, node_tolerance)
    }
}
