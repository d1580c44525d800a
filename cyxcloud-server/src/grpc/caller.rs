//! Who is calling a gateway.

use cyxcloud_sdk::core::id::AccountId;
use cyxcloud_sdk::credential::PublicKey;
use tonic::{Request, Status};

/// Whoever signed a request, put into its extensions once the signature was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A storage node by the key of its identity; which node that is, and whether it belongs, the service decides.
    Node(PublicKey),
    /// The owner of an access key.
    Account {
        /// His account.
        account: AccountId,
        /// The key he used.
        access_key_id: String,
    },
}

impl Caller {
    /// The caller of `request`.
    ///
    /// # Errors
    /// Unauthenticated when nobody verified the request, which only a service outside its layer can meet.
    #[allow(clippy::result_large_err, reason = "a Status is what services return")]
    pub fn of<T>(request: &Request<T>) -> Result<&Self, Status> {
        request.extensions().get().ok_or_else(|| Status::unauthenticated("the request is not signed"))
    }

    /// The account that calls.
    ///
    /// # Errors
    /// Permission denied for nodes.
    #[allow(clippy::result_large_err, reason = "a Status is what services return")]
    pub fn account<T>(request: &Request<T>) -> Result<AccountId, Status> {
        match Self::of(request)? {
            Self::Account { account, .. } => Ok(*account),
            Self::Node(_) => Err(Status::permission_denied("only for the owners of access keys")),
        }
    }

    /// The key of the node that calls.
    ///
    /// # Errors
    /// Permission denied for anybody else.
    #[allow(clippy::result_large_err, reason = "a Status is what services return")]
    pub fn node<T>(request: &Request<T>) -> Result<PublicKey, Status> {
        match Self::of(request)? {
            Self::Node(key) => Ok(*key),
            Self::Account { .. } => Err(Status::permission_denied("only for storage nodes")),
        }
    }
}
