//! The bodies of answers, watched until the last byte is on its way: with HTTP/2 it is
//! the client that says how much of an answer it takes, and what it does not take stays
//! in memory.

use crate::listen::watch::Answer;
use axum::body::{Body, HttpBody};
use bytes::{Buf, Bytes};
use hyper::body::{Frame, SizeHint};
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A body that tells what becomes of it.
pub(crate) struct Sending {
    body: Body,
    answer: Arc<Answer>,
}

impl Sending {
    pub(crate) fn new(body: Body, answer: Arc<Answer>) -> Self {
        // Nobody looks at a body that is empty.
        if body.is_end_stream() {
            answer.answered();
        }
        Self { body, answer }
    }
}

impl HttpBody for Sending {
    type Data = Part;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Part>, axum::Error>>> {
        let this = &mut *self;
        this.answer.answered();
        Pin::new(&mut this.body).poll_frame(context).map(|frame| {
            frame
                .map(|frame| frame.map(|frame| frame.map_data(|data| Part::of(data, &this.answer))))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A part of a body that waits to be sent.
pub(crate) struct Part {
    bytes: Bytes,
    answer: Arc<Answer>,
}

impl Part {
    fn of(bytes: Bytes, answer: &Arc<Answer>) -> Self {
        if bytes.has_remaining() {
            answer.waits();
        }
        Self {
            bytes,
            answer: Arc::clone(answer),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // With its last byte it was sent already, whoever keeps it.
        if self.bytes.has_remaining() {
            self.answer.sent();
        }
    }
}

impl Buf for Part {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        self.bytes.chunks_vectored(into)
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if self.bytes.has_remaining() {
            self.answer.moved();
        } else if count > 0 {
            self.answer.sent();
        }
    }
}
