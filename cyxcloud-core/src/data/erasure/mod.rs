//! Reed-Solomon coding of one chunk: `k` data shards, `m` parity shards, any `k` give the rest.
//!
//! Parity is that of `reed-solomon-erasure` (GF(2^8) with polynomial 0x11D, Vandermonde matrix made systematic); the tests compare every kernel
//! with that crate. [`kernel`] has the loops, chosen at run time; [`Coder`] tells them which coefficients to use.

mod field;
pub mod kernel;
mod matrix;
mod plan;
mod scheme;

pub use kernel::Kernel;
pub use scheme::Scheme;

use crate::{Error, Result};
use matrix::{Matrix, parity_matrix};
use plan::Plans;

/// Encodes, checks and rebuilds chunks of one scheme. It keeps what it worked out for each pattern of losses: share it.
#[derive(Debug)]
pub struct Coder {
    scheme: Scheme,
    kernel: Kernel,
    parity: Matrix,
    plans: Plans,
}

impl Coder {
    /// A coder for `scheme` with the fastest kernel this machine has.
    pub fn new(scheme: Scheme) -> Self {
        Self::with_kernel(scheme, Kernel::best())
    }

    /// A coder that uses `kernel`.
    ///
    /// # Panics
    /// When this machine does not have it: see [`Kernel::available`].
    pub fn with_kernel(scheme: Scheme, kernel: Kernel) -> Self {
        assert!(kernel.is_available(), "this machine has no {kernel}");
        Self { scheme, kernel, parity: parity_matrix(scheme), plans: Plans::default() }
    }

    /// The scheme this coder was made for.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The kernel it uses.
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Computes the `m` parity shards of `k` data shards of one length.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when the number of shards or their lengths are not those of the scheme.
    ///
    /// ```
    /// use cyxcloud_core::data::erasure::{Coder, Scheme};
    ///
    /// let coder = Coder::new(Scheme::new(2, 1)?);
    /// let mut parity = coder.encode(&[b"left ", b"right"])?;
    /// let shards = [None, Some(&b"right"[..]), Some(&parity[0])];
    /// assert_eq!(coder.rebuild(&shards, &[0])?, [b"left "]);
    /// # Ok::<(), cyxcloud_core::Error>(())
    /// ```
    pub fn encode(&self, data: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
        let len = data.first().map_or(0, |shard| shard.len());
        let mut parity = vec![vec![0; len]; self.scheme.parity()];
        self.encode_into(data, &mut parity.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>())?;
        Ok(parity)
    }

    /// [`Coder::encode`] into `m` slices that are there already; what they held is overwritten. Any part of all shards may be encoded by itself.
    ///
    /// # Errors
    /// Those of [`Coder::encode`].
    pub fn encode_into(&self, data: &[&[u8]], parity: &mut [&mut [u8]]) -> Result<()> {
        self.check(data, &*parity)?;
        self.kernel.multiply(&self.parity, data, parity);
        Ok(())
    }

    /// Whether `parity` is the parity of `data`. Nothing is stored on the way, and the first difference ends it.
    ///
    /// # Errors
    /// Those of [`Coder::encode`].
    pub fn verify(&self, data: &[&[u8]], parity: &[&[u8]]) -> Result<bool> {
        self.check(data, parity)?;
        Ok(self.kernel.matches(&self.parity, data, parity))
    }

    /// The shards `wanted`, in that order, from the first `k` of `shards` that are there (`k + m` in order, None where one is missing).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Invalid`] when fewer than `k` are there, the lengths of those differ, or a wanted index is none of the scheme or wanted twice.
    /// Wanting nothing is no error.
    pub fn rebuild<S: AsRef<[u8]>>(&self, shards: &[Option<S>], wanted: &[usize]) -> Result<Vec<Vec<u8>>> {
        let shards: Vec<Option<&[u8]>> = shards.iter().map(|shard| shard.as_ref().map(AsRef::as_ref)).collect();
        let len = shards.iter().flatten().next().map_or(0, |shard| shard.len());
        let mut made = vec![vec![0; len]; wanted.len()];
        self.rebuild_into(&shards, &mut wanted.iter().copied().zip(made.iter_mut().map(Vec::as_mut_slice)).collect::<Vec<_>>())?;
        Ok(made)
    }

    /// [`Coder::rebuild`] into slices that are there already, each with the index of the shard it shall become. `wanted` is left sorted by index.
    ///
    /// # Errors
    /// Those of [`Coder::rebuild`].
    pub fn rebuild_into(&self, shards: &[Option<&[u8]>], wanted: &mut [(usize, &mut [u8])]) -> Result<()> {
        let total = self.scheme.total();
        wanted.sort_unstable_by_key(|(index, _)| *index);
        if shards.len() != total || wanted.iter().any(|(index, _)| *index >= total) {
            return Err(Error::invalid(format!("{} has shards 0 to {}; {} were given", self.scheme, total - 1, shards.len())));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        if wanted.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::invalid("one shard was asked for twice"));
        }
        let present: Vec<usize> = (0..total).filter(|index| shards[*index].is_some()).collect();
        let indexes: Vec<usize> = wanted.iter().map(|(index, _)| *index).collect();
        let plan = self.plans.get(self.scheme, &self.parity, &present, &indexes)?;
        let inputs: Vec<&[u8]> = plan.inputs.iter().filter_map(|index| shards[*index]).collect();
        let mut outputs: Vec<&mut [u8]> = wanted.iter_mut().map(|(_, slice)| &mut **slice).collect();
        one_length(&inputs, &outputs)?;
        self.kernel.multiply(&plan.matrix, &inputs, &mut outputs);
        Ok(())
    }

    fn check(&self, data: &[&[u8]], parity: &[impl AsRef<[u8]>]) -> Result<()> {
        if data.len() != self.scheme.data() || parity.len() != self.scheme.parity() {
            return Err(Error::invalid(format!("{} does not code {} data and {} parity shards", self.scheme, data.len(), parity.len())));
        }
        one_length(data, parity)
    }
}

fn one_length(inputs: &[&[u8]], outputs: &[impl AsRef<[u8]>]) -> Result<()> {
    let len = inputs.first().map_or(0, |input| input.len());
    if inputs.iter().all(|input| input.len() == len) && outputs.iter().all(|output| output.as_ref().len() == len) {
        return Ok(());
    }
    Err(Error::invalid("shards of different lengths cannot be coded together"))
}

#[cfg(test)]
mod tests;
