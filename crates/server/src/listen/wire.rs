//! What stands between a connection and HTTP: who watches what is sent, and who
//! follows what is read.

use crate::listen::framing::Framing;
use crate::listen::watch::Watch;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// How a connection begins whose client knows that the server has HTTP/2 (RFC 9113
/// §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What ends a head of HTTP/1.
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Tells the watch when the other side does not take what is sent. It stands right on
/// the socket, below TLS, where every byte that moves is seen.
pub(crate) struct Paced<S> {
    stream: S,
    watch: Arc<Watch>,
}

impl<S> Paced<S> {
    pub(crate) const fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch.blocked(written.is_pending());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watch.blocked(written.is_pending());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What was read of a connection to learn which HTTP it speaks.
pub(crate) struct First {
    bytes: [u8; PREFACE.len()],
    count: usize,
    /// How many of them were read again.
    taken: usize,
}

impl First {
    /// Nothing was read: TLS has said which HTTP it is.
    pub(crate) const NOTHING: Self = Self {
        bytes: [0; PREFACE.len()],
        count: 0,
        taken: 0,
    };

    /// Reads until it is clear whether the connection begins as HTTP/2 does.
    pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut first = Self::NOTHING;
        while PREFACE.starts_with(first.rest()) && !first.is_http2() {
            let Some(room) = first.bytes.get_mut(first.count..) else {
                break;
            };
            let count = stream.read(room).await?;
            first.count += count;
            if count == 0 {
                break;
            }
        }
        Ok(first)
    }

    /// Whether it is HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.rest() == PREFACE
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..self.count).unwrap_or_default()
    }
}

/// A connection whose first bytes are read again and, if it speaks HTTP/1, whose
/// requests are followed.
pub(crate) struct Followed<S> {
    stream: S,
    first: First,
    framing: Option<Framing>,
    watch: Arc<Watch>,
}

impl<S> Followed<S> {
    pub(crate) fn new(stream: S, first: First, http2: bool, watch: Arc<Watch>) -> Self {
        Self {
            stream,
            first,
            framing: (!http2).then(Framing::default),
            watch,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Followed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.framing.as_ref().is_some_and(Framing::refused) {
            // The parser looks at a head when it is whole, and what follows is nobody's.
            buffer.put_slice(END_OF_HEAD.get(..buffer.remaining()).unwrap_or(END_OF_HEAD));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let again = this.first.rest();
        if again.is_empty() {
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        } else {
            let fits = again.len().min(buffer.remaining());
            buffer.put_slice(again.get(..fits).unwrap_or_default());
            this.first.taken += fits;
        }
        if let Some(framing) = &mut this.framing {
            let read = buffer.filled_mut().get_mut(before..).unwrap_or_default();
            framing.follow(read)?;
            this.watch.head(framing.in_head());
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Followed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
