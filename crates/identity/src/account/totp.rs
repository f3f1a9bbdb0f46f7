//! The authenticator app of an operator: its secret is made here, and counts from its first
//! code on.

use super::{TotpRow, held, put, setting};
use crate::error::IdentityError;
use crate::operator::of_operator;
use crate::web_login;
use procura_crypto::TotpSecret;
use procura_record::RecordedBatch;
use procura_types::wire::TotpSetUp;
use procura_types::{Entropy, Secret, Timestamp};

of_operator! {
    /// Makes the secret of an operator's authenticator app.
    OperatorTotp = OperatorTotp;
    /// Shows that an app has the secret.
    OperatorTotpConfirm = OperatorTotpConfirm;
}

impl OperatorTotp {
    /// Makes a secret for the operator of the permit. The app of before is asked for until
    /// [`OperatorTotpConfirm`] ran.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<TotpSetUp, IdentityError> {
        let actor = batch.op().actor;
        let mut row = held(batch, &actor)?;
        let secret = TotpSecret::generate(entropy)?.to_base32();
        let name = &batch.op().name;
        // Labels are of lower-case letters, digits and hyphens, so nothing is to be escaped.
        let uri = Secret::new(format!(
            "otpauth://totp/Procura:{name}?secret={}&issuer=Procura",
            secret.expose()
        ));
        row.waiting = Some(TotpRow {
            secret: Secret::new(secret.expose().clone()),
            since: now,
            by: setting(batch)?,
            used: 0,
        });
        put(batch, &actor, &row);
        Ok(TotpSetUp { secret, uri })
    }
}

impl OperatorTotpConfirm {
    /// Takes the new app of the operator of the permit into use, by a first code of it,
    /// which is used up. Web logins end where it takes the place of another.
    ///
    /// # Errors
    /// [`IdentityError::NoTotpWaits`]; [`IdentityError::WrongTotp`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        code: &str,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let actor = batch.op().actor;
        let mut row = held(batch, &actor)?;
        let waiting = row.waiting.take().ok_or(IdentityError::NoTotpWaits)?;
        let secret = TotpSecret::from_base32(waiting.secret.expose());
        let secret = secret.ok_or(IdentityError::NoTotpWaits)?;
        let used = secret.matches(code, now).ok_or(IdentityError::WrongTotp)?;
        let replaces = row.totp.is_some();
        row.totp = Some(TotpRow {
            since: now,
            used,
            ..waiting
        });
        put(batch, &actor, &row);
        if replaces {
            let ended = web_login::end_all_of(batch, &actor)?;
            batch.details().with = Some(format!("replaced ended={ended}"));
        }
        Ok(())
    }
}
