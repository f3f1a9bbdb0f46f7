//! The connections that an engine has, and the one task that makes them.
//!
//! Whoever reads or commits uses a connection that is there or fails at once; only the
//! keeper connects, so that a database that is away costs nobody a wait. It also follows
//! the feed, and finds out the fate of commits whose end was not heard.

use super::fault::PostgresFault;
use super::feed::Feed;
use super::queries::{self, FEED, GET};
use super::schema;
use super::server::Server;
use super::session::{Listener, Session};
use super::snapshot::Snapshots;
use super::wait::within;
use crate::writer::{Fault, Shared};
use crate::{IoCause, Seq, StoreError};
use arc_swap::ArcSwapOption;
use procura_types::InstallationId;
use std::future::Future;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// The channel on which the database tells of commits.
pub(super) const CHANNEL: &str = "procura";
/// How often the sequence is looked at, whatever was told.
const LOOK: Duration = Duration::from_millis(250);
/// How often the settings that make commits durable are looked at.
const CHECK: Duration = Duration::from_secs(5);
/// How soon connecting is tried again, at first and at most.
const PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(500)];
/// How long a look may take.
const LOOKING: Duration = Duration::from_secs(3);
/// How long it may take to have the head and to make a mark durable.
const MARKING: Duration = Duration::from_secs(20);
/// How long connecting for a snapshot may take.
const CONNECTING: Duration = Duration::from_secs(6);
/// Commits that are read of the journal at once.
const PAGE: usize = 1024;

/// What a group locks before anything else.
pub(super) const LOCK: &str = "SELECT FROM procura.meta FOR UPDATE";
const MARK: &str = "UPDATE procura.head SET marks = marks + 1";

/// A place for a connection that is made anew when it is lost.
#[derive(Default)]
struct Slot(ArcSwapOption<Session>);

impl Slot {
    fn get(&self) -> Option<Arc<Session>> {
        self.0.load_full().filter(|session| !session.is_closed())
    }

    fn close(&self) {
        if let Some(session) = self.0.swap(None) {
            session.close();
        }
    }
}

pub(super) struct Link {
    server: Server,
    installation: InstallationId,
    io: Handle,
    shared: Arc<Shared>,
    feed: Arc<Feed>,
    snapshots: Snapshots,
    ear: Arc<Ear>,
    writer: Slot,
    /// Many callers share each: their questions wait for each other's answers only.
    points: [Slot; 2],
    listener: Slot,
    turn: AtomicUsize,
    /// Why the database is not used now.
    away: Mutex<Option<PostgresFault>>,
}

/// What is heard on the connections.
struct Ear {
    feed: Arc<Feed>,
    wake: Notify,
    /// The process of the server that writes for us: what it tells is no news.
    own: AtomicI32,
}

impl Listener for Ear {
    fn notified(&self, by: i32) {
        if by != self.own.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    fn closed(&self) {
        self.feed.doubt();
        self.wake.notify_one();
    }
}

/// That nothing can be asked now.
fn unavailable(cause: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unavailable(IoCause::new(cause))
}

/// Waits for an answer. A connection that does not give it in time is given up.
pub(super) fn ask<T>(
    limit: Duration,
    session: &Session,
    question: impl Future<Output = Result<T, Fault>>,
) -> Result<T, StoreError> {
    match within(limit, question) {
        Some(answer) => Ok(answer?),
        None => {
            session.close();
            Err(unavailable(&"it does not answer in time"))
        }
    }
}

impl Link {
    pub(super) fn new(
        server: Server,
        installation: &InstallationId,
        io: &Handle,
        shared: &Arc<Shared>,
        feed: &Arc<Feed>,
    ) -> Self {
        Self {
            server,
            installation: *installation,
            io: io.clone(),
            shared: Arc::clone(shared),
            feed: Arc::clone(feed),
            snapshots: Snapshots::default(),
            ear: Arc::new(Ear {
                feed: Arc::clone(feed),
                wake: Notify::new(),
                own: AtomicI32::new(0),
            }),
            writer: Slot::default(),
            points: Default::default(),
            listener: Slot::default(),
            turn: AtomicUsize::new(0),
            away: Mutex::default(),
        }
    }

    pub(super) const fn io(&self) -> &Handle {
        &self.io
    }

    pub(super) fn feed(&self) -> &Feed {
        &self.feed
    }

    pub(super) const fn snapshots(&self) -> &Snapshots {
        &self.snapshots
    }

    fn away(&self) -> MutexGuard<'_, Option<PostgresFault>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the database is not used now, if it is not.
    pub(super) fn problem(&self) -> Option<PostgresFault> {
        self.away().clone()
    }

    /// Why there is no connection.
    pub(super) fn cause(&self) -> IoCause {
        match &*self.away() {
            Some(fault) => IoCause::new(fault),
            None => IoCause::new(&"the connection to the database was lost"),
        }
    }

    /// The connection of the writer, if it is there.
    pub(super) fn writer(&self) -> Option<Arc<Session>> {
        self.writer.get()
    }

    /// The writer gives its connection up, whatever is under way on it.
    pub(super) fn lose_writer(&self) {
        self.writer.close();
        self.ear.wake.notify_one();
    }

    /// A connection for a single question.
    pub(super) fn point(&self) -> Result<Arc<Session>, StoreError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (first, last) = self.points.split_at(turn % self.points.len());
        last.iter()
            .chain(first)
            .find_map(Slot::get)
            .ok_or_else(|| StoreError::Unavailable(self.cause()))
    }

    /// A connection of one's own.
    pub(super) fn another(self: &Arc<Self>) -> Result<Session, StoreError> {
        if let Some(fault) = self.problem() {
            return Err(unavailable(&fault));
        }
        let link = Arc::clone(self);
        let made = self.io.spawn(async move { link.admitted().await });
        match within(CONNECTING, made) {
            Some(Ok(Ok(session))) => Ok(session),
            Some(Ok(Err(fault))) => Err(unavailable(&fault)),
            Some(Err(error)) => Err(unavailable(&error)),
            None => Err(unavailable(&"it does not answer in time")),
        }
    }

    /// Makes the tables.
    pub(super) async fn create(&self) -> Result<(), PostgresFault> {
        let session = self.server.connect(self.listener_of_all()).await?;
        schema::create(&session, &self.server.at(), &self.installation).await
    }

    /// Connects for the first time, and keeps connected from then on.
    pub(super) async fn open(self: Arc<Self>) -> Result<(), PostgresFault> {
        self.mend().await?;
        self.follow().await?;
        let keeper = Arc::clone(&self);
        self.io.spawn(keeper.keep());
        Ok(())
    }

    async fn keep(self: Arc<Self>) {
        let [shortest, longest] = PAUSES;
        let mut pause = shortest;
        let mut checked = Instant::now();
        loop {
            let round = self.round(&mut checked).await;
            self.snapshots.expire();
            match self.found(round.err()) {
                false => {
                    pause = shortest;
                    // Whether it was told or is to look: what follows is the same.
                    let _ = timeout(LOOK, self.ear.wake.notified()).await;
                }
                true => {
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(longest);
                }
            }
        }
    }

    /// Remembers how it stands; whether the database is away.
    fn found(&self, fault: Option<PostgresFault>) -> bool {
        let mut away = self.away();
        if *away != fault {
            match &fault {
                Some(fault) => tracing::warn!(%fault, "the database is not used now"),
                None => tracing::info!(at = %self.server.at(), "the database is used again"),
            }
            away.clone_from(&fault);
        }
        fault.is_some()
    }

    async fn round(self: &Arc<Self>, checked: &mut Instant) -> Result<(), PostgresFault> {
        self.mend().await?;
        if checked.elapsed() >= CHECK {
            *checked = Instant::now();
            self.check().await?;
        }
        self.follow().await?;
        // The writer gave its connection up before it said so. The one that is there now
        // had the head, so the transaction of the other has ended, one way or the other.
        if self.shared.is_poisoned() && self.writer.get().is_some() {
            self.shared.heal();
        }
        Ok(())
    }

    /// Gives up what is still connected to a server that another took over from: it may
    /// hang, or go on and show what was.
    fn leave_former(&self) {
        let place = self.server.place();
        for slot in self.points.iter().chain([&self.writer, &self.listener]) {
            if slot.get().is_some_and(|session| session.place() != place) {
                slot.close();
                self.snapshots.forget();
            }
        }
    }

    /// Makes the connections that are not there.
    async fn mend(self: &Arc<Self>) -> Result<(), PostgresFault> {
        self.leave_former();
        if self.writer.get().is_none() {
            let session = self.admitted().await?;
            self.mark(&session).await?;
            self.ear.own.store(session.process(), Ordering::Release);
            self.writer.0.store(Some(Arc::new(session)));
            // Those to a server that hangs would cost whoever asks next a long wait.
            self.snapshots.forget();
        }
        for point in &self.points {
            if point.get().is_none() {
                let session = self.admitted().await?;
                self.timed(&session, session.prepare(&[GET, FEED])).await?;
                point.0.store(Some(Arc::new(session)));
            }
        }
        self.leave_former();
        if self.writer.get().is_none() {
            // All that is done with the database is done with one.
            return Err(PostgresFault::Unreachable {
                at: self.server.at(),
                cause: "another of its servers took over".to_owned(),
            });
        }
        if self.listener.get().is_none() {
            let session = self.admitted().await?;
            let listen = format!("LISTEN {CHANNEL}");
            self.timed(&session, session.run(&listen)).await?;
            self.listener.0.store(Some(Arc::new(session)));
        }
        Ok(())
    }

    fn listener_of_all(&self) -> Arc<dyn Listener> {
        Arc::<Ear>::clone(&self.ear)
    }

    /// A connection to the right store, which lacks nothing that was seen before.
    async fn admitted(&self) -> Result<Session, PostgresFault> {
        let session = self.server.connect(self.listener_of_all()).await?;
        let known = self.feed.position();
        let admit = async {
            schema::check(&session, &self.server.at(), &self.installation).await?;
            let found = self.timed(&session, queries::head_seq(&session)).await?;
            self.not_before(known, found)?;
            Ok(found)
        };
        let found = match timeout(LOOKING, admit).await {
            Ok(admitted) => admitted?,
            Err(_) => return Err(self.late(&session)),
        };
        // The first time there is nothing that could be followed from.
        if known == Seq::ZERO {
            self.feed.restart(found, None);
        }
        Ok(session)
    }

    fn not_before(&self, known: Seq, found: Seq) -> Result<(), PostgresFault> {
        if found >= known {
            return Ok(());
        }
        let at = self.server.at();
        Err(PostgresFault::RolledBack { at, known, found })
    }

    /// Makes durable what is there. The head is had only when the transaction that had it
    /// before is over; and the commit of a mark is acknowledged only when all that was
    /// written before it is where a commit has to be, even if a server that was started
    /// again shows it already.
    async fn mark(&self, session: &Session) -> Result<(), PostgresFault> {
        let warned = session.warnings();
        let mark = async {
            session.run(&session.begin()).await?;
            session.rows(LOCK, &[]).await?;
            session.change(MARK, &[]).await?;
            session.run("COMMIT").await
        };
        let marked = match timeout(MARKING, mark).await {
            Ok(marked) => marked,
            Err(_) => return Err(self.late(session)),
        };
        if marked.is_err() || session.warnings() != warned {
            session.close();
        }
        let at = self.server.at();
        marked.map_err(|fault| PostgresFault::of(&at, fault))?;
        if session.is_closed() {
            let cause = "it did not wait for its standbys".to_owned();
            return Err(PostgresFault::Unreachable { at, cause });
        }
        Ok(())
    }

    /// Whether commits can still be relied on; else nothing is used any more.
    async fn check(&self) -> Result<(), PostgresFault> {
        let Ok(session) = self.point() else {
            return Ok(());
        };
        let checked = match timeout(LOOKING, self.server.check(&session)).await {
            Ok(checked) => checked,
            Err(_) => Err(self.late(&session)),
        };
        if checked.is_err() {
            self.close();
        }
        checked
    }

    fn close(&self) {
        self.writer.close();
        self.points.iter().for_each(Slot::close);
    }

    /// Learns of all commits until now.
    async fn follow(&self) -> Result<(), PostgresFault> {
        let Ok(session) = self.point() else {
            return Err(PostgresFault::of(
                &self.server.at(),
                Fault::Away(self.cause()),
            ));
        };
        let mut moved = false;
        loop {
            let (asked, known) = (Instant::now(), self.feed.position());
            let page = self
                .timed(
                    &session,
                    queries::page(&session, known, PAGE, self.feed.oldest()),
                )
                .await?;
            self.feed.begins(page.oldest);
            if let Err(fault) = self.not_before(known, page.last) {
                self.close();
                return Err(fault);
            }
            if !page.reaches(known) {
                self.feed.restart(page.last, Some(asked));
                moved = true;
                break;
            }
            let upto = page.commits.last().map_or(known, |commit| commit.seq);
            moved |= upto > known;
            let all = upto >= page.last;
            self.feed.follow(&page.commits, all.then_some(asked));
            if all {
                break;
            }
        }
        if moved {
            let sealed = self.timed(&session, queries::sealed(&session)).await?;
            if let Some((seq, head)) = sealed
                && let Err(what) = self.shared.adopt(seq, &head)
            {
                // The next group finds it again, and is refused.
                tracing::error!(%what, "the store is damaged");
            }
        }
        Ok(())
    }

    /// The answer to a question of the keeper.
    async fn timed<T>(
        &self,
        session: &Session,
        question: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, PostgresFault> {
        match timeout(LOOKING, question).await {
            Ok(answer) => answer.map_err(|fault| PostgresFault::of(&self.server.at(), fault)),
            Err(_) => Err(self.late(session)),
        }
    }

    fn late(&self, session: &Session) -> PostgresFault {
        session.close();
        PostgresFault::Unreachable {
            at: self.server.at(),
            cause: "it does not answer in time".to_owned(),
        }
    }
}
