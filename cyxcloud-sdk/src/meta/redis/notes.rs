//! Notes and counters in Redis: each call is one script, so that nothing comes between.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use cyxcloud_core::port::NoteName;
use cyxcloud_core::{Error, Result, Timestamp};
use redis::Script;

use super::link::Link;

macro_rules! scripts {
    ($($name:ident = $code:literal;)+) => {
        $(static $name: LazyLock<Script> = LazyLock::new(|| Script::new(concat!(include_str!("notes.lua"), $code)));)+
    };
}

scripts! {
    ONCE = "
        local there = live(KEYS[2])
        if there then return {text(since), there} end
        keep(KEYS[2], ARGV[2], tonumber(ARGV[3]))
        return {text(since)}";
    PUT = "
        keep(KEYS[2], ARGV[2], tonumber(ARGV[3]))
        return {text(since)}";
    GET = "
        return {text(since), (live(KEYS[2]))}";
    TAKE = "
        local there = live(KEYS[2])
        redis.call('DEL', KEYS[2])
        return {text(since), there}";
    COUNT = "
        local there, expires = live(KEYS[2])
        local sum = tonumber(there or 0) + tonumber(ARGV[2])
        if there then
          redis.call('SET', KEYS[2], expires .. ' ' .. text(sum), 'KEEPTTL')
        else
          keep(KEYS[2], text(sum), tonumber(ARGV[3]))
        end
        return {text(since), text(sum)}";
    SINCE = "
        return {text(since)}";
}

/// Arguments of a script that has none.
const NOTHING: (&[u8], u64) = (b"", 0);

/// The notes of one cluster.
#[derive(Debug)]
pub(super) struct Notes {
    link: Link,
    prefix: String,
    /// The newest mark that an answer brought.
    since_ms: AtomicU64,
}

/// The time, where it is not the server's that decides.
pub(super) type Now = Option<Timestamp>;

impl Notes {
    /// Keys begin with `prefix`.
    pub(super) fn new(link: Link, prefix: String) -> Self {
        Self { link, prefix, since_ms: AtomicU64::new(0) }
    }

    pub(super) async fn once(&self, now: Now, name: NoteName, value: &[u8], ttl_ms: u64) -> Result<Option<Bytes>> {
        NoteName::check_value(value)?;
        self.run(&ONCE, now, self.key('n', name), (value, ttl_ms)).await
    }

    pub(super) async fn put(&self, now: Now, name: NoteName, value: &[u8], ttl_ms: u64) -> Result<()> {
        NoteName::check_value(value)?;
        self.run(&PUT, now, self.key('n', name), (value, ttl_ms)).await.map(drop)
    }

    pub(super) async fn get(&self, now: Now, name: NoteName) -> Result<Option<Bytes>> {
        self.run(&GET, now, self.key('n', name), NOTHING).await
    }

    pub(super) async fn take(&self, now: Now, name: NoteName) -> Result<Option<Bytes>> {
        self.run(&TAKE, now, self.key('n', name), NOTHING).await
    }

    pub(super) async fn count(&self, now: Now, name: NoteName, amount: u32, window_ms: u64) -> Result<u64> {
        let sum = self.run(&COUNT, now, self.key('c', name), (amount.to_string().as_bytes(), window_ms)).await?;
        sum.as_deref().and_then(number).ok_or_else(nonsense)
    }

    /// Every answer brings it, so whoever asks after another call costs no round trip.
    pub(super) async fn since(&self, now: Now) -> Result<Timestamp> {
        if self.since_ms.load(Ordering::Relaxed) == 0 {
            self.run(&SINCE, now, Vec::new(), NOTHING).await?;
        }
        Ok(Timestamp(self.since_ms.load(Ordering::Relaxed)))
    }

    fn key(&self, kind: char, name: NoteName) -> Vec<u8> {
        [self.prefix.as_bytes(), &[kind as u8, b':'], name.as_bytes()].concat()
    }

    async fn run(&self, script: &Script, now: Now, key: Vec<u8>, arguments: (&[u8], u64)) -> Result<Option<Bytes>> {
        let mut call = script.key(format!("{}since", self.prefix));
        call.key(key).arg(now.map_or_else(String::new, |now| now.0.to_string())).arg(arguments);
        let call = &call;
        let mut answer: Vec<Vec<u8>> = self.link.ask(async |mut connection| call.invoke_async(&mut connection).await).await?;
        let value = if answer.len() > 1 { answer.pop().map(Bytes::from) } else { None };
        let since = answer.first().and_then(|since| number(since)).ok_or_else(nonsense)?;
        // Before the value is used: see `since`. It never goes back, so that what was refused once is not accepted then.
        self.since_ms.fetch_max(since, Ordering::Relaxed);
        Ok(value)
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

fn nonsense() -> Error {
    Error::unavailable("Redis gave an answer that is none")
}
