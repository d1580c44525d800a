//! Reads a whole store and compares what it says with what it serves.

use cyxcloud_core::ErrorKind;
use cyxcloud_core::port::ShardInfo;

use super::frames;
use super::kinds::Durable;
use super::ledger::Snapshot;

/// Frames in a page: few, so that many pages are needed.
const PAGE: usize = 7;

/// Everything in the store, each frame verified byte for byte; or all that does not agree.
pub async fn snapshot(store: &dyn Durable) -> Result<Snapshot, Vec<String>> {
    let mut wrong = Vec::new();
    let listed = list(store).await.map_err(|e| vec![e])?;
    let mut there = Snapshot::new();
    for info in &listed {
        match check(store, info).await {
            Ok((number, version)) => drop(there.insert(number, (version, info.epoch))),
            Err(why) => wrong.push(why),
        }
    }
    for number in (0..300).filter(|number| !listed.iter().any(|info| info.key == frames::key(*number))) {
        let (info, read) = (store.info(frames::key(number)).await, store.read(frames::key(number), 0, 1).await);
        if !matches!(info, Ok(None)) || !read.as_ref().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            wrong.push(format!("key {number} is not listed, but is known as {info:?} and reads as {read:?}"));
        }
    }
    let sum: u64 = listed.iter().map(|info| info.size_bytes).sum();
    match store.space().await {
        Ok(space) if space.used_bytes == sum && space.free_bytes <= space.capacity_bytes => {}
        other => wrong.push(format!("frames of {sum} bytes are listed, space says {other:?}")),
    }
    if wrong.is_empty() { Ok(there) } else { Err(wrong) }
}

async fn list(store: &dyn Durable) -> Result<Vec<ShardInfo>, String> {
    let mut listed: Vec<ShardInfo> = Vec::new();
    loop {
        let after = listed.last().map(|info| info.key);
        let page = store.list(after, PAGE).await.map_err(|e| format!("cannot be listed: {e}"))?;
        if page.is_empty() {
            return Ok(listed);
        }
        listed.extend(page);
        if !listed.is_sorted_by(|a, b| a.key < b.key) {
            return Err(format!("listed out of order: {:?}", &listed[listed.len().saturating_sub(PAGE + 1)..]));
        }
    }
}

async fn check(store: &dyn Durable, info: &ShardInfo) -> Result<(u16, u64), String> {
    let number = frames::number(info.key).ok_or_else(|| format!("{info:?} is no key that was ever written"))?;
    let known = store.info(info.key).await;
    let served = store.read(info.key, 0, u64::MAX).await.map_err(|e| format!("key {number} is listed but cannot be read: {e}"))?;
    if !matches!(&known, Ok(Some(known)) if known == info) || served.len() as u64 != info.size_bytes {
        return Err(format!("key {number}: listed as {info:?}, known as {known:?} and reads as {} bytes", served.len()));
    }
    let version = frames::recognise(number, &served).ok_or_else(|| format!("key {number} is served as no frame of it"))?;
    Ok((number, version))
}
