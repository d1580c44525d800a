//! In front of every service of ours: who sent the request, and is it what he signed.
//!
//! What the header alone shows to be wrong is refused before a byte of the body is read. The layer, not the services, decides: a new method
//! cannot be forgotten. Health and reflection are not ours and stay open.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cyxcloud_sdk::Error;
use cyxcloud_sdk::core::port::{Environment, Meta, NoteName};
use cyxcloud_sdk::credential::{Claim, PublicKey, Signer};
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::Caller;
use super::replay::{Nonce, Rooms, WINDOW_MS};
use crate::rate_limit::{RateLimit, TooMany};
use crate::s3::Keys;

/// Longest body of the owner of an access key.
const MAX_BODY_BYTES: usize = 16 << 20;
/// Longest body of a node. Anybody can make a key and sign with it.
const MAX_NODE_BODY_BYTES: usize = 256 << 10;
/// A body that is not complete after this is given up.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Bodies read at the same time: of accounts, of nodes, and of strangers who would like to be nodes.
const MAX_BODIES: usize = 32;
const MAX_NODE_BODIES: usize = 512;
const MAX_STRANGER_BODIES: usize = 32;
/// Nonces remembered of accounts, of nodes and of strangers.
const NONCES: [usize; 3] = [1 << 22, 1 << 20, 1 << 16];

/// Nonces are shared for so long: gateways whose clocks differ by as much as a client's may accept a request at different times.
const SHARED_MS: u64 = 2 * WINDOW_MS;

/// Whether some node has this key.
pub type KnowsNode = Arc<dyn Fn(&PublicKey) -> bool + Send + Sync>;

/// Makes [`Authenticated`] services.
#[derive(Clone)]
pub struct AuthenticateLayer {
    gate: Arc<Gate>,
}

struct Gate {
    keys: Arc<dyn Keys>,
    knows_node: KnowsNode,
    env: Arc<dyn Environment>,
    meta: Arc<dyn Meta>,
    limit: Option<Arc<RateLimit>>,
    nonces: Rooms,
    bodies: Semaphore,
    node_bodies: Semaphore,
    stranger_bodies: Semaphore,
}

impl AuthenticateLayer {
    /// Access keys are looked up in `keys`; `knows_node` tells nodes of the cluster from strangers who would like to join; through `meta` gateways
    /// tell each other the nonces of accounts, which may ask as often as `limit` says.
    pub fn new(
        keys: Arc<dyn Keys>,
        knows_node: KnowsNode,
        env: Arc<dyn Environment>,
        meta: Arc<dyn Meta>,
        limit: Option<Arc<RateLimit>>,
    ) -> Self {
        let nonces = Rooms::new(NONCES);
        let [bodies, node_bodies, stranger_bodies] = [MAX_BODIES, MAX_NODE_BODIES, MAX_STRANGER_BODIES].map(Semaphore::new);
        Self { gate: Arc::new(Gate { keys, knows_node, env, meta, limit, nonces, bodies, node_bodies, stranger_bodies }) }
    }
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated { inner, gate: self.gate.clone() }
    }
}

/// A service that is only reached by requests whose signature holds; it finds a [`Caller`] in their extensions.
#[derive(Clone)]
pub struct Authenticated<S> {
    inner: S,
    gate: Arc<Gate>,
}

impl<S> Service<Request<Body>> for Authenticated<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The one that is ready is used, and a fresh one kept.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        if !request.uri().path().starts_with("/cyxcloud.") {
            return Box::pin(inner.call(request));
        }
        let gate = self.gate.clone();
        Box::pin(async move {
            match gate.admit(request).await {
                Ok(request) => inner.call(request).await,
                Err(status) => Ok(status.into_http()),
            }
        })
    }
}

/// Who claims to have signed, and what is needed to find out.
struct Suspect {
    claim: Claim,
    caller: Caller,
    secret: Option<String>,
    nonce: [u8; 16],
    known: bool,
}

impl Gate {
    async fn admit(&self, request: Request<Body>) -> Result<Request<Body>, Box<Status>> {
        let (mut parts, body) = request.into_parts();
        let suspect = self.look(&parts.headers).await?;
        // Before the body is read: strangers must not take the room of those who belong here.
        if !suspect.claim.verify(parts.uri.path(), suspect.secret.as_deref()) {
            return Err(unauthenticated("the signature is not that of this request"));
        }
        // Only now: whoever cannot sign must not be able to use up nonces.
        match self.nonces.of(&suspect.caller, suspect.known).take(suspect.nonce, self.env.now()) {
            Nonce::New => {}
            Nonce::Seen => return Err(replayed()),
            Nonce::NoRoom => return Err(Box::new(Status::unavailable("too many requests; try again in ten minutes"))),
        }
        if let Caller::Account { account, .. } = suspect.caller {
            // Whoever has used up his requests does not write a nonce with each further one. None is counted before it is known to be new: else who
            // repeats the requests of another would use up his.
            if let Some(limit) = &self.limit {
                limit.look(account).map_err(over_limit)?;
            }
            self.share(&suspect).await?;
            if let Some(limit) = &self.limit {
                limit.admit(account).await.map_err(over_limit)?;
            }
        }
        let (most, room) = match suspect.caller {
            Caller::Node(_) if suspect.known => (MAX_NODE_BODY_BYTES, &self.node_bodies),
            Caller::Node(_) => (MAX_NODE_BODY_BYTES, &self.stranger_bodies),
            Caller::Account { .. } => (MAX_BODY_BYTES, &self.bodies),
        };
        let body = collect(body, most, room).await?;
        if !suspect.claim.is_of(&body) {
            return Err(unauthenticated("the body is not the one that was signed"));
        }
        parts.extensions.insert(suspect.caller);
        Ok(Request::from_parts(parts, Body::new(Full::new(body))))
    }

    /// Tells the other gateways of an account's nonce, and learns whether one of them, or this one before it was started anew, has seen it. Where that
    /// cannot be known the request is refused.
    ///
    /// Nodes' nonces stay here: a node must be heard while the metadata or Redis are away, or all of them would seem lost. What can be repeated elsewhere
    /// within five minutes is little: a heartbeat says what the node itself said, and who registers is called back at the address.
    async fn share(&self, suspect: &Suspect) -> Result<(), Box<Status>> {
        let refused = |e: Error| Box::new(cyxcloud_sdk::wire::status(&e));
        let name = NoteName::new("nonce of an account", &suspect.nonce);
        if self.meta.note_once(name, Bytes::new(), SHARED_MS).await.map_err(refused)?.is_some() {
            return Err(replayed());
        }
        // One that was seen before may be forgotten, where all that was noted is.
        if suspect.claim.time < self.meta.notes_since().await.map_err(refused)? {
            let why = "the request is older than what gateways remember; sign it anew (is the clock right?)";
            return Err(Box::new(Status::unavailable(why)));
        }
        Ok(())
    }

    /// What the header shows.
    async fn look(&self, headers: &HeaderMap) -> Result<Suspect, Box<Status>> {
        let mut headers = headers.get_all(AUTHORIZATION).iter();
        let header = headers.next().ok_or_else(|| unauthenticated("the request is not signed: it has no authorization header"))?;
        if headers.next().is_some() {
            return Err(unauthenticated("the request has several authorization headers"));
        }
        let claim = header.to_str().ok().and_then(Claim::parse);
        let claim = claim.ok_or_else(|| unauthenticated("the authorization header is not one of CYX1"))?;
        if !claim.is_in_time(self.env.now()) {
            return Err(unauthenticated("the request was not signed within the last five minutes; are the clocks right?"));
        }
        let (caller, secret, known) = match &claim.signer {
            Signer::Node(key) => (Caller::Node(*key), None, (self.knows_node)(key)),
            Signer::AccessKey(id) => {
                let pair = self.keys.lookup(id).await.map_err(|e| Box::new(cyxcloud_sdk::wire::status(&e)))?;
                let pair = pair.ok_or_else(|| unauthenticated("there is no such access key"))?;
                (Caller::Account { account: pair.account, access_key_id: id.clone() }, Some(pair.secret), true)
            }
        };
        let nonce = name(&claim);
        if self.nonces.of(&caller, known).has(&nonce) {
            return Err(replayed());
        }
        Ok(Suspect { claim, caller, secret, nonce, known })
    }
}

/// The whole body, if it is short enough and comes in time.
async fn collect(body: Body, most: usize, room: &Semaphore) -> Result<Bytes, Box<Status>> {
    // The time is that of the body: waiting for others is not the sender's fault, and every call has its own end.
    let _permit = room.acquire().await;
    match tokio::time::timeout(BODY_TIME, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => {
            Err(Box::new(Status::out_of_range(format!("the request is longer than the {most} bytes that are allowed"))))
        }
        Ok(Err(_)) => Err(Box::new(Status::cancelled("the request was cut off"))),
        Err(_) => Err(Box::new(Status::deadline_exceeded("the request did not come to its end in time"))),
    }
}

/// A nonce is its signer's: nobody can use up another's.
fn name(claim: &Claim) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    match &claim.signer {
        Signer::Node(key) => hasher.update(b"node").update(&key.to_bytes()),
        Signer::AccessKey(id) => hasher.update(b"access").update(id.as_bytes()),
    };
    hasher.update(&claim.nonce);
    let mut name = [0; 16];
    hasher.finalize_xof().fill(&mut name);
    name
}

/// Told apart from a cluster without space, which has the same code.
fn over_limit(too_many: TooMany) -> Box<Status> {
    let why = Error::unavailable(format!("too many requests; try again in {} s", too_many.retry_after_seconds));
    let mut status = Status::resource_exhausted(why.to_string());
    *status.metadata_mut() = cyxcloud_sdk::wire::status(&why).metadata().clone();
    Box::new(status)
}

fn unauthenticated(why: &str) -> Box<Status> {
    Box::new(Status::unauthenticated(why))
}

fn replayed() -> Box<Status> {
    unauthenticated("the request was sent before")
}
