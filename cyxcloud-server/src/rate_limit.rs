//! How many requests an account may make in a minute, at all gateways together.
//!
//! The count is shared through the metadata store, in a counter for each account and minute. A gateway takes from it a small batch at a time, so that few
//! requests wait for it, and gives nothing back: a minute may end with fewer requests than allowed, by less than a batch for each gateway, and never with more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::core::id::AccountId;
use cyxcloud_sdk::core::port::{Environment, Meta, NoteName};

const MINUTE_MS: u64 = 60_000;
/// A counter is kept for so long, so that gateways whose clocks differ meet in it.
const COUNTER_MS: u64 = 3 * MINUTE_MS;
/// Batches that make a whole minute's requests.
const BATCHES: u32 = 60;
/// After the counter could not be reached, this gateway counts alone for so long.
const ALONE_MS: u64 = 5_000;

/// The limit and what was used of it here.
pub struct RateLimit {
    meta: Arc<dyn Meta>,
    env: Arc<dyn Environment>,
    per_minute: u32,
    here: Mutex<Here>,
}

/// The account has made its requests of this minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany {
    /// Until the next minute.
    pub retry_after_seconds: u64,
}

impl TooMany {
    fn at(now: Timestamp) -> Self {
        Self { retry_after_seconds: (MINUTE_MS - now.0 % MINUTE_MS).div_ceil(1000) }
    }
}

#[derive(Default)]
struct Here {
    minute: u64,
    /// Of this minute only, so that it does not grow.
    accounts: HashMap<AccountId, Allowance>,
    alone_until: Timestamp,
}

#[derive(Clone, Copy, Default)]
struct Allowance {
    /// Requests taken from the counter and not made yet.
    left: u32,
    /// Requests made here.
    made: u32,
    is_over: bool,
}

impl RateLimit {
    /// So many requests for each account; None for 0, which is no limit.
    pub fn new(meta: Arc<dyn Meta>, env: Arc<dyn Environment>, per_minute: u32) -> Option<Arc<Self>> {
        (per_minute > 0).then(|| Arc::new(Self { meta, env, per_minute, here: Mutex::default() }))
    }

    /// Whether the account is known to have made its requests of this minute; counts nothing.
    ///
    /// # Errors
    /// When it has.
    pub fn look(&self, account: AccountId) -> Result<(), TooMany> {
        let now = self.env.now();
        let is_over = self.here(now.0 / MINUTE_MS).accounts.get(&account).is_some_and(|allowance| allowance.is_over);
        if is_over { Err(TooMany::at(now)) } else { Ok(()) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// When it is one too many.
    pub async fn admit(&self, account: AccountId) -> Result<(), TooMany> {
        let now = self.env.now();
        let minute = now.0 / MINUTE_MS;
        let too_many = TooMany::at(now);
        let alone = {
            let mut here = self.here(minute);
            let alone = now < here.alone_until;
            let allowance = here.accounts.entry(account).or_default();
            if allowance.left > 0 {
                allowance.left -= 1;
                allowance.made += 1;
                return Ok(());
            }
            if allowance.is_over {
                return Err(too_many);
            }
            alone
        };
        let taken = if alone { None } else { self.take(account, minute).await };
        let mut here = self.here(minute);
        if taken.is_none() && !alone {
            here.alone_until = now.plus_ms(ALONE_MS);
        }
        let is_now = here.minute == minute;
        let allowance = here.accounts.entry(account).or_default();
        // A limit keeps the service usable and nobody out: where the others cannot be asked, each gateway allows as many as one alone would.
        let taken = taken.unwrap_or_else(|| self.per_minute.saturating_sub(allowance.made).min(1));
        match taken.checked_sub(1) {
            None => {
                allowance.is_over |= is_now;
                Err(too_many)
            }
            Some(left) => {
                // What was taken in the minute before is not of this one.
                if is_now {
                    allowance.left += left;
                    allowance.made += 1;
                }
                Ok(())
            }
        }
    }

    /// Requests taken from the counter; None when it cannot be reached.
    async fn take(&self, account: AccountId, minute: u64) -> Option<u32> {
        let batch = (self.per_minute / BATCHES).max(1);
        let name = NoteName::new("requests of an account in a minute", &[account.0.as_slice(), &minute.to_be_bytes()].concat());
        let sum = match self.meta.count(name, batch, COUNTER_MS).await {
            Ok(sum) => sum,
            Err(error) => {
                tracing::warn!(%error, "the requests of an account cannot be counted together with other gateways; each counts alone");
                return None;
            }
        };
        let before = sum.saturating_sub(u64::from(batch));
        let left = u64::from(self.per_minute).saturating_sub(before);
        Some(batch.min(u32::try_from(left).unwrap_or(u32::MAX)))
    }

    /// What was used in `minute`, or in a later one that has begun meanwhile.
    fn here(&self, minute: u64) -> MutexGuard<'_, Here> {
        let mut here = self.here.lock().unwrap_or_else(PoisonError::into_inner);
        if minute > here.minute {
            here.minute = minute;
            here.accounts.clear();
        }
        here
    }
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} requests a minute", self.per_minute)
    }
}

#[cfg(test)]
mod tests {
    use cyxcloud_core::memory::MemoryMeta;
    use cyxcloud_core::testing::VirtualTime;

    use super::*;

    const ALICE: AccountId = AccountId([1; 16]);
    const BOB: AccountId = AccountId([2; 16]);

    fn limits<const N: usize>(clock: &VirtualTime, per_minute: u32) -> [Arc<RateLimit>; N] {
        let env: Arc<dyn Environment> = Arc::new(clock.clone());
        let meta: Arc<dyn Meta> = Arc::new(MemoryMeta::new(env.clone()));
        std::array::from_fn(|_| RateLimit::new(meta.clone(), env.clone(), per_minute).unwrap())
    }

    /// At the beginning of a minute.
    fn clock() -> VirtualTime {
        let clock = VirtualTime::new(1);
        clock.advance(MINUTE_MS - clock.now().0 % MINUTE_MS);
        clock
    }

    async fn admitted(limits: &[Arc<RateLimit>], account: AccountId, requests: usize) -> usize {
        let mut admitted = 0;
        for n in 0..requests {
            admitted += usize::from(limits[n % limits.len()].admit(account).await.is_ok());
        }
        admitted
    }

    #[tokio::test]
    async fn gateways_together_never_admit_more_than_the_limit() {
        for per_minute in [1, 2, 59, 60, 150, 1_000] {
            let clock = clock();
            let limits: [_; 3] = limits(&clock, per_minute);
            for _ in 0..3 {
                assert_eq!(admitted(&limits, ALICE, 3 * per_minute as usize + 3).await, per_minute as usize);
                assert_eq!(
                    admitted(&limits[..1], BOB, 2 * per_minute as usize).await,
                    per_minute as usize,
                    "one account does not use up another's"
                );
                clock.advance(MINUTE_MS - 1);
                assert_eq!(limits[0].admit(ALICE).await, Err(TooMany { retry_after_seconds: 1 }));
                assert_eq!(limits[0].look(ALICE), Err(TooMany { retry_after_seconds: 1 }));
                clock.advance(1);
                assert_eq!(limits[0].look(ALICE), Ok(()));
            }
        }
    }

    #[tokio::test]
    async fn requests_at_once_are_counted_too() {
        let limits: [_; 2] = limits(&clock(), 100);
        let requests = (0..400).map(|n| limits[n % 2].admit(ALICE));
        assert_eq!(futures::future::join_all(requests).await.into_iter().filter(Result::is_ok).count(), 100);
    }

    #[tokio::test]
    async fn what_was_not_used_is_not_carried_on() {
        let clock = clock();
        let limits: [_; 1] = limits(&clock, 600);
        assert_eq!(admitted(&limits, ALICE, 5).await, 5);
        clock.advance(MINUTE_MS);
        assert_eq!(admitted(&limits, ALICE, 1_000).await, 600);
    }

    #[test]
    fn no_limit_is_none() {
        let clock = clock();
        let env: Arc<dyn Environment> = Arc::new(clock);
        assert!(RateLimit::new(Arc::new(MemoryMeta::new(env.clone())), env, 0).is_none());
    }
}
