//! Keys out of passwords: Argon2id, RFC 9106.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use cyxcloud_core::engine::Engine;
use cyxcloud_core::{Error, Result};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::key::{Kek, random};

/// Bytes of a salt: as many as RFC 9106 recommends.
pub(super) const SALT_BYTES: usize = 16;
/// Keys that a password remembers; every process that writes with a password has a salt of its own.
const REMEMBERED: usize = 1024;

/// What it costs to make a key of a password, for us and for whoever guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordCost {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// How often the memory is gone over.
    pub passes: u32,
    /// How many threads a guesser could use at once.
    pub lanes: u32,
}

impl Default for PasswordCost {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl PasswordCost {
    /// The second of the two choices in RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes.
    pub const DEFAULT: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 4 };
    /// The least memory, KiB.
    pub const MIN_MEMORY_KIB: u32 = 7 << 10;
    /// The most memory, KiB: an envelope comes from whoever holds the object, and must not make a client allocate what he likes.
    pub const MAX_MEMORY_KIB: u32 = 256 << 10;
    /// The most passes, for the same reason.
    pub const MAX_PASSES: u32 = 16;
    /// The most lanes.
    pub const MAX_LANES: u32 = 16;
    /// The least memory times passes: the cheapest choice of the OWASP Password Storage Cheat Sheet, 7 MiB and 5 passes.
    const MIN_KIB_PASSES: u64 = 35 << 10;

    /// Whether keys may cost this.
    ///
    /// # Errors
    /// [`cyxcloud_core::ErrorKind::Invalid`] when it is too little to protect a password, or more than a stranger may make us spend.
    pub fn validate(self) -> Result<()> {
        let Self { memory_kib, passes, lanes } = self;
        let right = (Self::MIN_MEMORY_KIB..=Self::MAX_MEMORY_KIB).contains(&memory_kib)
            && (1..=Self::MAX_PASSES).contains(&passes)
            && (1..=Self::MAX_LANES).contains(&lanes)
            && u64::from(memory_kib) * u64::from(passes) >= Self::MIN_KIB_PASSES;
        if right {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "Argon2id with {memory_kib} KiB, {passes} passes and {lanes} lanes is refused: {} to {} KiB, 1 to {} passes, 1 to {} lanes and at least {} \
             KiB times passes",
            Self::MIN_MEMORY_KIB,
            Self::MAX_MEMORY_KIB,
            Self::MAX_PASSES,
            Self::MAX_LANES,
            Self::MIN_KIB_PASSES
        )))
    }
}

type Salt = [u8; SALT_BYTES];

/// A password and the keys that were made of it.
pub(super) struct Password {
    text: Arc<Zeroizing<Vec<u8>>>,
    /// For keys that wrap.
    pub cost: PasswordCost,
    /// The same, new for every `Password`.
    pub salt: Salt,
    /// One is made at a time, whatever the number of readers: each needs its memory.
    making: Mutex<()>,
    made: Arc<Made>,
}

impl Password {
    pub fn new(text: &str, cost: PasswordCost) -> Result<Self> {
        cost.validate()?;
        if text.is_empty() {
            return Err(Error::invalid("the password is empty"));
        }
        Ok(Self {
            text: Arc::new(Zeroizing::new(text.as_bytes().to_vec())),
            cost,
            salt: random()?,
            making: Mutex::default(),
            made: Arc::default(),
        })
    }

    /// The key for this salt and cost, made on the threads for CPU work unless it is remembered. A reader that goes away meanwhile leaves it to the next.
    pub async fn kek(&self, engine: &Engine, salt: Salt, cost: PasswordCost) -> Result<Arc<Kek>> {
        cost.validate()?;
        let _only = self.making.lock().await;
        if let Some(kek) = remembered(&self.made, salt, cost) {
            return Ok(kek);
        }
        let (text, made, own) = (self.text.clone(), self.made.clone(), self.salt);
        let make = move || {
            // Its reader was dropped, and with him the turn, while this waited for a thread or worked.
            if let Some(kek) = remembered(&made, salt, cost) {
                return Ok(kek);
            }
            let kek = Arc::new(Kek::new(derive(&text, &salt, cost)?));
            let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
            if made.len() == REMEMBERED
                && let Some(oldest) = made.iter().position(|(salt, ..)| *salt != own)
            {
                // Never the one that is written with, whatever salts there are to be read.
                made.remove(oldest);
            }
            made.push_back((salt, cost, kek.clone()));
            Ok(kek)
        };
        engine.compute(make).await?
    }
}

type Made = std::sync::Mutex<VecDeque<(Salt, PasswordCost, Arc<Kek>)>>;

fn remembered(made: &Made, salt: Salt, cost: PasswordCost) -> Option<Arc<Kek>> {
    let made = made.lock().unwrap_or_else(PoisonError::into_inner);
    made.iter().find(|(s, c, _)| (*s, *c) == (salt, cost)).map(|(.., kek)| kek.clone())
}

fn derive(password: &[u8], salt: &[u8], cost: PasswordCost) -> Result<Zeroizing<[u8; 32]>> {
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(failed)?;
    hash(&Argon2::new(Algorithm::Argon2id, Version::V0x13, params), password, salt)
}

/// In memory of our own, which is wiped afterwards: the crate does not wipe what it allocates.
fn hash(argon2: &Argon2<'_>, password: &[u8], salt: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    let (blocks, mut memory) = (argon2.params().block_count(), Zeroizing::new(Vec::new()));
    memory.try_reserve_exact(blocks).map_err(|e| Error::unavailable("no memory is left to make a key of the password").with_source(e))?;
    memory.resize(blocks, Block::default());
    let mut key = Zeroizing::new([0; 32]);
    argon2.hash_password_into_with_memory(password, salt, &mut *key, &mut memory[..]).map_err(failed)?;
    Ok(key)
}

fn failed(error: argon2::Error) -> Error {
    Error::internal(format!("Argon2id failed: {error}"))
}

#[cfg(test)]
mod tests {
    use argon2::{AssociatedData, ParamsBuilder};
    use cyxcloud_core::ErrorKind;

    use super::*;

    /// RFC 9106, section 5.3.
    #[test]
    fn the_vector_of_the_rfc() {
        let params = ParamsBuilder::new().m_cost(32).t_cost(3).p_cost(4).data(AssociatedData::new(&[4; 12]).unwrap()).build().unwrap();
        let argon2 = Argon2::new_with_secret(&[3; 8], Algorithm::Argon2id, Version::V0x13, params).unwrap();
        let tag = hash(&argon2, &[1; 32], &[2; 16]).unwrap();
        assert_eq!(hex::encode(*tag), "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659");
    }

    /// What the C reference implementation makes (libargon2 20171227, `argon2id_hash_raw`).
    #[test]
    fn keys_are_those_of_the_reference_implementation() {
        let salt: Salt = std::array::from_fn(|i| i as u8);
        let least = PasswordCost { memory_kib: 7 << 10, passes: 5, lanes: 1 };
        let key = derive(b"correct horse battery staple", &salt, least).unwrap();
        assert_eq!(hex::encode(*key), "f1c6727e618b6204d873c6af6f66575aa15286bf766e496141d4bfb6994e97d9");
        let key = derive("pässwörd".as_bytes(), &salt, PasswordCost::DEFAULT).unwrap();
        assert_eq!(hex::encode(*key), "7240f238380e3bd9af44323106fee2e644a10f9575684f69a95d130fbf502cc2");
    }

    #[test]
    fn what_is_too_cheap_or_too_dear_is_refused() {
        let cost = |memory_kib, passes, lanes| PasswordCost { memory_kib, passes, lanes }.validate().map_err(|e| e.kind());
        for right in [cost(7 << 10, 5, 1), cost(47 << 10, 1, 1), cost(19 << 10, 2, 1), cost(64 << 10, 3, 4), cost(256 << 10, 16, 16)] {
            assert_eq!(right, Ok(()));
        }
        for wrong in [
            cost(0, 0, 0),
            cost(8, 1_000_000, 1),
            cost(7 << 10, 4, 1),
            cost(19 << 10, 1, 1),
            cost(4 << 20, 1, 1),
            cost(u32::MAX, u32::MAX, u32::MAX),
            cost(64 << 10, 17, 1),
            cost(64 << 10, 3, 17),
            cost(64 << 10, 3, 0),
        ] {
            assert_eq!(wrong, Err(ErrorKind::Invalid));
        }
    }
}
