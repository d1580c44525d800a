//! `cargo xtask bench-report`: runs the benches and prints what they say as ratios, taken within one run on one machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::sh;

/// The benches that take part.
const BENCHES: [&str; 6] = ["erasure", "seal", "hash", "ingest", "engine", "placement"];
/// Coding kernels, the fastest first.
const KERNELS: [&str; 6] = ["gfni-avx512", "gfni-avx2", "avx512", "avx2", "neon", "portable"];
/// The kernel the bars are set for.
const BARS_FOR: &str = "gfni-avx512";

/// One line of the report: how many times as fast as its peers ours is, by time for each byte.
struct Row {
    what: &'static str,
    /// Bench ids, `BEST` standing for the fastest kernel of the machine.
    ours: &'static str,
    /// Where there are several, the time of all together.
    peers: &'static [&'static str],
    /// The least it must be.
    bar: Option<f64>,
}

const fn row(what: &'static str, ours: &'static str, peers: &'static [&'static str], bar: f64) -> Row {
    Row { what, ours, peers, bar: if bar > 0.0 { Some(bar) } else { None } }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("encode, 64 KiB shards / reed-solomon-erasure simd-accel", "erasure/encode/BEST/65536", &["erasure/encode/reed-solomon-erasure/65536"], 5.0),
    row("encode, 4 MiB chunk / reed-solomon-erasure simd-accel", "erasure/encode/BEST/419456", &["erasure/encode/reed-solomon-erasure/419456"], 3.0),
    row("encode, 4 MiB chunk / memcpy", "erasure/encode/BEST/419456", &["erasure/encode/memcpy/419456"], 1.4),
    row("encode, 4 KiB shards / reed-solomon-erasure simd-accel", "erasure/encode/BEST/4096", &["erasure/encode/reed-solomon-erasure/4096"], 4.5),
    row("encode, 64 KiB shards / reed-solomon-simd", "erasure/encode/BEST/65536", &["erasure/encode/reed-solomon-simd/65536"], 0.0),
    row("reconstruct 1 lost, 64 KiB shards / reed-solomon-erasure simd-accel", "erasure/reconstruct-1/BEST/65536", &["erasure/reconstruct-1/reed-solomon-erasure/65536"], 3.0),
    row("reconstruct 4 lost, 64 KiB shards / reed-solomon-erasure simd-accel", "erasure/reconstruct-4/BEST/65536", &["erasure/reconstruct-4/reed-solomon-erasure/65536"], 5.0),
    row("verify, 64 KiB shards / reed-solomon-erasure simd-accel", "erasure/verify/BEST/65536", &["erasure/verify/reed-solomon-erasure/65536"], 4.0),
    row("encode, 64 KiB shards, AVX2 forced / reed-solomon-erasure simd-accel", "erasure/encode/avx2/65536", &["erasure/encode/reed-solomon-erasure/65536"], 1.5),
    row("encode, 64 KiB shards, portable / reed-solomon-erasure simd-accel", "erasure/encode/portable/65536", &["erasure/encode/reed-solomon-erasure/65536"], 0.0),
    row("encrypted ingest, 1 MiB chunks / RustCrypto + reed-solomon-erasure + 14 hashes", "ingest/encrypted/ours/1MiB", &["ingest/encrypted/stack/1MiB"], 1.9),
    row("encrypted ingest, rotating 4 MiB chunks / the same stack", "ingest/encrypted/ours/4MiB", &["ingest/encrypted/stack/4MiB"], 0.0),
    row("plain ingest, 1 MiB chunks / encode + 14 blake3::hash alone", "ingest/plain/ours/1MiB", &["ingest/encode/1MiB", "ingest/blake3/1MiB"], 0.80),
    row("plain ingest, rotating 4 MiB chunks / encode + 14 blake3::hash alone, 1 MiB in cache", "ingest/plain/ours/4MiB", &["ingest/encode/1MiB", "ingest/blake3/1MiB"], 0.65),
    row("root and tree, 64 KiB shards / root by blake3::hash", "hash/root and tree/ours/65536", &["hash/root/blake3/65536"], 0.0),
    row("root and tree, 64 KiB shards / bao-tree", "hash/root and tree/ours/65536", &["hash/root and tree/bao-tree/65536"], 0.0),
    row("seal 1 MiB, AWS-LC / ring", "seal/seal/aws-lc/1MiB", &["seal/seal/raw ring/1MiB"], 0.0),
    row("seal 1 MiB, AWS-LC / aes-gcm", "seal/seal/aws-lc/1MiB", &["seal/seal/aes-gcm/1MiB"], 0.0),
    row("one placement on 10,000 nodes / on 100", "nested/10000/fresh", &["nested/100/fresh"], 0.0),
    row("PUT 8 MiB through the engine in memory / coding alone", "engine/put/8MiB", &["ingest/plain/ours/4MiB"], 0.0),
    row("GET 8 MiB through the engine in memory / 10 blake3::hash alone", "engine/get/8MiB", &["hash/root/blake3/419456"], 0.0),
];

/// Median nanoseconds for each byte (or each call, where nothing says how many bytes), by bench id.
type Times = BTreeMap<String, f64>;

/// Runs the benches (unless `keep`: then reads what the last run left) and reports.
pub fn run(keep: bool, as_json: bool, check: bool) -> Result<()> {
    let results = results_directory();
    if !keep {
        // What an earlier run left must not be taken for this one's.
        let _ = fs::remove_dir_all(&results);
        let names: Vec<&str> = BENCHES.iter().flat_map(|name| ["--bench", name]).collect();
        let args = [&["bench", "--quiet", "-p", "cyxcloud-benches"], &names[..], &["--", "--noplot", "--quiet"]].concat();
        eprintln!("+ cargo {}    (some minutes)", args.join(" "));
        sh::check(Command::new("cargo").args(&args).stdout(std::process::Stdio::null()), "cargo bench")?;
    }
    let times = read(&results)?;
    let best = KERNELS.into_iter().find(|kernel| times.contains_key(&format!("erasure/encode/{kernel}/65536")));
    let best = best.with_context(|| format!("{} has no results; run without --keep", results.display()))?;
    let rows: Vec<(&Row, Option<f64>)> = ROWS.iter().map(|row| (row, ratio(row, best, &times))).collect();
    let machine = machine(best)?;
    if as_json {
        println!("{:#}", as_value(&machine, &rows));
    } else {
        print(&machine, &rows);
    }
    if check { judge(&rows, best) } else { Ok(()) }
}

fn results_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from).join("criterion")
}

/// Everything criterion wrote below `directory`.
fn read(directory: &Path) -> Result<Times> {
    let mut times = Times::new();
    let mut left = vec![directory.to_path_buf()];
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() && path.file_name().is_some_and(|name| name == "new") {
                let (id, time) = read_one(&path).with_context(|| format!("{} is not a result of criterion", path.display()))?;
                times.insert(id, time);
            } else if path.is_dir() {
                left.push(path);
            }
        }
    }
    Ok(times)
}

fn read_one(directory: &Path) -> Result<(String, f64)> {
    let parse = |name: &str| -> Result<Value> { Ok(serde_json::from_str(&fs::read_to_string(directory.join(name))?)?) };
    let (bench, estimates) = (parse("benchmark.json")?, parse("estimates.json")?);
    let nanoseconds = estimates["median"]["point_estimate"].as_f64().context("no median")?;
    let bytes = bench["throughput"]["Bytes"].as_f64().unwrap_or(1.0);
    Ok((bench["full_id"].as_str().context("no id")?.to_owned(), nanoseconds / bytes))
}

/// None where a bench of the row did not run on this machine.
fn ratio(row: &Row, best: &str, times: &Times) -> Option<f64> {
    let ours = times.get(&row.ours.replace("BEST", best))?;
    let peers: Option<f64> = row.peers.iter().map(|peer| times.get(*peer)).sum();
    Some(peers? / ours)
}

/// What the figures were measured on.
fn machine(kernel: &str) -> Result<BTreeMap<&'static str, String>> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")).map(|rest| rest.trim_start_matches([' ', '\t', ':']).to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let commit = sh::output("git", &["describe", "--always", "--dirty"])?.trim().to_owned();
    let system = sh::output("uname", &["-sr"])?.trim().to_owned();
    let processor = format!("{}, {cores} cores, {}", model.unwrap_or_else(|| "unknown processor".into()), std::env::consts::ARCH);
    Ok(BTreeMap::from([("processor", processor), ("system", system), ("kernel", kernel.to_owned()), ("commit", commit)]))
}

fn as_value(machine: &BTreeMap<&str, String>, rows: &[(&Row, Option<f64>)]) -> Value {
    let rows: Vec<Value> = rows.iter().map(|(row, ratio)| json!({ "what": row.what, "ratio": ratio, "bar": row.bar })).collect();
    json!({ "machine": machine, "rows": rows })
}

fn print(machine: &BTreeMap<&str, String>, rows: &[(&Row, Option<f64>)]) {
    println!("{}; {}; coding kernel {}; commit {}.\n", machine["processor"], machine["system"], machine["kernel"], machine["commit"]);
    println!("| Ours / peer, both in one run on one core | Times as fast | Bar |\n|---|---:|---:|");
    for (row, ratio) in rows {
        let ratio = ratio.map_or_else(|| "not on this machine".into(), |ratio| format!("{ratio:.2}"));
        println!("| {} | {ratio} | {} |", row.what, row.bar.map_or_else(String::new, |bar| format!("{bar:.2}")));
    }
}

/// Fails when a bar is missed.
fn judge(rows: &[(&Row, Option<f64>)], best: &str) -> Result<()> {
    if best != BARS_FOR {
        bail!("the bars are set for machines with {BARS_FOR}; this one's best kernel is {best}, so nothing was judged");
    }
    let short = |(row, ratio): &(&Row, Option<f64>)| {
        let bar = row.bar?;
        ratio.is_none_or(|ratio| ratio < bar).then(|| format!("{}: {:.2} of {bar:.2}", row.what, ratio.unwrap_or_default()))
    };
    let short: Vec<String> = rows.iter().filter_map(short).collect();
    if !short.is_empty() {
        bail!("below the bar, on a machine that may have been busy:\n  {}", short.join("\n  "));
    }
    eprintln!("every bar is met");
    Ok(())
}
