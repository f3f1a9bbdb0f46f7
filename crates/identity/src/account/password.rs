//! The password of an operator, and the account as a whole.

use super::{AccountRow, PasswordRow, forget, held, put, read, setting};
use crate::error::IdentityError;
use crate::operator::of_operator;
use crate::web_login;
use procura_crypto::PasswordHash;
use procura_policy::Permit;
use procura_record::RecordedBatch;
use procura_store::Store;
use procura_types::wire::Account;
use procura_types::{Entropy, Timestamp};

/// The fewest characters of a password.
pub const MIN_PASSWORD: usize = 12;
/// The most bytes of one.
pub const MAX_PASSWORD: usize = 1024;

of_operator! {
    /// Sets an operator's password.
    OperatorPassword = OperatorPassword;
    /// Says what an operator signs in with.
    OperatorAccount = OperatorAccount;
    /// Takes an operator all that they sign in with.
    OperatorAccountEnd = OperatorAccountEnd;
}

/// What is kept of a new password.
///
/// Takes a large part of a second and 64 MiB; not for an async thread.
///
/// # Errors
/// [`IdentityError::BadPassword`] when it is too short or too long.
pub fn new_password(text: &str, entropy: &dyn Entropy) -> Result<PasswordHash, IdentityError> {
    if text.chars().count() < MIN_PASSWORD || text.len() > MAX_PASSWORD {
        return Err(IdentityError::BadPassword);
    }
    Ok(PasswordHash::new(text, entropy)?)
}

impl OperatorPassword {
    /// Replaces the password of the operator of the permit by what [`new_password`] made;
    /// all their web logins end.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        hash: &PasswordHash,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let actor = batch.op().actor;
        let mut row = held(batch, &actor)?;
        row.password = Some(PasswordRow {
            hash: hash.clone(),
            set: now,
            by: setting(batch)?,
        });
        row.wrong_codes = 0;
        put(batch, &actor, &row);
        let ended = web_login::end_all_of(batch, &actor)?;
        batch.details().with = (ended > 0).then(|| format!("ended={ended}"));
        Ok(())
    }
}

impl OperatorAccount {
    /// What there is.
    pub fn run(permit: &Permit<Self>, store: &Store) -> Result<Account, IdentityError> {
        let op = permit.op();
        let row = read(store, &op.actor)?;
        let row = row.map_or_else(AccountRow::default, |row| row.value);
        Ok(Account {
            name: op.name.clone(),
            password: row.password.map(|password| password.set),
            totp: row.totp.map(|totp| totp.since),
            totp_waits: row.waiting.is_some(),
            recovery_codes: row.recovery.len(),
            identities: row.identities.len(),
        })
    }
}

impl OperatorAccountEnd {
    /// Removes password, app, recovery codes and identities of the operator of the permit,
    /// and ends their web logins. With a device key they can set others.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let actor = batch.op().actor;
        forget(batch, &actor);
        let ended = web_login::end_all_of(batch, &actor)?;
        batch.details().with = (ended > 0).then(|| format!("ended={ended}"));
        Ok(())
    }
}
