//! The keys that sign tokens (ADR 17). Which key signs is the ring of `token`, in one
//! row; the private keys are rows of their own, of bytes, and leave the store in no
//! other form than a key that signs.

use crate::error::IdentityError;
use procura_crypto::{PublicKey, SigningKey};
use procura_ledger::Entry;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_record::tables::LEDGER;
use procura_store::{Batch, Blob, Damage, Expected, Kind, Row, Seq, Store, StoreError, Table};
use procura_token::{DAEMON_LIFE, KeyRing, PROJECT_LIFE, Retirement, TOKEN_LIFE};
use procura_types::wire::{self, SigningKeyList, TokenType};
use procura_types::{BatchId, Clock, Duration, Entropy, Thumbprint, Timestamp, TraceId};
use std::sync::{Arc, Mutex, PoisonError};

/// Which key signs when.
const RING: Table<(), KeyRing> = Table::new("signing-ring", Kind::Ordinary);
/// The private keys of the next and of the active key, by thumbprint. Those before
/// never sign again, so theirs are gone.
const PRIVATE: Table<Thumbprint, Blob> = Table::new("signing-key", Kind::Ordinary);

/// The same of the tokens of projects: a key signs tokens of one type only.
const PROJECT_RING: Table<(), KeyRing> = Table::new("project-ring", Kind::Ordinary);
/// The private keys of those.
const PROJECT_PRIVATE: Table<Thumbprint, Blob> = Table::new("project-key", Kind::Ordinary);

/// The same of the tokens of devices that joined by a device grant.
const DAEMON_RING: Table<(), KeyRing> = Table::new("daemon-ring", Kind::Ordinary);
/// The private keys of those.
const DAEMON_PRIVATE: Table<Thumbprint, Blob> = Table::new("daemon-key", Kind::Ordinary);

/// The row of the ring of a type of tokens.
const fn ring_of(tokens: TokenType) -> &'static Table<(), KeyRing> {
    match tokens {
        TokenType::Agent => &RING,
        TokenType::Project => &PROJECT_RING,
        TokenType::Daemon => &DAEMON_RING,
    }
}

/// The private keys of a type of tokens.
const fn private_of(tokens: TokenType) -> &'static Table<Thumbprint, Blob> {
    match tokens {
        TokenType::Agent => &PRIVATE,
        TokenType::Project => &PROJECT_PRIVATE,
        TokenType::Daemon => &DAEMON_PRIVATE,
    }
}

/// How long a token of a type counts at most.
const fn life_of(tokens: TokenType) -> Duration {
    match tokens {
        TokenType::Agent => TOKEN_LIFE,
        TokenType::Project => PROJECT_LIFE,
        TokenType::Daemon => DAEMON_LIFE,
    }
}

/// What the ledger says when the first keys are made.
const FOUND: &str = "signing_key.make";

/// Lists the keys that sign tokens of one type.
pub struct SigningKeyListing {
    /// Which tokens.
    pub tokens: TokenType,
}

impl Op for SigningKeyListing {
    const ACTION: Action = Action::SigningKeyList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl SigningKeyListing {
    /// All keys of the permit's type that are remembered. `keys` are those of that type.
    pub fn run(
        permit: &Permit<Self>,
        keys: &SigningKeys,
        now: Timestamp,
    ) -> Result<SigningKeyList, IdentityError> {
        if keys.tokens != permit.op().tokens {
            return Err(lost(permit.op().tokens).into());
        }
        Ok(render(keys.current()?.ring(), now))
    }
}

/// Has the next key sign from now on.
pub struct SigningKeyRoll {
    /// Which tokens.
    pub tokens: TokenType,
}

impl Op for SigningKeyRoll {
    const ACTION: Action = Action::SigningKeyRoll;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl SigningKeyRoll {
    /// Rolls the keys and makes another next one.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<SigningKeyList, IdentityError> {
        let tokens = batch.op().tokens;
        let fresh = SigningKey::generate_p256(entropy)?;
        let row = ring(batch.store(), tokens)?;
        let (before, mut ring) = (row.value.active().thumbprint(), row.value);
        ring.roll(fresh.public().clone(), now)?;
        // It signs no more, so nobody is to be able to.
        private_of(tokens).delete(batch.rows(), &before);
        put(batch, tokens, row.version, &ring, Some(&fresh));
        Ok(render(&ring, now))
    }
}

/// Takes a key out of the key set at once, since it may be in other hands.
pub struct SigningKeyRetire {
    /// Which.
    pub kid: Thumbprint,
}

impl Op for SigningKeyRetire {
    const ACTION: Action = Action::SigningKeyRetire;
    fn resource(&self) -> Resource {
        Resource::SigningKey(self.kid)
    }
}

impl SigningKeyRetire {
    /// Retires the key of the permit; doing it again changes nothing.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<SigningKeyList, IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let kid = batch.op().kid;
        let fresh = SigningKey::generate_p256(entropy)?;
        let tokens = type_of(batch.store(), &kid)?;
        let row = ring(batch.store(), tokens)?;
        let mut ring = row.value;
        let fresh = match ring.retire(&kid, fresh.public().clone(), now)? {
            Retirement::Already => return Ok(render(&ring, now)),
            Retirement::Former => None,
            Retirement::Replaced => Some(&fresh),
        };
        private_of(tokens).delete(batch.rows(), &kid);
        put(batch, tokens, row.version, &ring, fresh);
        Ok(render(&ring, now))
    }
}

/// The ring, for a change of it.
fn ring(store: &Store, tokens: TokenType) -> Result<Row<KeyRing>, StoreError> {
    ring_of(tokens).get(store, &())?.ok_or_else(|| lost(tokens))
}

/// Whose key it is. No two rings have the same; one that is in none is looked for among
/// those of agents, which do not know it.
fn type_of(store: &Store, kid: &Thumbprint) -> Result<TokenType, StoreError> {
    let now = Timestamp::from_millis(0);
    for tokens in TokenType::ALL {
        let row = ring_of(tokens).get(store, &())?;
        let knows = |ring: &KeyRing| ring.keys(now).any(|key| key.key.thumbprint() == *kid);
        if row.is_some_and(|row| knows(&row.value)) {
            return Ok(tokens);
        }
    }
    Ok(TokenType::Agent)
}

/// There is a ring since the store was first opened, so something took it away.
fn lost(tokens: TokenType) -> StoreError {
    Damage::Table(ring_of(tokens).name().into()).into()
}

/// Puts the ring and the fresh key, and says in the entry which keys sign now and next.
fn put<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    tokens: TokenType,
    version: Seq,
    ring: &KeyRing,
    fresh: Option<&SigningKey>,
) {
    ring_of(tokens).expect(batch.rows(), &(), Expected::At(version));
    put_rows(batch.rows(), tokens, ring, fresh);
    batch.details().with = Some(words(tokens, ring));
}

fn put_rows<'a>(
    batch: &mut Batch,
    tokens: TokenType,
    ring: &KeyRing,
    fresh: impl IntoIterator<Item = &'a SigningKey>,
) {
    ring_of(tokens).put(batch, &(), ring);
    for key in fresh {
        let mut private = key.to_secret_bytes();
        let blob = Blob::new(std::mem::take(private.expose_mut()));
        private_of(tokens).put(batch, &key.public().thumbprint(), &blob);
    }
}

fn words(tokens: TokenType, ring: &KeyRing) -> String {
    let kid = |key: &PublicKey| key.thumbprint();
    let keys = format!("active:{} next:{}", kid(ring.active()), kid(ring.next()));
    match tokens {
        TokenType::Agent => keys,
        TokenType::Project | TokenType::Daemon => format!("{keys} tokens:{}", tokens.as_str()),
    }
}

fn render(ring: &KeyRing, now: Timestamp) -> SigningKeyList {
    let keys = ring
        .keys(now)
        .map(|key| wire::SigningKey {
            kid: key.key.thumbprint(),
            state: key.state,
            key: key.key.to_jwk(),
            made: key.made,
            since: key.since,
            ended: key.ended,
        })
        .collect();
    SigningKeyList { keys }
}

/// The keys as they stand at one moment.
pub struct CurrentKeys {
    version: Seq,
    ring: KeyRing,
    active: SigningKey,
}

impl CurrentKeys {
    /// Which key signs when.
    #[must_use]
    pub const fn ring(&self) -> &KeyRing {
        &self.ring
    }

    /// The key that signs.
    #[must_use]
    pub const fn active(&self) -> &SigningKey {
        &self.active
    }
}

/// The keys of an open store for one type of tokens. What is stored counts: each use looks
/// whether it has changed, so that a key that was retired signs nothing more, whoever
/// retired it.
pub struct SigningKeys {
    tokens: TokenType,
    store: Store,
    current: Mutex<Arc<CurrentKeys>>,
}

impl SigningKeys {
    /// Opens the keys; where there are none yet it makes the first two, which the
    /// ledger says.
    ///
    /// # Errors
    /// The store's, or no random bytes.
    pub async fn open(
        store: &Store,
        tokens: TokenType,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
    ) -> Result<Self, IdentityError> {
        // Read as a whole, which waits for no other table.
        let snapshot = store.snapshot()?;
        let found = ring_of(tokens).load(&snapshot)?;
        let current = match found.into_iter().next() {
            Some((_, row)) => {
                let private = private_of(tokens).load(&snapshot)?;
                let kid = row.value.active().thumbprint();
                let private = private.into_iter().find(|(key, _)| *key == kid);
                current(tokens, row, private.map(|(_, row)| row.value))?
            }
            None => found_keys(store, tokens, clock, entropy).await?,
        };
        Ok(Self {
            tokens,
            store: store.clone(),
            current: Mutex::new(Arc::new(current)),
        })
    }

    /// The keys as they stand now.
    ///
    /// # Errors
    /// The store's: nothing is signed while sealed.
    pub fn current(&self) -> Result<Arc<CurrentKeys>, IdentityError> {
        let known = Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner));
        if ring_of(self.tokens).is_still(&self.store, &(), known.version)? {
            return Ok(known);
        }
        // As of one moment: the private key goes with the roll.
        let snapshot = self.store.snapshot()?;
        let row = ring_of(self.tokens)
            .get_at(&snapshot, &())?
            .ok_or_else(|| lost(self.tokens))?;
        let kid = row.value.active().thumbprint();
        let private = private_of(self.tokens).get_at(&snapshot, &kid)?;
        let now = Arc::new(current(self.tokens, row, private.map(|row| row.value))?);
        let mut held = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have read a later one meanwhile.
        if held.version < now.version {
            *held = Arc::clone(&now);
        }
        Ok(now)
    }
}

fn current(
    tokens: TokenType,
    row: Row<KeyRing>,
    private: Option<Blob>,
) -> Result<CurrentKeys, IdentityError> {
    let damaged = || StoreError::from(Damage::Table(private_of(tokens).name().into()));
    let private = private.ok_or_else(damaged)?;
    let active = SigningKey::from_secret_bytes(private.as_bytes())?;
    if active.public() != row.value.active() {
        return Err(damaged().into());
    }
    Ok(CurrentKeys {
        version: row.version,
        ring: row.value,
        active,
    })
}

/// Makes the first two keys. It may use the space held back, once in the life of an
/// installation: without it an older one could not be opened on a full disk.
async fn found_keys(
    store: &Store,
    tokens: TokenType,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<CurrentKeys, IdentityError> {
    let now = clock.now();
    let active = SigningKey::generate_p256(entropy)?;
    let next = SigningKey::generate_p256(entropy)?;
    let (first, second) = (active.public().clone(), next.public().clone());
    let ring = KeyRing::found(first, second, life_of(tokens), now);
    let mut batch = Batch::new(BatchId::generate(now, entropy)?).reserved();
    ring_of(tokens).expect(&mut batch, &(), Expected::Absent);
    put_rows(&mut batch, tokens, &ring, [&active, &next]);
    let entry = Entry {
        resource: Some(format!(
            "{} {}",
            Resource::Installation,
            words(tokens, &ring)
        )),
        ..Entry::new(now, entropy, FOUND, TraceId::generate(now, entropy)?)?
    };
    let bytes = entry
        .to_bytes()
        .map_err(procura_record::RecordError::from)
        .map_err(IdentityError::NotRecorded)?;
    batch.append(LEDGER, bytes);
    let committed = store
        .commit(batch)
        .await
        .map_err(procura_record::RecordError::from)
        .map_err(IdentityError::NotRecorded)?;
    Ok(CurrentKeys {
        version: committed.seq,
        ring,
        active,
    })
}
