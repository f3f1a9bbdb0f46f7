//! Whether a restored home is whole: everything in it is opened, and nothing is written,
//! asked for or told to anybody.

use super::copies::{Known, Record};
use super::error::RestoreError;
use super::marker::{self, Marker};
use crate::admin::{DATABASE, store_settings};
use crate::config::Config;
use crate::start::hold;
use procura_crypto::shamir::Share;
use procura_directory::Snapshot;
use procura_record::Directory;
use procura_store::Store;
use procura_store::backup::is_tag_of;
use procura_types::wire::Opening;
use procura_types::{Clock, Entropy, InstallationId, Timestamp};
use procura_vault::{Brought, Installation, SealError, Vault};
use serde::Serialize;
use std::fs::File;
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
    pub(super) marker: Marker,
    pub(super) vault: Vault,
    pub(super) directory: Arc<Directory>,
    _held: File,
}

/// What somebody brings, for a home that has nobody to ask but them.
pub(super) fn brought(opening: Opening) -> Result<Brought, RestoreError> {
    match opening {
        Opening::Passphrase(passphrase) => Ok(Brought::Passphrase(passphrase)),
        Opening::Shares(texts) => texts
            .iter()
            .map(|text| Share::parse(text.expose()))
            .collect::<Result<_, _>>()
            .map(Brought::Shares)
            .map_err(|error| SealError::from(error).into()),
        Opening::Source(source) => Err(RestoreError::Refused(format!(
            "a restored home is opened by a passphrase or by shares, not by {}: it asks nobody",
            source.name
        ))),
    }
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
    let installation = Installation::read(home)?;
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
    let vault = Vault::unseal(
        home,
        store,
        installation,
        brought,
        Arc::clone(&means.entropy),
    )
    .map_err(|error| match error {
        SealError::Damaged(_) if marker.activating => RestoreError::Home {
            path: home.clone(),
            problem: "its activation broke off in its last step; restore the backup once more"
                .to_owned(),
        },
        other => other.into(),
    })?;
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
        marker,
        vault,
        directory,
        _held: held,
    })
}

/// Opens everything in a restored home, and says what is there. Blocks the thread for as
/// long as that takes.
///
/// # Errors
/// [`RestoreError::NotWhole`] with what is wrong; what opens nothing.
pub fn verify(means: &Means, opening: Opening) -> Result<Report, RestoreError> {
    let sandbox = open(means, &brought(opening)?)?;
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
    let known = match &sandbox.marker.checkpoint {
        Some(note) => Some(Known::open(vault, "the backup", note)?),
        None => None,
    };
    let sizes = known.iter().map(|known| known.checkpoint.size).collect();
    let record = Record::of(vault, &sizes)?;
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
        entries: record.heads.size(),
        root: record.heads.root().to_string(),
        checkpoint: known.map(|known| known.checkpoint.size),
        secrets: every.secrets,
        values: every.values,
        bytes: every.bytes,
        actors: count(snapshot.actors().count()),
        devices: count(devices.count()),
        grants: count(grants.count()),
    })
}
