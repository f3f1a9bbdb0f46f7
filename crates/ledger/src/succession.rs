//! How the key that signs a log becomes another (`spec/ledger.md`, "When the key turns").
//!
//! While the key of before retires, checkpoints bear both signatures and name the new
//! key, so whoever knows the old one sees the new one signed by it. The first such
//! checkpoint after each turn is kept: with it also those follow who saw nothing
//! meanwhile.

use crate::{Checkpoint, LedgerError, Note, NoteSigner, Vkey};
use procura_types::Timestamp;

/// The extension line that names the key of from now on.
const KEY: &str = "procura-key ";

/// The most checkpoints that are followed from one key to the next.
const LONGEST: usize = 10_000;

/// The name of the checkpoint in an export that the key turned with, counted from 0.
#[must_use]
pub fn handover_name(index: usize) -> String {
    format!("handover/{index}")
}

/// What a note says to somebody who knows one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The head.
    pub checkpoint: Checkpoint,
    /// The key to know from now on, where it is another: the known key has signed that
    /// it follows, and it has signed itself.
    pub successor: Option<Vkey>,
}

impl Checkpoint {
    /// The key that signs from here on, as the checkpoint names it while the one of
    /// before retires.
    ///
    /// # Errors
    /// [`LedgerError::Malformed`] when it names one twice, or what is none of this log.
    pub fn named_key(&self) -> Result<Option<Vkey>, LedgerError> {
        let malformed = |problem| LedgerError::malformed("checkpoint", problem);
        let mut named = None;
        for line in &self.extensions {
            let Some(text) = line.strip_prefix(KEY) else {
                continue;
            };
            let key: Vkey = text.parse()?;
            if key.name() != self.origin {
                return Err(malformed("procura-key is a key of another log"));
            }
            if named.replace(key).is_some() {
                return Err(malformed("procura-key stands twice"));
            }
        }
        Ok(named)
    }

    /// Opens a note with the key that is known, and says which to know from now on.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] says; also when the key that is named has not signed.
    pub fn open_following(note: &str, vkey: &Vkey) -> Result<Opened, LedgerError> {
        let checkpoint = Self::open(note, vkey)?;
        let successor = checkpoint.named_key()?.filter(|named| named != vkey);
        if let Some(successor) = &successor {
            // Else a key could be named that nobody has, or somebody else.
            Note::parse(note)?.open(std::slice::from_ref(successor))?;
        }
        Ok(Opened {
            checkpoint,
            successor,
        })
    }
}

/// The keys that sign checkpoints: the one that does, and those of before, which sign
/// beside it for a time.
pub struct CheckpointSigners {
    active: NoteSigner,
    former: Vec<(NoteSigner, Timestamp)>,
}

impl CheckpointSigners {
    /// `former` are the keys of before, oldest first, each with its end.
    #[must_use]
    pub const fn new(active: NoteSigner, former: Vec<(NoteSigner, Timestamp)>) -> Self {
        Self { active, former }
    }

    /// The key that signs.
    #[must_use]
    pub const fn vkey(&self) -> &Vkey {
        self.active.vkey()
    }

    /// The keys of before that are known still, oldest first, each with its end.
    pub fn former(&self) -> impl Iterator<Item = (&Vkey, Timestamp)> {
        self.former
            .iter()
            .map(|(signer, until)| (signer.vkey(), *until))
    }

    /// Signs a head. Keys of before sign as long as their time lasts, or with
    /// `handing_over` all of them; where one does, the head names the active key.
    ///
    /// # Errors
    /// What [`Checkpoint::sign`] says.
    pub fn sign(
        &self,
        mut checkpoint: Checkpoint,
        now: Timestamp,
        handing_over: bool,
    ) -> Result<String, LedgerError> {
        let former: Vec<&NoteSigner> = self
            .former
            .iter()
            .filter(|(_, until)| handing_over || now < *until)
            .map(|(signer, _)| signer)
            .collect();
        if !former.is_empty() {
            let named = format!("{KEY}{}", self.active.vkey());
            checkpoint.extensions.push(named);
        }
        let mut note = checkpoint.sign(&self.active)?;
        let text = checkpoint.body()?;
        for signer in former {
            note.push_str(&signer.line(&text)?);
        }
        Ok(note)
    }
}

/// From a key that somebody knows to the one of today, by the checkpoints that were
/// signed by both.
#[derive(Debug, Clone)]
pub struct Succession {
    first: Vkey,
    later: Vec<Vkey>,
    heads: Vec<Checkpoint>,
}

impl Succession {
    /// Of this key, with nothing followed yet.
    #[must_use]
    pub const fn of(vkey: Vkey) -> Self {
        Self {
            first: vkey,
            later: Vec::new(),
            heads: Vec::new(),
        }
    }

    /// Follows checkpoints in the order in which the keys turned. Those that say
    /// nothing to whoever knows the newest key so far are passed over.
    #[must_use]
    pub fn follow<'a>(mut self, notes: impl IntoIterator<Item = &'a str>) -> Self {
        for note in notes.into_iter().take(LONGEST) {
            let Ok(opened) = Checkpoint::open_following(note, self.newest()) else {
                continue;
            };
            if let Some(successor) = opened.successor {
                self.later.push(successor);
                self.heads.push(opened.checkpoint);
            }
        }
        self
    }

    /// The key of today, as far as it was followed.
    #[must_use]
    pub fn newest(&self) -> &Vkey {
        self.later.last().unwrap_or(&self.first)
    }

    /// The heads that the keys turned with. The log must go through each.
    #[must_use]
    pub fn heads(&self) -> &[Checkpoint] {
        &self.heads
    }

    /// Opens a checkpoint by any of the keys, the newest first: for what was signed at
    /// some time. What is to be the newest head is opened by [`Self::newest`] alone.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] says, by the newest key.
    pub fn open(&self, note: &str) -> Result<Checkpoint, LedgerError> {
        let mut newest = None;
        for vkey in self.later.iter().rev().chain([&self.first]) {
            match Checkpoint::open(note, vkey) {
                Err(error @ LedgerError::Unsigned { .. }) => {
                    newest.get_or_insert(error);
                }
                other => return other,
            }
        }
        Err(newest.unwrap_or_else(|| LedgerError::Unsigned {
            name: self.first.name().to_owned(),
        }))
    }
}
