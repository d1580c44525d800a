//! A request's body, no longer than its capability allows.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// Of every gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Refuses a body once it is longer, and as soon as its message says that it will be: whoever decodes it sets aside what the message claims.
pub struct Bounded {
    body: Body,
    most: usize,
    seen: usize,
    prefix: [u8; PREFIX_BYTES],
}

impl Bounded {
    /// `body`, of which at most `most` bytes are passed on.
    pub fn new(body: Body, most: usize) -> Self {
        Self { body, most, seen: 0, prefix: [0; PREFIX_BYTES] }
    }

    fn fits(&mut self, data: &[u8]) -> bool {
        // The prefix may come in pieces.
        let missing = PREFIX_BYTES.saturating_sub(self.seen).min(data.len());
        if let Some(part) = self.prefix.get_mut(self.seen..self.seen + missing) {
            part.copy_from_slice(&data[..missing]);
        }
        self.seen = self.seen.saturating_add(data.len());
        let [_, length @ ..] = self.prefix;
        let claimed = if self.seen < PREFIX_BYTES { 0 } else { u32::from_be_bytes(length) as usize };
        self.seen <= self.most && claimed <= self.most
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let fits = match frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            Some(data) => self.fits(data),
            None => true,
        };
        Poll::Ready(if fits { frame } else { Some(Err(Status::permission_denied("the message is longer than its capability allows"))) })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these pieces pass.
    fn passing(most: usize, pieces: &[&[u8]]) -> usize {
        let mut bounded = Bounded::new(Body::empty(), most);
        pieces.iter().take_while(|piece| bounded.fits(piece)).count()
    }

    #[test]
    fn what_is_longer_or_says_so_is_refused() {
        let ten: &[u8] = &[0, 0, 0, 0, 10];
        assert_eq!(passing(15, &[ten, &[7; 10]]), 2);
        assert_eq!(passing(15, &[ten, &[7; 11]]), 1);
        assert_eq!(passing(9, &[ten]), 0);
        // Said in pieces, and in one with what follows.
        assert_eq!(passing(9, &[&[], &[0], &[0, 0], &[0], &[10]]), 4);
        assert_eq!(passing(9, &[&[0, 0, 0, 0, 10, 7]]), 0);
        assert_eq!(passing(100, &[&[0, 0xff, 0xff], &[0xff, 0xff, 0]]), 1);
        assert_eq!(passing(100, &[&[0xff; 4]]), 1);
    }
}
