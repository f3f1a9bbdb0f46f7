use crate::{Hash, TilePath};
use procura_types::{EntryId, Timestamp, TraceId};
use serde::Serialize;
use std::fmt;

/// What is wrong with an exported log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A file that the signed size requires is not there.
    FileMissing,
    /// A file is there and could not be read.
    FileUnreadable,
    /// A file is there that the signed size does not call for: nothing vouches
    /// for its bytes.
    FileNotSigned,
    /// The checkpoint is no checkpoint of ours.
    CheckpointMalformed,
    /// The checkpoint is not signed by the key that was given.
    CheckpointNotSigned,
    /// The checkpoint is of a log that the key does not belong to.
    WrongLog,
    /// A bundle does not consist of the entries that it should.
    BundleMalformed,
    /// An entry's bytes are not those that the signed tree holds.
    EntryChanged,
    /// A hash tile is not the one of these entries; the entries are intact.
    TileChanged,
    /// Entries and tiles agree with each other and not with the signed root.
    RootDiffers,
    /// The log is shorter than a checkpoint that someone remembers.
    Shortened,
    /// The log is no continuation of a checkpoint that someone remembers.
    Forked,
    /// A signed entry does not have the form of an entry.
    EntryMalformed,
    /// Two entries have one id.
    DuplicateId,
    /// An outcome without the intent that it belongs to.
    OutcomeWithoutIntent,
    /// A device is bound to a second actor.
    DeviceRebound,
    /// A passkey is enrolled a second time, or its key is not the one that it is named by.
    PasskeyRebound,
    /// An approval without the approver's signed yes, or a signed yes elsewhere.
    ReceiptMisplaced,
    /// A receipt's grant bytes do not parse.
    ReceiptMalformed,
    /// A receipt's grant is not the one that its entry names.
    ReceiptOfOtherGrant,
    /// A receipt's key is not the key of its device.
    ReceiptKeyDiffers,
    /// A receipt's signature does not verify.
    ReceiptNotSigned,
    /// A receipt's device was not the approver's when it signed.
    ReceiptDeviceUnknown,
    /// A receipt's device or approver had been revoked.
    ReceiptDeviceRevoked,
    /// A receipt's grant was approved before.
    ReceiptReused,
    /// What forgotten entries left behind cannot be read.
    ForgottenMalformed,
    /// Entries are missing that no entry says were forgotten.
    ForgottenUnstated,
    /// What is said of forgotten entries is not what their hashes, or they, say.
    ForgottenDiffers,
}

impl FindingKind {
    const fn sentence(self) -> &'static str {
        match self {
            Self::FileMissing => "this file is missing",
            Self::FileUnreadable => "this file could not be read",
            Self::FileNotSigned => "this file is not part of the checkpoint",
            Self::CheckpointMalformed => "this is not a checkpoint",
            Self::CheckpointNotSigned => "the checkpoint is not signed by the given key",
            Self::WrongLog => "this is the log of another installation than the key's",
            Self::BundleMalformed => "the bundle does not consist of the recorded entries",
            Self::EntryChanged => "the entry is not as it was recorded",
            Self::TileChanged => "the hash tile was changed; the entries under it are intact",
            Self::RootDiffers => "entries and hashes are not those that the checkpoint signs",
            Self::Shortened => "entries were removed: the log is shorter than it once was",
            Self::Forked => "history was rewritten: this log does not continue the older one",
            Self::EntryMalformed => "a signed entry is not well formed",
            Self::DuplicateId => "two entries have the same id",
            Self::OutcomeWithoutIntent => "an outcome has no intent before it",
            Self::DeviceRebound => "a device was bound to a second actor",
            Self::PasskeyRebound => "a passkey was enrolled that was one already",
            Self::ReceiptMisplaced => "approval and receipt do not come together",
            Self::ReceiptMalformed => "the receipt's grant cannot be read",
            Self::ReceiptOfOtherGrant => "the receipt is for another grant than its entry",
            Self::ReceiptKeyDiffers => "the receipt's key is not the key of its device",
            Self::ReceiptNotSigned => "the receipt's signature does not verify",
            Self::ReceiptDeviceUnknown => "the receipt was not signed by a key of its approver",
            Self::ReceiptDeviceRevoked => "the receipt was signed after its key was revoked",
            Self::ReceiptReused => "the receipt of an earlier approval was used again",
            Self::ForgottenMalformed => "what the forgotten entries left behind cannot be read",
            Self::ForgottenUnstated => {
                "entries are missing, and no entry says that they were forgotten"
            }
            Self::ForgottenDiffers => "the entry that says what was forgotten does not fit it",
        }
    }
}

/// One thing wrong with an exported log: what, where, and how it differs. Its
/// text is a sentence for people; as JSON the fields stand apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub kind: FindingKind,
    /// The file, relative to the export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The entry's index in the log, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<u64>,
    /// Bytes from the beginning of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What should stand there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Finding {
    pub(crate) const fn new(kind: FindingKind) -> Self {
        Self {
            kind,
            file: None,
            entry: None,
            offset: None,
            expected: None,
            found: None,
        }
    }

    pub(crate) fn in_file(mut self, file: impl fmt::Display) -> Self {
        self.file = Some(file.to_string());
        self
    }

    pub(crate) const fn at_entry(mut self, entry: u64) -> Self {
        self.entry = Some(entry);
        self
    }

    pub(crate) const fn at_offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(crate) fn expected(mut self, expected: impl fmt::Display) -> Self {
        self.expected = Some(expected.to_string());
        self
    }

    pub(crate) fn found(mut self, found: impl fmt::Display) -> Self {
        self.found = Some(found.to_string());
        self
    }

    /// A tile that differs from the one recomputed from the entries.
    pub(crate) fn tile(path: &TilePath, place: u64, expected: &Hash, found: &Hash) -> Self {
        Self::new(FindingKind::TileChanged)
            .in_file(path)
            .at_offset(place * 32)
            .expected(expected)
            .found(found)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(entry) = self.entry {
            write!(f, "entry {entry}: ")?;
        }
        f.write_str(self.kind.sentence())?;
        match (&self.file, self.offset) {
            (Some(file), Some(offset)) => write!(f, " ({file}, byte {offset})")?,
            (Some(file), None) => write!(f, " ({file})")?,
            (None, _) => {}
        }
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(found) = &self.found {
            write!(f, "; found {found}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Finding {}

/// An outside effect that began and has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interrupted {
    /// Index of its intent.
    pub entry: u64,
    /// Id of its intent.
    pub id: EntryId,
    /// When it began.
    pub time: Timestamp,
    /// What was to be done.
    pub action: String,
    /// In which HTTP request.
    pub trace: TraceId,
}

/// The beginning of a log that is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Forgotten {
    /// How many entries.
    pub entries: u64,
    /// The index of the entry that says so.
    pub said_by: u64,
    /// How long entries were kept, in seconds.
    pub kept: u64,
}

/// What a log without findings holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which log.
    pub origin: String,
    /// Number of entries.
    pub entries: u64,
    /// Those of them, from the first, that are forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<Forgotten>,
    /// Root of the tree over them.
    pub root: Hash,
    /// Commit sequence of the store in the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Time of the earliest entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Time of the latest entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Approvals whose receipt was checked.
    pub receipts: u64,
    /// Outside effects without outcome, by index.
    pub interrupted: Vec<Interrupted>,
    /// Size of the older checkpoint that the log was proven to continue;
    /// without one, removal of the newest entries cannot be excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} entries", self.origin, self.entries)?;
        if let (Some(from), Some(until)) = (self.from, self.until) {
            write!(f, " from {from} until {until}")?;
        }
        writeln!(f, ", root {}", self.root)?;
        if let Some(forgotten) = &self.forgotten {
            writeln!(
                f,
                "the first {} entries are forgotten, as entry {} says, which were kept for {} days; their hashes lead to the root",
                forgotten.entries,
                forgotten.said_by,
                forgotten.kept / 86_400
            )?;
        }
        writeln!(
            f,
            "every entry is as it was recorded and signed; {} approvals carry their approver's signature",
            self.receipts
        )?;
        for open in &self.interrupted {
            writeln!(
                f,
                "interrupted: {} began at {} (entry {}) and has no outcome",
                open.action, open.time, open.entry
            )?;
        }
        match self.after {
            Some(size) => write!(
                f,
                "the log continues the checkpoint of {size} entries that was given"
            ),
            None => f.write_str(
                "no older checkpoint was given: removal of the newest entries cannot be excluded",
            ),
        }
    }
}
