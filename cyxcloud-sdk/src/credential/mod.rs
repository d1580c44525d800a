//! Who may ask what of whom, between processes.
//!
//! * A **node** has an Ed25519 [`Identity`] and signs what it tells the gateway ([`RequestSigner`]).
//! * A **client** signs with the secret of its access key.
//! * Gateways and rebalancers share the **cluster key**, an [`Identity`] too: with it they sign [`Capability`]s, without which a node
//!   does nothing for anybody.

mod capability;
mod identity;
mod request;
mod sealed;

pub use capability::{Authority, CAPABILITY_METADATA, Capability, CapabilityVerifier, Operation};
pub use identity::{CLUSTER_KEY_METADATA, Identity, PublicKey, SIGNATURE_BYTES, identify_message, write_secret};
pub use request::{Claim, MAX_CLOCK_SKEW_MS, RequestSigner, Signer};
