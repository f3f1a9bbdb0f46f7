//! Bodies of requests: read whole before the upstream hears of them, or passed on
//! while they come, held against a digest or not.

use crate::answer::Fault;
use crate::config::Limits;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use procura_crypto::Sha256;
use procura_edge::places::{Place, Places};
use procura_types::Duration;
use std::future::Future as _;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

/// A body that was read whole.
pub(crate) struct Held {
    bytes: Bytes,
    /// Its share of all that is held.
    share: Option<Place>,
}

impl Held {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that was not read whole.
pub(crate) enum NotHeld<B> {
    /// It broke off, and cannot be passed on either.
    Broken,
    /// It is more, or slower, than is waited for.
    Short {
        fault: Fault,
        /// What came of it.
        arrived: Bytes,
        rest: Box<B>,
    },
}

/// What came of a body. The first part is kept as it is, since most bodies have
/// no other.
#[derive(Default)]
struct Kept {
    first: Bytes,
    all: BytesMut,
}

impl Kept {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn add(&mut self, part: Bytes, announced: usize) {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = part;
            return;
        }
        if self.all.is_empty() {
            self.all
                .reserve(announced.max(self.first.len() + part.len()));
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&part);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() {
            self.first
        } else {
            self.all.freeze()
        }
    }
}

/// The next part of a body, if it is here already.
async fn at_hand<B: Body + Unpin>(
    body: &mut B,
) -> Option<Option<Result<Frame<B::Data>, B::Error>>> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        })
    })
    .await
}

/// Reads a body whole, within the limits and this time. Trailers end here. Before more
/// is waited for than what came with the head, `worth` says whether it is.
pub(crate) async fn hold<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    limits: &Limits,
    room: &Arc<Places>,
    peer: IpAddr,
    patience: Duration,
    worth: &mut (dyn FnMut() -> Result<(), Fault> + Send),
) -> Result<Held, NotHeld<B>> {
    let most = limits.body_bytes;
    let mut kept = Kept::default();
    let mut share: Option<Place> = None;
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let deadline = Instant::now() + patience;
    let short = |fault, kept: Kept, body| NotHeld::Short {
        fault,
        arrived: kept.into_bytes(),
        rest: Box::new(body),
    };
    if announced > most {
        return Err(short(Fault::BodyTooLarge, kept, body));
    }
    let mut first = true;
    while !body.is_end_stream() {
        let here = if std::mem::take(&mut first) {
            at_hand(&mut body).await
        } else {
            None
        };
        let frame = match here {
            Some(frame) => frame,
            None => {
                if let Err(fault) = worth() {
                    return Err(short(fault, kept, body));
                }
                match timeout_at(deadline, body.frame()).await {
                    Ok(frame) => frame,
                    Err(_) => return Err(short(Fault::BodyTooSlow, kept, body)),
                }
            }
        };
        let frame = match frame {
            None => break,
            Some(Err(_)) => return Err(NotHeld::Broken),
            Some(Ok(frame)) => frame,
        };
        let Ok(part) = frame.into_data() else {
            continue;
        };
        let length = part.len();
        kept.add(part, announced);
        if kept.len() > most {
            return Err(short(Fault::BodyTooLarge, kept, body));
        }
        // Room is taken for what has come and not for what was announced, so that
        // only who sends can fill it.
        if !take_room(&mut share, room, peer, length) {
            return Err(short(Fault::Crowded, kept, body));
        }
    }
    Ok(Held {
        bytes: kept.into_bytes(),
        share,
    })
}

/// Takes room for so many bytes more, if there is some for this peer.
fn take_room(share: &mut Option<Place>, room: &Arc<Places>, peer: IpAddr, bytes: usize) -> bool {
    let Ok(bytes) = u32::try_from(bytes) else {
        return false;
    };
    let Some(share) = share else {
        // The first place is the first byte's.
        *share = room.take(peer);
        return share
            .as_mut()
            .is_some_and(|share| share.grow(bytes.saturating_sub(1)));
    };
    share.grow(bytes)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use procura_edge::places::Each;

    /// What came of holding so many bytes for a peer.
    async fn held(room: &Arc<Places>, peer: &str, bytes: usize) -> Result<Held, Fault> {
        let body = Full::new(Bytes::from(vec![b'x'; bytes]));
        let (limits, patience) = (Limits::default(), Duration::from_secs(20));
        let mut worth = || Ok(());
        let peer = peer.parse().unwrap();
        let held = hold(body, &limits, room, peer, patience, &mut worth);
        match held.await {
            Ok(held) => Ok(held),
            Err(NotHeld::Short { fault, .. }) => Err(fault),
            Err(NotHeld::Broken) => panic!("it is whole"),
        }
    }

    #[tokio::test]
    async fn an_address_has_its_share_of_what_is_held() {
        let each = Each {
            most: 25,
            of_this_machine: false,
        };
        let room = Places::new(100, each);
        let first = held(&room, "192.0.2.1", 20).await.ok().unwrap();
        let more = held(&room, "192.0.2.1", 6).await;
        assert_eq!(more.err(), Some(Fault::Crowded));
        let rest = held(&room, "192.0.2.1", 5).await;
        assert!(rest.is_ok());
        // Others have theirs; a /64 is one, and this machine has all that is left.
        let network = held(&room, "2001:db8::1", 25).await;
        assert!(network.is_ok());
        let neighbour = held(&room, "2001:db8::2", 1).await;
        assert_eq!(neighbour.err(), Some(Fault::Crowded));
        let own = held(&room, "127.0.0.1", 50).await;
        assert!(own.is_ok());
        let other = held(&room, "192.0.2.2", 1).await;
        assert_eq!(other.err(), Some(Fault::Crowded), "all is taken");
        drop((first, network));
        assert!(held(&room, "192.0.2.2", 25).await.is_ok());
        assert!(held(&room, "192.0.2.1", 20).await.is_ok());
    }
}
