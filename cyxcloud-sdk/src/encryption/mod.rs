//! Client-side encryption: objects are sealed before they leave this process, and opened after they came back.
//!
//! Nodes, gateways and metadata see ciphertext, and neither a password nor a key. Every object version has a random data key; each of its
//! chunks is sealed under it with AES-256-GCM (`cyxcloud_core::data::seal`). The data key, wrapped under the key-encryption key of a
//! `Keyring`, lies in the object's user metadata as an `Envelope`, which also tells every other client that the object is encrypted.
//!
//! ```text
//! password  --Argon2id-->  key-encryption key  --AES-256-GCM-->  data key   --AES-256-GCM-->  chunks
//! or key file               (never stored)                       (wrapped, in cyx-encryption)
//! ```
//!
//! An example is at `Keyring`, which like everything here but this page needs the feature `encryption`.
//!
//! What this protects against whom, and what it does not hide: `docs/encryption.md`.

use cyxcloud_core::port::Metadata;

pub(crate) mod hook;

#[cfg(feature = "encryption")]
mod bucket;
#[cfg(feature = "encryption")]
mod envelope;
#[cfg(feature = "encryption")]
mod key;
#[cfg(feature = "encryption")]
mod key_file;
#[cfg(feature = "encryption")]
mod keyring;
#[cfg(feature = "encryption")]
mod opening;
#[cfg(feature = "encryption")]
mod password;
#[cfg(feature = "encryption")]
mod sealing;
#[cfg(feature = "encryption")]
mod size;

#[cfg(feature = "encryption")]
pub use self::{
    bucket::Rewrapped,
    key::{Key, KeyId},
    keyring::Keyring,
    password::PasswordCost,
};
/// What is stored, for tests and tools that look at it.
#[cfg(feature = "encryption")]
#[doc(hidden)]
pub use self::{
    envelope::{Envelope, ObjectName},
    size::{plain_size, sealed_size},
};

/// Name of the `Envelope` in an object's user metadata. S3 clients see `x-amz-meta-cyx-encryption`.
pub const METADATA_NAME: &str = "cyx-encryption";

/// Gives `metadata` that replace those of an object the mark of its encryption, unless they have one: without it the bytes are lost, and who only changes
/// a content type does not know of it. For shells that copy.
pub fn keep_mark(of_source: &Metadata, metadata: &mut Metadata) {
    if let Some(mark) = of_source.user.get(METADATA_NAME) {
        metadata.user.entry(METADATA_NAME.to_owned()).or_insert_with(|| mark.clone());
    }
}
