//! Link codes: 128 random bits that let one device in, once, within ten minutes
//! (`protocol.md` §2). Stored is only their SHA-256.

use crate::error::{IdentityError, JoinRefusal};
use crate::founding::id_of;
use procura_crypto::{PublicKey, sha256};
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Rule};
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, Kind, Row, Store, StoreError, Table};
use procura_types::wire::{Joins, RoleAssignment};
use procura_types::{ActorId, Duration, Entropy, ForeignId, Label, Secret, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a code can be used.
pub const CODE_LIFE: Duration = Duration::from_secs(600);

/// Expired codes that one new code clears away.
const SWEEP: usize = 256;

/// SHA-256 of the code → what it is good for.
const CODES: Table<[u8; 32], CodeRow> = Table::new("link-code", Kind::Ordinary);

/// What a code is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Purpose {
    /// One more device of this actor.
    Device(ActorId),
    /// A new operator.
    Operator {
        /// Their name.
        name: Label,
        /// What they will be able to do.
        roles: Vec<RoleAssignment>,
    },
    /// A key of this agent's own, under an id of another system.
    Enrol(Enrol),
    /// One more passkey of this operator.
    Passkey(ActorId),
}

/// What a code to enrol with is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enrol {
    pub(crate) actor: ActorId,
    pub(crate) id: ForeignId,
    /// What the key has to sign. Unlike the code it is no secret.
    pub(crate) challenge: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CodeRow {
    pub(crate) purpose: Purpose,
    expires: Timestamp,
    /// A code dies with whoever made it, with the device or passkey that they made it with,
    /// and with the role that let them. One that was made on the server's machine is
    /// for, and by, whoever joins with it, and no device made it.
    made_by: ActorId,
    made_with: Option<Thumbprint>,
}

impl CodeRow {
    /// The device that vouches for what comes in by this code: that made it, or that
    /// vouches for the passkey that made it. One that was made on the server's machine has
    /// none.
    pub(crate) fn vouched_by(&self, snapshot: &Snapshot) -> Option<Thumbprint> {
        let made_with = self.made_with?;
        let by_passkey = snapshot.passkey(&made_with);
        Some(by_passkey.map_or(made_with, |passkey| passkey.vouched_by))
    }

    /// Whether whoever made the code could make it now: a key that was taken away
    /// must not come back through a code that it made before, nor a role.
    fn stands(&self, snapshot: &Snapshot, now: Timestamp) -> bool {
        let made_with = self.made_with.as_ref();
        // With a device, or in a web login with a passkey that answered for it.
        let key_stands =
            made_with.is_none_or(|key| snapshot.may_act(key) || snapshot.passkey_lets_in(key));
        // What was made with an API key falls with it.
        let key_stands =
            key_stands && made_with.is_none_or(|key| snapshot.api_key_stands(key, now));
        let namespace = match &self.purpose {
            Purpose::Device(actor) | Purpose::Enrol(Enrol { actor, .. }) => {
                snapshot.actor(actor).and_then(|actor| actor.namespace())
            }
            Purpose::Operator { .. } | Purpose::Passkey(_) => None,
        };
        let action = match &self.purpose {
            Purpose::Operator { .. } => Action::OperatorInvite,
            Purpose::Enrol(_) => Action::EnrolStart,
            Purpose::Passkey(_) => Action::OperatorPasskeyInvite,
            Purpose::Device(_) if namespace.is_some() => Action::AgentLink,
            Purpose::Device(_) => Action::OperatorLink,
        };
        let may = match (action.rule(), &self.purpose) {
            (Rule::Roles(roles), _) => snapshot
                .roles(&self.made_by)
                .is_some_and(|held| roles.iter().any(|role| held.has(*role, namespace))),
            (Rule::Own, Purpose::Device(actor) | Purpose::Passkey(actor)) => *actor == self.made_by,
            _ => false,
        };
        // A break-glass account makes none that outlives its time.
        let acts = snapshot.is_active(&self.made_by) && !snapshot.is_closed(&self.made_by, now);
        may && key_stands && acts
    }
}

/// A code that was just made. The caller adds the server's key and shows the
/// text once.
pub struct IssuedCode {
    /// The code.
    pub code: Secret<[u8; 16]>,
    /// Who joins with it.
    pub joins: Joins,
    /// Ten minutes from now.
    pub expires: Timestamp,
}

/// Makes a code with the device of the caller, and puts it into the batch.
pub(crate) fn issue<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    purpose: Purpose,
    joins: Joins,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<IssuedCode, IdentityError> {
    let device = batch.permit().caller().device();
    let made_with = *device.ok_or(IdentityError::OtherCaller)?;
    issue_with(batch, (purpose, joins), made_with, now, entropy)
}

/// The same with this device or passkey of the caller's, which was seen to sign for it.
pub(crate) fn issue_with<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    what: (Purpose, Joins),
    made_with: Thumbprint,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<IssuedCode, IdentityError> {
    let made = (*batch.permit().caller().actor(), Some(made_with));
    put(batch, what, made, now, entropy)
}

/// Makes a code for another device of an operator on the server's machine, where whoever
/// asks has no device.
pub(crate) fn issue_here<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    operator: ActorId,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<IssuedCode, IdentityError> {
    let what = (Purpose::Device(operator), Joins::Operator(operator));
    put(batch, what, (operator, None), now, entropy)
}

fn put<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    (purpose, joins): (Purpose, Joins),
    (made_by, made_with): (ActorId, Option<Thumbprint>),
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<IssuedCode, IdentityError> {
    sweep(batch, now)?;
    let mut code = Secret::new([0u8; 16]);
    entropy.fill_secret(code.expose_mut())?;
    let key = sha256(code.expose());
    let expires = now.plus(CODE_LIFE);
    let row = CodeRow {
        purpose,
        expires,
        made_by,
        made_with,
    };
    CODES.expect(batch.rows(), &key, Expected::Absent);
    CODES.put(batch.rows(), &key, &row);
    Ok(IssuedCode {
        code,
        joins,
        expires,
    })
}

/// Codes that nobody used would stay for ever; each new one clears some away.
fn sweep<O: Op>(batch: &mut RecordedBatch<'_, O>, now: Timestamp) -> Result<(), StoreError> {
    let rows = CODES.scan(&batch.store().snapshot()?, &KeyPrefix::all(), None, SWEEP)?;
    for (key, _) in rows.iter().filter(|(_, row)| row.value.expires <= now) {
        CODES.delete(batch.rows(), key);
    }
    Ok(())
}

/// What the code is good for, if it can still be used, and by this actor with
/// this key: a new operator's id derives from the key that they bring.
pub(crate) fn look_up(
    store: &Store,
    snapshot: &Snapshot,
    code_sha256: &[u8; 32],
    actor: &ActorId,
    key: &PublicKey,
    now: Timestamp,
) -> Result<Row<CodeRow>, IdentityError> {
    usable(store, snapshot, code_sha256, now, |purpose| match purpose {
        Purpose::Device(meant) => meant == actor,
        Purpose::Operator { .. } => id_of(key).0 == *actor,
        Purpose::Enrol(_) | Purpose::Passkey(_) => false,
    })
}

/// What a code to enrol with is good for, if it can still be used.
pub(crate) fn look_up_enrolment(
    store: &Store,
    snapshot: &Snapshot,
    code_sha256: &[u8; 32],
    now: Timestamp,
) -> Result<(Enrol, Row<CodeRow>), IdentityError> {
    let row = usable(store, snapshot, code_sha256, now, |purpose| {
        matches!(purpose, Purpose::Enrol(_))
    })?;
    match row.value.purpose.clone() {
        Purpose::Enrol(enrol) => Ok((enrol, row)),
        _ => Err(JoinRefusal::UnknownCode.into()),
    }
}

/// The operator whom a code for a passkey is for, if it can still be used.
pub(crate) fn look_up_passkey(
    store: &Store,
    snapshot: &Snapshot,
    code_sha256: &[u8; 32],
    now: Timestamp,
) -> Result<(ActorId, Row<CodeRow>), IdentityError> {
    let row = usable(store, snapshot, code_sha256, now, |purpose| {
        matches!(purpose, Purpose::Passkey(_))
    })?;
    match row.value.purpose {
        Purpose::Passkey(actor) => Ok((actor, row)),
        _ => Err(JoinRefusal::UnknownCode.into()),
    }
}

/// The row of a code, if it fits, is not over, and whoever made it still may.
fn usable(
    store: &Store,
    snapshot: &Snapshot,
    code_sha256: &[u8; 32],
    now: Timestamp,
    fits: impl Fn(&Purpose) -> bool,
) -> Result<Row<CodeRow>, IdentityError> {
    let row = CODES
        .get(store, code_sha256)?
        .filter(|row| fits(&row.value.purpose))
        .ok_or(JoinRefusal::UnknownCode)?;
    if row.value.expires <= now {
        return Err(JoinRefusal::CodeExpired.into());
    }
    if !row.value.stands(snapshot, now) {
        return Err(JoinRefusal::UnknownCode.into());
    }
    Ok(row)
}

/// Uses the code up, in the commit that lets the device in. Of two that try, the
/// second finds the row changed and, when it runs anew, no code.
pub(crate) fn consume<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    code_sha256: &[u8; 32],
    row: &Row<CodeRow>,
) {
    CODES.expect(batch.rows(), code_sha256, Expected::At(row.version));
    CODES.delete(batch.rows(), code_sha256);
}
