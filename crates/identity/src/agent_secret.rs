//! The secrets that agents of other systems share with the server, for the profiles
//! with a MAC (`protocol.md` §3.2). 256 random bits each, shown once, sealed at rest
//! like every row. A secret is due for another after some months and refused some days
//! after that; the one that it is exchanged for is good beside it for those days.

use crate::error::IdentityError;
use crate::foreign::find_id;
use procura_directory::Snapshot;
use procura_policy::{Action, Concerned, Op, Resource};
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, Kind, Store, Table};
use procura_types::wire::AgentSecretAge;
use procura_types::{
    ActorId, Duration, Entropy, EntropyError, ForeignId, Namespace, Secret, Timestamp, encoding,
};
use serde::{Deserialize, Serialize, Serializer};

/// id → its secrets.
const SECRETS: Table<String, SecretsRow> = Table::new("agent-secret", Kind::Ordinary);

/// Most secrets of one id at once; the oldest ends when there would be more. Who asks
/// again because an answer was lost does not lock the agent out by it.
const MOST: usize = 3;

/// Rows read at once.
const CHUNK: usize = 256;

/// For how long secrets are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretTerms {
    /// From its making to when it should be another.
    pub due: Duration,
    /// From then to when it is refused; also how long one from before is good beside
    /// a new one.
    pub grace: Duration,
}

impl Default for SecretTerms {
    /// 90 days and 7 days.
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            due: Duration::from_secs(90 * DAY),
            grace: Duration::from_secs(7 * DAY),
        }
    }
}

/// What is stored for an id; also when no secret is left, so that the era stays.
#[derive(Default, Serialize, Deserialize)]
struct SecretsRow {
    era: u64,
    /// The newest first.
    secrets: Vec<SecretRow>,
}

#[derive(Serialize, Deserialize)]
struct SecretRow {
    #[serde(serialize_with = "exposed")]
    text: Secret<String>,
    created: Timestamp,
    /// When it ends because there is a newer one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced: Option<Timestamp>,
}

/// Into the row, which the barrier seals before it is written.
fn exposed<S: Serializer>(text: &Secret<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text.expose())
}

impl SecretRow {
    fn new(now: Timestamp, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = Secret::new([0u8; 32]);
        entropy.fill_secret(bytes.expose_mut())?;
        Ok(Self {
            text: Secret::new(encoding::b64url(bytes.expose())),
            created: now,
            replaced: None,
        })
    }

    fn age(&self, terms: &SecretTerms) -> AgentSecretAge {
        let due = self.created.plus(terms.due);
        let end = due.plus(terms.grace);
        AgentSecretAge {
            created: self.created,
            due,
            ends: self.replaced.map_or(end, |replaced| replaced.min(end)),
        }
    }

    fn is_good(&self, terms: &SecretTerms, now: Timestamp) -> bool {
        now < self.age(terms).ends
    }
}

fn stored(store: &Store, id: &ForeignId) -> Result<SecretsRow, IdentityError> {
    let row = SECRETS.get(store, &id.to_string())?;
    Ok(row.map(|row| row.value).unwrap_or_default())
}

/// What proofs of an id are verified with.
pub struct AgentSecrets {
    /// Counts how often all secrets of before ended at once; what was started with one
    /// of them ended with it.
    pub era: u64,
    /// Those that are good now, the newest first.
    pub texts: Vec<Secret<String>>,
}

/// The secrets of an id that are good at `now`. It is for the caller to know that the
/// id stands for an active agent.
pub fn agent_secrets(
    store: &Store,
    id: &ForeignId,
    terms: &SecretTerms,
    now: Timestamp,
) -> Result<AgentSecrets, IdentityError> {
    let SecretsRow { era, secrets } = stored(store, id)?;
    let good = secrets.into_iter().filter(|row| row.is_good(terms, now));
    Ok(AgentSecrets {
        era,
        texts: good.map(|row| row.text).collect(),
    })
}

/// How old the good secrets of an id are, the newest first.
pub(crate) fn ages(
    store: &Store,
    id: &ForeignId,
    terms: &SecretTerms,
    now: Timestamp,
) -> Result<Vec<AgentSecretAge>, IdentityError> {
    let row = stored(store, id)?;
    Ok(good_ages(&row, terms, now))
}

fn good_ages(row: &SecretsRow, terms: &SecretTerms, now: Timestamp) -> Vec<AgentSecretAge> {
    let good = row.secrets.iter().filter(|row| row.is_good(terms, now));
    good.map(|row| row.age(terms)).collect()
}

/// How many secrets are good at `now`, of all ids.
pub fn count_agent_secrets(
    store: &Store,
    terms: &SecretTerms,
    now: Timestamp,
) -> Result<u64, IdentityError> {
    let rows = store.snapshot()?;
    let (mut count, mut after) = (0u64, None);
    loop {
        let chunk = SECRETS.scan(&rows, &KeyPrefix::all(), after.as_ref(), CHUNK)?;
        for (_, row) in &chunk {
            let good = good_ages(&row.value, terms, now).len();
            count = count.saturating_add(u64::try_from(good).unwrap_or(u64::MAX));
        }
        if chunk.len() < CHUNK {
            return Ok(count);
        }
        after = chunk.into_iter().last().map(|(key, _)| key);
    }
}

/// A secret that was just made, to be shown once.
pub struct NewSecret {
    /// Its text.
    pub text: Secret<String>,
    /// Its age, and those of the ones that are good beside it.
    pub ages: Vec<AgentSecretAge>,
}

/// Whether the secrets of before go on for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    /// For the days of grace.
    GoOn,
    /// They end at once.
    End,
}

/// Puts a new secret of an id into the batch.
pub(crate) fn renew<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    id: &ForeignId,
    before: Before,
    terms: &SecretTerms,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<NewSecret, IdentityError> {
    let mut row = stored(batch.store(), id)?;
    match before {
        Before::End => {
            row.secrets.clear();
            row.era = row.era.saturating_add(1);
        }
        Before::GoOn => {
            row.secrets.retain(|secret| secret.is_good(terms, now));
            let end = now.plus(terms.grace);
            for secret in &mut row.secrets {
                secret.replaced.get_or_insert(end);
            }
        }
    }
    let new = SecretRow::new(now, entropy)?;
    let text = Secret::new(new.text.expose().clone());
    row.secrets.insert(0, new);
    row.secrets.truncate(MOST);
    put(batch, id, &row)?;
    Ok(NewSecret {
        text,
        ages: good_ages(&row, terms, now),
    })
}

/// Ends all secrets of an id, in the batch.
pub(crate) fn end_all<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    id: &ForeignId,
) -> Result<(), IdentityError> {
    let era = stored(batch.store(), id)?.era.saturating_add(1);
    let secrets = Vec::new();
    put(batch, id, &SecretsRow { era, secrets })
}

fn put<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    id: &ForeignId,
    row: &SecretsRow,
) -> Result<(), IdentityError> {
    let key = id.to_string();
    // Of two changes at once the second is built anew.
    let expected = SECRETS.get(batch.store(), &key)?;
    let expected = expected.map_or(Expected::Absent, |row| Expected::At(row.version));
    SECRETS.expect(batch.rows(), &key, expected);
    SECRETS.put(batch.rows(), &key, row);
    Ok(())
}

/// Gives an agent another secret. Made by [`AgentSecretRotate::resolve`], so that
/// namespace and agent are those of the id.
pub struct AgentSecretRotate {
    id: ForeignId,
    namespace: Namespace,
    actor: ActorId,
    invalidate: bool,
}

impl Op for AgentSecretRotate {
    const ACTION: Action = Action::AgentSecretRotate;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

impl AgentSecretRotate {
    /// The operation for this id; none when it stands for nobody. With `invalidate`
    /// the secrets of before end at once.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, id: &ForeignId, invalidate: bool) -> Option<Self> {
        let bound = snapshot.foreign(id)?;
        let namespace = snapshot.actor(&bound.actor)?.namespace()?.clone();
        Some(Self {
            id: id.clone(),
            namespace,
            actor: bound.actor,
            invalidate,
        })
    }

    /// Where the agent is.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The id.
    #[must_use]
    pub const fn id(&self) -> &ForeignId {
        &self.id
    }

    /// Makes the secret for the id of the permit.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        terms: &SecretTerms,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewSecret, IdentityError> {
        let op = batch.op();
        let bound = find_id(batch.directory(), &op.namespace, &op.id)?;
        if bound.actor != op.actor || !batch.directory().is_active(&bound.actor) {
            return Err(IdentityError::NoForeign(op.id.clone()));
        }
        let before = if op.invalidate {
            batch.details().with = Some("invalidated".to_owned());
            Before::End
        } else {
            Before::GoOn
        };
        renew(batch, &op.id, before, terms, now, entropy)
    }
}

/// Takes an agent its secrets.
pub struct AgentSecretRevoke {
    /// Where.
    pub namespace: Namespace,
    /// Of which id.
    pub id: ForeignId,
}

impl Op for AgentSecretRevoke {
    const ACTION: Action = Action::AgentSecretRevoke;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
}

impl AgentSecretRevoke {
    /// Ends all secrets of the id of the permit at once.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let op = batch.op();
        find_id(batch.directory(), &op.namespace, &op.id)?;
        end_all(batch, &op.id)
    }
}
