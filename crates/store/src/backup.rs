//! Backups: a store, or a stretch of one of its logs, as one stream of bytes that any
//! engine can be filled from (`spec/backup.md`, ADR 29).
//!
//! Rows and entries are in it as they are stored, sealed: whoever has a backup has names,
//! sizes and numbers, and no value. It ends with a tag of the vault and a plain digest, so
//! that damage is told without keys, and a backup of somebody else's making with them.

mod read;
mod write;

pub use read::{BackupReader, Item};
pub use write::{BackupStopped, LogCopy, WriteError, Written};

use crate::IoCause;
use procura_crypto::{MacKey, sha256};
use procura_types::{FieldTuple, InstallationId};

/// The format that this program writes, and the newest it reads.
pub const FORMAT: u32 = 1;
/// What a backup begins with. The line end in it does not survive a copy as text.
pub(crate) const MAGIC: &[u8; 16] = b"procura-backup\r\n";
/// Longer frames are none of ours, in bytes.
pub(crate) const LONGEST_FRAME: usize = 1024 * 1024;
/// The bytes in front of the body of a frame: kind, length, check.
pub(crate) const FRAME_HEAD: usize = 9;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Head,
    Rows,
    Anchor,
    Entries,
    End,
}

impl FrameKind {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Head => 1,
            Self::Rows => 2,
            Self::Anchor => 3,
            Self::Entries => 4,
            Self::End => 5,
        }
    }

    pub(crate) const fn of(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Head),
            2 => Some(Self::Rows),
            3 => Some(Self::Anchor),
            4 => Some(Self::Entries),
            5 => Some(Self::End),
            _ => None,
        }
    }
}

/// The check of a frame's head, so that a damaged length is not taken for a cut.
pub(crate) fn frame_check(kind_and_length: &[u8; 5]) -> [u8; 4] {
    let digest = sha256(kind_and_length);
    digest.first_chunk().copied().unwrap_or_default()
}

/// Why bytes are no backup that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackupFault {
    /// It does not begin as backups do.
    #[error("it is no backup of Procura")]
    NotABackup,
    /// It was written by a newer release.
    #[error("the backup has format {found}, this program reads up to format {supported}")]
    NewerFormat {
        /// In the file.
        found: u32,
        /// The newest that this program reads.
        supported: u32,
    },
    /// It ends before its end.
    #[error("the backup is cut off after {at} bytes")]
    Partial {
        /// How many bytes there are.
        at: u64,
    },
    /// It is not as it was written.
    #[error("the backup is damaged before byte {at}: {what}")]
    Damaged {
        /// How far it was read.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Something follows its end.
    #[error("{bytes} bytes or more follow behind the end of the backup")]
    Appended {
        /// How many were seen.
        bytes: usize,
    },
    /// The file could not be read.
    #[error("the backup could not be read")]
    Io(#[source] IoCause),
}

/// How a backup ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupEnd {
    /// Rows that it told, those included that it told twice because they changed.
    pub rows: u64,
    /// Entries of logs.
    pub entries: u64,
    /// Bytes of the whole backup.
    pub bytes: u64,
    /// Over everything before the tag.
    pub(crate) inner: [u8; 32],
    /// By the vault that it was taken of.
    pub(crate) tag: [u8; 32],
}

impl BackupEnd {
    /// The SHA-256 that the backup ends with: over what comes before the tag, then with
    /// the tag.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        outer(&self.inner, &self.tag)
    }

    /// The digest before the tag, which the tag is over.
    #[must_use]
    pub const fn inner(&self) -> &[u8; 32] {
        &self.inner
    }

    /// The tag.
    #[must_use]
    pub const fn tag(&self) -> &[u8; 32] {
        &self.tag
    }

    /// Whether the vault that holds this key made it, of this installation.
    #[must_use]
    pub fn is_tagged_by(&self, key: &MacKey, installation: &InstallationId) -> bool {
        is_tag_of(key, installation, &self.inner, &self.tag)
    }
}

/// Whether `tag` is that of the vault with this key over a backup with this digest.
#[must_use]
pub fn is_tag_of(
    key: &MacKey,
    installation: &InstallationId,
    digest: &[u8; 32],
    tag: &[u8; 32],
) -> bool {
    key.verify(&[tagged(installation, digest).as_bytes()], tag)
}

pub(crate) fn outer(inner: &[u8; 32], tag: &[u8; 32]) -> [u8; 32] {
    let mut both = [0u8; 64];
    let (first, second) = both.split_at_mut(32);
    first.copy_from_slice(inner);
    second.copy_from_slice(tag);
    sha256(&both)
}

/// What the tag is over.
pub(crate) fn tagged(installation: &InstallationId, inner: &[u8; 32]) -> FieldTuple {
    FieldTuple::new("procura.backup.v1")
        .bytes(installation.as_bytes())
        .bytes(inner)
}
