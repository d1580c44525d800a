//! `cyxcloud dev-account`.

use anyhow::{Context, Result};
use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::table::{bytes, render};
use super::{Target, call};

/// Options of `cyxcloud dev-account`.
#[derive(Args, Debug)]
pub struct AccountArgs {
    #[command(subcommand)]
    action: AccountAction,
    #[command(flatten)]
    target: Target,
}

#[derive(Subcommand, Debug)]
enum AccountAction {
    /// Show what every account holds, may hold and has held.
    List,
    /// Bound what an account may hold: objects, parts of uploads, the trash and what uploads in progress have reserved.
    Quota {
        /// Its name, as `list` shows it; root for the root key.
        name: String,
        /// Bytes, with K, M, G or T for KiB, MiB, GiB or TiB; none takes the bound away.
        #[arg(value_parser = quota)]
        quota: Quota,
    },
}

/// None for no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quota(Option<u64>);

fn quota(text: &str) -> Result<Quota, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Quota(None));
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        other => return Err(format!("{other:?} is no unit; use K, M, G or T")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is neither a number of bytes, such as 10G, nor none"))?;
    number.checked_mul(1 << shift).map(|bytes| Quota(Some(bytes))).ok_or_else(|| format!("{text} is more than can be counted"))
}

/// Runs `cyxcloud dev-account`.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn account(args: AccountArgs) -> Result<()> {
    let target = &args.target;
    let answer = match args.action {
        AccountAction::List => call(target, Method::GET, "/cyx-admin/accounts", None).await?,
        AccountAction::Quota { name, quota } => {
            let what = json!({ "name": name, "quota_bytes": quota.0 });
            call(target, Method::POST, "/cyx-admin/accounts/quota", Some(what)).await?
        }
    };
    if target.json {
        println!("{answer}");
        return Ok(());
    }
    let accounts = match &answer {
        Value::Array(accounts) => accounts.iter().collect(),
        one => vec![one],
    };
    let rows = accounts.into_iter().map(row).collect::<Result<Vec<_>>>()?;
    print!("{}", render(["NAME", ">OBJECTS", ">HELD", ">RESERVED", ">QUOTA", ">GiB-HOURS"], &rows));
    Ok(())
}

fn row(account: &Value) -> Result<[String; 6]> {
    let number = |field: &str| account[field].as_u64().unwrap_or(0);
    let byte_hours: u128 = account["byte_hours"].as_str().and_then(|text| text.parse().ok()).context("no byte_hours in the answer")?;
    Ok([
        account["name"].as_str().unwrap_or_default().escape_debug().to_string(),
        number("objects").to_string(),
        bytes(number("held_bytes")),
        bytes(number("reserved_bytes")),
        account["quota_bytes"].as_u64().map_or_else(|| "none".to_owned(), bytes),
        format!("{:.3}", byte_hours as f64 / f64::from(1 << 30)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_numbers_with_units_or_none() {
        let is = |text: &str| quota(text).map(|quota| quota.0);
        assert_eq!(is("none"), Ok(None));
        for (text, bytes) in [("0", 0), ("17", 17), ("17B", 17), ("10k", 10 << 10), ("3GiB", 3 << 30), ("2T", 2 << 40)] {
            assert_eq!(is(text), Ok(Some(bytes)), "{text}");
        }
        for text in ["", "G", "1.5G", "-1", "10X", "10IB", "1KIBIB", "99999999T"] {
            assert!(quota(text).is_err(), "{text}");
        }
    }
}
