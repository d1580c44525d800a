//! The trash of a bucket, whoever owns it.

use axum::Json;
use axum::extract::{Path, Query, State};
use cyxcloud_sdk::core::id::{BucketId, BucketName, ObjectKey, VersionId};
use cyxcloud_sdk::{Error, ErrorKind, Precondition, Result, Trashed};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, Failure};

/// Objects of one answer.
const PAGE: usize = 1000;

/// What to list, and where a page begins.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    prefix: String,
    after_key: Option<String>,
    after_version: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Restore {
    key: String,
    version: String,
}

pub(super) async fn list(State(admin): State<Admin>, Path(name): Path<String>, Query(which): Query<Which>) -> Result<Json<Value>, Failure> {
    let bucket = bucket(&admin, &name).await?;
    let after = match (which.after_key, which.after_version) {
        (Some(key), Some(version)) => Some((key, version.parse()?)),
        _ => None,
    };
    let engine = &admin.engine;
    let page = engine.meta().list_trash(bucket, &which.prefix, after, PAGE).await?;
    let window_ms = engine.policy().trash_window_ms;
    let more = page.len() == PAGE;
    let objects: Vec<Value> = page.iter().map(|trashed| describe(trashed, window_ms)).collect();
    Ok(Json(json!({ "objects": objects, "more": more, "window_ms": window_ms })))
}

fn describe(trashed: &Trashed, window_ms: u64) -> Value {
    let head = &trashed.head;
    json!({
        "key": head.key.as_str(), "version": head.version.to_string(), "size_bytes": head.size_bytes,
        "deleted_ms": trashed.deleted.0, "restorable_until_ms": trashed.deleted.plus_ms(window_ms).0,
    })
}

/// Never over an object that has taken the key meanwhile: that one would be lost.
pub(super) async fn restore(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Json(what): Json<Restore>,
) -> Result<Json<Value>, Failure> {
    let bucket = bucket(&admin, &name).await?;
    let (key, version): (ObjectKey, VersionId) = (ObjectKey::new(&what.key)?, what.version.parse()?);
    let restored = admin.engine.restore_object(bucket, &key, version, Precondition::Absent).await;
    let object = restored.map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::not_found(format!(
            "{name}/{key} has no version {version} in the trash (any more); cyxcloud dev-trash list {name} shows what can be restored"
        )),
        ErrorKind::Precondition => {
            Error::conflict(format!("{name}/{key} has a new object, which restoring would replace; move or delete that one first"))
        }
        _ => e,
    })?;
    Ok(Json(json!({ "key": object.head.key.as_str(), "version": object.head.version.to_string(), "size_bytes": object.head.size_bytes })))
}

async fn bucket(admin: &Admin, name: &str) -> Result<BucketId> {
    Ok(admin.engine.meta().bucket(&BucketName::new(name)?).await?.id)
}
