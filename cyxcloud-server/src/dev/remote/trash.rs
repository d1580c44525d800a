//! `cyxcloud dev-trash`.

use anyhow::{Context, Result};
use axum::http::Method;
use clap::{Args, Subcommand};
use cyxcloud_sdk::core::Timestamp;
use serde_json::{Value, json};

use super::table::{bytes, moment, render};
use super::{Target, call};

/// Options of `cyxcloud dev-trash`.
#[derive(Args, Debug)]
pub struct TrashArgs {
    #[command(subcommand)]
    action: TrashAction,
    #[command(flatten)]
    target: Target,
}

#[derive(Subcommand, Debug)]
enum TrashAction {
    /// Show deleted objects that can be restored.
    List {
        /// The bucket.
        bucket: String,
        /// Only keys that begin with this.
        #[arg(long, default_value = "")]
        prefix: String,
    },
    /// Make a deleted object the one under its key again; refused when the key has a new object.
    Restore {
        /// The bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// Its version, as `list` shows it.
        version: String,
    },
}

/// Runs `cyxcloud dev-trash`.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn trash(args: TrashArgs) -> Result<()> {
    match args.action {
        TrashAction::List { bucket, prefix } => list(&args.target, &bucket, &prefix).await,
        TrashAction::Restore { bucket, key, version } => {
            let what = json!({ "key": key, "version": version });
            let answer = call(&args.target, Method::POST, &format!("/cyx-admin/trash/{}", escape(&bucket)), Some(what)).await?;
            if args.target.json {
                println!("{answer}");
            } else {
                println!("{bucket}/{key} is back, {}", bytes(answer["size_bytes"].as_u64().unwrap_or(0)));
            }
            Ok(())
        }
    }
}

async fn list(target: &Target, bucket: &str, prefix: &str) -> Result<()> {
    let path = format!("/cyx-admin/trash/{}?prefix={}", escape(bucket), escape(prefix));
    let mut objects: Vec<Value> = Vec::new();
    let mut from = String::new();
    let window_ms = loop {
        let page = call(target, Method::GET, &format!("{path}{from}"), None).await?;
        objects.extend(page["objects"].as_array().context("no list of objects in the answer")?.iter().cloned());
        match objects.last() {
            Some(last) if page["more"] == true => {
                let text = |field: &str| escape(last[field].as_str().unwrap_or_default());
                from = format!("&after_key={}&after_version={}", text("key"), text("version"));
            }
            _ => break page["window_ms"].as_u64().unwrap_or(0),
        }
    };
    if target.json {
        println!("{}", Value::Array(objects));
        return Ok(());
    }
    if window_ms == 0 {
        eprintln!("this cluster keeps no trash; cyxcloud dev --trash-window-ms 86400000 keeps deleted objects for a day");
    }
    if objects.is_empty() {
        println!("nothing to restore");
        return Ok(());
    }
    print!("{}", render(["DELETED", "RESTORABLE UNTIL", "VERSION", ">SIZE", "KEY"], &objects.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

fn row(object: &Value) -> [String; 5] {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let time = |field: &str| moment(Timestamp(object[field].as_u64().unwrap_or(0)));
    [
        time("deleted_ms"),
        time("restorable_until_ms"),
        text("version").to_owned(),
        bytes(object["size_bytes"].as_u64().unwrap_or(0)),
        // Keys may hold control characters, which a terminal would obey.
        text("key").escape_debug().to_string(),
    ]
}

/// Everything but what is plain in a URL as `%XX`.
fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
