//! Challenge and attestation. A challenge is one row of its device, so that there is one at
//! a time, it is good once whichever server is asked, and none is left behind.

use super::quote::{self, Asked};
use super::{AttestationRefusal, namespace_of};
use crate::error::IdentityError;
use procura_crypto::PublicKey;
use procura_directory::{AttestationRecord, Snapshot};
use procura_policy::{Action, Concerned, Op, Resource};
use procura_proof::session::Attested;
use procura_proof::{Caller, attestation_id, attestation_message, process_key};
use procura_record::RecordedBatch;
use procura_store::{Expected, Kind, Table};
use procura_types::wire::{
    AttestationChallenge, AttestationGiven, AttestationPut, AttestationStatement, QuoteSeen,
    TpmKeys,
};
use procura_types::{
    ActorId, AttestationId, BuildWord, Duration, Entropy, Grade, InstallationId, Namespace,
    Thumbprint, Timestamp, encoding,
};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// How long an attestation counts unless it is renewed.
pub const ATTESTATION_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a challenge is good.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(5 * 60);
/// How far the clock of a host may be from ours.
const CLOCK: Duration = Duration::from_secs(5 * 60);
/// Most attestations of one device that are remembered: one for each start of its daemon.
const MAX_REMEMBERED: usize = 8;

/// Device → its challenge.
const CHALLENGES: Table<Thumbprint, ChallengeRow> =
    Table::new("attestation-challenge", Kind::Ordinary);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeRow {
    nonce: String,
    until: Timestamp,
    /// For which keys of a chip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tpm: Option<Asked>,
}

/// The device of a daemon that attests, and whose it is.
#[derive(Debug, Clone)]
struct Holder {
    namespace: Namespace,
    agent: ActorId,
    device: Thumbprint,
}

impl Holder {
    /// Of a caller who is an agent with a device.
    fn of(snapshot: &Snapshot, caller: &Caller) -> Option<Self> {
        Some(Self {
            namespace: namespace_of(snapshot, caller.actor())?.clone(),
            agent: *caller.actor(),
            device: *caller.device()?,
        })
    }

    fn resource(&self) -> Resource {
        Resource::Device(Some(self.namespace.clone()), self.device)
    }

    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.agent)
    }
}

/// Asks for a challenge. Made by [`AttestChallenge::resolve`].
pub struct AttestChallenge {
    holder: Holder,
    tpm: Option<TpmKeys>,
}

impl Op for AttestChallenge {
    const ACTION: Action = Action::AttestationChallenge;
    fn resource(&self) -> Resource {
        self.holder.resource()
    }
    fn concerned(&self) -> Concerned<'_> {
        self.holder.concerned()
    }
}

impl AttestChallenge {
    /// The operation; none when the caller is no agent with a device.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, caller: &Caller, tpm: Option<TpmKeys>) -> Option<Self> {
        Holder::of(snapshot, caller).map(|holder| Self { holder, tpm })
    }

    /// Gives the device of the permit a challenge; one that it had before is good no more.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<AttestationChallenge, IdentityError> {
        let mut nonce = [0; 32];
        entropy.fill(&mut nonce)?;
        let op = batch.op();
        let device = op.holder.device;
        let (mut asked, mut pcrs, mut credential) = (None, Vec::new(), None);
        if let Some(keys) = &op.tpm {
            let (for_keys, registers, made) =
                quote::ask(batch.directory(), &device, keys, entropy)?;
            (asked, pcrs, credential) = (Some(for_keys), registers, made);
        }
        let row = ChallengeRow {
            nonce: encoding::b64url(&nonce),
            until: now.plus(CHALLENGE_LIFE),
            tpm: asked,
        };
        CHALLENGES.put(batch.rows(), &device, &row);
        Ok(AttestationChallenge {
            nonce: row.nonce,
            expires: row.until,
            pcrs,
            credential,
        })
    }
}

/// Attests which program a daemon is. Made by [`AttestMake::resolve`].
pub struct AttestMake {
    holder: Holder,
    put: AttestationPut,
    installation: InstallationId,
    server: Thumbprint,
}

impl Op for AttestMake {
    const ACTION: Action = Action::AttestationMake;
    fn resource(&self) -> Resource {
        self.holder.resource()
    }
    fn concerned(&self) -> Concerned<'_> {
        self.holder.concerned()
    }
}

/// A statement that holds: what is to be known of its process.
struct Checked {
    id: AttestationId,
    key: PublicKey,
    grade: Grade,
    quote: Option<QuoteSeen>,
}

impl AttestMake {
    /// The operation, at the server of this installation that has the key `server`; none
    /// when the caller is no agent with a device.
    #[must_use]
    pub fn resolve(
        snapshot: &Snapshot,
        caller: &Caller,
        put: AttestationPut,
        installation: InstallationId,
        server: Thumbprint,
    ) -> Option<Self> {
        Holder::of(snapshot, caller).map(|holder| Self {
            holder,
            put,
            installation,
            server,
        })
    }

    /// Puts the attestation of the permit, new or renewed, and uses its challenge up.
    ///
    /// # Errors
    /// [`IdentityError::Attestation`] with the first reason that applies.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<AttestationGiven, IdentityError> {
        let op = batch.op();
        let statement = &op.put.statement;
        let device = op.holder.device;
        let challenge = CHALLENGES
            .get(batch.store(), &device)?
            .filter(|row| row.value.nonce == statement.nonce)
            .ok_or(AttestationRefusal::Replayed)?;
        if now > challenge.value.until {
            return Err(AttestationRefusal::ChallengeExpired.into());
        }
        let Checked {
            id,
            key,
            grade,
            quote,
        } = op.check(batch.directory(), &challenge.value, now)?;
        let until = now.plus(ATTESTATION_LIFE);
        let made = batch
            .directory()
            .attestation(&id)
            .map_or(now, |before| before.made);
        let record = AttestationRecord {
            id,
            device,
            actor: op.holder.agent,
            key,
            exe_sha256: statement.exe_sha256,
            version: statement.version.clone(),
            target: statement.target.clone(),
            pid: statement.pid,
            boot_id: statement.boot_id.clone(),
            grade,
            quote,
            made,
            renewed: now,
            until,
            revoked: None,
        };
        let words = words(&record);
        let forgotten = surplus(batch.directory(), &record);
        CHALLENGES.expect(batch.rows(), &device, Expected::At(challenge.version));
        CHALLENGES.delete(batch.rows(), &device);
        for id in forgotten {
            batch.forget_attestation(&id);
        }
        batch.put_attestation(&record);
        batch.details().attested = Some(Attested { id, grade });
        batch.details().with = Some(words);
        Ok(AttestationGiven {
            id,
            grade,
            until,
            lacks: lacks(&record),
        })
    }

    /// All that has to hold of a statement, but for its challenge.
    fn check(
        &self,
        directory: &Snapshot,
        challenge: &ChallengeRow,
        now: Timestamp,
    ) -> Result<Checked, IdentityError> {
        let statement = &self.put.statement;
        if statement.installation != self.installation {
            return Err(AttestationRefusal::WrongInstallation.into());
        }
        if statement.agent != self.holder.agent || statement.device != self.holder.device {
            return Err(AttestationRefusal::WrongAgent.into());
        }
        if now.since(statement.time) > CLOCK || statement.time.since(now) > CLOCK {
            return Err(AttestationRefusal::Clock.into());
        }
        let key = process_key(statement).map_err(|_| AttestationRefusal::BadKey)?;
        let message = attestation_message(&self.server, statement, &key);
        if !key.verify(&message, &self.put.signature) {
            return Err(AttestationRefusal::BadSignature.into());
        }
        let id = attestation_id(&self.holder.device, &key);
        let is_revoked = directory
            .attestation(&id)
            .is_some_and(|before| before.revoked.is_some());
        if is_revoked {
            return Err(AttestationRefusal::Revoked.into());
        }
        let released = released(directory, statement)?;
        let device = &self.holder.device;
        let quoted =
            self.put.quote.as_ref().map(|shown| {
                quote::check(directory, device, &message, shown, challenge.tpm.as_ref())
            });
        let (quote, is_met) = match quoted.transpose()? {
            Some((seen, is_met)) => (Some(seen), is_met),
            None => (None, false),
        };
        // Each grade holds what the one before it says.
        let grade = match released {
            Grade::SignedRelease if is_met => Grade::Quoted,
            other => other,
        };
        Ok(Checked {
            id,
            key,
            grade,
            quote,
        })
    }
}

/// Whether a release key vouches for the program.
fn released(
    directory: &Snapshot,
    statement: &AttestationStatement,
) -> Result<Grade, AttestationRefusal> {
    let says = |version: &BuildWord, target: &BuildWord| {
        *version == statement.version && *target == statement.target
    };
    match directory.release(&statement.exe_sha256) {
        Some(release) if release.withdrawn.is_some() => Err(AttestationRefusal::DigestWithdrawn),
        Some(release) if directory.is_vouched_for(release) => {
            if says(&release.version, &release.target) {
                Ok(Grade::SignedRelease)
            } else {
                Err(AttestationRefusal::WrongDigest)
            }
        }
        _ => {
            let mut releases = directory.releases();
            let is_known = releases.any(|release| {
                says(&release.version, &release.target) && directory.is_vouched_for(release)
            });
            if is_known {
                Err(AttestationRefusal::WrongDigest)
            } else {
                Ok(Grade::SelfReported)
            }
        }
    }
}

/// What the entry says of the process.
fn words(record: &AttestationRecord) -> String {
    let mut words = format!(
        "sha256:{} version:{} target:{} pid:{} boot:{}",
        record.exe_sha256, record.version, record.target, record.pid, record.boot_id
    );
    if let Some(seen) = &record.quote {
        // Writing to a String cannot fail.
        let _ = write!(
            words,
            " ek:{} pcrs:{} clock:{} resets:{} restarts:{}",
            seen.ek_sha256, seen.pcr_digest, seen.clock, seen.reset_count, seen.restart_count
        );
    }
    words
}

/// What a better grade takes.
fn lacks(record: &AttestationRecord) -> Option<String> {
    let words = match record.grade {
        Grade::SelfReported => {
            "no release key vouches for this program; a steward adds it with procura release add"
        }
        Grade::SignedRelease if record.quote.is_some() => {
            "nobody has accepted how this host has started; an admin does with procura device baseline"
        }
        Grade::SignedRelease => "no TPM has signed for this process; start procurad with --tpm",
        Grade::Quoted => return None,
    };
    Some(words.to_owned())
}

/// What is forgotten for a new attestation of a device: the oldest that nobody revoked go
/// first. Whoever could attest anew to have a revoked one forgotten has the device's key,
/// and needs no revoked process.
fn surplus(directory: &Snapshot, record: &AttestationRecord) -> Vec<AttestationId> {
    let mut others: Vec<&AttestationRecord> = directory
        .attestations_of(&record.device)
        .map(AsRef::as_ref)
        .filter(|other| other.id != record.id)
        .collect();
    others.sort_by_key(|other| (other.revoked.is_some(), other.renewed, other.id));
    let surplus = (others.len() + 1).saturating_sub(MAX_REMEMBERED);
    others.iter().take(surplus).map(|other| other.id).collect()
}
