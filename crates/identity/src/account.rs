//! What an operator signs in with in a browser (`protocol.md` §10): a password, codes of an
//! authenticator app, recovery codes for when that one is lost, and identities at identity
//! providers (§12).
//!
//! All of it is set with the operator's own device key, and none of it does what takes that
//! key. One row for each operator, sealed as every row.

mod half_right;
mod identity;
mod password;
mod recovery;
mod sign_in;
mod slow_down;
mod totp;

pub use half_right::{PASSWORD_VOID_ACTION, RightPassword, WRONG_CODES_ACTION};
pub use identity::{MAX_IDENTITIES, OidcLink, OidcListing, OidcUnlink};
pub(crate) use identity::{linked_to, still_linked};
pub use password::{MAX_PASSWORD, MIN_PASSWORD, OperatorPassword, new_password};
pub use password::{OperatorAccount, OperatorAccountEnd};
pub use recovery::{OperatorRecoveryCodes, RECOVERY_CODES};
pub use sign_in::{SignInError, SignInPassed, SignInRefusal, SignInTry};
pub(crate) use sign_in::{Used, use_up};
pub use slow_down::{Block, Charge, SlowDown};
pub use totp::{OperatorTotp, OperatorTotpConfirm};

use crate::error::IdentityError;
use crate::oidc::OidcRefusal;
use crate::web_login;
use identity::IdentityRow;
use procura_crypto::PasswordHash;
use procura_policy::Op;
use procura_record::RecordedBatch;
use procura_store::{Batch, Expected, KeyPrefix, Kind, Row, Store, Table};
use procura_types::{ActorId, Duration, IdentityId, Secret, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize, Serializer};

/// Operator → what they sign in with.
const ACCOUNTS: Table<String, AccountRow> = Table::new("operator-account", Kind::Ordinary);

/// Places from which somebody signed in that are remembered.
const PLACES: usize = 8;
/// For how long.
const PLACE_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<PasswordRow>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    totp: Option<TotpRow>,
    /// One that waits for its first code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting: Option<TotpRow>,
    /// What is kept of the recovery codes that are left.
    #[serde(default)]
    recovery: Vec<[u8; 32]>,
    /// The same of those that were used.
    #[serde(default)]
    spent: Vec<[u8; 32]>,
    /// The device that made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery_by: Option<Thumbprint>,
    /// From where the operator signed in, the last first.
    #[serde(default)]
    places: Vec<Place>,
    /// Tries with the password and without a code since the last sign-in with both.
    #[serde(default)]
    wrong_codes: u32,
    /// Who they are at identity providers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    identities: Vec<IdentityRow>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordRow {
    hash: PasswordHash,
    set: Timestamp,
    /// With which device.
    by: Thumbprint,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TotpRow {
    /// Base32.
    #[serde(serialize_with = "exposed")]
    secret: Secret<String>,
    since: Timestamp,
    /// With which device it was made.
    by: Thumbprint,
    /// The step whose code was used last: none up to it is good any more.
    #[serde(default)]
    used: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    block: String,
    last: Timestamp,
}

/// Into the row, which the barrier seals before it is written.
fn exposed<S: Serializer>(text: &Secret<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(text.expose())
}

impl AccountRow {
    /// Whether the operator can sign in with it at all.
    const fn is_whole(&self) -> bool {
        self.password.is_some() && self.totp.is_some()
    }

    /// Whether any of it was set with this device.
    fn is_set_with(&self, device: &Thumbprint) -> bool {
        let password = self.password.as_ref().map(|row| &row.by);
        let apps = [&self.totp, &self.waiting].into_iter().flatten();
        let identities = self.identities.iter().map(|row| &row.by);
        let mut devices = apps
            .map(|row| &row.by)
            .chain(password)
            .chain(identities)
            .chain(&self.recovery_by);
        devices.any(|by| by == device)
    }

    fn is_known(&self, block: &Block, now: Timestamp) -> bool {
        let block = block.to_string();
        let mut places = self.places.iter();
        places.any(|place| place.block == block && now < place.last.plus(PLACE_LIFE))
    }

    fn remember(&mut self, block: &Block, now: Timestamp) {
        let block = block.to_string();
        self.places
            .retain(|place| place.block != block && now < place.last.plus(PLACE_LIFE));
        self.places.insert(0, Place { block, last: now });
        self.places.truncate(PLACES);
    }
}

fn read(store: &Store, actor: &ActorId) -> Result<Option<Row<AccountRow>>, IdentityError> {
    Ok(ACCOUNTS.get(store, &actor.to_string())?)
}

/// The account of an operator as this change finds it, or an empty one; nothing else may
/// change it meanwhile.
fn held<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
) -> Result<AccountRow, IdentityError> {
    let row = read(batch.store(), actor)?;
    let expected = row
        .as_ref()
        .map_or(Expected::Absent, |row| Expected::At(row.version));
    ACCOUNTS.expect(batch.rows(), &actor.to_string(), expected);
    Ok(row.map(|row| row.value).unwrap_or_default())
}

fn put<O: Op>(batch: &mut RecordedBatch<'_, O>, actor: &ActorId, row: &AccountRow) {
    ACCOUNTS.put(batch.rows(), &actor.to_string(), row);
}

/// Takes an operator all that they sign in with, in the batch: when they are revoked, and
/// when nobody knows any more which of it is still theirs. The row is not read, so that
/// one that is damaged goes as well.
pub fn forget<O: Op>(batch: &mut RecordedBatch<'_, O>, actor: &ActorId) {
    ACCOUNTS.delete(batch.rows(), &actor.to_string());
}

/// Takes an operator what they sign in with, and ends their web logins, in the batch, if any
/// of it was set with this device, which is revoked: what whoever stole it set must not
/// outlive it. A row that cannot be read goes as well. Says whether it went.
pub(crate) fn forget_set_with<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
    device: &Thumbprint,
) -> bool {
    if held(batch, actor).is_ok_and(|row| !row.is_set_with(device)) {
        return false;
    }
    forget(batch, actor);
    web_login::end_all_of(batch, actor).ok();
    true
}

/// The device with which an operator sets what they sign in with.
fn setting<O: Op>(batch: &RecordedBatch<'_, O>) -> Result<Thumbprint, IdentityError> {
    let device = batch.permit().caller().device();
    device.copied().ok_or(IdentityError::OtherCaller)
}

/// Takes all operators what they sign in with. For an older state of the store: which of it
/// was changed, and which codes were used, is not in it.
pub fn forget_everybody(batch: &mut Batch) {
    ACCOUNTS.delete_all(batch, &KeyPrefix::all());
}

/// Remembers, in the batch, that the operator signed in from there by a code or an
/// identity, if that still counts; of one without a password nothing is kept.
pub(crate) fn remember<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
    (used, identity): (Option<&Used>, Option<&IdentityId>),
    block: &Block,
    now: Timestamp,
) -> Result<(), IdentityError> {
    let mut row = held(batch, actor)?;
    if let Some(used) = used {
        use_up(&mut row, used)?;
    }
    if identity.is_some_and(|identity| !row.has_identity(identity)) {
        return Err(OidcRefusal::NotLinked.into());
    }
    if row.is_whole() {
        row.remember(block, now);
        put(batch, actor, &row);
    }
    Ok(())
}
