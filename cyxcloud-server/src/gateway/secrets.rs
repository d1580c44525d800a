//! What a cluster keeps secret: the key that signs capabilities, and the token that lets new nodes join.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use cyxcloud_sdk::credential::write_secret;

/// Fewest bytes of a token that somebody chose.
const MIN_BYTES: usize = 16;

/// What lets a new node join.
pub struct JoinToken(String);

impl JoinToken {
    /// The token of `CYX_JOIN_TOKEN`, or of the file at `path`, or a new one that is put there.
    ///
    /// # Errors
    /// When it is too short or the file cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
        let token = match std::env::var("CYX_JOIN_TOKEN").ok().filter(|token| !token.is_empty()) {
            Some(token) => token,
            None => kept(path)?,
        };
        ensure!(
            token.len() >= MIN_BYTES,
            "a join token has at least {MIN_BYTES} characters; that of CYX_JOIN_TOKEN or {} has fewer",
            path.display()
        );
        Ok(Self(token))
    }

    /// Whether this is it; the time it takes says nothing about it.
    pub fn is(&self, given: &str) -> bool {
        // Hashes of blake3 are compared in constant time.
        blake3::hash(given.as_bytes()) == blake3::hash(self.0.as_bytes())
    }
}

fn kept(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        other => return other.map(|token| token.trim().to_owned()).with_context(|| format!("cannot read {}", path.display())),
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).context("no randomness from the operating system")?;
    let token = hex::encode(secret);
    write_secret(path, token.as_bytes())?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_nothing_else_is_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("join.token");
        let token = JoinToken::open(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(JoinToken::open(&path).unwrap().is(&text));
        assert!(!token.is("") && !token.is(&text[1..]) && !token.is(&format!("{text} ")));
        std::fs::write(&path, "short").unwrap();
        assert!(JoinToken::open(&path).is_err());
    }
}
