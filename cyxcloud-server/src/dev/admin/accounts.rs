//! What accounts hold and may hold.

use axum::Json;
use axum::extract::State;
use cyxcloud_sdk::core::id::AccountId;
use cyxcloud_sdk::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, Failure};
use crate::access_keys::ROOT_ACCOUNT;

/// The accounts by name, that of the root pair first.
async fn accounts(admin: &Admin) -> Result<Vec<(String, AccountId)>> {
    let mut keys = admin.engine.meta().list_access_keys().await?;
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    let root = ("root".to_owned(), ROOT_ACCOUNT);
    Ok(std::iter::once(root).chain(keys.into_iter().map(|key| (key.name, key.account))).collect())
}

pub(super) async fn list(State(admin): State<Admin>) -> Result<Json<Value>, Failure> {
    let mut listed = Vec::new();
    for (name, account) in accounts(&admin).await? {
        listed.push(describe(&admin, &name, account).await?);
    }
    Ok(Json(Value::Array(listed)))
}

async fn describe(admin: &Admin, name: &str, account: AccountId) -> Result<Value> {
    let usage = admin.engine.meta().account_usage(account).await?;
    Ok(json!({
        "name": name, "account_id": account.to_string(), "objects": usage.held.objects, "held_bytes": usage.held.bytes(),
        "object_bytes": usage.held.object_bytes, "part_bytes": usage.held.part_bytes, "trash_bytes": usage.held.trash_bytes,
        "reserved_bytes": usage.reserved_bytes, "quota_bytes": usage.quota_bytes,
        // Beyond 2^53 a number of JSON is not exact everywhere.
        "byte_hours": usage.byte_hours().to_string(),
    }))
}

/// A misspelt field must not take a bound away.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quota {
    name: String,
    #[serde(deserialize_with = "Option::deserialize")]
    quota_bytes: Option<u64>,
}

pub(super) async fn set_quota(State(admin): State<Admin>, Json(quota): Json<Quota>) -> Result<Json<Value>, Failure> {
    let name = &quota.name;
    let found = accounts(&admin).await?.into_iter().find(|(known, _)| known == name);
    let missing = || Error::not_found(format!("there is no account {name:?}; cyxcloud dev-account list shows them all"));
    let (_, account) = found.ok_or_else(missing)?;
    admin.engine.meta().set_quota(account, quota.quota_bytes).await?;
    Ok(Json(describe(&admin, name, account).await?))
}
