//! What the engine needs from the outside, as dyn-safe traits: the metadata store, the nodes, the clock.
//!
//! Every trait has an in-memory reference and a conformance suite in `testing`; a driver is right when it passes the suite.

mod environment;
mod members;
mod meta;
mod note;
mod restore;
pub(crate) mod settings;
mod store;
mod transport;

pub use environment::{BoxFuture, Environment, compute};
pub use members::Members;
pub use meta::{
    AccessKey, AccountUsage, Bucket, CommitObject, CommitPart, CompleteUpload, CopyObject, DeadChunks, Endpoint, Fate, Lease, Meta,
    Metadata, NewVersion, NodeRecord, Object, ObjectHead, Part, PartChoice, Precondition, RenameObject, ReplaceCopies, ScanStart, Trashed,
    Upload, Usage,
};
pub use note::{MAX_NOTE_BYTES, NoteName};
pub use restore::Restore;
pub use settings::BucketSettings;
pub use store::{Deleted, ShardInfo, Space, Store};
pub use transport::{NodeRequest, NodeResponse, ShardStat, Transport};
