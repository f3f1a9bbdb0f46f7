//! The stream of one client, watched: HTTP/1 is read on only as far as
//! [`framing`](crate::framing) has checked it, and a client that takes or gives
//! nothing for too long is cut.
//!
//! Over TLS there are two of these: one around the socket, where every byte that moves
//! is seen, and one around what TLS makes of it, where requests can be read.

#[cfg(test)]
mod tests;

use crate::framing::{Flaw, Heads, Reader, Step};
use procura_types::Duration;
use std::future::Future as _;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How much is read at once where it has to be looked at.
const READ: usize = 8 * 1024;
/// How long what a client still sends is taken, so that the answer which it was
/// refused with is not lost with the connection (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(1);
/// What begins a connection in HTTP/2 (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Stands in for a head that is refused. No client gets `TRACE` past the checks, so
/// whoever reads it knows that it is to answer with the flaw in [`Signals`].
const REFUSED: &[u8] = b"TRACE / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// What bounds a stream.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Which heads are taken.
    pub heads: Heads,
    /// How long a head may take that has begun; above it the request is refused with
    /// [`Flaw::HeadTooSlow`].
    pub head_time: Duration,
    /// How long the client may take nothing of what is sent; above it writing fails.
    pub stall_time: Duration,
}

/// What the reader of a connection and those who answer on it tell each other.
#[derive(Debug, Default)]
pub struct Signals {
    tunnelled: AtomicBool,
    flaw: OnceLock<Flaw>,
}

impl Signals {
    /// From here on the connection speaks another protocol. Said before the
    /// client learns of it.
    pub fn tunnel(&self) {
        self.tunnelled.store(true, Ordering::Release);
    }

    /// Why the last message on this connection is refused. Whoever is asked `TRACE`
    /// over HTTP/1 answers with this.
    #[must_use]
    pub fn flaw(&self) -> Option<Flaw> {
        self.flaw.get().copied()
    }
}

enum State {
    Http1(Reader),
    /// Not HTTP/1, or not known yet: everything passes.
    Raw,
    /// Nothing is read any more.
    Refused,
}

/// A client's stream.
pub struct Wire<S> {
    stream: S,
    signals: Arc<Signals>,
    limits: Limits,
    /// Whether this one sees what the other side takes.
    paced: bool,
    state: State,
    /// What was read. Bytes before `from` were passed on, `cleared` after it may be.
    input: Vec<u8>,
    from: usize,
    cleared: usize,
    head_timer: Option<Pin<Box<Sleep>>>,
    /// Whether the head that `head_timer` is for has begun.
    begun: bool,
    stall_timer: Option<Pin<Box<Sleep>>>,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Around a socket. Everything passes at first.
    pub fn on_socket(stream: S, limits: Limits) -> Self {
        Self::new(stream, limits, true)
    }

    /// Around what stands on another one. Everything passes at first.
    pub fn on_another(stream: S, limits: Limits) -> Self {
        Self::new(stream, limits, false)
    }

    fn new(stream: S, limits: Limits, paced: bool) -> Self {
        Self {
            stream,
            signals: Arc::default(),
            limits,
            paced,
            state: State::Raw,
            input: Vec::new(),
            from: 0,
            cleared: 0,
            head_timer: None,
            begun: false,
            stall_timer: None,
            linger: None,
        }
    }

    /// What is told across it.
    pub const fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// The connection speaks HTTP/1: from here on its requests are followed. If
    /// nothing of the first one is there in time, it is at its end.
    pub fn http1(&mut self, first_by: Option<Instant>) {
        self.state = State::Http1(Reader::new(self.limits.heads));
        self.head_timer = first_by.map(|by| Box::pin(sleep_until(by)));
    }

    /// Whether the client begins with the preface of HTTP/2. Waits for as many
    /// bytes as this takes, and leaves them to be read.
    ///
    /// # Errors
    /// Of the stream.
    pub async fn begins_with_preface(&mut self) -> io::Result<bool> {
        loop {
            if let Some(longer) = self.input.get(..PREFACE.len()) {
                return Ok(longer == PREFACE);
            }
            if !PREFACE.starts_with(&self.input) {
                return Ok(false);
            }
            if std::future::poll_fn(|cx| self.poll_fill(cx)).await? == 0 {
                return Ok(false);
            }
        }
    }

    /// Reads more into `input`; how much, zero at the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.from > 0 {
            self.input.drain(..self.from);
            self.from = 0;
        }
        let mut room = [MaybeUninit::uninit(); READ];
        let mut space = ReadBuf::uninit(&mut room);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut space);
        let read = space.filled().len();
        self.input.extend_from_slice(space.filled());
        if self.input.is_empty() {
            // A connection may rest for hours now; it holds no room.
            self.input = Vec::new();
        }
        ready!(polled)?;
        Poll::Ready(Ok(read))
    }

    /// Looks at what was read and says how much of it may be passed on.
    fn clear(&mut self) -> Result<(), Flaw> {
        loop {
            let bytes = self.input.get(self.from..).unwrap_or_default();
            match &mut self.state {
                State::Http1(reader) => match reader.step(bytes)? {
                    Step::Wait => {}
                    Step::Skip(length) => {
                        self.go_past(length);
                        continue;
                    }
                    Step::Head(length) => {
                        self.head_timer = None;
                        self.begun = false;
                        self.cleared = length;
                    }
                    Step::Body(length) => self.cleared = length,
                },
                State::Raw => self.cleared = bytes.len(),
                State::Refused => {}
            }
            return Ok(());
        }
    }

    /// Whether a head is being read.
    const fn in_head(&self) -> bool {
        match &self.state {
            State::Http1(reader) => reader.in_head(),
            State::Raw | State::Refused => false,
        }
    }

    /// So much was passed on unseen.
    fn passed(&mut self, bytes: usize) {
        if let State::Http1(reader) = &mut self.state {
            reader.body_passed(bytes);
        }
    }

    /// Ends the reading. In a head an answer can be given, and a stand-in asks for
    /// it; a body fails for whoever reads it.
    fn refuse(&mut self, flaw: Flaw) -> io::Result<()> {
        // The first flaw is the one; nothing is read after it.
        let _ = self.signals.flaw.set(flaw);
        self.head_timer = None;
        let in_head = self.in_head();
        self.state = State::Refused;
        if !in_head {
            return Err(io::Error::new(io::ErrorKind::InvalidData, flaw.word()));
        }
        self.input.clear();
        self.input.extend_from_slice(REFUSED);
        self.from = 0;
        self.cleared = REFUSED.len();
        Ok(())
    }

    fn hand_over(&mut self, out: &mut ReadBuf<'_>) {
        let length = self.cleared.min(out.remaining());
        let end = self.from.saturating_add(length);
        if let Some(bytes) = self.input.get(self.from..end) {
            out.put_slice(bytes);
        }
        self.cleared = self.cleared.saturating_sub(length);
        self.go_past(length);
    }

    fn go_past(&mut self, length: usize) {
        self.from = self.from.saturating_add(length);
        if self.from >= self.input.len() {
            // What streams from here on holds no room.
            self.input = Vec::new();
            self.from = 0;
        }
    }

    /// Reads without looking, at most `left` bytes.
    fn poll_through(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
        left: u64,
    ) -> Poll<io::Result<()>> {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if left >= out.remaining() {
            let before = out.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
            self.passed(out.filled().len().saturating_sub(before));
            return Poll::Ready(Ok(()));
        }
        let mut part = ReadBuf::new(out.initialize_unfilled_to(left));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        out.advance(read);
        self.passed(read);
        Poll::Ready(Ok(()))
    }

    /// Whether the head that has begun, or should have, takes too long.
    fn poll_head_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.input.is_empty() && !self.begun {
            self.begun = true;
            let time = self.limits.head_time;
            match &mut self.head_timer {
                None => self.head_timer = Some(Box::pin(sleep(time))),
                Some(first) => {
                    let by = first.deadline().min(Instant::now() + time);
                    first.as_mut().reset(by);
                }
            }
        }
        match &mut self.head_timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }

    /// An outcome of writing, or the end of patience with who does not read.
    fn unless_stalled<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() || !self.paced {
            self.stall_timer = None;
            return outcome;
        }
        let time = self.limits.stall_time;
        ready!(
            self.stall_timer
                .get_or_insert_with(|| Box::pin(sleep(time)))
                .as_mut()
                .poll(cx)
        );
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.cleared > 0 {
                this.hand_over(out);
                return Poll::Ready(Ok(()));
            }
            if this.signals.tunnelled.load(Ordering::Acquire) {
                this.state = State::Raw;
            }
            if let Err(flaw) = this.clear() {
                this.refuse(flaw)?;
            }
            if this.cleared > 0 {
                continue;
            }
            match &this.state {
                State::Raw => return this.poll_through(cx, out, u64::MAX),
                // The end of input is not told either: it would end the connection
                // before the answer.
                State::Refused => return Poll::Pending,
                State::Http1(reader) => {
                    if let Some(left) = reader.body_left() {
                        return this.poll_through(cx, out, left);
                    }
                }
            }
            // What has come in time is looked at first: whoever is behind this may not
            // have asked for it for a while.
            match this.poll_fill(cx)? {
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => continue,
                Poll::Pending => {}
            }
            if !this.in_head() {
                return Poll::Pending;
            }
            ready!(this.poll_head_time(cx));
            if !this.begun {
                // Who says nothing is told nothing.
                return Poll::Ready(Ok(()));
            }
            this.refuse(Flaw::HeadTooSlow)?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.unless_stalled(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.unless_stalled(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
        }
        let at_rest = match &this.state {
            State::Http1(reader) => reader.in_head() && this.input.is_empty(),
            State::Raw => true,
            State::Refused => false,
        };
        if at_rest {
            return Poll::Ready(Ok(()));
        }
        let timer = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut discarded = [0; READ];
        loop {
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut space = ReadBuf::new(&mut discarded);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut space));
            if read.is_err() || space.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
