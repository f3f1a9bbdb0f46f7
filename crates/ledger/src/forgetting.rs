//! A log that does not keep its entries for ever (`protocol.md` §6, `spec/ledger.md`
//! "Retention"): what is forgotten is a beginning of it, in whole bundles. Its hashes stay,
//! an entry says so, and what later entries are held against goes along.

use crate::audit::Audit;
use crate::finding::FindingKind;
use crate::passkey::Passkey;
use crate::{Entry, Finding, Frontier, Hash, Interrupted, LedgerError, TILE_WIDTH, leaf_hash};
use procura_crypto::sha256;
use procura_types::wire::RetentionSet;
use procura_types::{ActorId, Duration, EntryId, GrantId, Thumbprint, Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The action of the entry that says that others are forgotten.
pub const FORGET: &str = "ledger.forget";

/// The file of an export that has what the forgotten entries leave behind.
pub const FORGOTTEN: &str = "forgotten";

/// No entry is forgotten that is younger.
pub const LEAST_KEPT: Duration = Duration::from_secs(*RetentionSet::DAYS.start() * 24 * 60 * 60);

/// How long after the newest forgotten entry an outcome may follow one of them.
const OUTCOME: Duration = Duration::from_secs(60 * 60);

const VERSION: u8 = 1;

/// What an entry with the action [`FORGET`] says, as words behind `installation`:
/// `until:<entries> root:<base64> state:<base64> kept:<seconds>s by:<actor id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgetting {
    /// The entries before this one are forgotten; a multiple of 256.
    pub until: u64,
    /// The root of the tree over them.
    pub root: Hash,
    /// SHA-256 of what they leave behind, [`Carried::to_bytes`].
    pub state: Hash,
    /// How long entries are kept, in seconds.
    pub kept: u64,
    /// Who said so.
    pub by: ActorId,
}

impl fmt::Display for Forgetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            until,
            root,
            state,
            kept,
            by,
        } = self;
        write!(
            f,
            "until:{until} root:{root} state:{state} kept:{kept}s by:{by}"
        )
    }
}

impl Forgetting {
    /// Reads the resource of such an entry; `None` for any other text.
    #[must_use]
    pub fn of_resource(resource: &str) -> Option<Self> {
        let mut words = resource.split(' ');
        let mut word = |name: &str| words.next()?.strip_prefix(name);
        word("installation").filter(|rest| rest.is_empty())?;
        let said = Self {
            until: word("until:")?.parse().ok()?,
            root: word("root:")?.parse().ok()?,
            state: word("state:")?.parse().ok()?,
            kept: word("kept:")?.strip_suffix('s')?.parse().ok()?,
            by: word("by:")?.parse().ok()?,
        };
        // One way to write each.
        (format!("installation {said}") == resource).then_some(said)
    }
}

/// An outside effect of which no outcome is known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    pub(crate) entry: u64,
    pub(crate) id: EntryId,
    pub(crate) time: Timestamp,
    pub(crate) action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource: Option<String>,
    pub(crate) trace: TraceId,
}

impl Open {
    pub(crate) fn shown(&self) -> Interrupted {
        Interrupted {
            entry: self.entry,
            id: self.id,
            time: self.time,
            action: self.action.clone(),
            trace: self.trace,
        }
    }
}

/// What the beginning of a log leaves behind when it is forgotten: whose devices and passkeys
/// are whose, who is revoked, which grants were approved, and which outside effects have no outcome.
/// Later entries are held against it. The same entries always give the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    pub(crate) v: u8,
    /// Of how many entries, from the first.
    pub entries: u64,
    /// The time of the latest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    pub(crate) devices: BTreeMap<Thumbprint, ActorId>,
    /// Enrolled ones, those that were removed too.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) passkeys: BTreeMap<Thumbprint, Passkey>,
    pub(crate) owners: BTreeMap<String, ActorId>,
    pub(crate) revoked_devices: BTreeMap<Thumbprint, u64>,
    pub(crate) revoked_actors: BTreeMap<ActorId, u64>,
    /// Where, and when the grant ends: those that have ended are not among them.
    pub(crate) approved: BTreeMap<GrantId, (u64, Timestamp)>,
    pub(crate) open: Vec<Open>,
}

impl Carried {
    /// Of no entries.
    #[must_use]
    pub fn new() -> Self {
        Self {
            v: VERSION,
            ..Self::default()
        }
    }

    /// As JSON: what an export has in the file [`FORGOTTEN`].
    ///
    /// # Errors
    /// [`LedgerError::Malformed`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, LedgerError> {
        serde_json::to_vec(self).map_err(|_| LedgerError::malformed(FORGOTTEN, "cannot be written"))
    }

    /// Reads what [`Self::to_bytes`] wrote of at least one forgotten entry.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LedgerError> {
        let malformed = |problem| LedgerError::malformed(FORGOTTEN, problem);
        let read: Self = serde_json::from_slice(bytes)
            .map_err(|_| malformed("is not what forgotten entries leave behind"))?;
        if read.v != VERSION {
            return Err(malformed("is of a version that this program does not read"));
        }
        if read.entries == 0 || !read.entries.is_multiple_of(TILE_WIDTH) {
            return Err(malformed("is not of whole bundles"));
        }
        Ok(read)
    }

    /// The SHA-256 of its bytes.
    #[must_use]
    pub fn digest(bytes: &[u8]) -> Hash {
        Hash::from_bytes(sha256(bytes))
    }

    /// Until when an outcome may follow a forgotten intent.
    pub(crate) fn outcomes_until(&self) -> Option<Timestamp> {
        self.newest.map(|newest| newest.plus(OUTCOME))
    }
}

/// Reads the beginning of a log, before it is forgotten: its hashes, and what it leaves
/// behind.
pub struct Forgetter {
    audit: Audit,
    frontier: Frontier,
}

impl Forgetter {
    /// Goes on from what is forgotten already, of the log with this origin.
    #[must_use]
    pub fn new(origin: &str, carried: &Carried, frontier: Frontier) -> Self {
        Self {
            audit: Audit::after(origin, carried),
            frontier,
        }
    }

    /// Reads the next entry.
    ///
    /// # Errors
    /// What the entry says does not fit what was before it: such a log is not shortened.
    pub fn read(&mut self, bytes: &[u8]) -> Result<(), Finding> {
        self.audit.read(self.frontier.size(), bytes)?;
        self.frontier.push(leaf_hash(bytes));
        Ok(())
    }

    /// The tree over the entries so far.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// What they leave behind.
    #[must_use]
    pub fn carried(&self) -> Carried {
        self.audit.carried(self.frontier.size())
    }
}

/// An entry of a log that says that others are forgotten.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    pub(crate) entry: u64,
    time: Timestamp,
    pub(crate) forgetting: Forgetting,
}

impl Said {
    /// What the entry at `index` says, if its action is [`FORGET`].
    pub(crate) fn of(index: u64, entry: &Entry) -> Result<Option<Self>, Finding> {
        if entry.action != FORGET {
            return Ok(None);
        }
        let resource = entry.resource.as_deref().unwrap_or("none");
        let malformed = |expected: &str| {
            Finding::new(FindingKind::EntryMalformed)
                .at_entry(index)
                .expected(expected)
                .found(resource)
        };
        let forgetting = Forgetting::of_resource(resource)
            .ok_or_else(|| malformed("what was forgotten, and what it leaves behind"))?;
        let until = forgetting.until;
        if until == 0 || until > index || !until.is_multiple_of(TILE_WIDTH) {
            return Err(malformed("whole bundles of entries before it"));
        }
        if forgetting.kept < LEAST_KEPT.as_secs() {
            return Err(malformed("entries that are kept for seven days at least"));
        }
        Ok(Some(Self {
            entry: index,
            time: entry.time,
            forgetting,
        }))
    }

    /// Whether this is what was forgotten: with this root, leaving this behind.
    pub(crate) fn holds(
        &self,
        root: &Hash,
        carried: &Carried,
        digest: &Hash,
    ) -> Result<(), Finding> {
        let said = &self.forgetting;
        let differs = |expected: String, found: String| {
            Finding::new(FindingKind::ForgottenDiffers)
                .at_entry(self.entry)
                .expected(expected)
                .found(found)
        };
        if said.root != *root {
            return Err(differs(
                format!(
                    "root {} over the {} forgotten entries",
                    said.root, said.until
                ),
                format!("root {root}"),
            ));
        }
        if said.state != *digest {
            return Err(differs(
                format!("what they leave behind with hash {}", said.state),
                format!("hash {digest}"),
            ));
        }
        let kept = Duration::from_secs(said.kept);
        match carried.newest {
            Some(newest) if newest.plus(kept) > self.time => Err(differs(
                format!("entries older than {} days", said.kept / 86_400),
                format!("one of {newest}, forgotten at {}", self.time),
            )),
            _ => Ok(()),
        }
    }
}
