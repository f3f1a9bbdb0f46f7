//! Nothing happens unrecorded. A permit becomes an effect only here: a change of
//! state through [`RecordedBatch`], whose ledger entry and rows commit together;
//! a release of a value through [`Recorded`], whose intent is durable first.
//!
//! Behind the write path this crate also keeps the directory snapshot in step
//! with the store, publishes tiles and checkpoints, and answers questions about
//! the record, with an index that is derived from it.

mod batch;
mod block;
mod directory;
mod entry;
mod events;
mod forgetting;
mod handover;
mod indexer;
mod lease;
mod others;
mod pending;
mod publisher;
mod publishing;
mod query;
mod recorder;
mod refusal;
mod resume;
mod retention;
mod running;
mod spool;
pub mod tables;
mod tiles;
mod whole;

pub use batch::RecordedBatch;
pub use directory::Directory;
pub use entry::{Details, Origin, in_parts};
pub use events::{Events, Notice, RECOVERY, Since};
pub use forgetting::{
    Retention, RetentionError, RetentionParts, carried, first_kept, forgotten, gone_leaves,
};
pub use handover::{LedgerKeys, handovers};
pub use indexer::Indexer;
pub use lease::Lease;
pub use others::{Others, Turned};
pub use publisher::{Published, Publisher, PublisherError, PublisherParts};
pub use query::{QueryError, RecordReader};
pub use recorder::{ChangeError, RecordError, Recorded, Recorder};
pub use refusal::{Refusal, RefusalQueue};
pub use retention::{WAIT as RETENTION_WAIT, keep, keep_for_ever, retention};
pub use running::{Running, Stopping};
pub use spool::{Spool, SpoolError};
pub use tiles::{BundleKeys, Tiles, TilesError};
