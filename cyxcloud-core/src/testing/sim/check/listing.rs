//! I8: a page of a list is what may have been there while it was made: every object on it, and nothing between them.

use std::collections::BTreeSet;

use super::history::{History, Key};
use super::{Broken, Checker};
use crate::engine::{ListQuery, Listing};
use crate::port::ScanStart;
use crate::testing::sim::content::Value;
use crate::testing::sim::ops::{KEYS, key_number};
use crate::testing::sim::trace::About;
use crate::testing::sim::world::World;

/// Checks a page that was asked for at `from` and answered at `to`.
pub(in crate::testing::sim) fn check(world: &World, bucket: u8, query: &ListQuery, page: &Listing, from: u64, to: u64) {
    let broken: Broken = {
        let history = world.history();
        let read = Read { history: &history, bucket, query, page, from, to };
        read.fault().map(|(key, message)| (message, About { key, ..About::default() }))
    };
    world.check(Checker::I8, broken);
}

struct Read<'a> {
    history: &'a History,
    bucket: u8,
    query: &'a ListQuery,
    page: &'a Listing,
    from: u64,
    to: u64,
}

impl Read<'_> {
    fn fault(&self) -> Option<(Option<u16>, String)> {
        let count = self.page.objects.len() + self.page.prefixes.len();
        if count > self.query.limit {
            return Some((None, format!("{count} entries on a page of {}", self.query.limit)));
        }
        for head in &self.page.objects {
            let Some(key) = key_number(head.key.as_str()) else { return Some((None, format!("unknown key {}", head.key))) };
            let value = Value::parse(&head.etag).filter(|value| value.len() == head.size_bytes);
            let possible = self.possible(key);
            if !value.is_some_and(|value| possible.contains(&Some(value.write))) {
                return Some((Some(key), format!("list {:?} shows {} {}: {}", self.query, head.key, head.etag, self.tell(key))));
            }
        }
        for prefix in &self.page.prefixes {
            let under = |key: &&u16| KEYS[usize::from(**key)].starts_with(prefix.as_str());
            let keys: Vec<u16> = (0..KEYS.len() as u16).collect();
            if !keys.iter().filter(under).any(|key| self.possible(*key).iter().any(Option::is_some)) {
                return Some((None, format!("list {:?} shows prefix {prefix}, under which nothing can be", self.query)));
            }
        }
        self.left_out()
    }

    /// A key that belongs on the page, must have been there, and is not on it.
    fn left_out(&self) -> Option<(Option<u16>, String)> {
        let shown: BTreeSet<&str> = self.page.objects.iter().map(|head| head.key.as_str()).collect();
        (0..KEYS.len() as u16).find_map(|key| {
            let name = KEYS[usize::from(key)];
            let folded = self.page.prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()));
            let in_range =
                name.starts_with(&self.query.prefix) && self.begun(name) && (!self.page.truncated || name <= self.page.last.as_str());
            if !in_range || shown.contains(name) || folded || self.possible(key).contains(&None) {
                return None;
            }
            Some((Some(key), format!("list {:?} leaves out {name}: {}", self.query, self.tell(key))))
        })
    }

    fn begun(&self, name: &str) -> bool {
        match &self.query.start {
            ScanStart::First => true,
            ScanStart::After(text) => name > text.as_str() && !(self.is_folded(text) && name.starts_with(text.as_str())),
            ScanStart::From(text) => name >= text.as_str(),
        }
    }

    /// Whether `text` stands for all that begins with it: a page after it goes on behind them.
    fn is_folded(&self, text: &str) -> bool {
        let rest = text.strip_prefix(self.query.prefix.as_str());
        self.query.delimiter.is_some() && rest.is_some_and(|rest| rest.find('/') == rest.len().checked_sub(1) && !rest.is_empty())
    }

    fn key(&self, key: u16) -> Key {
        (self.bucket, key)
    }

    fn possible(&self, key: u16) -> Vec<Option<u32>> {
        self.history.possible(self.key(key), self.from, self.to)
    }

    fn tell(&self, key: u16) -> String {
        format!("asked {}..{}; {}", self.from, self.to, self.history.tell(self.key(key)))
    }
}
