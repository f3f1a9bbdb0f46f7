//! Recovery codes of an operator, for when the authenticator app is lost.

use super::{held, put, setting};
use crate::error::IdentityError;
use crate::operator::of_operator;
use procura_crypto::RecoveryCode;
use procura_record::RecordedBatch;
use procura_types::Entropy;
use procura_types::wire::RecoveryCodes;

/// How many an operator has.
pub const RECOVERY_CODES: usize = 10;

of_operator! {
    /// Makes other recovery codes for an operator.
    OperatorRecoveryCodes = OperatorRecoveryCodes;
}

impl OperatorRecoveryCodes {
    /// Makes codes for the operator of the permit, to be shown once; those of before are
    /// good no more.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        entropy: &dyn Entropy,
    ) -> Result<RecoveryCodes, IdentityError> {
        let actor = batch.op().actor;
        let mut row = held(batch, &actor)?;
        let codes: Result<Vec<RecoveryCode>, _> = (0..RECOVERY_CODES)
            .map(|_| RecoveryCode::generate(entropy))
            .collect();
        let codes = codes?;
        row.recovery = codes.iter().map(RecoveryCode::hash).collect();
        row.spent.clear();
        row.recovery_by = Some(setting(batch)?);
        put(batch, &actor, &row);
        Ok(RecoveryCodes {
            codes: codes.iter().map(RecoveryCode::text).collect(),
        })
    }
}
