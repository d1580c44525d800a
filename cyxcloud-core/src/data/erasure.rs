//! Reed-Solomon coding of one chunk: `k` data shards, `m` parity shards, any `k` give the rest.
//!
//! Parity is that of `reed-solomon-erasure` (GF(2^8) with polynomial 0x11D, Vandermonde matrix made systematic). The slices in
//! and out are plain, so that a kernel of our own can stand behind the same functions.

use reed_solomon_erasure::galois_8::ReedSolomon;
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

/// Encodes and reconstructs chunks of one scheme. Cheap to share, costly to make: keep it.
#[derive(Debug)]
pub struct Coder {
    scheme: Scheme,
    /// None for schemes without parity, which the crate does not know.
    code: Option<ReedSolomon>,
}

impl Coder {
    /// A coder for `scheme`.
    pub fn new(scheme: Scheme) -> Self {
        let code =
            (scheme.parity() > 0).then(|| ReedSolomon::new(scheme.data(), scheme.parity()).expect("Scheme::new holds the crate's bounds"));
        Self { scheme, code }
    }

    /// The scheme this coder was made for.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Computes the `m` parity shards of `k` data shards of one length.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the number of shards or their lengths are not those of the scheme.
    pub fn encode(&self, data: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
        let Some(code) = &self.code else { return Ok(Vec::new()) };
        let len = data.first().map_or(0, |s| s.len());
        let mut parity = vec![vec![0; len]; self.scheme.parity()];
        code.encode_sep(data, &mut parity).map_err(unusable)?;
        Ok(parity)
    }

    /// Fills in every missing data shard (index below `k`) from any `k` present shards of one length; parity stays as it is.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when fewer than `k` shards are present or the lengths differ.
    pub fn reconstruct_data(&self, shards: &mut [Option<Vec<u8>>]) -> Result<()> {
        if shards.len() == self.scheme.total() && shards[..self.scheme.data()].iter().all(Option::is_some) {
            return Ok(());
        }
        match &self.code {
            Some(code) => code.reconstruct_data(shards).map_err(unusable),
            None => Err(Error::invalid("a scheme without parity cannot reconstruct a lost shard")),
        }
    }

    /// Fills in every missing shard, data and parity, from any `k` present shards of one length.
    ///
    /// # Errors
    /// Those of [`Coder::reconstruct_data`].
    pub fn reconstruct(&self, shards: &mut [Option<Vec<u8>>]) -> Result<()> {
        if shards.len() == self.scheme.total() && shards.iter().all(Option::is_some) {
            return Ok(());
        }
        match &self.code {
            Some(code) => code.reconstruct(shards).map_err(unusable),
            None => Err(Error::invalid("a scheme without parity cannot reconstruct a lost shard")),
        }
    }
}

fn unusable(e: reed_solomon_erasure::Error) -> Error {
    Error::invalid("these shards cannot be coded together").with_source(e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_code_is_the_one_on_disk() {
        // First parity row of 10+4: encode the unit vectors and read the matrix back.
        let coder = Coder::new(Scheme::DEFAULT);
        let row: Vec<u8> = (0..10)
            .map(|at| {
                let data: Vec<Vec<u8>> = (0..10).map(|i| vec![u8::from(i == at)]).collect();
                coder.encode(&data.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap()[0][0]
            })
            .collect();
        assert_eq!(row, [129, 150, 175, 184, 210, 196, 254, 232, 3, 2]);
    }

    #[test]
    fn every_four_losses_of_ten_plus_four_reconstruct() {
        let coder = Coder::new(Scheme::DEFAULT);
        let data: Vec<Vec<u8>> = (0..10u8).map(|i| (0..64u8).map(|j| i.wrapping_mul(37) ^ j).collect()).collect();
        let parity = coder.encode(&data.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        let all: Vec<Vec<u8>> = data.iter().chain(&parity).cloned().collect();
        let mut patterns = 0;
        for lost in (0u32..1 << 14).filter(|bits| bits.count_ones() == 4) {
            let mut shards: Vec<_> = all.iter().enumerate().map(|(i, s)| (lost >> i & 1 == 0).then(|| s.clone())).collect();
            coder.reconstruct_data(&mut shards).unwrap();
            assert!((0..10).all(|i| shards[i].as_ref() == Some(&data[i])), "lost {lost:014b}");
            patterns += 1;
        }
        assert_eq!(patterns, 1001);
    }

    #[test]
    fn too_few_shards_are_an_error() {
        let coder = Coder::new(Scheme::new(3, 2).unwrap());
        let mut shards = vec![Some(vec![1; 4]), None, None, None, Some(vec![2; 4])];
        assert_eq!(coder.reconstruct_data(&mut shards).unwrap_err().kind(), crate::ErrorKind::Invalid);
        let mut plain = vec![Some(vec![1]), None];
        assert!(Coder::new(Scheme::new(2, 0).unwrap()).reconstruct_data(&mut plain).is_err());
    }

    proptest! {
        #[test]
        fn any_k_shards_suffice(k in 1usize..40, m in 0usize..10, len in 1usize..200, seed: u64) {
            let coder = Coder::new(Scheme::new(k, m).unwrap());
            let mut random = crate::testing::SplitMix64(seed);
            let data: Vec<Vec<u8>> = (0..k).map(|_| (0..len).map(|_| random.next() as u8).collect()).collect();
            let parity = coder.encode(&data.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            let mut shards: Vec<_> = data.iter().chain(&parity).cloned().map(Some).collect();
            for _ in 0..m {
                let at = random.below(shards.len());
                shards[at] = None;
            }
            coder.reconstruct_data(&mut shards).unwrap();
            for (got, want) in shards.iter().zip(&data) {
                prop_assert_eq!(got.as_ref(), Some(want));
            }
        }
    }

    #[test]
    fn the_largest_scheme_works() {
        let coder = Coder::new(Scheme::new(200, 56).unwrap());
        let data: Vec<Vec<u8>> = (0..200u8).map(|i| vec![i; 3]).collect();
        let parity = coder.encode(&data.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        let mut shards: Vec<_> = data.iter().chain(&parity).cloned().map(Some).collect();
        shards[..56].fill(None);
        coder.reconstruct_data(&mut shards).unwrap();
        assert_eq!(shards[0].as_deref(), Some(&[0u8, 0, 0][..]));
        assert_eq!(shards[55].as_deref(), Some(&[55u8, 55, 55][..]));
    }
}
