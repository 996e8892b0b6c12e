//! Bodies that a test reads or writes piece by piece, to do something in between.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use anyhow::{Result, anyhow};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{runtime, s3::Reply};

/// A body that is being read.
#[derive(Debug)]
pub struct Download {
    body: Incoming,
    /// Bytes so far.
    pub taken: u64,
}

impl Download {
    pub(crate) const fn new(body: Incoming) -> Self {
        Self { body, taken: 0 }
    }

    /// Takes the next piece: `Ok(false)` at the proper end, an error when it was cut.
    pub fn take(&mut self) -> Result<bool> {
        match runtime().block_on(self.body.frame()) {
            None => Ok(false),
            Some(frame) => {
                self.taken += frame?.data_ref().map_or(0, |data| data.len() as u64);
                Ok(true)
            }
        }
    }

    /// Takes everything.
    pub fn finish(&mut self) -> Result<u64> {
        while self.take()? {}
        Ok(self.taken)
    }
}

/// An object that is being stored.
#[derive(Debug)]
pub struct Upload {
    pieces: mpsc::Sender<Bytes>,
    answer: JoinHandle<Result<Reply>>,
}

impl Upload {
    pub(crate) const fn new(
        pieces: mpsc::Sender<Bytes>,
        answer: JoinHandle<Result<Reply>>,
    ) -> Self {
        Self { pieces, answer }
    }

    /// Hands over the next piece. An error when nobody takes it any more.
    pub fn push(&self, piece: impl Into<Bytes>) -> Result<()> {
        runtime()
            .block_on(self.pieces.send(piece.into()))
            .map_err(|_| anyhow!("the upload was cut"))
    }

    /// Waits for the answer.
    pub fn finish(self) -> Result<Reply> {
        drop(self.pieces);
        runtime().block_on(self.answer)?
    }
}

/// The body of an upload: its length is promised, its bytes come later.
pub(crate) struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    left: u64,
}

impl Pieces {
    pub(crate) fn new(length: u64) -> (mpsc::Sender<Bytes>, Self) {
        let (sender, receiver) = mpsc::channel(1);
        (
            sender,
            Self {
                receiver,
                left: length,
            },
        )
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(context).map(|piece| match piece {
            Some(piece) => {
                self.left = self.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            None => Some(Err(std::io::Error::other("the test gave up"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}
