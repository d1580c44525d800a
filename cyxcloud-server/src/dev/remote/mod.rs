//! The client side of [`super::admin`]: `cyxcloud dev-node`, `dev-key`, `dev-account`, `dev-gc`, `dev-repair`, `dev-scrub`, `dev-trash`.

mod accounts;
mod care;
mod nodes;
mod table;
mod trash;

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use clap::{Args, Subcommand};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::admin;
pub use accounts::{AccountArgs, account};
pub use care::{GcArgs, RepairArgs, ScrubArgs, gc, repair, scrub};
pub use nodes::{NodeArgs, node};
pub use trash::{TrashArgs, trash};

/// No answer is longer.
const MAX_ANSWER_BYTES: usize = 16 << 20;

#[derive(Args, Debug)]
struct Target {
    /// Where `cyxcloud dev` listens.
    #[arg(long, env = "CYX_HTTP_ADDR", default_value = "127.0.0.1:8080", global = true)]
    http_addr: SocketAddr,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// Options of `cyxcloud dev-key`.
#[derive(Args, Debug)]
pub struct KeyArgs {
    #[command(subcommand)]
    action: KeyAction,
}

#[derive(Subcommand, Debug)]
enum KeyAction {
    /// Make an account with a key pair of its own; the secret is shown once.
    Create {
        /// Name of the account.
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// List the accounts made so far.
    List {
        #[command(flatten)]
        target: Target,
    },
}

/// Runs `cyxcloud dev-key`.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn key(args: KeyArgs) -> Result<()> {
    match args.action {
        KeyAction::Create { name, target } => {
            let answer = call(&target, Method::POST, "/cyx-admin/keys", Some(json!({ "name": name }))).await?;
            show(&target, &answer, &["name", "access_key_id", "secret_access_key"]);
        }
        KeyAction::List { target } => {
            let answer = call(&target, Method::GET, "/cyx-admin/keys", None).await?;
            show(&target, &answer, &["name", "access_key_id"]);
        }
    }
    Ok(())
}

async fn call(target: &Target, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
    let address = target.http_addr;
    let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(admin::HEADER, "1")
        .body(body)?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let unreachable = || format!("no cyxcloud dev answers at {address}; start it, or say where it is with --http-addr");
    let response = client.request(request).await.with_context(unreachable)?;
    let status = response.status();
    let bytes = to_bytes(Body::new(response.into_body()), MAX_ANSWER_BYTES).await?;
    let answer: Value =
        serde_json::from_slice(&bytes).with_context(|| format!("{address} answered {status}, which is not cyxcloud dev"))?;
    if !status.is_success() {
        bail!("{}", answer["error"].as_str().unwrap_or("refused"));
    }
    Ok(answer)
}

/// One line per entry, `name value` pairs; or the answer as it is.
fn show(target: &Target, answer: &Value, fields: &[&str]) {
    if target.json {
        println!("{answer}");
        return;
    }
    let rows = match answer {
        Value::Array(rows) => &rows[..],
        one => std::slice::from_ref(one),
    };
    for row in rows {
        let text = |field: &&str| match &row[*field] {
            Value::String(text) => format!("{field} {text}"),
            other => format!("{field} {other}"),
        };
        println!("{}", fields.iter().map(text).collect::<Vec<_>>().join("   "));
    }
}
