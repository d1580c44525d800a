//! Bugs planted on purpose, each by wrapping a port: a checker that has never caught anything proves nothing.

use std::fmt;
use std::str::FromStr;

use super::check::Checker;

macro_rules! sabotages {
    ($($(#[$doc:meta])* $name:ident $text:literal by $checkers:expr, within $seeds:literal;)*) => {
        /// A planted bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sabotage { $($(#[$doc])* $name),* }

        impl Sabotage {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// The checkers that may be the one that finds it.
            pub fn caught_by(self) -> &'static [Checker] {
                match self { $(Self::$name => $checkers),* }
            }

            /// It is found within this many seeds from 0 on.
            pub fn seeds(self) -> u64 {
                match self { $(Self::$name => $seeds),* }
            }
        }
    };
}

sabotages! {
    /// A disk says a frame is stored before it is synced.
    AckBeforeSync "ack-before-sync" by &[Checker::I9], within 20;
    /// Repair places shards over whatever copies a newer write has recorded.
    RepairOverwrites "repair-overwrites" by &[Checker::I4, Checker::I5], within 2000;
    /// Nodes delete whatever the fence says.
    NoFence "no-fence" by &[Checker::I5, Checker::I9, Checker::I12], within 300;
    /// Up to two shards of a chunk that could not be stored count as stored.
    QuorumTwelve "quorum-twelve" by &[Checker::I9], within 50;
    /// Preconditions are ignored.
    NoCompareAndSet "no-compare-and-set" by &[Checker::I3], within 30;
    /// Deletes that could not reach a node count as done, and the collector never looks there again.
    LostDelete "lost-delete" by &[Checker::I5], within 150;
    /// Repair does not read back what it stored.
    NoReadBack "no-read-back" by &[Checker::I4], within 100;
    /// Readers do not check shards against their roots.
    NoShardChecksum "no-shard-checksum" by &[Checker::I2], within 500;
    /// Accounts may hold twice their quota.
    LooseQuota "loose-quota" by &[Checker::I6], within 200;
    /// The collector deletes copies that records do not name without asking for those that they name.
    HastyCollector "hasty-collector" by &[Checker::I5], within 100;
}

impl fmt::Display for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Sabotage {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let names = || Self::ALL.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ");
        Self::ALL.iter().copied().find(|s| s.name() == name).ok_or_else(|| format!("{name:?} is none of {}", names()))
    }
}
