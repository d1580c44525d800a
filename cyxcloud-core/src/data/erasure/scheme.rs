//! The name of a code: how many data and how many parity shards.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How a chunk is coded: `data` + `parity` shards, 10+4 by default.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct Scheme {
    data: u16,
    parity: u16,
}

impl Scheme {
    /// 10 data and 4 parity shards.
    pub const DEFAULT: Self = Self { data: 10, parity: 4 };

    /// `data` >= 1 and `data + parity` <= 256, the limit of the field. `parity` 0 stores plain stripes.
    ///
    /// ```
    /// use cyxcloud_core::data::erasure::Scheme;
    /// assert_eq!(Scheme::new(10, 4).unwrap(), Scheme::DEFAULT);
    /// assert!(Scheme::new(250, 7).is_err());
    /// ```
    pub fn new(data: usize, parity: usize) -> Result<Self> {
        if data == 0 || data.saturating_add(parity) > 256 {
            return Err(Error::invalid(format!("scheme {data}+{parity}: needs at least 1 data shard and at most 256 in all")));
        }
        Ok(Self { data: data as u16, parity: parity as u16 })
    }

    /// `k`, the number of data shards.
    pub fn data(self) -> usize {
        self.data.into()
    }

    /// `m`, the number of parity shards: how many losses a chunk survives.
    pub fn parity(self) -> usize {
        self.parity.into()
    }

    /// `k + m`.
    pub fn total(self) -> usize {
        self.data() + self.parity()
    }
}

impl TryFrom<(u16, u16)> for Scheme {
    type Error = Error;
    fn try_from((data, parity): (u16, u16)) -> Result<Self> {
        Self::new(data.into(), parity.into())
    }
}

impl From<Scheme> for (u16, u16) {
    fn from(scheme: Scheme) -> Self {
        (scheme.data, scheme.parity)
    }
}

impl std::fmt::Display for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}+{}", self.data, self.parity)
    }
}

impl std::fmt::Debug for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::str::FromStr for Scheme {
    type Err = Error;
    /// Reads `10+4`.
    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("scheme {text:?} is not of the form 10+4"));
        let (data, parity) = text.split_once('+').ok_or_else(bad)?;
        Self::new(data.parse().map_err(|_| bad())?, parity.parse().map_err(|_| bad())?)
    }
}
