//! Somebody shows an operator's password and no code of theirs (ADR 35). That is no stranger
//! who guesses: the password is out, or whoever has it mistypes. So these tries are counted
//! with the account, wherever they come from; its operator is told of the third, and after
//! fifty the password is none any more. A sign-in with both begins the count anew. Nobody
//! without the password brings any of it about.
//!
//! It is the server's own work ([ADR 10](../../../../docs/adr/0010-own-work.md)), behind an
//! answer that waits for none of it: whoever tries is nobody yet, and must not learn from the
//! time that it takes that the password was right. It gives nobody anything.

use super::ACCOUNTS;
use procura_ledger::Entry;
use procura_policy::Resource;
use procura_record::RecordError;
use procura_record::tables::LEDGER;
use procura_store::{Batch, CommitError, Expected, Store};
use procura_types::{ActorId, Entropy, Label, Timestamp, TraceId};

/// What the record says when somebody has shown a password without a code this often.
pub const WRONG_CODES_ACTION: &str = "web_login.wrong_codes";
/// What it says when the password is none any more.
pub const PASSWORD_VOID_ACTION: &str = "operator.password.void";

/// So many may be somebody's own mistake; of the last of them the operator is told.
const TELLS: u32 = 3;
/// So many are nobody's: with three codes that are good at a time, this is one chance in
/// 6,600 that one of them was right.
const VOIDS: u32 = 50;

/// How often a count is begun anew over what others changed meanwhile. Each time it is another
/// such try that was counted, of which there are no more than [`VOIDS`] until there is nothing
/// left to count, or a sign-in, which are few: so none is left uncounted.
const TRIES: u32 = 4 * VOIDS;

/// An operator whose password was right, and whose code was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RightPassword {
    pub(super) actor: ActorId,
    pub(super) name: Label,
    /// When it was set: another one has nothing to do with it.
    pub(super) set: Timestamp,
}

impl RightPassword {
    /// Counts the try, and takes the password away when it was one too many. For behind the
    /// answer.
    ///
    /// # Errors
    /// The store's; it is not counted then.
    pub async fn count(
        self,
        store: &Store,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<(), RecordError> {
        for _ in 0..TRIES {
            let Some(batch) = self.counted(store, now, entropy)? else {
                return Ok(());
            };
            match store.commit(batch).await {
                Err(CommitError::Conflict { .. }) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Err(RecordError::Contended)
    }

    /// The account with one more; none where the password is another by now, or none.
    fn counted(
        &self,
        store: &Store,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Option<Batch>, RecordError> {
        let key = self.actor.to_string();
        let Some(found) = ACCOUNTS.get(store, &key)? else {
            return Ok(None);
        };
        let mut row = found.value;
        if row.password.as_ref().map(|password| password.set) != Some(self.set) {
            return Ok(None);
        }
        row.wrong_codes = row.wrong_codes.saturating_add(1);
        let count = row.wrong_codes;
        let action = match count {
            TELLS => Some(WRONG_CODES_ACTION),
            VOIDS.. => {
                row.password = None;
                Some(PASSWORD_VOID_ACTION)
            }
            _ => None,
        };
        let mut batch = store.batch()?;
        // A full disk must not make guessing free.
        batch.set_reserved();
        ACCOUNTS.expect(&mut batch, &key, Expected::At(found.version));
        ACCOUNTS.put(&mut batch, &key, &row);
        if let Some(action) = action {
            let resource = Resource::Operator(self.name.clone());
            let trace = TraceId::generate(now, entropy)?;
            let entry = Entry {
                resource: Some(format!("{resource} wrong:{count}")),
                ..Entry::new(now, entropy, action, trace)?
            };
            batch.append(LEDGER, entry.to_bytes()?);
        }
        Ok(Some(batch))
    }
}
