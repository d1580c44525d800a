//! Uploads in parts, as one body: the parts become one stream that a task codes and stores while they come, and one commit makes them visible.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, FutureExt, Shared};
use futures::stream::{self, Stream, StreamExt};
use tokio::task::AbortHandle;

use super::convert::{failed, key};
use super::{api, put_result};
use crate::bucket::{Bucket, PutOptions};
use crate::{Error, ObjectHead};
use api::path::Path;
use api::{MultipartUpload, PutPayload, PutResult, Result, UploadPart};

/// A part, and who hears that its bytes were taken.
enum Piece {
    Part(PutPayload, oneshot::Sender<()>),
    End,
}

/// An upload in parts that is not complete yet. Dropping it ends it.
pub(super) struct Upload {
    location: Path,
    pieces: mpsc::UnboundedSender<Piece>,
    stored: Shared<BoxFuture<'static, crate::Result<ObjectHead>>>,
    task: Arc<AbortOnDrop>,
    /// Whether all parts were given: what is stored may be becoming visible.
    is_ended: bool,
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Upload {
    pub(super) fn begin(bucket: Bucket, location: &Path, options: PutOptions) -> Self {
        // No bound is needed: whoever gives a part keeps its bytes until they are taken.
        let (pieces, taken) = mpsc::unbounded();
        let key = key(location).to_owned();
        let task = tokio::spawn(async move {
            let patience_ms = bucket.cluster().engine().policy().body_idle_ms / 3;
            bucket.put_stream(&key, body(taken, patience_ms), options).await
        });
        let abort = AbortOnDrop(task.abort_handle());
        let stored = async move { task.await.unwrap_or_else(|_| Err(Error::conflict("the upload was aborted"))) };
        Self { location: location.clone(), pieces, stored: stored.boxed().shared(), task: Arc::new(abort), is_ended: false }
    }
}

/// The bytes of the parts in the order they were given. Between parts an application may think as long as it likes: nothing is sent now and then, so that
/// its body does not count as broken.
fn body(pieces: mpsc::UnboundedReceiver<Piece>, patience_ms: u64) -> impl Stream<Item = crate::Result<Bytes>> + Send {
    struct Taking {
        pieces: mpsc::UnboundedReceiver<Piece>,
        part: Vec<Bytes>,
        heard: Option<oneshot::Sender<()>>,
    }
    let next = move |mut taking: Taking| async move {
        loop {
            if let Some(bytes) = taking.part.pop() {
                return Ok(Some((bytes, taking)));
            }
            if let Some(heard) = taking.heard.take() {
                // Who does not wait for it need not hear it.
                let _ = heard.send(());
            }
            match tokio::time::timeout(Duration::from_millis(patience_ms), taking.pieces.next()).await {
                Ok(Some(Piece::Part(payload, heard))) => {
                    taking.part = payload.into_iter().collect();
                    taking.part.reverse();
                    taking.heard = Some(heard);
                }
                Ok(Some(Piece::End)) => return Ok(None),
                Ok(None) => return Err(Error::body("the upload was dropped before it was complete")),
                Err(_) => return Ok(Some((Bytes::new(), taking))),
            }
        }
    };
    stream::try_unfold(Taking { pieces, part: Vec::new(), heard: None }, next)
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (heard, taken) = oneshot::channel();
        // An upload that has ended takes nothing more; the future tells why.
        let _ = self.pieces.unbounded_send(Piece::Part(data, heard));
        let (stored, location, task) = (self.stored.clone(), self.location.clone(), self.task.clone());
        Box::pin(async move {
            let _kept = task;
            if taken.await.is_ok() {
                return Ok(());
            }
            let error = stored.await.err().unwrap_or_else(|| Error::conflict("the upload is complete and takes no more parts"));
            Err(failed(&location, error))
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        // Completed again it answers as before.
        self.is_ended = true;
        let _ = self.pieces.unbounded_send(Piece::End);
        self.stored.clone().await.map(put_result).map_err(|error| failed(&self.location, error))
    }

    async fn abort(&mut self) -> Result<()> {
        // A commit that has begun is waited for: whether the object became visible is not unknown then.
        if !self.is_ended {
            self.task.0.abort();
        }
        match self.stored.clone().await {
            Ok(_) => Err(failed(&self.location, Error::conflict("the upload is complete; delete the object instead"))),
            Err(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upload of {}", self.location)
    }
}
