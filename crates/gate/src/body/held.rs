//! Bodies that are read whole, within what may be held and waited for.

use crate::answer::Fault;
use crate::config::Limits;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use procura_edge::places::{Place, Places};
use procura_types::Duration;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::time::{Instant, timeout_at};

/// A body that was read whole.
pub(crate) struct Held {
    pub(super) bytes: Bytes,
    /// Its share of all that is held.
    pub(super) share: Option<Place>,
}

impl Held {
    /// All of it.
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
    source: IpAddr,
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
        if !take_room(&mut share, room, source, length) {
            return Err(short(Fault::Crowded, kept, body));
        }
    }
    Ok(Held {
        bytes: kept.into_bytes(),
        share,
    })
}

/// Takes room for so many bytes more, if there is some for this address.
fn take_room(share: &mut Option<Place>, room: &Arc<Places>, source: IpAddr, bytes: usize) -> bool {
    let Ok(bytes) = u32::try_from(bytes) else {
        return false;
    };
    let Some(share) = share else {
        // The first place is the first byte's.
        *share = room.take(source);
        return share
            .as_mut()
            .is_some_and(|share| share.grow(bytes.saturating_sub(1)));
    };
    share.grow(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use procura_edge::places::Each;

    /// What came of holding so many bytes for an address.
    async fn held(room: &Arc<Places>, source: &str, bytes: usize) -> Result<Held, Fault> {
        let body = Full::new(Bytes::from(vec![b'x'; bytes]));
        let (limits, patience) = (Limits::default(), Duration::from_secs(20));
        let mut worth = || Ok(());
        let source = source.parse().unwrap();
        let held = hold(body, &limits, room, source, patience, &mut worth);
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
