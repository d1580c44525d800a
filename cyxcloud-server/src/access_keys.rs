//! The access keys of a cluster: one root pair and any number of further accounts.
//!
//! SigV4 needs the secret itself, so secrets are recoverable by design; at rest they are sealed under a key of the data directory.

use std::path::Path;
use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use cyxcloud_sdk::core::engine::Engine;
use cyxcloud_sdk::core::id::AccountId;
use cyxcloud_sdk::core::port::AccessKey;
use cyxcloud_sdk::credential::write_secret;
use cyxcloud_sdk::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::s3::{KeyPair, Keys};

/// Owner of everything the root pair makes; the account of an embedded cluster too.
pub const ROOT_ACCOUNT: AccountId = AccountId([0; 16]);
const NONCE_BYTES: usize = 12;

/// A pair as people see it, once.
#[derive(Clone, Serialize, Deserialize)]
pub struct ShownPair {
    /// The public half.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: String,
}

/// Looks pairs up in the cluster's metadata and makes new ones.
pub struct AccessKeys {
    engine: Arc<Engine>,
    root: ShownPair,
    seal: Aes256Gcm,
}

impl AccessKeys {
    /// Takes the root pair from `CYX_ROOT_ACCESS_KEY` and `CYX_ROOT_SECRET_KEY`, or from `directory`, or makes it there. The key that secrets are
    /// sealed under is in `directory` too.
    ///
    /// # Errors
    /// When the variables contradict each other or the files cannot be used; the message says which.
    pub async fn open(engine: Arc<Engine>, directory: &Path) -> Result<Self> {
        let root = match env_pair()? {
            Some(pair) => pair,
            None => kept(&directory.join("root-key.json"), || {
                let pair = new_pair()?;
                Ok(serde_json::to_vec_pretty(&pair)?)
            })
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
            .context("root-key.json in the data directory cannot be used")?,
        };
        let seal_path = directory.join("seal.key");
        if !seal_path.exists() && !engine.meta().list_access_keys().await?.is_empty() {
            anyhow::bail!("{} is missing, and the secrets of the accounts are sealed under it; restore it", seal_path.display());
        }
        let sealing = kept(&seal_path, || Ok(random::<32>()?.to_vec()))?;
        let sealing: [u8; 32] = sealing.try_into().ok().context("seal.key in the data directory must have 32 bytes")?;
        Ok(Self { engine, root, seal: Aes256Gcm::new(&Key::<Aes256Gcm>::from(sealing)) })
    }

    /// The root pair.
    pub fn root(&self) -> &ShownPair {
        &self.root
    }

    /// Makes an account `name` with a pair of its own; the only time its secret is shown.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] when the name is taken, [`ErrorKind::Invalid`] when it is empty or longer than 64 characters.
    pub async fn create(&self, name: &str) -> cyxcloud_sdk::Result<ShownPair> {
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
            return Err(Error::invalid("an account name has 1 to 64 printable characters"));
        }
        let engine = &self.engine;
        if name == "root" || engine.meta().list_access_keys().await?.iter().any(|key| key.name == name) {
            return Err(Error::already_exists(format!("account {name:?} is there already; choose another name")));
        }
        let broken = |e: anyhow::Error| Error::internal(format!("{e:#}"));
        let pair = new_pair().map_err(broken)?;
        let sealed_secret = self.seal(&pair).map_err(broken)?;
        let (id, account) = (pair.access_key_id.clone(), AccountId(engine.new_id()));
        let key = AccessKey { id, account, name: name.to_owned(), sealed_secret, created: engine.now() };
        engine.meta().put_access_key(key).await?;
        Ok(pair)
    }

    fn seal(&self, pair: &ShownPair) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: pair.secret_access_key.as_bytes(), aad: pair.access_key_id.as_bytes() };
        let sealed = self.seal.encrypt(&Nonce::from(nonce), payload).map_err(|_| anyhow::anyhow!("sealing failed"))?;
        Ok([&nonce[..], &sealed[..]].concat())
    }

    fn open_secret(&self, key: &AccessKey) -> Option<String> {
        let (nonce, sealed) = key.sealed_secret.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let secret = self.seal.decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad: key.id.as_bytes() }).ok()?;
        String::from_utf8(secret).ok()
    }
}

#[async_trait]
impl Keys for AccessKeys {
    async fn lookup(&self, access_key_id: &str) -> cyxcloud_sdk::Result<Option<KeyPair>> {
        if access_key_id == self.root.access_key_id {
            return Ok(Some(KeyPair { secret: self.root.secret_access_key.clone(), account: ROOT_ACCOUNT }));
        }
        let key = match self.engine.meta().access_key(access_key_id).await {
            Ok(key) => key,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let secret = self.open_secret(&key).ok_or_else(|| Error::internal("a stored secret was sealed under another seal.key"))?;
        Ok(Some(KeyPair { secret, account: key.account }))
    }
}

fn env_pair() -> Result<Option<ShownPair>> {
    let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (read("CYX_ROOT_ACCESS_KEY"), read("CYX_ROOT_SECRET_KEY")) {
        (None, None) => Ok(None),
        (Some(access_key_id), Some(secret_access_key)) => {
            ensure!(access_key_id.len() >= 3, "CYX_ROOT_ACCESS_KEY must have at least 3 characters");
            ensure!(secret_access_key.len() >= 8, "CYX_ROOT_SECRET_KEY must have at least 8 characters");
            Ok(Some(ShownPair { access_key_id, secret_access_key }))
        }
        _ => anyhow::bail!("set both CYX_ROOT_ACCESS_KEY and CYX_ROOT_SECRET_KEY, or neither"),
    }
}

/// Letters and digits only: such keys survive every shell, URL and configuration file.
fn new_pair() -> Result<ShownPair> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let pick = |n: &u8| LETTERS[usize::from(n % 32)] as char;
    let id: String = random::<17>()?.iter().map(pick).collect();
    let secret: String = random::<40>()?.iter().map(pick).collect();
    Ok(ShownPair { access_key_id: format!("CYX{id}"), secret_access_key: secret })
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("no randomness from the operating system")?;
    Ok(bytes)
}

/// Reads a secret file, or makes it, durable and readable by its owner only.
fn kept(path: &Path, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        other => return other.with_context(|| format!("cannot read {}", path.display())),
    }
    let bytes = make()?;
    write_secret(path, &bytes)?;
    Ok(bytes)
}
