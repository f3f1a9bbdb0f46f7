//! The installation on disk: `installation.json` beside the database, and the
//! way from an unseal source to the keys (`protocol.md` §5).
//!
//! A source opens the root; the root opens the keyring, which is a row of the
//! database under the root's epoch. How both are changed together stands in
//! `rotation.rs`.

use crate::error::SealError;
use crate::first_format;
use crate::keyring::Keyring;
use crate::root::Root;
use crate::unseal_source::{Brought, MAX_SOURCES, Share, Source};
use procura_crypto::shamir::ShareError;
use procura_store::{Batch, Blob, Kind, Store, Table};
use procura_types::wire::{PublicJwk, ShareSet};
use procura_types::{Entropy, InstallationId, Label, Timestamp, encoding};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The format that this program writes.
const FORMAT: u32 = 2;
const FILE: &str = "installation.json";

/// Root epoch → the keyring, an envelope under that root.
pub(crate) const KEYRINGS: Table<u64, Blob> = Table::new("keyring", Kind::Clear);

/// What `installation.json` holds: nothing secret, but everything that is needed
/// besides an unseal source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Installation {
    /// Of this file.
    pub format: u32,
    /// The installation; the database bears the same.
    pub id: InstallationId,
    /// When it was made.
    pub created: Timestamp,
    /// The root's epoch.
    pub root_epoch: u32,
    /// A constant sealed under the root.
    #[serde(with = "encoding::serde_b64url")]
    pub sentinel: Vec<u8>,
    /// The unseal sources; any of them opens the root.
    pub sources: Vec<Source>,
    /// Binds the list of sources to the root.
    #[serde(with = "encoding::serde_b64url")]
    pub sources_tag: Vec<u8>,
    /// What clients pin.
    pub server_key: PublicJwk,
    /// What checkpoints verify with.
    pub ledger_vkey: String,
}

fn ledger_vkey(id: &InstallationId, keyring: &Keyring) -> Result<String, SealError> {
    procura_ledger::Vkey::new(&keyring.origin(id), keyring.ledger_key.public())
        .map(|vkey| vkey.to_string())
        .map_err(|error| SealError::Damaged(error.to_string()))
}

fn io(what: &'static str) -> impl Fn(std::io::Error) -> SealError {
    move |cause| SealError::Io { what, cause }
}

impl Installation {
    /// What opens the vault under this name, if anything does.
    #[must_use]
    pub fn source(&self, name: &Label) -> Option<&Source> {
        self.sources.iter().find(|source| source.name == *name)
    }

    /// Reads `<home>/installation.json`.
    pub fn read(home: &Path) -> Result<Self, SealError> {
        let bytes = match fs::read(home.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SealError::NotInitialised);
            }
            Err(error) => return Err(io("reading installation.json")(error)),
        };
        Self::parse(&bytes)
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`SealError::NewerFormat`], [`SealError::Damaged`].
    pub fn parse(bytes: &[u8]) -> Result<Self, SealError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let damaged = |error: serde_json::Error| SealError::Damaged(error.to_string());
        let Format { format } = serde_json::from_slice(bytes).map_err(damaged)?;
        if format > FORMAT {
            return Err(SealError::NewerFormat {
                found: format,
                known: FORMAT,
            });
        }
        if format == 0 {
            return Err(SealError::Damaged("there is no format 0".to_owned()));
        }
        if format == first_format::FORMAT {
            return first_format::read(bytes).map_err(damaged);
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// Puts the file in place: whole or not at all, and on disk when this returns.
    pub(crate) fn write(&self, home: &Path) -> Result<(), SealError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| SealError::Damaged(error.to_string()))?;
        let temporary: PathBuf = home.join("installation.json.new");
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io("writing installation.json"))?;
        file.write_all(&text)
            .map_err(io("writing installation.json"))?;
        file.sync_all().map_err(io("syncing installation.json"))?;
        fs::rename(&temporary, home.join(FILE)).map_err(io("replacing installation.json"))?;
        File::open(home)
            .and_then(|dir| dir.sync_all())
            .map_err(io("syncing the home"))
    }

    /// Makes sure that the file in the home is this one and on disk.
    pub(crate) fn confirm(&self, home: &Path) -> Result<(), SealError> {
        if !Self::read(home).is_ok_and(|found| found == *self) {
            return self.write(home);
        }
        File::open(home.join(FILE))
            .and_then(|file| file.sync_all())
            .and_then(|()| File::open(home))
            .and_then(|home| home.sync_all())
            .map_err(io("syncing installation.json"))
    }

    /// Whether the root before this file's is still there: then it was put in
    /// place by a change of passphrase that did not come to its end.
    pub(crate) fn follows_another(&self, store: &Store) -> Result<bool, SealError> {
        let before = u64::from(self.root_epoch).saturating_sub(1);
        Ok(KEYRINGS.get_clear(store, &before)?.is_some())
    }

    /// Describes an installation of this root, whose sources hold it already.
    pub(crate) fn describe(
        id: InstallationId,
        created: Timestamp,
        root: &Root,
        sources: Vec<Source>,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> Result<Self, SealError> {
        if sources.is_empty() {
            return Err(SealError::LastSource);
        }
        if sources.len() > MAX_SOURCES {
            return Err(SealError::TooManySources);
        }
        Ok(Self {
            format: FORMAT,
            id,
            created,
            root_epoch: root.epoch,
            sentinel: root.sentinel(&id, entropy)?,
            sources_tag: root.sources_tag(&id, &sources)?.to_vec(),
            sources,
            server_key: keyring.server_key.public().to_jwk(),
            ledger_vkey: ledger_vkey(&id, keyring)?,
        })
    }

    /// Takes the origin of the record over from the keyring.
    pub(crate) fn rename_log(&mut self, keyring: &Keyring) -> Result<(), SealError> {
        self.ledger_vkey = ledger_vkey(&self.id, keyring)?;
        Ok(())
    }

    /// Holds the public keys of the file, which joining devices are told to pin,
    /// against the keyring: nothing else binds them, and whoever can write the
    /// file could have clients trust a record of their own.
    pub(crate) fn check_keys(&self, keyring: &Keyring) -> Result<(), SealError> {
        let edited = |what: &str| Err(SealError::Damaged(format!("{what} is not the vault's own")));
        if self.server_key != keyring.server_key.public().to_jwk() {
            return edited("server_key");
        }
        if self.ledger_vkey != ledger_vkey(&self.id, keyring)? {
            return edited("ledger_vkey");
        }
        Ok(())
    }

    /// From what somebody brings to the root, and by which source. Takes as long as
    /// Argon2id takes for each passphrase that is enrolled; call it off the async
    /// threads.
    ///
    /// # Errors
    /// [`SealError::WrongPassphrase`] or [`SealError::OtherShare`] when it opens no
    /// source; what is wrong with the shares; what is damaged.
    pub(crate) fn open_root(&self, brought: &Brought) -> Result<(Root, &Source), SealError> {
        for source in &self.sources {
            let Some(root) = source.open(&self.id, self.root_epoch, brought)? else {
                continue;
            };
            root.check_sentinel(&self.id, &self.sentinel)?;
            if self.format != first_format::FORMAT {
                root.check_sources(&self.id, &self.sources, &self.sources_tag)?;
            }
            return Ok((root, source));
        }
        Err(match brought {
            Brought::Passphrase(_) => SealError::WrongPassphrase,
            Brought::Shares(shares) => self.no_shares(shares),
            Brought::Unwrapped { source, .. } => SealError::WrongKey(source.clone()),
        })
    }

    /// Why shares open no source: nobody guesses with none at all.
    fn no_shares(&self, shares: &[Share]) -> SealError {
        let set = self
            .sources
            .iter()
            .find_map(|source| source.keeper.shares());
        match set {
            Some((_, ShareSet { threshold, .. })) if shares.is_empty() => {
                let (have, need) = (0, threshold);
                ShareError::TooFew { have, need }.into()
            }
            _ => SealError::OtherShare,
        }
    }

    /// Whether a source can go, when `opened` was opened with what was brought. Whoever
    /// removes one shows with that that another opens the vault: shares whose text was
    /// lost, or a passphrase that was mistyped when it was set, are found out now and not
    /// when the vault is sealed.
    ///
    /// # Errors
    /// [`SealError::NoSource`], [`SealError::LastSource`], [`SealError::WrappersAlone`],
    /// [`SealError::BroughtLeaves`].
    pub(crate) fn check_leaving(
        &self,
        name: &Label,
        wrappers_alone: bool,
        opened: &Source,
        brought: &Brought,
    ) -> Result<(), SealError> {
        let (leaving, staying): (Vec<&Source>, Vec<&Source>) =
            self.sources.iter().partition(|source| source.name == *name);
        if leaving.is_empty() {
            return Err(SealError::NoSource(name.clone()));
        }
        if staying.is_empty() {
            return Err(SealError::LastSource);
        }
        if !wrappers_alone && staying.iter().all(|source| source.wrapper().is_some()) {
            return Err(SealError::WrappersAlone);
        }
        if opened.name != *name {
            return Ok(());
        }
        // The same passphrase may be that of another source too.
        for source in staying {
            if source.open(&self.id, self.root_epoch, brought)?.is_some() {
                return Ok(());
            }
        }
        Err(SealError::BroughtLeaves(name.clone()))
    }

    /// The source that a share is of.
    ///
    /// # Errors
    /// [`SealError::OtherShare`] when there is none, [`SealError::ForgedShare`] when it
    /// names one and was never made.
    pub fn source_of(&self, share: &Share) -> Result<Label, SealError> {
        for source in &self.sources {
            match source.keeper.check_share(share) {
                Ok(()) => return Ok(source.name.clone()),
                Err(SealError::OtherShare) => {}
                Err(error) => return Err(error),
            }
        }
        Err(SealError::OtherShare)
    }

    /// Reads the keyring that belongs to `root`.
    pub(crate) fn load_keyring(&self, store: &Store, root: &Root) -> Result<Keyring, SealError> {
        let envelope = KEYRINGS
            .get_clear(store, &u64::from(root.epoch))?
            .ok_or(SealError::KeyringMismatch)?;
        root.open_keyring(&self.id, envelope.value.as_bytes())
    }

    /// Puts the keyring of `root` into a batch.
    pub(crate) fn put_keyring(
        batch: &mut Batch,
        id: &InstallationId,
        root: &Root,
        keyring: &Keyring,
        entropy: &dyn Entropy,
    ) -> Result<(), SealError> {
        let envelope = root.seal_keyring(id, keyring, entropy)?;
        KEYRINGS.put(batch, &u64::from(root.epoch), &Blob::new(envelope));
        Ok(())
    }
}
