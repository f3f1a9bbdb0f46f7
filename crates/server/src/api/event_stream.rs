//! One follower of events: the body of an answer that goes on.
//!
//! It holds no more of the server than it needs, and none of its keys: a stream whose
//! reader takes nothing lives on for as long as the listener lets it. Before each part
//! that it hands out it looks anew whether it still may.

use super::events::EventsFollow;
use crate::serve::Context as Serving;
use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;
use procura_directory::Snapshot;
use procura_edge::counted::Counted;
use procura_policy::{Action, Concerned, Decider, Permit, Question, Resource};
use procura_proof::Caller;
use procura_proof::session::RENEWAL_LIFE;
use procura_record::{Directory, Events, Notice, Since};
use procura_types::wire::RESET;
use procura_types::{Clock, Duration, Timestamp};
use procura_vault::Vault;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use tokio::sync::watch;

/// How long nothing may come before a comment says that the connection stands.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a stream waits for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Until it is over.
    Over,
    /// Not at all.
    AllIsTold,
}

/// What is told next, and by whom after that; none when it is over.
type Told = Pin<Box<dyn Future<Output = Option<(Bytes, Box<Place>)>> + Send>>;

/// The body of the answer.
pub(super) struct Follower(Option<Told>);

/// Where a follower is.
struct Place {
    permit: Permit<EventsFollow>,
    notices: Arc<Events>,
    changed: watch::Receiver<bool>,
    directory: Arc<Directory>,
    decider: Arc<dyn Decider>,
    clock: Arc<dyn Clock>,
    /// Asked whether the root of the session is still accepted.
    vault: Weak<Vault>,
    /// The next entry to look at.
    next: u64,
    until: Until,
    /// When the proof that it was opened with is worth nothing more.
    ends: Timestamp,
    greeted: bool,
    _counted: Counted,
}

impl Follower {
    pub(super) fn new(
        context: &Serving<'_>,
        permit: Permit<EventsFollow>,
        next: u64,
        until: Until,
    ) -> Self {
        let open = context.open;
        let session = permit.caller().answering();
        // A proof is good for a session of that length at most.
        let ends = session.map_or_else(
            || context.input.now.plus(RENEWAL_LIFE),
            |session| session.session_ends(),
        );
        let place = Box::new(Place {
            permit,
            notices: Arc::clone(&open.notices),
            changed: open.notices.changed(),
            directory: Arc::clone(&open.directory),
            decider: open.recorder.shared_decider(),
            clock: Arc::clone(&context.app.clock),
            vault: Arc::downgrade(&open.vault),
            next,
            until,
            ends,
            greeted: false,
            _counted: context.app.metrics.stream(),
        });
        Self(Some(Box::pin(place.tell())))
    }
}

impl HttpBody for Follower {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(telling) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let told = std::task::ready!(telling.as_mut().poll(context));
        let told = told.map(|(part, place)| {
            self.0 = Some(Box::pin(place.tell()));
            Ok(Frame::data(part))
        });
        if told.is_none() {
            self.0 = None;
        }
        Poll::Ready(told)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

impl Place {
    /// Waits until there is something to tell, and tells it.
    async fn tell(mut self: Box<Self>) -> Option<(Bytes, Box<Self>)> {
        let quiet = tokio::time::Instant::now() + KEEP_ALIVE;
        loop {
            // Before anything is looked at: what comes from here on is not missed.
            if *self.changed.borrow_and_update() {
                return None;
            }
            let now = self.clock.now();
            let snapshot = self.directory.snapshot();
            if !self.stands(&snapshot, now) {
                return None;
            }
            let part = self.part(&snapshot, now);
            if !part.is_empty() {
                return Some((part.into(), self));
            }
            if self.until == Until::AllIsTold {
                return None;
            }
            let rest = tokio::time::Instant::now() + self.ends.since(now);
            // Nothing of this moment is held while nothing happens.
            drop(snapshot);
            tokio::select! {
                changed = self.changed.changed() => if changed.is_err() {
                    return None;
                },
                () = tokio::time::sleep_until(quiet.min(rest)) => {
                    if tokio::time::Instant::now() >= quiet {
                        return Some((self.place(":").into(), self));
                    }
                }
            }
        }
    }

    /// Whether the caller may follow still: the device and its actor are active, what
    /// let them in is so, they are where they may be, and the session has not ended.
    fn stands(&mut self, snapshot: &Snapshot, now: Timestamp) -> bool {
        let accepted = self.permit.caller().answering().is_none_or(|session| {
            let epoch = session.session_epoch();
            let vault = self.vault.upgrade();
            vault.is_some_and(|vault| vault.session_roots().get(epoch).is_some())
        });
        let caller = self.permit.caller();
        let admitted = caller
            .peer()
            .is_none_or(|peer| snapshot.admits(caller.actor(), peer));
        if now >= self.ends || !accepted || !admitted {
            return false;
        }
        self.permit.directory_seq() == snapshot.seq()
            || self
                .permit
                .renew(self.decider.as_ref(), snapshot, now)
                .is_ok()
    }

    /// What is to be told now; empty when nothing is.
    fn part(&mut self, snapshot: &Snapshot, now: Timestamp) -> String {
        let mut part = String::new();
        loop {
            let (notices, next) = match self.notices.since(self.next) {
                Since::Gone(next) => {
                    self.next = next;
                    self.greeted = true;
                    // Writing to a String cannot fail, here and below.
                    let _ = write!(part, "event: {RESET}\nid: {}\ndata: {{}}\n\n", last(next));
                    continue;
                }
                Since::Notices(notices, next) => (notices, next),
            };
            if !self.greeted {
                self.greeted = true;
                part.push_str(&self.place(": events of Procura"));
            }
            self.next = next;
            for notice in &notices {
                let (decider, caller) = (self.decider.as_ref(), self.permit.caller());
                if may_see(decider, snapshot, caller, notice, now) {
                    write_notice(&mut part, notice);
                }
            }
            if notices.is_empty() || !part.is_empty() {
                return part;
            }
        }
    }

    /// A comment, and the id of the last entry that was looked at: where a client goes
    /// on whom nothing concerned for long.
    fn place(&self, comment: &str) -> String {
        format!("{comment}\nid: {}\n\n", last(self.next))
    }
}

/// Whether a caller may see what happened, as events and among the alarms of a page.
pub(crate) fn may_see(
    decider: &dyn Decider,
    snapshot: &Snapshot,
    caller: &Caller,
    notice: &Notice,
    now: Timestamp,
) -> bool {
    let resource = match &notice.namespace {
        // Nobody has a role in a namespace that ended; its end is for stewards.
        Some(namespace) if snapshot.namespace_ended(namespace).is_none() => {
            Resource::Namespace(namespace.clone())
        }
        _ => Resource::Installation,
    };
    let concerns = notice.concerned.contains(caller.actor());
    let question = Question {
        caller,
        action: Action::EventsRead,
        resource: &resource,
        concerned: Concerned {
            own: concerns.then_some(caller.actor()),
            ..Concerned::default()
        },
        now,
    };
    decider.decide(snapshot, &question).is_ok()
}

/// The id of the entry before a place; the record begins with that of `init`.
const fn last(next: u64) -> u64 {
    next.saturating_sub(1)
}

/// One message for each kind of a notice. Only the last has the id: who loses the
/// connection in between gets both again.
fn write_notice(part: &mut String, notice: &Notice) {
    let Some((last, before)) = notice.kinds.split_last() else {
        return;
    };
    for kind in before {
        let _ = write!(part, "event: {}\ndata: {}\n\n", kind.as_str(), notice.json);
    }
    let _ = write!(
        part,
        "event: {}\nid: {}\ndata: {}\n\n",
        last.as_str(),
        notice.index,
        notice.json
    );
}
