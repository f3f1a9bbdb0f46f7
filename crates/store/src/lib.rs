//! The ordered transactional engine behind an encrypting barrier.
//!
//! From the outside in: [`Table`]s of typed rows are read from a [`Store`] and
//! changed through a [`Batch`]; the [`Barrier`] seals every row and log entry
//! for its place and version; an [`Engine`] stores what comes out of it. The
//! embedded engine is SQLite, that of several servers PostgreSQL, and all SQL of
//! the project is in this crate.
//!
//! What this crate guarantees, whatever is done to the file:
//!
//! 1. An acknowledged batch is durable, whole, and in the order of its
//!    [`Seq`].
//! 2. A row opens only at its table, key and version, in its installation.
//! 3. Rows that were removed, added or rolled back while nobody looked are
//!    found after unsealing, before any row of their table is given out; so is
//!    a log that was cut, and the old head row put back. Only the file as a
//!    whole can be rolled back: checkpoints are for that.
//! 4. Without a barrier only [`Kind::Clear`] rows can be read, and nothing can
//!    be written.

pub mod backup;
mod barrier;
mod batch;
mod cache;
mod chunk;
#[cfg(any(test, feature = "fake"))]
pub mod conformance;
pub mod cortexauth;
mod deep;
mod engine;
#[cfg(test)]
mod engine_tests;
mod error;
#[cfg(any(test, feature = "fake"))]
mod fake;
pub mod guard;
mod head;
mod head_sealer;
mod journal;
mod key;
mod postgres;
mod queue;
mod restored;
mod sealer;
mod seq;
mod sqlite;
mod store;
mod table;
mod trim;
mod value;
mod verify;
mod writer;

pub use barrier::{Barrier, BarrierError, BarrierKeys, TurnedKeys};
pub use batch::Batch;
pub use engine::{
    Anchor, Appended, Change, Changes, CommitFeed, CommitFuture, CommitObserver, CommitView,
    Committed, DirectoryChange, Engine, Expected, Kind, Lane, LogId, MAX_BATCH, MAX_VALUE,
    RawAppend, RawBatch, RawEntry, RawRow, RawTrim, RawWrite, Snapshot,
};
pub use error::{CommitError, Damage, IoCause, OpenError, StoreError, UnsealError};
#[cfg(any(test, feature = "fake"))]
pub use fake::{FakeDisk, FakeEngine, FakeFault};
pub use head::{Head, LogHead, SetDigest, TableHead};
pub use key::{Key, KeyPart, KeyPrefix, KeyRange, KeyReader, KeyWriter, RowKey};
#[cfg(any(test, feature = "fake"))]
pub use postgres::LocalPostgres;
pub use postgres::{PostgresEngine, PostgresFault, PostgresOptions, PostgresUrl};
pub use restored::HeadAhead;
pub use sealer::{CommitSealer, GroupSealer, SealFailed};
pub use seq::Seq;
pub use sqlite::{FORMAT, SqliteEngine, SqliteLoader, SqliteOptions};
pub use store::{LogEntry, Moment, SNAPSHOT_LIFE, Store, StoreSnapshot};
pub use table::{ChangedRow, Row, Table};
pub use trim::LogBeginning;
pub use value::{Blob, Value};
