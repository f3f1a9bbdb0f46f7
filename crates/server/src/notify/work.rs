//! The work behind the requests: it gathers what happened, sends what is due, and keeps
//! what came of it. Each channel has one message on its way at a time, and each namespace
//! a few (`rota.rs`), so that receivers that hang hold up nobody else's. What waits is rows
//! alone: a start, or another server that takes over, reads them and goes on. Where there are
//! several servers, the one with the lease does it, and whatever it stores applies under that
//! lease alone.

use super::NotifyParts;
use super::delivering::{Sent, on_its_way};
use super::gathering::Gathering;
use super::lane::{Lane, MOST_TRIES, Turn, Waits, pause};
use super::queue::{all, count_dead, waiting};
use super::rota::Rota;
use super::rows::{
    CHANNELS, CHUNK, CREDENTIALS, DEAD, MessageRow, POSITION, Place, SCOPES, ScopeRow, UNTOLD,
    WAITING, change,
};
use super::sending::{Failed, Sender};
use procura_record::{Notice, Since, Stopping};
use procura_store::{Batch, CommitError, Expected, KeyPrefix, Seq, StoreError};
use procura_types::{BatchId, Duration, EntropyError, Namespace, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};

/// Given-up messages that one channel keeps; what is more is counted.
const MOST_DEAD: u64 = 10_000;
/// How often it is looked while something waits: by the server's clock, which may be
/// turned, so a pause is not slept through.
const SOON: Duration = Duration::from_millis(250);
/// How often it is looked while nothing does.
const LATER: Duration = Duration::from_secs(5);
/// How often it is looked whether this server has the lease.
const LEASE: Duration = Duration::from_secs(1);
/// How soon it is looked again when there is more to do.
const AT_ONCE_AGAIN: Duration = Duration::from_millis(10);
/// How often entries are looked at in one go.
const ROUNDS: usize = 32;
/// How long nothing is done after a trouble with the store.
const REST: Duration = Duration::from_secs(30);
/// Entries after which it is kept how far it was looked, though nothing came of them.
const KEEP_EVERY: u64 = 4096;

/// What is known of the rows.
#[derive(Default)]
struct Known {
    /// When somebody else changed them last.
    changed: Option<Seq>,
    scopes: BTreeMap<String, ScopeRow>,
    /// Routes that were known before others were put: what was looked at for them is not
    /// looked at again for their sake.
    floors: BTreeMap<Place, u64>,
    lanes: BTreeMap<Place, Lane>,
    /// Given-up messages by channel.
    dead: BTreeMap<Place, u64>,
    /// The next entry to look at.
    place: u64,
    /// What of that is kept.
    kept: u64,
}

impl Known {
    fn has_routes(&self) -> bool {
        self.scopes.values().any(|scope| !scope.routes.is_empty())
    }
}

/// Why the work cannot go on as it is.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// Another server has the lease.
    #[error("another server sends now")]
    Lost,
}

impl Trouble {
    const fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Sealed) | Self::Commit(CommitError::Sealed)
        )
    }
}

pub(super) struct Work {
    parts: NotifyParts,
    sender: Arc<Sender>,
    wake: Arc<Notify>,
    known: Option<Known>,
    sending: JoinSet<Sent>,
    /// Whose message goes next.
    rota: Rota,
    /// The last trouble, said once.
    troubled: bool,
    /// Until when nothing is done, after a trouble.
    rests: Option<Instant>,
}

impl Work {
    pub(super) fn new(parts: NotifyParts, sender: Arc<Sender>, wake: Arc<Notify>) -> Self {
        Self {
            parts,
            sender,
            wake,
            known: None,
            sending: JoinSet::new(),
            rota: Rota::default(),
            troubled: false,
            rests: None,
        }
    }

    pub(super) async fn run(mut self, mut stopping: Stopping) {
        let mut news = self.parts.events.changed();
        loop {
            let pause = match self.look().await {
                Ok(pause) => {
                    self.troubled &= self.known.is_none();
                    pause
                }
                Err(trouble) if trouble.is_over() => return,
                Err(trouble) => self.forget(&trouble),
            };
            tokio::select! {
                biased;
                () = stopping.told() => return,
                Some(sent) = self.sending.join_next() => {
                    if let Err(trouble) = self.settle(sent).await {
                        if trouble.is_over() {
                            return;
                        }
                        self.forget(&trouble);
                    }
                }
                over = news.changed() => {
                    if over.is_err() || *news.borrow() {
                        return;
                    }
                }
                () = self.wake.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Begins anew with what the rows say. What is on its way is let go, and sent again.
    fn forget(&mut self, trouble: &Trouble) -> Duration {
        let lost = matches!(trouble, Trouble::Lost);
        if !self.troubled && !lost {
            tracing::warn!(%trouble, "notifications cannot be looked after now");
        }
        self.troubled = true;
        // Whoever gets a message whose end cannot be kept does not get it once a second.
        let rest = if lost { LEASE } else { REST };
        self.rests = Some(self.parts.clock.steady() + rest);
        self.let_go();
        rest
    }

    fn let_go(&mut self) {
        self.known = None;
        self.sending = JoinSet::new();
        self.rota.let_go();
        self.parts.counts.waiting(0);
    }

    fn batch(&self) -> Result<Batch, Trouble> {
        let id = BatchId::generate(self.parts.clock.now(), self.parts.entropy.as_ref())?;
        Ok(Batch::new(id))
    }

    /// Commits, as long as this server is the one that sends.
    async fn commit(&self, mut batch: Batch) -> Result<(), Trouble> {
        if let Some(lease) = &self.parts.lease
            && !lease.fence(&mut batch)
        {
            return Err(Trouble::Lost);
        }
        self.parts.store.commit(batch).await?;
        Ok(())
    }

    /// Does what there is to do, and says how long there may be nothing.
    async fn look(&mut self) -> Result<Duration, Trouble> {
        let steady = self.parts.clock.steady();
        if let Some(until) = self.rests.filter(|until| *until > steady) {
            return Ok(until.saturating_duration_since(steady).min(LEASE));
        }
        let lease = self.parts.lease.as_ref();
        if lease.is_some_and(|lease| !lease.is_held()) {
            self.let_go();
            return Ok(LEASE);
        }
        let changed = change(&self.parts.store)?.map(|row| row.version);
        if self
            .known
            .as_ref()
            .is_none_or(|known| known.changed != changed)
        {
            self.read(changed)?;
        }
        self.sweep().await?;
        let more = self.gather().await?;
        let pause = self.send();
        Ok(if more { AT_ONCE_AGAIN } else { pause })
    }

    /// Reads the rows. What is known of the pace of a channel stays.
    fn read(&mut self, changed: Option<Seq>) -> Result<(), Trouble> {
        let store = &self.parts.store;
        let before = self.known.take();
        let is_first = before.is_none();
        let before = before.unwrap_or_default();
        let mut known = Known {
            changed,
            place: before.place,
            kept: before.kept,
            ..Known::default()
        };
        let rows = store.snapshot()?;
        for (scope, row) in all(|after| SCOPES.scan(&rows, &KeyPrefix::all(), after, CHUNK))? {
            known.scopes.insert(scope, row.value);
        }
        let mut lanes = before.lanes;
        for (scope, row) in &known.scopes {
            for channel in &row.channels {
                let place = (scope.clone(), channel.clone());
                let Some(found) = CHANNELS.get_at(&rows, &place)? else {
                    continue;
                };
                let mut lane = lanes
                    .remove(&place)
                    .unwrap_or_else(|| Lane::new(found.value.per_minute));
                lane.per_minute = found.value.per_minute;
                lane.waiting = waiting(&rows, &place)?;
                let untold = UNTOLD.get_at(&rows, &place)?;
                lane.untold = untold.map_or(0, |row| row.value);
                known.dead.insert(place.clone(), count_dead(&rows, &place)?);
                known.lanes.insert(place, lane);
            }
        }
        if !is_first {
            // Something may have happened between a route's beginning and this look.
            for (scope, row) in &known.scopes {
                let old = before.scopes.get(scope);
                for (name, route) in &row.routes {
                    let same = old.and_then(|old| old.routes.get(name));
                    if same.is_some_and(|same| same.from == route.from) {
                        let route = (scope.clone(), name.clone());
                        let floor = before.floors.get(&route).copied().unwrap_or(0);
                        known.floors.insert(route, floor.max(before.place));
                    } else {
                        known.place = known.place.min(route.from);
                    }
                }
            }
        } else {
            let end = self.parts.events.place();
            let routes = known
                .scopes
                .values()
                .flat_map(|scope| scope.routes.values());
            let first = routes.map(|route| route.from).min();
            let kept = POSITION.get_at(&rows, &())?.map(|row| row.value);
            known.kept = kept.unwrap_or(end);
            // Nobody is told of what was before the first route.
            known.place = first.map_or(end, |first| known.kept.max(first));
        }
        self.rota.keep(|scope| known.scopes.contains_key(scope));
        self.known = Some(known);
        Ok(())
    }

    /// Takes away what is left of a namespace that ended.
    async fn sweep(&mut self) -> Result<(), Trouble> {
        let snapshot = self.parts.directory.snapshot();
        let Some(known) = &self.known else {
            return Ok(());
        };
        let ended = known.scopes.keys().find(|scope| {
            let namespace: Result<Namespace, _> = scope.parse();
            namespace.is_ok_and(|namespace| snapshot.namespace_ended(&namespace).is_some())
        });
        let Some(scope) = ended.cloned() else {
            return Ok(());
        };
        let mut batch = self.batch()?;
        let prefix = KeyPrefix::all().part(&scope);
        SCOPES.delete(&mut batch, &scope);
        CHANNELS.delete_all(&mut batch, &prefix);
        CREDENTIALS.delete_all(&mut batch, &prefix);
        WAITING.delete_all(&mut batch, &prefix);
        DEAD.delete_all(&mut batch, &prefix);
        UNTOLD.delete_all(&mut batch, &prefix);
        self.commit(batch).await?;
        if let Some(known) = &mut self.known {
            known.scopes.remove(&scope);
            known.lanes.retain(|(of, _), _| *of != scope);
        }
        Ok(())
    }

    /// Puts what happened into rows, so much of it that nobody waits long who wants this
    /// to end; whether there is more.
    async fn gather(&mut self) -> Result<bool, Trouble> {
        for _ in 0..ROUNDS {
            let Some(known) = &self.known else {
                return Ok(false);
            };
            let (events, place) = (&self.parts.events, known.place);
            if !known.has_routes() {
                let end = events.place();
                if let Some(known) = &mut self.known {
                    known.place = end;
                }
                return Ok(false);
            }
            let (notices, next) = match events.since(place) {
                Since::Notices(notices, next) => (notices, next),
                // Further back than memory reaches, or before the last unseal.
                Since::Gone(_) => events.read_back(&self.parts.store, place)?,
            };
            if next == place && notices.is_empty() {
                return Ok(false);
            }
            self.take_in(&notices, next).await?;
        }
        Ok(true)
    }

    /// Puts these notices into rows.
    async fn take_in(&mut self, mut notices: &[Arc<Notice>], end: u64) -> Result<(), Trouble> {
        let snapshot = self.parts.directory.snapshot();
        loop {
            let Some(known) = &self.known else {
                return Ok(());
            };
            let mut batch = self.batch()?;
            let gathering = Gathering {
                store: &self.parts.store,
                snapshot: &snapshot,
                scopes: &known.scopes,
                floors: &known.floors,
                lanes: &known.lanes,
                now: self.parts.clock.now(),
            };
            let gathered = gathering.put(&mut batch, notices, end);
            let nothing = gathered.waiting.is_empty() && gathered.untold.is_empty();
            let far = gathered.next.saturating_sub(known.kept) >= KEEP_EVERY;
            if !nothing || far {
                self.commit(batch).await?;
            }
            let Some(known) = &mut self.known else {
                return Ok(());
            };
            known.place = gathered.next;
            if !nothing || far {
                known.kept = gathered.next;
            }
            for (place, index, waits) in gathered.waiting {
                if let Some(lane) = known.lanes.get_mut(&place) {
                    lane.waiting.insert(index, waits);
                }
            }
            for (place, untold) in gathered.untold {
                if let Some(lane) = known.lanes.get_mut(&place) {
                    lane.untold = untold;
                }
            }
            notices = notices.get(gathered.looked_at..).unwrap_or_default();
            if notices.is_empty() {
                return Ok(());
            }
        }
    }

    /// Sends what is due, and says when to look again.
    fn send(&mut self) -> Duration {
        let now = self.parts.clock.now();
        let Some(known) = &mut self.known else {
            return LEASE;
        };
        let mut pause = LATER;
        let mut due: BTreeMap<Place, (Vec<u64>, u64)> = BTreeMap::new();
        for (place, lane) in &mut known.lanes {
            let of_it = match lane.turn(now) {
                Turn::Nothing => continue,
                Turn::Wait(until) => {
                    pause = pause.min(until.since(now).min(SOON));
                    continue;
                }
                Turn::One(index) => (vec![index], 0),
                Turn::Digest(indexes) => (indexes, lane.untold),
            };
            due.insert(place.clone(), of_it);
        }
        for place in self.rota.begin(due.keys().cloned().collect()) {
            let lane = known.lanes.get_mut(&place);
            let (Some(lane), Some((indexes, untold))) = (lane, due.remove(&place)) else {
                self.rota.ends(&place.0);
                continue;
            };
            lane.begins(now);
            let sending = on_its_way(Arc::clone(&self.sender), place, indexes, untold);
            self.sending.spawn(sending);
        }
        if !due.is_empty() {
            pause = pause.min(SOON);
        }
        let waiting = known.lanes.values().map(|lane| lane.waiting.len());
        self.parts.counts.waiting(waiting.sum());
        pause.max(AT_ONCE_AGAIN)
    }

    /// Keeps what became of a message.
    async fn settle(&mut self, sent: Result<Sent, JoinError>) -> Result<(), Trouble> {
        // One that broke off is sent again; who had it is not known any more.
        let sent = sent.map_err(|_| Trouble::Lost)?;
        self.rota.ends(&sent.place.0);
        let now = self.parts.clock.now();
        let Some(known) = &self.known else {
            return Ok(());
        };
        let mut dead = known.dead.get(&sent.place).copied().unwrap_or(0);
        let before = known.lanes.get(&sent.place).map_or(0, |lane| lane.untold);
        let mut untold = match &sent.result {
            Ok(()) => before.saturating_sub(sent.untold),
            Err(_) => before,
        };
        let mut batch = self.batch()?;
        if sent.result.is_ok() {
            // What arrived has to go on a full disk too, or it is sent for ever.
            batch.set_reserved();
        }
        let mut left: Vec<(u64, Option<Waits>)> = Vec::new();
        let (scope, channel) = &sent.place;
        for (index, row) in &sent.rows {
            let key = (scope.clone(), channel.clone(), *index);
            WAITING.expect(&mut batch, &key, Expected::At(row.version));
            let Some(failed) = sent.result.as_ref().err() else {
                WAITING.delete(&mut batch, &key);
                left.push((*index, None));
                continue;
            };
            let mut message = row.value.clone();
            message.tries = message.tries.saturating_add(1);
            message.failure = Some(failed.reason.clone());
            if failed.lasts || message.tries >= MOST_TRIES {
                WAITING.delete(&mut batch, &key);
                if dead < MOST_DEAD {
                    DEAD.put(&mut batch, &key, &message);
                    dead += 1;
                } else {
                    untold += 1;
                }
                left.push((*index, None));
                continue;
            }
            message.next = now.plus(self.pause_of(&message, failed)?);
            WAITING.put(&mut batch, &key, &message);
            left.push((*index, Some(message.waits())));
        }
        match untold {
            _ if untold == before => {}
            0 => UNTOLD.delete(&mut batch, &sent.place),
            _ => UNTOLD.put(&mut batch, &sent.place, &untold),
        }
        if !batch.is_empty() {
            match self.commit(batch).await {
                // Somebody took it back or removed the channel meanwhile: the rows say.
                Err(Trouble::Commit(CommitError::Conflict { .. })) => {
                    if let Some(known) = &mut self.known {
                        known.changed = None;
                    }
                    self.close(&sent, now);
                    return Ok(());
                }
                done => done?,
            }
        }
        self.close(&sent, now);
        let again = left.iter().filter(|(_, waits)| waits.is_some()).count();
        let counts = &self.parts.counts;
        if sent.result.is_ok() {
            counts.count("arrived", left.len());
        } else {
            counts.count("failed", again);
            counts.count("given_up", left.len() - again);
        }
        let Some(known) = &mut self.known else {
            return Ok(());
        };
        known.dead.insert(sent.place.clone(), dead);
        if let Some(lane) = known.lanes.get_mut(&sent.place) {
            lane.untold = untold;
            for index in &sent.indexes {
                lane.waiting.remove(index);
            }
            for (index, waits) in left {
                if let Some(waits) = waits {
                    lane.waiting.insert(index, waits);
                }
            }
        }
        Ok(())
    }

    /// How long a message waits that failed.
    fn pause_of(&self, message: &MessageRow, failed: &Failed) -> Result<Duration, Trouble> {
        let mut random = [0; 4];
        self.parts.entropy.fill(&mut random)?;
        let pause = pause(message.tries, u32::from_be_bytes(random));
        let asked = failed.asked.unwrap_or_default();
        Ok(pause.max(asked.min(Duration::from_secs(60 * 60))))
    }

    /// The channel's next turn.
    fn close(&mut self, sent: &Sent, now: Timestamp) {
        let lanes = self.known.as_mut().map(|known| &mut known.lanes);
        let Some(lane) = lanes.and_then(|lanes| lanes.get_mut(&sent.place)) else {
            return;
        };
        match &sent.result {
            Ok(()) => lane.arrived(),
            Err(failed) => {
                let (_, channel) = &sent.place;
                tracing::debug!(%channel, reason = failed.reason, "a notification did not arrive");
                lane.failed(now, !failed.lasts, failed.asked);
            }
        }
    }
}
