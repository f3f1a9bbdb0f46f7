//! The body of a request that goes on, and what is looked at while it does.

use super::held::Held;
use crate::answer::Fault;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use procura_crypto::Sha256;
use procura_edge::places::Place;
use procura_types::Duration;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

/// The body of a request that goes on: to the upstream, or to a service in this process.
/// `B` is what it came as.
pub struct Upload<B = Incoming>(Sending<B>);

enum Sending<B> {
    /// All of it is here.
    Whole {
        bytes: Option<Bytes>,
        _share: Option<Place>,
    },
    /// It comes.
    Flow(Box<Flow<B>>),
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    pub(crate) const fn empty() -> Self {
        Self(Sending::Whole {
            bytes: None,
            _share: None,
        })
    }

    pub(crate) fn whole(held: Held) -> Self {
        Self(Sending::Whole {
            bytes: Some(held.bytes).filter(|bytes| !bytes.is_empty()),
            _share: held.share,
        })
    }

    /// A body that nobody looks at, of which some may have come already.
    pub(crate) fn unseen(arrived: Bytes, rest: B) -> Self {
        Self(Sending::Flow(Box::new(Flow::new(arrived, rest, None))))
    }

    /// A body that is held against this digest.
    pub(crate) fn measured(
        body: B,
        digest: [u8; 32],
        otherwise: Otherwise,
        patience: Duration,
    ) -> Self {
        let measure = Measure {
            hasher: Sha256::new(),
            digest,
            last: None,
            otherwise,
            patience,
            timer: None,
        };
        let flow = Flow::new(Bytes::new(), body, Some(measure));
        Self(Sending::Flow(Box::new(flow)))
    }

    /// How a body that is still to come can be watched from outside.
    pub(crate) fn watch(&mut self) -> Option<Watch> {
        let Sending::Flow(flow) = &mut self.0 else {
            return None;
        };
        let (ended, at_end) = oneshot::channel();
        flow.ended = Some(ended);
        Some(Watch {
            at_end,
            fault: Arc::clone(&flow.fault),
        })
    }
}

/// Tells of a body while it is under way.
pub(crate) struct Watch {
    at_end: oneshot::Receiver<()>,
    fault: Arc<OnceLock<Fault>>,
}

impl Watch {
    /// Waits until the body has ended, well or not.
    pub(crate) async fn ended(&mut self) {
        // A sender that is gone has ended as well.
        let _ = (&mut self.at_end).await;
    }

    /// Why it broke off, if it did.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.fault.get().cloned()
    }
}

/// What happens when a body is not the one that was signed.
pub(crate) struct Otherwise {
    /// Why it breaks off before its last part. Without it the body goes on.
    pub(crate) refused: Option<Fault>,
    /// Tells those who want to hear of it.
    pub(crate) tell: Box<dyn FnOnce() + Send + Sync>,
}

/// A body on its way.
struct Flow<B> {
    arrived: Bytes,
    body: B,
    measure: Option<Measure>,
    done: bool,
    fault: Arc<OnceLock<Fault>>,
    ended: Option<oneshot::Sender<()>>,
}

struct Measure {
    hasher: Sha256,
    digest: [u8; 32],
    /// Kept back until the digest is known to match: without it the upstream never
    /// has a whole request.
    last: Option<Bytes>,
    otherwise: Otherwise,
    patience: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// A body broke off.
#[derive(Debug, thiserror::Error)]
#[error("the body of the request broke off: {0}")]
pub struct BrokenOff(&'static str);

impl<B: Body<Data = Bytes> + Unpin> Flow<B> {
    fn new(arrived: Bytes, body: B, measure: Option<Measure>) -> Self {
        Self {
            arrived,
            body,
            measure,
            done: false,
            fault: Arc::default(),
            ended: None,
        }
    }

    fn break_off(&mut self, fault: Fault) -> BrokenOff {
        let reason = fault.reason();
        // Only one thing ends a body.
        let _ = self.fault.set(fault);
        self.done = true;
        self.ended = None;
        BrokenOff(reason)
    }

    /// The end: the part that was kept back, if the digest allows.
    fn end(&mut self) -> Result<Option<Bytes>, BrokenOff> {
        let mut last = None;
        if let Some(mut measure) = self.measure.take() {
            last = measure.last.take();
            if measure.hasher.finish() != measure.digest {
                (measure.otherwise.tell)();
                if let Some(fault) = measure.otherwise.refused {
                    return Err(self.break_off(fault));
                }
            }
        }
        self.done = true;
        self.ended = None;
        Ok(last)
    }

    /// A part has come. Which one goes on now?
    fn take(&mut self, part: Bytes) -> Option<Bytes> {
        let Some(measure) = &mut self.measure else {
            return Some(part);
        };
        measure.hasher.update(&part);
        measure.timer = None;
        if measure.otherwise.refused.is_some() {
            measure.last.replace(part)
        } else {
            Some(part)
        }
    }

    /// Whether a part of the body is not passed on yet.
    fn keeps_back(&self) -> bool {
        let measure = self.measure.as_ref();
        measure.is_some_and(|measure| measure.last.is_some())
    }

    /// Whether nothing has come for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(measure) = &mut self.measure else {
            return Poll::Pending;
        };
        let patience = measure.patience;
        measure
            .timer
            .get_or_insert_with(|| Box::pin(sleep(patience)))
            .as_mut()
            .poll(cx)
    }

    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if !self.arrived.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.arrived))));
        }
        while !self.done {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    ready!(self.poll_patience(cx));
                    return Poll::Ready(Some(Err(self.break_off(Fault::BodyTooSlow))));
                }
                Poll::Ready(None) => return Poll::Ready(self.end().transpose()),
                Poll::Ready(Some(Err(_))) => {
                    return Poll::Ready(Some(Err(self.break_off(Fault::BodyBroken))));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers end here.
                    let part = frame.into_data().unwrap_or_default();
                    if part.is_empty() {
                        continue;
                    }
                    let next = self.take(part);
                    if self.body.is_end_stream() && !self.keeps_back() {
                        // Of a body of known length nobody asks for the end.
                        if let Err(broken) = self.end() {
                            return Poll::Ready(Some(Err(broken)));
                        }
                    }
                    if let Some(part) = next {
                        return Poll::Ready(Some(Ok(part)));
                    }
                }
            }
        }
        Poll::Ready(None)
    }

    /// Bytes that are here and not passed on.
    fn here(&self) -> u64 {
        let last = self
            .measure
            .as_ref()
            .and_then(|measure| measure.last.as_ref());
        let here = self
            .arrived
            .len()
            .saturating_add(last.map_or(0, Bytes::len));
        u64::try_from(here).unwrap_or(u64::MAX)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut self.get_mut().0 {
            Sending::Whole { bytes, .. } => {
                Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            Sending::Flow(flow) => flow
                .poll_part(cx)
                .map(|part| part.map(|part| part.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Sending::Whole { bytes, .. } => bytes.is_none(),
            Sending::Flow(flow) => flow.done && flow.arrived.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Sending::Whole { bytes, .. } => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Sending::Flow(flow) => {
                let here = flow.here();
                if flow.done {
                    return SizeHint::with_exact(here);
                }
                match flow.body.size_hint().exact() {
                    Some(rest) => SizeHint::with_exact(rest.saturating_add(here)),
                    None => SizeHint::default(),
                }
            }
        }
    }
}
