//! The engine of several servers: one PostgreSQL database that all of them write to.
//!
//! Each server groups its batches; a group is one transaction, which locks the row of the
//! store before it looks at anything (ADR 24). What is stored is what the embedded engine
//! stores, sealed by the same barrier. Beyond the contract of [`Engine`]:
//!
//! * Commits of other servers are in the feed; [`PostgresEngine::moves`] tells of them,
//!   and [`PostgresEngine::feed_age`] how long ago it was certain that none was missed.
//! * While the database is away, everything fails with `Unavailable`, at once. It is
//!   looked for all the time and used again when it is there.
//! * After a commit whose end was not heard, the engine opens itself again: it is
//!   `Poisoned` until the database has told how that commit ended, and what was committed
//!   by then is durable. The fate can be asked from then on.
//!
//! The addresses have to lead to a PostgreSQL server, or to something that keeps a
//! connection for one client: sessions are used for more than one transaction.

mod backend;
mod fault;
mod feed;
mod found;
mod io;
mod link;
#[cfg(any(test, feature = "fake"))]
mod local;
mod queries;
mod schema;
mod server;
mod session;
mod snapshot;
mod staged;
#[cfg(test)]
mod tests;
mod tls;
mod url;
mod wait;

pub use fault::PostgresFault;
#[cfg(any(test, feature = "fake"))]
pub use local::LocalPostgres;
pub use url::PostgresUrl;

use crate::cache::RowCache;
use crate::engine::{
    Changes, CommitFeed, CommitFuture, CommitObserver, Engine, RawBatch, RawEntry, RawRow, Snapshot,
};
use crate::sealer::CommitSealer;
use crate::writer::{self, Shared, Thread};
use crate::{RowKey, Seq, StoreError, journal};
use backend::PostgresBackend;
use feed::Feed;
use io::IoThread;
use link::{Link, ask};
use procura_types::{BatchId, InstallationId, Secret};
use server::Server;
use session::Session;
use snapshot::PostgresSnapshot;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_rustls::rustls::ClientConfig;
use wait::within;

/// How long opening may take: connecting, waiting for whoever has the head, and a commit.
const OPENING: Duration = Duration::from_secs(60);
/// How long the answer to one question may take.
const ANSWERING: Duration = Duration::from_secs(5);
/// How long a look at everything may take.
const LOOKING_THROUGH: Duration = Duration::from_secs(3600);
/// Commits that are read of the journal at once.
const PAGE: usize = 256;

/// How the engine of several servers is run.
pub struct PostgresOptions {
    /// Where the database is.
    pub url: PostgresUrl,
    /// The password of its user, if it has one.
    pub password: Option<Secret<String>>,
    /// How connections are encrypted, and whom to believe; needed for another machine.
    pub tls: Option<Arc<ClientConfig>>,
    /// Bytes for the cache of sealed rows. Default 16 MiB.
    pub cache_bytes: usize,
    /// Rows and entries may have so many bytes, of which the last 8 MiB are for batches
    /// that may use the reserve. Default: as the server has room.
    pub max_bytes: Option<u64>,
    /// So many commits are kept for the change feed and the fates of batches. Default
    /// 131,072.
    pub kept_commits: u64,
    /// Accepts a server whose standbys may lack what was acknowledged. Default no.
    pub danger_async_standby: bool,
}

impl PostgresOptions {
    /// The defaults, for a database at this address.
    #[must_use]
    pub const fn new(url: PostgresUrl) -> Self {
        Self {
            url,
            password: None,
            tls: None,
            cache_bytes: 16 * 1024 * 1024,
            max_bytes: None,
            kept_commits: journal::KEPT,
            danger_async_standby: false,
        }
    }

    /// Encrypts connections, and believes a server whose certificate one of these
    /// authorities signed, in PEM.
    ///
    /// # Errors
    /// [`PostgresFault::Own`] when there is no certificate in it that can be used.
    pub fn trust(&mut self, authorities: &[u8]) -> Result<(), PostgresFault> {
        let config = tls::trusting(authorities).map_err(PostgresFault::Own)?;
        self.tls = Some(Arc::new(config));
        Ok(())
    }
}

/// The engine of several servers. Dropping it writes what is queued, then ends its
/// connections.
pub struct PostgresEngine {
    shared: Arc<Shared>,
    cache: Arc<RowCache>,
    link: Arc<Link>,
    // Dropped in this order: the last group needs its connection.
    _thread: Thread,
    _io: IoThread,
}

impl PostgresEngine {
    /// Makes the tables of a new store for an installation, in an existing database, and
    /// opens it. The user has to be one that may create a schema there.
    ///
    /// # Errors
    /// [`PostgresFault::AlreadyExists`], and as for [`Self::open`].
    pub fn create(
        options: PostgresOptions,
        installation: &InstallationId,
    ) -> Result<Self, PostgresFault> {
        Self::start(options, installation, true)
    }

    /// Opens the store of an installation. Other servers may have it open too.
    ///
    /// # Errors
    /// Why it cannot be used, or may not: see [`PostgresFault`].
    pub fn open(
        options: PostgresOptions,
        installation: &InstallationId,
    ) -> Result<Self, PostgresFault> {
        Self::start(options, installation, false)
    }

    fn start(
        options: PostgresOptions,
        installation: &InstallationId,
        create: bool,
    ) -> Result<Self, PostgresFault> {
        let own = |error: &dyn std::fmt::Display| PostgresFault::Own(error.to_string());
        let (max_bytes, kept) = (options.max_bytes, options.kept_commits);
        let shared = Arc::new(Shared::new());
        let cache = Arc::new(RowCache::new(options.cache_bytes));
        let feed = Arc::new(Feed::new(Arc::clone(&cache)));
        let io = IoThread::start().map_err(|error| own(&error))?;
        let server = Server::new(options)?;
        let at = server.at();
        let link = Link::new(server, installation, io.handle(), &shared, &feed);
        let link = Arc::new(link);
        let opening = Arc::clone(&link);
        let opened = io.handle().spawn(async move {
            if create {
                opening.create().await?;
            }
            opening.open().await
        });
        match within(OPENING, opened) {
            Some(Ok(opened)) => opened?,
            Some(Err(error)) => return Err(own(&error)),
            None => {
                return Err(PostgresFault::Unreachable {
                    at,
                    cause: format!("it could not be opened within {} s", OPENING.as_secs()),
                });
            }
        }
        let writing = Arc::clone(&link);
        let thread = Thread::spawn(Arc::clone(&shared), move |shared| {
            writer::run(PostgresBackend::new(writing, max_bytes, kept), shared);
        })
        .map_err(|error| own(&error))?;
        Ok(Self {
            shared,
            cache,
            link,
            _thread: thread,
            _io: io,
        })
    }

    /// The last commit that is known, of whatever server. Marked as changed whenever it
    /// moves; what the commits changed is then in [`Engine::changes`].
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<Seq> {
        self.link.feed().moves()
    }

    /// How long ago it was certain that no commit of another server was missed. It is
    /// looked at four times a second; whoever decides by what this process has in memory
    /// has to stop when this is too long ago.
    #[must_use]
    pub fn feed_age(&self) -> Option<Duration> {
        self.link.feed().age()
    }

    /// Why the database is not used just now, if it is not.
    #[must_use]
    pub fn problem(&self) -> Option<PostgresFault> {
        self.link.problem()
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.shared.is_poisoned() {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }

    /// Asks one question on a connection that others ask on as well.
    fn point<T>(
        &self,
        limit: Duration,
        question: impl AsyncFnOnce(&Session) -> Result<T, writer::Fault>,
    ) -> Result<T, StoreError> {
        self.check()?;
        let session = self.link.point()?;
        ask(limit, &session, question(&session))
    }
}

impl Engine for PostgresEngine {
    fn get(&self, key: &RowKey) -> Result<Option<RawRow>, StoreError> {
        self.check()?;
        let mut permit = None;
        if self.link.feed().is_current() {
            match self.cache.get(key) {
                Ok(row) => return Ok(Some(row)),
                Err(fill) => permit = Some(fill),
            }
        }
        let row = self.point(ANSWERING, async |session: &Session| {
            queries::get(session, key).await
        })?;
        if let (Some(row), Some(permit)) = (&row, &permit) {
            self.cache.fill(key, row, permit);
        }
        Ok(row)
    }

    fn snapshot(&self, life: Duration) -> Result<Box<dyn Snapshot>, StoreError> {
        self.check()?;
        Ok(Box::new(PostgresSnapshot::take(&self.link, life)?))
    }

    fn changes(&self, after: Seq, limit: usize) -> Result<Changes, StoreError> {
        let mut feed = Changes {
            changes: Vec::new(),
            upto: after,
        };
        loop {
            let from = feed.upto;
            let page = self.point(ANSWERING, async |session: &Session| {
                queries::page(session, from, PAGE, self.link.feed().oldest()).await
            })?;
            self.link.feed().begins(page.oldest);
            if !page.reaches(from) {
                // Whoever begins anew looks at rows before the follower does so.
                self.cache.clear();
                let oldest = page.oldest;
                return Err(StoreError::Gap { oldest });
            }
            self.link.feed().read(&page.commits);
            for commit in page.commits {
                if feed.changes.len() >= limit {
                    return Ok(feed);
                }
                feed.upto = commit.seq;
                feed.changes.extend(commit.changes);
            }
            if feed.changes.len() >= limit || feed.upto >= page.last {
                return Ok(feed);
            }
        }
    }

    fn commit(&self, batch: RawBatch) -> CommitFuture {
        self.shared.queue.submit(batch)
    }

    fn fate(&self, batch: BatchId) -> Result<Option<Seq>, StoreError> {
        self.point(ANSWERING, async |session: &Session| {
            queries::fate(session, batch).await
        })
    }

    fn log_read(&self, log: &str, from: u64, limit: usize) -> Result<Vec<RawEntry>, StoreError> {
        self.point(ANSWERING, async |session: &Session| {
            queries::entries(session, log, from, limit).await
        })
    }

    fn log_len(&self, log: &str) -> Result<u64, StoreError> {
        self.point(ANSWERING, async |session: &Session| {
            queries::log_len(session, log).await
        })
    }

    fn set_sealer(&self, sealer: Option<Arc<dyn CommitSealer>>) {
        let removed = sealer.is_none();
        self.shared.set_sealer(sealer);
        if removed {
            self.cache.clear();
        }
    }

    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.shared.observe(observer);
    }

    fn cache_use(&self) -> (u64, u64) {
        self.cache.hits_and_misses()
    }

    fn feed(&self) -> Option<&dyn CommitFeed> {
        Some(self)
    }

    fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.check()?;
        let session = self.link.another()?;
        ask(LOOKING_THROUGH, &session, queries::integrity(&session))
    }
}

impl CommitFeed for PostgresEngine {
    fn moves(&self) -> watch::Receiver<Seq> {
        Self::moves(self)
    }

    fn age(&self) -> Option<Duration> {
        self.feed_age()
    }

    fn problem(&self) -> Option<String> {
        Self::problem(self).map(|fault| fault.to_string())
    }
}
