//! Release keys, and the programs that they vouch for.

use crate::error::IdentityError;
use procura_directory::{ReleaseKeyRecord, ReleaseRecord, Snapshot};
use procura_ledger::{Vkey, open_release};
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::{RecordedBatch, in_parts};
use procura_types::wire::{self, ReleaseKeyList, ReleaseList};
use procura_types::{ExeDigest, Thumbprint, Timestamp};

/// Most release keys that were ever enrolled.
const MAX_KEYS: usize = 64;
/// Most programs that were ever added.
const MAX_RELEASES: usize = 10_000;

/// Enrols a key that signs releases.
pub struct ReleaseKeyAdd {
    /// Its name and the key.
    pub vkey: Vkey,
}

impl Op for ReleaseKeyAdd {
    const ACTION: Action = Action::ReleaseKeyAdd;
    fn resource(&self) -> Resource {
        Resource::ReleaseKey(self.vkey.key().thumbprint())
    }
}

impl ReleaseKeyAdd {
    /// Enrols the key of the permit.
    ///
    /// # Errors
    /// [`IdentityError::ReleaseKeyTaken`] for a key or a name that was enrolled before,
    /// removed or not; [`IdentityError::TooManyReleases`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<ReleaseKeyList, IdentityError> {
        let vkey = &batch.op().vkey;
        let directory = batch.directory();
        if directory.release_keys().count() >= MAX_KEYS {
            return Err(IdentityError::TooManyReleases);
        }
        // A name means one key for ever, so that nobody reads an old note as of another.
        let is_taken = directory
            .release_keys()
            .any(|known| known.key == *vkey.key() || known.name == vkey.name());
        if is_taken {
            return Err(IdentityError::ReleaseKeyTaken);
        }
        let record = ReleaseKeyRecord {
            name: vkey.name().to_owned(),
            key: vkey.key().clone(),
            added: now,
            by: *batch.permit().caller().actor(),
            removed: None,
        };
        let mut list = keys(directory)?;
        list.keys.push(render_key(&record)?);
        sort_keys(&mut list);
        batch.put_release_key(&record);
        Ok(list)
    }
}

/// Lists the keys that sign releases.
pub struct ReleaseKeyListing;

impl Op for ReleaseKeyListing {
    const ACTION: Action = Action::ReleaseKeyList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl ReleaseKeyListing {
    /// All of them by name, removed ones too.
    ///
    /// # Errors
    /// [`IdentityError::BadReleaseKey`] for one that cannot be written any more, a defect.
    pub fn run(_: &Permit<Self>, snapshot: &Snapshot) -> Result<ReleaseKeyList, IdentityError> {
        keys(snapshot)
    }
}

/// Removes a key that signs releases. Made by [`ReleaseKeyRemove::resolve`].
pub struct ReleaseKeyRemove {
    key: Option<Thumbprint>,
}

impl Op for ReleaseKeyRemove {
    const ACTION: Action = Action::ReleaseKeyRemove;
    fn resource(&self) -> Resource {
        // Whoever may not remove keys does not learn which names there are.
        self.key
            .map_or(Resource::Installation, Resource::ReleaseKey)
    }
}

impl ReleaseKeyRemove {
    /// The operation for the key of this name, which may not be there.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, name: &str) -> Self {
        let mut keys = snapshot.release_keys();
        let found = keys.find(|key| key.name == name);
        Self {
            key: found.map(|found| found.key.thumbprint()),
        }
    }

    /// Removes the key of the permit; doing it again changes nothing. What was attested by
    /// its releases counts no more, at once.
    ///
    /// # Errors
    /// [`IdentityError::NoReleaseKey`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<ReleaseKeyList, IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let key = batch.op().key.ok_or(IdentityError::NoReleaseKey)?;
        let record = batch
            .directory()
            .release_key(&key)
            .ok_or(IdentityError::NoReleaseKey)?
            .as_ref()
            .clone();
        let record = ReleaseKeyRecord {
            removed: record.removed.or(Some(now)),
            ..record
        };
        let mut list = keys(batch.directory())?;
        list.keys
            .retain(|known| !known.vkey.starts_with(&format!("{}+", record.name)));
        list.keys.push(render_key(&record)?);
        sort_keys(&mut list);
        batch.put_release_key(&record);
        Ok(list)
    }
}

fn keys(snapshot: &Snapshot) -> Result<ReleaseKeyList, IdentityError> {
    let keys: Result<Vec<_>, _> = snapshot
        .release_keys()
        .map(|record| render_key(record))
        .collect();
    let mut list = ReleaseKeyList { keys: keys? };
    sort_keys(&mut list);
    Ok(list)
}

fn sort_keys(list: &mut ReleaseKeyList) {
    list.keys.sort_by(|one, other| one.vkey.cmp(&other.vkey));
}

fn render_key(record: &ReleaseKeyRecord) -> Result<wire::ReleaseKey, IdentityError> {
    Ok(wire::ReleaseKey {
        vkey: vkey(record)?.to_string(),
        added: record.added,
        by: record.by,
        removed: record.removed,
    })
}

fn vkey(record: &ReleaseKeyRecord) -> Result<Vkey, IdentityError> {
    Vkey::new(&record.name, &record.key).map_err(IdentityError::BadReleaseKey)
}

/// Adds the programs that a release key signed.
pub struct ReleaseAdd {
    /// The signed note.
    pub note: String,
}

impl Op for ReleaseAdd {
    const ACTION: Action = Action::ReleaseAdd;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl ReleaseAdd {
    /// Adds what the note of the permit vouches for. What is there already stays.
    ///
    /// # Errors
    /// [`IdentityError::BadRelease`] for a note that no enrolled key signed, or of another
    /// form; [`IdentityError::Withdrawn`] for a program that was withdrawn;
    /// [`IdentityError::TooManyReleases`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<ReleaseList, IdentityError> {
        let directory = batch.directory();
        let known: Result<Vec<Vkey>, _> = directory
            .release_keys()
            .filter(|key| key.removed.is_none())
            .map(|record| vkey(record))
            .collect();
        let known = known?;
        let (programs, by) =
            open_release(&batch.op().note, &known).map_err(IdentityError::BadRelease)?;
        let key = by.key().thumbprint();
        let mut added = Vec::new();
        for program in programs {
            let before = directory.release(&program.sha256);
            match before {
                Some(before) if before.withdrawn.is_some() => {
                    return Err(IdentityError::Withdrawn(program.sha256));
                }
                Some(before) if directory.is_vouched_for(before) => continue,
                _ => {}
            }
            added.push(ReleaseRecord {
                sha256: program.sha256,
                version: program.version,
                target: program.target,
                key,
                added: now,
                withdrawn: None,
            });
        }
        if directory.releases().count() + added.len() > MAX_RELEASES {
            return Err(IdentityError::TooManyReleases);
        }
        let list = with(directory, &added);
        let words = in_parts(
            added
                .iter()
                .map(|record| format!("{}={}/{}", record.sha256, record.version, record.target)),
        );
        for record in &added {
            batch.put_release(record);
        }
        batch.say_in_parts(words);
        Ok(list)
    }
}

/// Lists the programs that release keys vouch for.
pub struct ReleaseListing;

impl Op for ReleaseListing {
    const ACTION: Action = Action::ReleaseList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl ReleaseListing {
    /// All of them, withdrawn ones too.
    #[must_use]
    pub fn run(_: &Permit<Self>, snapshot: &Snapshot) -> ReleaseList {
        with(snapshot, &[])
    }
}

/// Withdraws a program.
pub struct ReleaseWithdraw {
    /// Which.
    pub sha256: ExeDigest,
}

impl Op for ReleaseWithdraw {
    const ACTION: Action = Action::ReleaseWithdraw;
    fn resource(&self) -> Resource {
        Resource::Release(self.sha256)
    }
}

impl ReleaseWithdraw {
    /// Withdraws the program of the permit, for good; doing it again changes nothing. What
    /// was attested by it counts no more, at once.
    ///
    /// # Errors
    /// [`IdentityError::NoRelease`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<ReleaseList, IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let sha256 = batch.op().sha256;
        let record = batch
            .directory()
            .release(&sha256)
            .ok_or(IdentityError::NoRelease)?
            .as_ref()
            .clone();
        let record = ReleaseRecord {
            withdrawn: record.withdrawn.or(Some(now)),
            ..record
        };
        let list = with(batch.directory(), std::slice::from_ref(&record));
        batch.put_release(&record);
        Ok(list)
    }
}

/// All programs, with these in place of what is known of them.
fn with(snapshot: &Snapshot, changed: &[ReleaseRecord]) -> ReleaseList {
    let is_changed =
        |record: &ReleaseRecord| changed.iter().any(|other| other.sha256 == record.sha256);
    let mut releases: Vec<wire::Release> = snapshot
        .releases()
        .map(AsRef::as_ref)
        .filter(|record: &&ReleaseRecord| !is_changed(record))
        .chain(changed)
        .map(|record| wire::Release {
            sha256: record.sha256,
            version: record.version.clone(),
            target: record.target.clone(),
            key: snapshot
                .release_key(&record.key)
                .map_or_else(String::new, |key| key.name.clone()),
            added: record.added,
            withdrawn: record.withdrawn,
        })
        .collect();
    releases.sort_by(|one, other| {
        (&one.target, &one.version, one.sha256).cmp(&(&other.target, &other.version, other.sha256))
    });
    ReleaseList { releases }
}
