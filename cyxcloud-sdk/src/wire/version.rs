//! New versions of objects, what is in the trash, and what accounts hold, on the wire.

use cyxcloud_core::port::{AccountUsage, NewVersion, Trashed, Usage};
use cyxcloud_core::{Result, Timestamp};
use cyxcloud_proto::gateway::v1 as message;

use super::object::{head, head_message, metadata_message, precondition_message};
use super::{array, id, required};

/// What makes a new version, as a message; the gateway says when it was made.
pub fn new_version_message(new: &NewVersion) -> message::NewVersion {
    message::NewVersion {
        bucket_id: id(new.bucket),
        key: new.key.as_str().to_owned(),
        version: id(new.version),
        etag: new.etag.clone(),
        metadata: Some(metadata_message(&new.metadata)),
        precondition: precondition_message(&new.precondition),
    }
}

/// An object of the trash as a message.
pub fn trashed_message(trashed: &Trashed) -> message::TrashedObject {
    message::TrashedObject { head: Some(head_message(&trashed.head)), deleted_ms: trashed.deleted.0 }
}

/// An object of the trash.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn trashed(message: message::TrashedObject) -> Result<Trashed> {
    Ok(Trashed { head: head(message.head)?, deleted: Timestamp(message.deleted_ms) })
}

/// What is held, as a message.
pub fn usage_message(usage: Usage) -> message::Usage {
    let Usage { objects, object_bytes, part_bytes, trash_bytes } = usage;
    message::Usage { objects, object_bytes, part_bytes, trash_bytes }
}

/// What is held.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn usage(message: Option<message::Usage>) -> Result<Usage> {
    let message::Usage { objects, object_bytes, part_bytes, trash_bytes } = required(message, "usage")?;
    Ok(Usage { objects, object_bytes, part_bytes, trash_bytes })
}

/// What an account holds and may hold, as a message.
pub fn account_usage_message(account: &AccountUsage) -> message::GetUsageResponse {
    message::GetUsageResponse {
        bucket: None,
        account: Some(usage_message(account.held)),
        reserved_bytes: account.reserved_bytes,
        quota_bytes: account.quota_bytes,
        byte_ms: id(account.byte_ms.to_be_bytes()),
    }
}

/// What an account holds and may hold.
///
/// # Errors
/// [`cyxcloud_core::ErrorKind::Invalid`].
pub fn account_usage(message: message::GetUsageResponse) -> Result<AccountUsage> {
    Ok(AccountUsage {
        held: usage(message.account)?,
        reserved_bytes: message.reserved_bytes,
        quota_bytes: message.quota_bytes,
        byte_ms: u128::from_be_bytes(array(&message.byte_ms, "byte_ms")?),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn usage_comes_back_as_it_went() {
        let held = Usage { objects: 1, object_bytes: 2, part_bytes: 3, trash_bytes: 4 };
        for quota_bytes in [None, Some(0), Some(u64::MAX)] {
            let account = AccountUsage { held, reserved_bytes: 5, quota_bytes, byte_ms: u128::MAX - 6 };
            assert_eq!(account_usage(account_usage_message(&account)).unwrap(), account);
        }
        assert!(account_usage(message::GetUsageResponse::default()).is_err() && usage(None).is_err());
    }
}
