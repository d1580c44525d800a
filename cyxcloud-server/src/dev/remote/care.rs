//! `cyxcloud dev-gc`, `dev-repair` and `dev-scrub`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::http::Method;
use clap::Args;
use serde_json::{Value, json};

use super::table::{bytes, count, render};
use super::{Target, call, show};

/// Options of `cyxcloud dev-gc`.
#[derive(Args, Debug)]
pub struct GcArgs {
    #[command(flatten)]
    target: Target,
}

/// Options of `cyxcloud dev-repair`.
#[derive(Args, Debug)]
pub struct RepairArgs {
    /// Repair nothing; show the jobs there are, and why they failed. Finished ones are kept for a day.
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    target: Target,
}

/// Options of `cyxcloud dev-scrub`.
#[derive(Args, Debug)]
pub struct ScrubArgs {
    #[command(flatten)]
    target: Target,
}

/// Runs `cyxcloud dev-gc`.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn gc(args: GcArgs) -> Result<()> {
    let answer = call(&args.target, Method::POST, "/cyx-admin/gc", None).await?;
    show(&args.target, &answer, &["chunks", "chunks_left", "orphans", "nodes_away", "trash", "adopted", "unconfirmed", "kept"]);
    Ok(())
}

/// Runs `cyxcloud dev-repair`.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn repair(args: RepairArgs) -> Result<()> {
    if args.list {
        return list_jobs(&args.target).await;
    }
    let done = call(&args.target, Method::POST, "/cyx-admin/repair", None).await?;
    if args.target.json {
        println!("{done}");
        return Ok(());
    }
    let number = |field: &str| done[field].as_u64().unwrap_or(0);
    println!("{} scanned, {} in need of repair, {} lost", count(number("chunks"), "chunk"), number("damaged"), number("lost"));
    println!(
        "{} completed, {} failed: {} written, {} read, {} written",
        count(number("completed"), "repair"),
        number("failed"),
        count(number("shards_written"), "shard"),
        bytes(number("bytes_read")),
        bytes(number("bytes_written")),
    );
    if number("failed") > 0 {
        println!("why, and what is tried again: cyxcloud dev-repair --list");
    }
    let left = number("damaged").saturating_sub(number("completed") + number("failed"));
    if left > 0 {
        println!("{left} being repaired already, or waiting for the next try: cyxcloud dev-repair --list");
    }
    Ok(())
}

async fn list_jobs(target: &Target) -> Result<()> {
    let mut jobs: Vec<Value> = Vec::new();
    let mut from = String::new();
    loop {
        let page = call(target, Method::GET, &format!("/cyx-admin/repair{from}"), None).await?;
        jobs.extend(page["jobs"].as_array().context("no list of jobs in the answer")?.iter().cloned());
        match page["next"].as_str() {
            Some(next) => from = format!("?after={next}"),
            None => break,
        }
    }
    if target.json {
        println!("{}", Value::Array(jobs));
        return Ok(());
    }
    let in_state = |state: &str| jobs.iter().filter(|job| job["state"] == state).count();
    let left: Vec<[String; 4]> = jobs.iter().filter(|job| job["state"] != "completed").map(row).collect();
    if !left.is_empty() {
        print!("{}", render(["CHUNK", "STATE", ">FAILED TRIES", "WHY THE LAST ONE FAILED"], &left));
    }
    let [pending, running, failed, completed] = ["pending", "in_progress", "failed", "completed"].map(in_state);
    println!("{pending} pending, {running} in progress, {failed} given up for now, {completed} completed");
    Ok(())
}

fn row(job: &Value) -> [String; 4] {
    let text = |field: &str| job[field].as_str().unwrap_or_default().to_owned();
    [text("chunk"), text("state").replace('_', " "), job["attempts"].to_string(), text("failure")]
}

/// Runs `cyxcloud dev-scrub`.
///
/// # Errors
/// When the cluster cannot be reached or refuses.
pub async fn scrub(args: ScrubArgs) -> Result<()> {
    let target = &args.target;
    let (mut chunks, mut copies, mut verified, mut unread) = (0, 0, 0, 0);
    let mut damaged: Vec<Value> = Vec::new();
    let mut from = String::new();
    let mut said = Instant::now();
    loop {
        let page = call(target, Method::POST, &format!("/cyx-admin/scrub{from}"), None).await?;
        let number = |field: &str| page[field].as_u64().unwrap_or(0);
        chunks += number("chunks");
        copies += number("copies");
        verified += number("bytes");
        unread += number("unread");
        damaged.extend(page["damaged"].as_array().context("no damaged copies in the answer")?.iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        from = format!("?after={next}");
        if said.elapsed() >= Duration::from_secs(1) {
            said = Instant::now();
            eprintln!("{}, {} verified so far, {} damaged", count(chunks, "chunk"), bytes(verified), damaged.len());
        }
    }
    if target.json {
        println!("{}", json!({ "chunks": chunks, "copies": copies, "bytes": verified, "unread": unread, "damaged": damaged }));
        return Ok(());
    }
    println!("{}: {} verified, {}", count(chunks, "chunk"), count(copies, "shard"), bytes(verified));
    if unread > 0 {
        println!("{} not read, their nodes did not answer", count(unread, "shard"));
    }
    if damaged.is_empty() {
        println!("no damage");
        return Ok(());
    }
    let rows: Vec<[String; 3]> = damaged.iter().map(|d| [d["chunk"].clone(), d["shard"].clone(), d["name"].clone()].map(plain)).collect();
    println!("{} missing or damaged:", count(damaged.len() as u64, "shard"));
    print!("{}", render(["CHUNK", ">SHARD", "NODE"], &rows));
    println!("repairs are queued; cyxcloud dev-repair carries them out now");
    Ok(())
}

fn plain(value: Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
