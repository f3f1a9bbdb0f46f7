//! Enrolment of agents of other systems (`protocol.md` §3.6): an operator makes a code
//! with a challenge; whoever shows the code, and a key of their own that signed the
//! challenge, is the agent from then on, under an id of another system.

use crate::agent_secret::{self, Before, NewSecret, SecretTerms};
use crate::code::{self, Enrol, IssuedCode, Purpose};
use crate::error::{IdentityError, JoinRefusal};
use crate::foreign::free_for;
use crate::{agent, device};
use procura_crypto::PublicKey;
use procura_directory::{DeviceRecord, ForeignRecord, Snapshot};
use procura_policy::{Action, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::wire::Joins;
use procura_types::{ActorId, Entropy, ForeignId, Label, Namespace, Timestamp, encoding};

/// Makes a code to enrol with.
pub struct EnrolStart {
    /// Where.
    pub namespace: Namespace,
    /// The agent.
    pub agent: Label,
    /// Whether the agent is made now; it has to be there otherwise.
    pub make: bool,
    /// The id that it gets.
    pub id: ForeignId,
}

impl Op for EnrolStart {
    const ACTION: Action = Action::EnrolStart;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
}

/// A code and what has to be signed with it.
pub struct EnrolmentCode {
    /// The code, good once, for ten minutes.
    pub issued: IssuedCode,
    /// The text to sign.
    pub challenge: String,
}

impl EnrolStart {
    /// Makes the code of the permit.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<EnrolmentCode, IdentityError> {
        let op = batch.op();
        let (word, actor) = if op.make {
            let made = agent::make(batch, &op.namespace, &op.agent, None, now)?;
            ("made", made.actor_id)
        } else {
            let found = agent::find(batch.directory(), &op.namespace, &op.agent)?;
            ("of", found.id)
        };
        batch.details().with = Some(format!("{word} agent/{}", op.agent));
        free_for(batch.directory(), &op.id, &actor)?;
        let mut random = [0; 32];
        entropy.fill(&mut random)?;
        let challenge = encoding::b64url(&random);
        let purpose = Purpose::Enrol(Enrol {
            actor,
            id: op.id.clone(),
            challenge: challenge.clone(),
        });
        let issued = code::issue(batch, purpose, Joins::Agent(actor), now, entropy)?;
        Ok(EnrolmentCode { issued, challenge })
    }
}

/// What a code to enrol with is good for.
pub struct Enrolment {
    code_sha256: [u8; 32],
    namespace: Namespace,
    enrol: Enrol,
}

impl Enrolment {
    /// Looks a code up by its SHA-256.
    pub fn resolve(
        store: &Store,
        snapshot: &Snapshot,
        code_sha256: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let (enrol, _) = code::look_up_enrolment(store, snapshot, &code_sha256, now)?;
        let agent = snapshot.actor(&enrol.actor);
        let namespace = agent.and_then(|agent| agent.namespace().cloned());
        Ok(Self {
            code_sha256,
            namespace: namespace.ok_or(JoinRefusal::UnknownCode)?,
            enrol,
        })
    }

    /// The agent.
    #[must_use]
    pub const fn actor(&self) -> &ActorId {
        &self.enrol.actor
    }

    /// The id that it gets.
    #[must_use]
    pub const fn id(&self) -> &ForeignId {
        &self.enrol.id
    }

    /// The text that the key has to have signed.
    #[must_use]
    pub fn challenge(&self) -> &str {
        &self.enrol.challenge
    }

    /// The operation for a key that signed the challenge. It checks all of the code
    /// again when it runs.
    #[must_use]
    pub fn by(self, key: PublicKey) -> EnrolComplete {
        EnrolComplete {
            enrolment: self,
            key,
        }
    }
}

/// Enrols an agent. Made by [`Enrolment::by`].
pub struct EnrolComplete {
    enrolment: Enrolment,
    key: PublicKey,
}

impl Op for EnrolComplete {
    const ACTION: Action = Action::EnrolComplete;
    fn resource(&self) -> Resource {
        let Enrolment {
            namespace, enrol, ..
        } = &self.enrolment;
        Resource::Foreign(namespace.clone(), enrol.id.clone())
    }
}

impl EnrolComplete {
    /// Binds the key of the permit to its agent and id, makes a secret, and uses the
    /// code up, in one commit. What the id was enrolled with before ends with it: its
    /// key as its secrets.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        terms: &SecretTerms,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewSecret, IdentityError> {
        let op = batch.op();
        let Enrolment {
            code_sha256, enrol, ..
        } = &op.enrolment;
        crate::join::is_caller(batch, &enrol.actor, &op.key)?;
        let directory = batch.directory();
        let (meant, row) = code::look_up_enrolment(batch.store(), directory, code_sha256, now)?;
        if meant != *enrol {
            return Err(JoinRefusal::UnknownCode.into());
        }
        if !directory.is_active(&enrol.actor) {
            return Err(JoinRefusal::ActorRevoked.into());
        }
        let thumbprint = op.key.thumbprint();
        if directory.device(&thumbprint).is_some() {
            return Err(JoinRefusal::DeviceBound.into());
        }
        let before = free_for(directory, &enrol.id, &enrol.actor)?;
        batch.details().with = Some(format!("device/{thumbprint}"));
        code::consume(batch, code_sha256, &row);
        if let Some(device) = before.and_then(|before| before.device) {
            device::revoke(batch, &device, now);
        }
        batch.put_device(&DeviceRecord {
            thumbprint,
            actor: enrol.actor,
            key: op.key.clone(),
            created: now,
            revoked: None,
        });
        batch.put_foreign(&ForeignRecord {
            id: enrol.id.clone(),
            actor: enrol.actor,
            device: Some(thumbprint),
            created: now,
            released: None,
        });
        agent_secret::renew(batch, &enrol.id, Before::End, terms, now, entropy)
    }
}
