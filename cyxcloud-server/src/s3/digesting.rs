//! Digests of a body, computed beside the stream: MD5 is the largest part of an upload's CPU time that is ours, and the threads that serve sockets should not stand still for it.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use cyxcloud_sdk::core::{Error, Result};
use futures::FutureExt;
use futures::future::BoxFuture;
use md5::Md5;
use sha2::Digest as _;

use super::checksum::{Algorithm, Hasher};
use super::hashing::Expected;

/// As much is collected before it is handed over, so that handing over costs little beside it.
const BATCH_BYTES: usize = 256 << 10;
/// Or as many pieces: bodies in chunks of a byte come in pieces of a byte.
const BATCH_PIECES: usize = 1024;
/// More than this does not wait for its turn: the stream is held up instead.
const MAX_WAITING_BYTES: usize = 1 << 20;

/// What is being computed of a body.
pub(super) struct Hashers {
    /// MD5, where it is wanted.
    pub(super) md5: Option<Md5>,
    /// The other checksums.
    pub(super) others: Vec<(Algorithm, Hasher)>,
}

impl Hashers {
    /// Those that `expected` asks for.
    pub(super) fn new(expected: &Expected) -> Self {
        let others = expected.algorithms().map(|algorithm| (algorithm, Hasher::new(algorithm))).collect();
        Self { md5: expected.wants_md5().then(Md5::new), others }
    }

    /// Takes the next bytes of the body.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        self.others.iter_mut().for_each(|(_, hasher)| hasher.update(bytes));
    }

    /// Takes the next pieces of the body.
    pub(super) fn updated(mut self, pieces: Vec<Bytes>) -> Self {
        pieces.iter().for_each(|piece| self.update(piece));
        self
    }

    fn idle(&self) -> bool {
        self.md5.is_none() && self.others.is_empty()
    }
}

/// Calls [`Hashers::updated`] where it stalls nobody.
pub(super) type Offload = Arc<dyn Fn(Hashers, Vec<Bytes>) -> BoxFuture<'static, Result<Hashers>> + Send + Sync>;

/// Hashers at work while the body goes on.
pub(super) struct Digesting {
    offload: Offload,
    state: State,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

enum State {
    Here(Hashers),
    Away(BoxFuture<'static, Result<Hashers>>),
    /// Given to the caller, or lost with work that failed.
    Gone,
}

impl Digesting {
    /// Begins.
    pub(super) fn new(hashers: Hashers, offload: Offload) -> Self {
        Self { offload, state: State::Here(hashers), waiting: Vec::new(), waiting_bytes: 0 }
    }

    /// Ready when there is room for another piece.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self.poll_here(cx) {
            Poll::Pending if self.waiting_bytes < MAX_WAITING_BYTES && self.waiting.len() < 4 * BATCH_PIECES => Poll::Ready(Ok(())),
            other => other,
        }
    }

    /// Takes the next piece of the body; [`Digesting::poll_ready`] must have been ready.
    pub(super) fn push(&mut self, piece: &Bytes) {
        if piece.is_empty() || matches!(&self.state, State::Here(hashers) if hashers.idle()) {
            return;
        }
        self.waiting_bytes += piece.len();
        self.waiting.push(piece.clone());
        if self.batch_is_full() {
            self.hand_over();
        }
    }

    /// The hashers when they have had every piece. What is less than a batch is not worth handing over.
    pub(super) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<Hashers>> {
        loop {
            ready!(self.poll_here(cx))?;
            if self.batch_is_full() {
                self.hand_over();
                continue;
            }
            let State::Here(hashers) = std::mem::replace(&mut self.state, State::Gone) else { continue };
            return Poll::Ready(Ok(hashers.updated(std::mem::take(&mut self.waiting))));
        }
    }

    /// Ready when the hashers are back from what was handed over last.
    fn poll_here(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.state {
            State::Here(_) => Poll::Ready(Ok(())),
            State::Away(work) => {
                let back = ready!(work.poll_unpin(cx));
                self.state = State::Gone;
                self.state = State::Here(back?);
                Poll::Ready(Ok(()))
            }
            State::Gone => Poll::Ready(Err(Error::internal("the digests of this body were taken, or lost"))),
        }
    }

    fn batch_is_full(&self) -> bool {
        self.waiting_bytes >= BATCH_BYTES || self.waiting.len() >= BATCH_PIECES
    }

    fn hand_over(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Here(hashers) => {
                self.waiting_bytes = 0;
                State::Away((self.offload)(hashers, std::mem::take(&mut self.waiting)))
            }
            busy => busy,
        };
    }
}
