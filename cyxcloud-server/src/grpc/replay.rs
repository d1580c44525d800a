//! Nonces that were seen, so that nobody sends a signed request a second time.

use std::collections::HashSet;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cyxcloud_sdk::core::Timestamp;
use cyxcloud_sdk::credential::MAX_CLOCK_SKEW_MS;

use super::Caller;

/// As long as a request may be accepted: signed by a clock that is ahead, it is good until that clock's time is as far behind.
pub(super) const WINDOW_MS: u64 = 2 * MAX_CLOCK_SKEW_MS;

/// What became of a nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonce {
    /// It is new, and known from now on.
    New,
    /// It was seen before.
    Seen,
    /// There is no room to remember it, so that it cannot be accepted.
    NoRoom,
}

/// Nonces of accounts, of nodes, and of strangers who would like to be nodes: none of them can take the room of the others.
#[derive(Debug)]
pub(super) struct Rooms {
    accounts: Mutex<Seen>,
    nodes: Mutex<Seen>,
    strangers: Mutex<Seen>,
}

impl Rooms {
    /// Room for so many nonces in a window: of accounts, of nodes, of strangers.
    pub(super) fn new(rooms: [usize; 3]) -> Self {
        let [accounts, nodes, strangers] = rooms.map(|room| Mutex::new(Seen::new(room)));
        Self { accounts, nodes, strangers }
    }

    /// The nonces of those that the caller is one of; `known` when he belongs to the cluster.
    pub(super) fn of(&self, caller: &Caller, known: bool) -> MutexGuard<'_, Seen> {
        let seen = match caller {
            Caller::Account { .. } => &self.accounts,
            Caller::Node(_) if known => &self.nodes,
            Caller::Node(_) => &self.strangers,
        };
        seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nonces of the last two windows. Memory is bounded: when there is no room, nothing is forgotten and nothing new is taken.
#[derive(Debug)]
pub(super) struct Seen {
    now: HashSet<[u8; 16]>,
    before: HashSet<[u8; 16]>,
    /// When `now` began.
    begun: Timestamp,
    room: usize,
}

impl Seen {
    /// Room for so many nonces in a window.
    pub(super) fn new(room: usize) -> Self {
        Self { now: HashSet::new(), before: HashSet::new(), begun: Timestamp(0), room }
    }

    /// Whether it was seen, without remembering it.
    pub(super) fn has(&self, nonce: &[u8; 16]) -> bool {
        self.now.contains(nonce) || self.before.contains(nonce)
    }

    pub(super) fn take(&mut self, nonce: [u8; 16], now: Timestamp) -> Nonce {
        if now >= self.begun.plus_ms(WINDOW_MS) {
            self.before = mem::take(&mut self.now);
            if now >= self.begun.plus_ms(2 * WINDOW_MS) {
                self.before.clear();
            }
            self.begun = now;
        }
        if self.has(&nonce) {
            Nonce::Seen
        } else if self.now.len() >= self.room {
            Nonce::NoRoom
        } else {
            self.now.insert(nonce);
            Nonce::New
        }
    }
}

#[cfg(test)]
mod tests {
    use cyxcloud_sdk::core::id::AccountId;
    use cyxcloud_sdk::credential::Identity;

    use super::*;

    #[test]
    fn a_busy_account_keeps_no_node_out_and_no_stranger_does() {
        let rooms = Rooms::new([1, 1, 1]);
        let account = Caller::Account { account: AccountId([1; 16]), access_key_id: "KEY".into() };
        let node = Caller::Node(Identity::from_secret([1; 32]).public_key());
        for (caller, known) in [(&account, true), (&node, false), (&node, true)] {
            assert_eq!(rooms.of(caller, known).take([1; 16], Timestamp(1)), Nonce::New);
            assert_eq!(rooms.of(caller, known).take([2; 16], Timestamp(1)), Nonce::NoRoom);
        }
    }

    #[test]
    fn a_nonce_is_known_for_a_window_at_least_and_forgotten_in_the_end() {
        let (mut seen, begun) = (Seen::new(10), Timestamp(1_000_000_000));
        assert_eq!(seen.take([1; 16], begun), Nonce::New);
        assert_eq!(seen.take([2; 16], begun.plus_ms(WINDOW_MS - 1)), Nonce::New);
        assert_eq!(seen.take([3; 16], begun.plus_ms(WINDOW_MS)), Nonce::New);
        for nonce in [1, 2, 3] {
            assert_eq!(seen.take([nonce; 16], begun.plus_ms(2 * WINDOW_MS - 1)), Nonce::Seen);
        }
        assert_eq!(seen.take([1; 16], begun.plus_ms(2 * WINDOW_MS)), Nonce::New);
        assert_eq!(seen.take([3; 16], begun.plus_ms(2 * WINDOW_MS)), Nonce::Seen);
        assert_eq!(seen.take([3; 16], begun.plus_ms(9 * WINDOW_MS)), Nonce::New);
    }

    #[test]
    fn without_room_nothing_is_taken_and_nothing_forgotten() {
        let (mut seen, now) = (Seen::new(2), Timestamp(1_000_000_000));
        assert_eq!([1, 2, 3, 1].map(|n| seen.take([n; 16], now)), [Nonce::New, Nonce::New, Nonce::NoRoom, Nonce::Seen]);
        assert_eq!(seen.take([3; 16], now.plus_ms(WINDOW_MS)), Nonce::New);
    }
}
