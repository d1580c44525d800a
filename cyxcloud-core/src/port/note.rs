//! Notes: short-lived facts that gateways share, such as a nonce that was seen, a session, a token that was revoked. [`super::Meta`] keeps them.

use std::fmt;

use crate::{Error, Result};

/// Longest value of a note.
pub const MAX_NOTE_BYTES: usize = 64 << 10;

const CONTEXT: &str = "cyxcloud 2026-11 name of a note v1";

/// What a note or a counter is found by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NoteName([u8; 32]);

impl NoteName {
    /// The name of what is called `id` among those of `kind`. Those of another kind cannot have it.
    ///
    /// ```
    /// use cyxcloud_core::port::NoteName;
    /// assert_ne!(NoteName::new("nonce", b"s1"), NoteName::new("nonces", b"1"));
    /// ```
    pub fn new(kind: &str, id: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
        // With its length, so that no kind and id run together to those of others.
        hasher.update(&(kind.len() as u64).to_le_bytes()).update(kind.as_bytes()).update(id);
        Self(*hasher.finalize().as_bytes())
    }

    /// The name as a store keeps it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Checks the value of a note. Every driver uses this, so that all agree.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when it is longer than [`MAX_NOTE_BYTES`].
    pub fn check_value(value: &[u8]) -> Result<()> {
        if value.len() > MAX_NOTE_BYTES {
            return Err(Error::invalid(format!("a note has at most {MAX_NOTE_BYTES} bytes, not {}", value.len())));
        }
        Ok(())
    }
}

impl fmt::Debug for NoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("note ")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
