//! Whether a restored home is whole: everything in it is opened, and nothing is written,
//! asked for or told to anybody.

use super::copies::{Known, Record};
use super::error::RestoreError;
use super::marker::{self, Marker};
use super::sources::bring;
use crate::admin::{DATABASE, store_settings};
use crate::config::Config;
use crate::start::hold;
use procura_directory::Snapshot;
use procura_record::Directory;
use procura_store::Store;
use procura_store::backup::is_tag_of;
use procura_types::wire::Opening;
use procura_types::{Clock, Entropy, InstallationId, Timestamp};
use procura_vault::{Brought, Installation, Vault};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

/// What was found in a restored home.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Of which installation.
    pub installation: InstallationId,
    /// When the backup was taken.
    pub taken: Timestamp,
    /// The last commit that is in it.
    pub seq: u64,
    /// Which unseal source opened it.
    pub opened_by: String,
    /// Entries of the ledger.
    pub entries: u64,
    /// The root over them.
    pub root: String,
    /// Entries that the newest checkpoint in the backup is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<u64>,
    /// Paths of secrets.
    pub secrets: u64,
    /// Versions whose value opened.
    pub values: u64,
    /// Bytes of those values.
    pub bytes: u64,
    /// Actors, devices that are not revoked, and grants that hold.
    pub actors: u64,
    /// See [`Self::actors`].
    pub devices: u64,
    /// See [`Self::actors`].
    pub grants: u64,
}

/// With what, and as of when, a restored home is opened.
#[derive(Clone)]
pub struct Means {
    /// Settings of the home.
    pub config: Config,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
}

/// A restored home that is open.
pub(super) struct Sandbox {
    pub(super) home: PathBuf,
    pub(super) marker: Marker,
    pub(super) vault: Vault,
    pub(super) directory: Arc<Directory>,
    _held: File,
}

pub(super) fn open(means: &Means, brought: &Brought) -> Result<Sandbox, RestoreError> {
    let home = &means.config.home;
    let refused = |error: crate::start::StartError| RestoreError::Home {
        path: home.clone(),
        problem: error.to_string(),
    };
    let marker = marker::find(home)?.ok_or_else(|| RestoreError::NotRestored(home.to_owned()))?;
    procura_crypto::lock_policy(means.config.danger_unlocked_memory)
        .map_err(RestoreError::internal)?;
    let held = hold(home).map_err(refused)?;
    let mut installation = Installation::read(home)?;
    if installation.id != marker.installation {
        return Err(RestoreError::OtherInstallation {
            path: home.join("installation.json"),
            expected: marker.installation,
            found: installation.id,
        });
    }
    let store = Store::open(
        &home.join(DATABASE),
        &installation.id,
        &store_settings(&means.config),
        Arc::clone(&means.clock),
        Arc::clone(&means.entropy),
    )?;
    let origin = marker
        .begun
        .as_ref()
        .and_then(|begun| begun.origin.as_ref());
    if let Some(origin) = origin.filter(|origin| !installation.is_under(origin)) {
        // An activation may have broken off between the keyring and this file.
        installation = installation.settle_origin(home, &store, brought, origin)?;
    }
    let entropy = Arc::clone(&means.entropy);
    let vault = Vault::unseal(home, store, installation, brought, entropy)?;
    let digest = marker.digest.as_slice().try_into();
    let tag = marker.tag.as_slice().try_into();
    let ours = match (digest, tag) {
        (Ok(digest), Ok(tag)) => is_tag_of(vault.backup_key(), &marker.installation, digest, tag),
        _ => false,
    };
    if !ours {
        return Err(RestoreError::NotOurs(home.clone()));
    }
    let directory = Directory::load(vault.store())?;
    Ok(Sandbox {
        home: home.clone(),
        marker,
        vault,
        directory,
        _held: held,
    })
}

impl Sandbox {
    /// Whether an activation has given the record its other origin already.
    pub(super) fn is_renamed(&self) -> bool {
        let begun = self.marker.begun.as_ref();
        begun.is_some_and(|begun| begun.origin.as_ref() == Some(&self.vault.origin()))
    }
}

/// Opens everything in a restored home, and says what is there. Blocks the thread for as
/// long as that takes.
///
/// # Errors
/// [`RestoreError::NotWhole`] with what is wrong; what opens nothing.
pub async fn verify(means: &Means, opening: Opening) -> Result<Report, RestoreError> {
    let sandbox = open(means, &bring(means, opening).await?)?;
    let report = look_through(&sandbox, means.clock.now())?;
    sandbox.vault.store().seal();
    let verified = Marker {
        verified: true,
        ..sandbox.marker
    };
    verified.write(&means.config.home)?;
    Ok(report)
}

pub(super) fn look_through(sandbox: &Sandbox, now: Timestamp) -> Result<Report, RestoreError> {
    let vault = &sandbox.vault;
    let mut findings = vault.store().deep_check()?;
    if !findings.is_empty() {
        return Err(RestoreError::NotWhole(findings));
    }
    let every = vault.open_every_value()?;
    findings.extend(every.findings);
    // Once the record has another origin, the keys of before are gone; the run that gave it
    // that has held it against this checkpoint.
    let known = match &sandbox.marker.checkpoint {
        Some(note) if !sandbox.is_renamed() => Some(Known::open(vault, "the backup", note)?),
        _ => None,
    };
    let length = sandbox.marker.length;
    let mut sizes: BTreeSet<u64> = known.iter().map(|known| known.checkpoint.size).collect();
    sizes.insert(length);
    let record = Record::of(vault, &sizes, |_, _| Ok(()))?;
    let root = record.heads.root_at(length);
    if root.is_none() {
        findings.push(format!(
            "the record ends at entry {}, and the backup had {length}",
            record.heads.size()
        ));
    }
    findings.extend(record.findings);
    if !findings.is_empty() {
        return Err(RestoreError::NotWhole(findings));
    }
    if let Some(known) = &known {
        record.heads.hold(known)?;
    }
    let snapshot: Arc<Snapshot> = sandbox.directory.snapshot();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let devices = snapshot
        .actors()
        .flat_map(|actor| snapshot.devices_of(&actor.id))
        .filter(|device| device.revoked.is_none());
    let grants = snapshot.grants().filter(|grant| grant.holds(now));
    Ok(Report {
        installation: sandbox.marker.installation,
        taken: sandbox.marker.taken,
        seq: sandbox.marker.seq,
        opened_by: vault
            .opened_by()
            .map_or_else(String::new, |by| by.source.to_string()),
        entries: length,
        root: root.map_or_else(String::new, |root| root.to_string()),
        checkpoint: known.map(|known| known.checkpoint.size),
        secrets: every.secrets,
        values: every.values,
        bytes: every.bytes,
        actors: count(snapshot.actors().count()),
        devices: count(devices.count()),
        grants: count(grants.count()),
    })
}
