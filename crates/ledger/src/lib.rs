//! The record that nobody can rewrite unnoticed: entries, the Merkle tree over
//! them, signed checkpoints, proofs, the keyed chain, and the offline verifier
//! of an exported log. Formats: `protocol.md` §6 and `spec/ledger.md`.
//!
//! No I/O: whoever holds files or rows gives them in through [`HashTiles`] and
//! [`ReadFile`], and writes what [`TileWriter`] hands out.
//!
//! - [`Entry`] is what happened; its bytes as first written are the leaf.
//! - [`Frontier`] is the tree's right edge: append and know the root.
//! - [`TileWriter`] turns entries into the files of C2SP tlog-tiles, and
//!   [`inclusion_proof`] and [`consistency_proof`] read those back.
//! - [`Checkpoint`] is the signed head (C2SP tlog-checkpoint); [`Checkpoint::after`] says
//!   whether it goes on from what was [`Seen`] before, and [`Lagging`] whether one of several
//!   servers is only behind; [`Succession`] leads from one key that signs it to the next.
//! - [`verify_export`] holds a directory against its checkpoint, and every
//!   approval in it against the approver's own signature.

mod audit;
mod bundle;
mod chain;
mod checkpoint;
mod continuity;
mod entry;
mod error;
mod finding;
mod forgetting;
mod frontier;
mod hash;
mod id_text;
mod lagging;
mod note;
mod passkey;
mod proof;
mod receipt;
mod release;
mod succession;
mod tile;
mod verify;
mod writer;

pub use bundle::{BundleEntry, BundleReader, push_entry};
pub use chain::Chain;
pub use checkpoint::{Checkpoint, is_origin_of, later_origin, origin, origin_number};
pub use continuity::{Break, Growth, Seen};
pub use entry::{Decision, Entry, MAX_ENTRY, OUTSIDE, Phase, SUMMARY, SessionMark, Summary};
pub use error::LedgerError;
pub use finding::{Finding, FindingKind, Forgotten, Interrupted, Report};
pub use forgetting::{Carried, FORGET, FORGOTTEN, Forgetter, Forgetting, LEAST_KEPT};
pub use frontier::Frontier;
pub use hash::{Hash, leaf_hash, node_hash};
pub use lagging::{Lagging, Shown};
pub use note::{Note, NoteSigner, Vkey};
pub use passkey::{PasskeyEnrolment, passkey_receipt, receipt_challenge};
pub use proof::{
    HashTiles, consistency_proof, inclusion_proof, verify_consistency, verify_inclusion,
};
pub use receipt::{GrantTerms, grant_bytes, receipt_message};
pub use release::{ReleasedProgram, open_release, released_programs, sign_release};
pub use succession::{CheckpointSigners, Opened, Succession, handover_name};
pub use tile::{FULL_TILE, TILE_WIDTH, TileKind, TilePath, layout};
pub use verify::{ReadError, ReadFile, not_signed, succession_of, verify_export};
pub use writer::{Flush, TileFile, TileWriter};
