//! Several servers of one installation, on one database
//! ([ADR 32](../../../docs/adr/0032-several-servers.md)).
//!
//! What `installation.json` holds is a row of the database then, readable while sealed;
//! the file in each home is a copy that is never newer. The row is the fence of all
//! commits: a server applies nothing while the row is of another version than the one
//! that its keys are of. Whoever turns the root replaces the row, and hands the new root
//! over with the same commit, sealed to a key that each open server has in its memory
//! and nowhere else. So an old backup with an old passphrase leads to no later root, as
//! with one server.

use crate::error::SealError;
use crate::installation::{Installation, KEYRINGS};
use crate::root::Root;
use crate::rotation::NextRoot;
use crate::rotation_step::RotationStep;
use crate::secret_rows::all_rows;
use crate::server_list::Presence;
use crate::unseal_source::NextSources;
use crate::vault::{Keys, Vault, barrier};
use procura_crypto::{OpeningKey, SealingKey};
use procura_record::RecordError;
use procura_store::{
    Batch, Blob, CommitError, Expected, IoCause, KeyPrefix, Kind, Seq, Store, StoreError, Table,
};
use procura_types::{BatchId, Clock, Entropy, InstanceId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The one row: what `installation.json` holds, as JSON.
pub(crate) const INSTALLATION: Table<String, Blob> = Table::new("installation", Kind::Clear);
pub(crate) const ONE: &str = "installation";
/// The open servers, by the id of their home.
pub(crate) const SERVERS: Table<String, ServerRow> = Table::new("server", Kind::Ordinary);
/// The newest root for each of them, by the same.
pub(crate) const HANDOVERS: Table<String, Blob> = Table::new("handover", Kind::Ordinary);

/// Names the home among those of an installation.
const FILE: &str = "server.id";

/// A root that was begun has to stand for so long before it is taken for one that was
/// given up: another server may be in the middle of it.
const GIVEN_UP: Duration = Duration::from_secs(30);

/// An open server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerRow {
    /// The public half of the key in its memory.
    key: SealingKey,
    /// Since when it is open.
    pub(crate) since: Timestamp,
}

/// What a server is among the others.
pub(crate) struct Beside {
    home: InstanceId,
    key: OpeningKey,
    /// The version of the installation's row that the keys are of.
    version: Mutex<Seq>,
    /// Held while keys are put to use: a server hears of its own turn as well.
    taking: Mutex<()>,
    /// A root that another server may have begun, and since when it is seen.
    begun: Mutex<Option<(u64, Seq, Instant)>>,
    /// What it says of itself to the others.
    pub(crate) presence: Presence,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Beside {
    /// Where other servers use the store. The id of the home is made of `made` and
    /// random bytes, if there is none yet.
    pub(crate) fn new(
        home: &Path,
        store: &Store,
        version: Seq,
        made: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Option<Self>, SealError> {
        if !store.is_shared() {
            return Ok(None);
        }
        Ok(Some(Self {
            home: home_id(home, made, entropy)?,
            key: OpeningKey::generate(entropy)?,
            version: Mutex::new(version),
            taking: Mutex::default(),
            begun: Mutex::default(),
            presence: Presence::default(),
        }))
    }

    /// The id of this home.
    pub(crate) const fn home(&self) -> InstanceId {
        self.home
    }

    /// Lets the keys that the installation's row is of at this version be put to use, by
    /// nobody else meanwhile; none when they are in use already, or later ones.
    fn takes(&self, version: Seq) -> Option<MutexGuard<'_, ()>> {
        let taking = lock(&self.taking);
        (*lock(&self.version) < version).then_some(taking)
    }

    /// Whether a root beside the one in force was given up, by whomever.
    pub(crate) fn is_given_up(&self, epoch: u64, row: Seq) -> bool {
        let mut begun = lock(&self.begun);
        match *begun {
            Some((known, version, since)) if (known, version) == (epoch, row) => {
                since.elapsed() >= GIVEN_UP
            }
            _ => {
                *begun = Some((epoch, row, Instant::now()));
                false
            }
        }
    }
}

/// The id of a home, made once.
fn home_id(home: &Path, now: Timestamp, entropy: &dyn Entropy) -> Result<InstanceId, SealError> {
    let io = |cause| SealError::Io {
        what: "the id of this home, server.id",
        cause,
    };
    let path = home.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| SealError::Damaged("server.id names no server; remove it".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let id = InstanceId::generate(now, entropy)?;
            let new = home.join("server.id.new");
            let mut file = File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&new)
                .map_err(io)?;
            writeln!(file, "{id}")
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&new, &path))
                .and_then(|()| File::open(home))
                .and_then(|home| home.sync_all())
                .map_err(io)?;
            Ok(id)
        }
        Err(error) => Err(io(error)),
    }
}

impl Installation {
    /// The installation of a store that several servers use, as its row says, and the
    /// row's version; `None` before `init` has come to its end. Nothing vouches for it
    /// before it is unsealed, as nothing does for the file.
    ///
    /// # Errors
    /// The store's; a row that cannot be read.
    pub(crate) fn stored(store: &Store) -> Result<Option<(Self, Seq)>, SealError> {
        let Some(row) = INSTALLATION.get_clear(store, &ONE.to_owned())? else {
            return Ok(None);
        };
        Ok(Some((Self::parse(row.value.as_bytes())?, row.version)))
    }

    /// Puts the copy in the home right by the row of the store, and gives what the row
    /// says; `None` before `init` has come to its end.
    ///
    /// # Errors
    /// [`SealError::OlderInstallation`] when the copy is of a later root: the database
    /// is an older one. [`SealError::Damaged`] when it is of another installation. The
    /// store's, and files.
    pub fn of_store(home: &Path, store: &Store) -> Result<Option<Self>, SealError> {
        let Some((stored, _)) = Self::stored(store)? else {
            return Ok(None);
        };
        match Self::read(home) {
            Err(SealError::NotInitialised) => stored.write(home)?,
            Err(error) => return Err(error),
            Ok(copy) if copy.id != stored.id => {
                let what = "the database holds another installation than installation.json";
                return Err(SealError::Damaged(what.to_owned()));
            }
            Ok(copy) if copy.root_epoch > stored.root_epoch => {
                return Err(SealError::OlderInstallation {
                    copy: copy.root_epoch,
                    stored: stored.root_epoch,
                });
            }
            Ok(copy) if copy != stored => stored.write(home)?,
            Ok(_) => {}
        }
        Ok(Some(stored))
    }

    /// Puts the row of a new installation into its first commit.
    pub(crate) fn put_first(&self, batch: &mut Batch) -> Result<(), SealError> {
        INSTALLATION.expect(batch, &ONE.to_owned(), Expected::Absent);
        self.put_row(batch)
    }

    fn put_row(&self, batch: &mut Batch) -> Result<(), SealError> {
        let text =
            serde_json::to_vec(self).map_err(|error| SealError::Damaged(error.to_string()))?;
        INSTALLATION.put(batch, &ONE.to_owned(), &Blob::new(text));
        Ok(())
    }
}

impl Vault {
    /// The table in which the installation is, where several servers use the store. When
    /// its row changes, [`Self::take_over`] is to be called.
    pub const INSTALLATION: &'static str = INSTALLATION.name();

    /// The id of this home, where there are several.
    #[must_use]
    pub fn home_id(&self) -> Option<InstanceId> {
        self.beside.as_ref().map(|beside| beside.home)
    }

    /// From now on commits of this server apply only while its keys are those in force.
    pub(crate) fn fence(&self, version: Seq) -> Result<(), SealError> {
        if let Some(beside) = &self.beside {
            self.store
                .put_fence(INSTALLATION.row_key(&ONE.to_owned()), version)?;
            *lock(&beside.version) = version;
        }
        Ok(())
    }

    /// Lets the other servers hand a new root over to this one. Does nothing where there
    /// are none.
    ///
    /// # Errors
    /// [`SealError::ServerRemoved`] when this home was removed meanwhile. The commit.
    pub async fn join_servers(&self, clock: &dyn Clock) -> Result<(), SealError> {
        let Some(beside) = &self.beside else {
            return Ok(());
        };
        let now = clock.now();
        // Opening a vault must be possible on a full disk.
        let mut batch = Batch::new(BatchId::generate(now, self.entropy.as_ref())?).reserved();
        let row = ServerRow {
            key: beside.key.sealing_key()?,
            since: now,
        };
        SERVERS.put(&mut batch, &beside.home.to_string(), &row);
        let heard = self.put_present(&mut batch, beside, clock)?;
        match self.store.commit(batch).await {
            Ok(committed) => {
                beside.presence.spoke(committed.seq, heard);
                Ok(())
            }
            Err(CommitError::Conflict { .. }) => Err(SealError::ServerRemoved(beside.home)),
            Err(error) => Err(RecordError::from(error).into()),
        }
    }

    /// Nothing is handed over to this server any more.
    ///
    /// # Errors
    /// The commit.
    pub async fn leave_servers(&self, clock: &dyn Clock) -> Result<(), SealError> {
        let Some(beside) = &self.beside else {
            return Ok(());
        };
        let id = BatchId::generate(clock.now(), self.entropy.as_ref())?;
        let mut batch = Batch::new(id).reserved();
        let home = beside.home.to_string();
        SERVERS.delete(&mut batch, &home);
        HANDOVERS.delete(&mut batch, &home);
        self.store.commit(batch).await.map_err(RecordError::from)?;
        Ok(())
    }

    /// A root, sealed to each of the open servers, this one among them.
    pub(crate) fn handovers(&self, root: &Root) -> Result<Vec<(String, Vec<u8>)>, SealError> {
        if self.beside.is_none() {
            return Ok(Vec::new());
        }
        let id = self.installation().id;
        all_rows(&SERVERS, &self.store, &KeyPrefix::all())?
            .into_iter()
            .map(|(home, row)| {
                let sealed = root.hand_over(&id, &home, &row.value.key)?;
                Ok((home, sealed))
            })
            .collect()
    }

    /// Takes the keys over that are in force by now, because another server changed what
    /// opens the vault, or who is among the servers; whether there are other keys. Reads the
    /// store: call it on a thread that may block.
    ///
    /// # Errors
    /// [`SealError::ServerRemoved`] when this server is none any more, and
    /// [`SealError::NotHandedOver`] when it is not among those that were told:
    /// it has to be sealed, and is unsealed again with what opens the vault now. The
    /// store's; what does not open.
    pub fn take_over(&self) -> Result<bool, SealError> {
        let Some(beside) = &self.beside else {
            return Ok(false);
        };
        let _taking = lock(&beside.taking);
        let known = *lock(&beside.version);
        // Before its first row is known there are no others: this server founds it all.
        if known == Seq::ZERO {
            return Ok(false);
        }
        let (installation, version) =
            Installation::stored(&self.store)?.ok_or(SealError::KeyringMismatch)?;
        if known == version {
            return Ok(false);
        }
        self.check_server()?;
        if installation == self.installation() {
            // A server was removed, and it was another one.
            self.fence(version)?;
            return Ok(false);
        }
        let home = beside.home.to_string();
        let handed = HANDOVERS
            .get(&self.store, &home)?
            .ok_or(SealError::NotHandedOver)?;
        let root = Root::handed_over(
            &installation.id,
            installation.root_epoch,
            &home,
            &beside.key,
            handed.value.as_bytes(),
        )?;
        root.check_sentinel(&installation.id, &installation.sentinel)?;
        root.check_sources(
            &installation.id,
            &installation.sources,
            &installation.sources_tag,
        )?;
        let keyring = installation.load_keyring(&self.store, &root)?;
        installation.check_keys(&keyring)?;
        let keys = Keys::new(installation.clone(), &root, &keyring)?;
        let barrier = barrier(&installation, &keyring, Arc::clone(&self.entropy))?;
        self.store.install_barrier(barrier)?;
        self.bundle_keys.replace(keyring.bundle_keys()?);
        self.ledger_keys.replace(keyring.signers(&installation.id)?);
        self.keys.store(Arc::new(keys));
        self.fence(version)?;
        installation.write(&self.home)?;
        Ok(true)
    }

    /// Whether another server had turned the root, whose keys are here now.
    pub(crate) fn is_turned(&self) -> Result<bool, StoreError> {
        match self.take_over() {
            Ok(turned) => Ok(turned),
            Err(SealError::Store(error)) => Err(error),
            Err(error) => Err(StoreError::Unavailable(IoCause::new(&error))),
        }
    }

    /// As [`Self::turn_root`], where other servers use the store: they take the new root
    /// over as soon as they hear of it, and until then none of their commits applies.
    ///
    /// # Errors
    /// The commit; when it says that its fate is unknown, this server takes over what is
    /// in force as the others do.
    pub async fn turn_root_beside(
        &self,
        next: NextRoot,
        clock: &dyn Clock,
    ) -> Result<(), SealError> {
        let NextRoot {
            keys,
            barrier,
            bundle_keys,
            signers,
            handovers,
            ..
        } = next;
        self.reached(RotationStep::RootPrepared);
        let (beside, version) = self
            .put_in_force(&keys.installation, &handovers, clock)
            .await?;
        let Some(_taking) = beside.takes(version) else {
            self.reached(RotationStep::KeysInUse);
            return Ok(());
        };
        self.store.install_barrier(barrier)?;
        self.bundle_keys.replace(bundle_keys);
        self.ledger_keys.replace(signers);
        let installation = keys.installation.clone();
        self.keys.store(Arc::new(keys));
        self.fence(version)?;
        self.reached(RotationStep::KeysInUse);
        installation.write(&self.home)
    }

    /// As [`Self::put_sources`], where other servers use the store.
    ///
    /// # Errors
    /// As [`Self::turn_root_beside`].
    pub async fn put_sources_beside(
        &self,
        next: NextSources,
        clock: &dyn Clock,
    ) -> Result<(), SealError> {
        self.reached(RotationStep::SourceRecorded);
        let NextSources { keys, handovers } = next;
        let (beside, version) = self
            .put_in_force(&keys.installation, &handovers, clock)
            .await?;
        if let Some(_taking) = beside.takes(version) {
            let installation = keys.installation.clone();
            self.keys.store(Arc::new(keys));
            self.fence(version)?;
            installation.write(&self.home)?;
        }
        self.reached(RotationStep::SourceAdded);
        Ok(())
    }

    /// Replaces the row of the installation, and hands its root over with it.
    async fn put_in_force(
        &self,
        installation: &Installation,
        handovers: &[(String, Vec<u8>)],
        clock: &dyn Clock,
    ) -> Result<(&Beside, Seq), SealError> {
        let beside = self.beside.as_ref().ok_or(SealError::KeyringMismatch)?;
        let known = *lock(&beside.version);
        let now = clock.now();
        let own = beside.home.to_string();
        let mut absent = self.absent(beside, now)?;
        // Somebody has just brought what opens the vault to this one.
        absent.retain(|home| *home != own);
        let epoch = u64::from(installation.root_epoch);
        // What the row leads to has to be there still.
        let keyring = KEYRINGS
            .get_clear(&self.store, &epoch)?
            .ok_or(SealError::KeyringMismatch)?;
        let id = BatchId::generate(now, self.entropy.as_ref())?;
        let mut batch = Batch::new(id).reserved();
        INSTALLATION.expect(&mut batch, &ONE.to_owned(), Expected::At(known));
        KEYRINGS.expect(&mut batch, &epoch, Expected::At(keyring.version));
        installation.put_row(&mut batch)?;
        for (home, sealed) in handovers {
            if absent.contains(home) {
                Self::leave_out(&mut batch, home, now, self.entropy.as_ref())?;
            } else {
                HANDOVERS.put(&mut batch, home, &Blob::new(sealed.clone()));
            }
        }
        let heard = self.put_present(&mut batch, beside, clock)?;
        let committed = self.store.commit(batch).await.map_err(RecordError::from)?;
        beside.presence.spoke(committed.seq, heard);
        Ok((beside, committed.seq))
    }
}
