//! Signed requests to a gateway: who asks, when, and exactly what.
//!
//! ```text
//! authorization: CYX1 kind=node,key=HEX32,time=MS,nonce=HEX16,body=HEX32,signature=HEX64
//! authorization: CYX1 kind=access,key=ACCESS_KEY_ID,time=MS,nonce=HEX16,body=HEX32,signature=HEX32
//! ```
//!
//! Signed are the gRPC path, the time, a nonce and the BLAKE3 of the body as it is sent. The header names that hash, so that a gateway knows whom it deals with before
//! it reads a body. A node signs with Ed25519; the owner of an access key with BLAKE3 keyed by a key derived from his secret.

use std::fmt;
use std::sync::Arc;

use cyxcloud_core::Timestamp;

use super::identity::{Identity, PublicKey, SIGNATURE_BYTES};

/// How far the clocks of caller and gateway may differ.
pub const MAX_CLOCK_SKEW_MS: u64 = 5 * 60_000;

const SCHEME: &str = "CYX1 ";
const MAC_CONTEXT: &str = "cyxcloud 2026-11 gRPC request of an access key v1";

/// Whose signature.
#[derive(Clone)]
pub enum RequestSigner {
    /// A node's.
    Node(Arc<Identity>),
    /// The owner's of an access key.
    AccessKey {
        /// The public half.
        id: String,
        /// The secret half.
        secret: String,
    },
}

impl fmt::Debug for RequestSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(identity) => write!(f, "{identity:?}"),
            Self::AccessKey { id, .. } => write!(f, "access key {id}"),
        }
    }
}

/// Who says he signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// A node by its public key.
    Node(PublicKey),
    /// An access key by its id.
    AccessKey(String),
}

/// What an `authorization` header claims; [`Claim::verify`] says whether it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who says so.
    pub signer: Signer,
    /// When it was signed, by the signer's clock.
    pub time: Timestamp,
    /// New for every request.
    pub nonce: [u8; 16],
    body: blake3::Hash,
    signature: Vec<u8>,
}

impl RequestSigner {
    /// The `authorization` header of a request.
    pub fn header(&self, path: &str, body: &[u8], time: Timestamp, nonce: [u8; 16]) -> String {
        let body = blake3::hash(body);
        let message = message(path, time, nonce, body);
        let (kind, key, signature) = match self {
            Self::Node(identity) => ("node", identity.public_key().to_string(), hex::encode(identity.sign(&message))),
            Self::AccessKey { id, secret } => ("access", id.clone(), mac(secret, &message).to_hex().to_string()),
        };
        format!("{SCHEME}kind={kind},key={key},time={},nonce={},body={},signature={signature}", time.0, hex::encode(nonce), body.to_hex())
    }
}

impl Claim {
    /// Reads a header; None when it is not one of ours.
    pub fn parse(header: &str) -> Option<Self> {
        let mut fields = header.strip_prefix(SCHEME)?.split(',');
        let mut field = |name: &str| fields.next()?.strip_prefix(name)?.strip_prefix('=');
        let (kind, key, time, nonce) = (field("kind")?, field("key")?, field("time")?, field("nonce")?);
        let (body, signature) = (field("body")?, field("signature")?);
        if fields.next().is_some() {
            return None;
        }
        let (signer, signature) = match kind {
            "node" => (Signer::Node(key.parse().ok()?), digits::<SIGNATURE_BYTES>(signature)?.to_vec()),
            "access" => (Signer::AccessKey(key.to_owned()), digits::<32>(signature)?.to_vec()),
            _ => return None,
        };
        let (nonce, body) = (digits(nonce)?, blake3::Hash::from_bytes(digits(body)?));
        Some(Self { signer, time: Timestamp(time.parse().ok()?), nonce, body, signature })
    }

    /// Whether the signer signed a request to this path with the body that the header names. `secret` is the secret half of the access key, which only the
    /// gateway can look up. What the body is [`Claim::is_of`] says.
    pub fn verify(&self, path: &str, secret: Option<&str>) -> bool {
        let message = message(path, self.time, self.nonce, self.body);
        match &self.signer {
            Signer::Node(key) => key.verifies(&message, &self.signature),
            // Comparing hashes of blake3 takes the same time wherever they differ.
            Signer::AccessKey(_) => {
                let given: Option<[u8; 32]> = self.signature.as_slice().try_into().ok();
                secret.zip(given).is_some_and(|(secret, given)| mac(secret, &message) == blake3::Hash::from_bytes(given))
            }
        }
    }

    /// Whether this is the body that was signed.
    pub fn is_of(&self, body: &[u8]) -> bool {
        blake3::hash(body) == self.body
    }

    /// Whether the request was signed about now.
    pub fn is_in_time(&self, now: Timestamp) -> bool {
        self.time.0.abs_diff(now.0) <= MAX_CLOCK_SKEW_MS
    }
}

/// What is signed.
fn message(path: &str, time: Timestamp, nonce: [u8; 16], body: blake3::Hash) -> Vec<u8> {
    format!("cyxcloud request v1\n{path}\n{}\n{}\n{}", time.0, hex::encode(nonce), body.to_hex()).into_bytes()
}

/// Exactly `N` bytes of hexadecimal.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)
}

fn mac(secret: &str, message: &[u8]) -> blake3::Hash {
    blake3::keyed_hash(&blake3::derive_key(MAC_CONTEXT, secret.as_bytes()), message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn signers() -> [RequestSigner; 2] {
        let access = RequestSigner::AccessKey { id: "CYXKEY".into(), secret: "secret".into() };
        [RequestSigner::Node(Arc::new(Identity::from_secret([5; 32]))), access]
    }

    #[test]
    fn a_signature_is_for_one_request() {
        for signer in signers() {
            let header = signer.header("/a.B/C", b"body", NOW, [7; 16]);
            let claim = Claim::parse(&header).unwrap();
            assert!(claim.verify("/a.B/C", Some("secret")) && claim.is_of(b"body"));
            assert!(!claim.verify("/a.B/D", Some("secret")) && !claim.is_of(b"bodies"));
            assert!(!Claim { nonce: [8; 16], ..claim.clone() }.verify("/a.B/C", Some("secret")));
            assert!(!Claim { time: NOW.plus_ms(1), ..claim.clone() }.verify("/a.B/C", Some("secret")));
            assert!(!Claim { body: blake3::hash(b"bodies"), ..claim.clone() }.verify("/a.B/C", Some("secret")));
            assert!(claim.is_in_time(NOW.plus_ms(MAX_CLOCK_SKEW_MS)) && !claim.is_in_time(NOW.plus_ms(MAX_CLOCK_SKEW_MS + 1)));
        }
        let claim = Claim::parse(&signers()[1].header("/a.B/C", b"", NOW, [7; 16])).unwrap();
        assert!(!claim.verify("/a.B/C", Some("other")) && !claim.verify("/a.B/C", None));
    }

    #[test]
    fn anything_else_is_no_claim() {
        let header = signers()[0].header("/a.B/C", b"", NOW, [7; 16]);
        let broken = [
            String::new(),
            "Bearer x".into(),
            SCHEME.into(),
            header.replace("node", "nod"),
            header.replace("time=", "time=-"),
            format!("{header},more=1"),
            header[..header.len() - 1].to_owned(),
            header.replace("kind=node", "kind=access"),
        ];
        for header in broken {
            assert_eq!(Claim::parse(&header), None, "{header}");
        }
    }
}
