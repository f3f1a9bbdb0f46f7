//! Whether a name, a password and a code are those of an operator. Whoever asks learns yes
//! or no and nothing else, and not from the time that it takes either: for a name that
//! nobody has, as much is computed. Why it is no stands in the record.

use super::{AccountRow, Block, RightPassword, read};
use crate::error::IdentityError;
use procura_crypto::{PasswordHash, RecoveryCode, TotpSecret, find_hash};
use procura_directory::Snapshot;
use procura_proof::Authenticated;
use procura_store::Store;
use procura_types::{ActorId, Amr, Label, Timestamp};

/// Why somebody was not let in; the word stands in the record, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignInRefusal {
    /// No operator who is not revoked has the name.
    #[error("unknown_name")]
    UnknownName,
    /// The operator has no password, or no authenticator app.
    #[error("no_account")]
    NoAccount,
    /// The password is another.
    #[error("wrong_password")]
    WrongPassword,
    /// The password is right, and the code is none.
    #[error("wrong_code")]
    WrongCode,
    /// The code was good, and was used before.
    #[error("code_used")]
    CodeUsed,
    /// What was right a moment ago was changed.
    #[error("account_changed")]
    AccountChanged,
}

/// Why it is not known whether somebody may be let in, or why they may not.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// They may not.
    #[error("{0}")]
    Refused(SignInRefusal),
    /// They may not, and showed a right password: that is to be counted. Outside it is as the
    /// others are.
    #[error("{0}")]
    HalfRight(SignInRefusal, RightPassword),
    /// It could not be found out.
    #[error(transparent)]
    Failed(#[from] IdentityError),
}

impl From<SignInRefusal> for SignInError {
    fn from(refusal: SignInRefusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What was used up by signing in. It is good as long as the account is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Used {
    /// When the password was set that was right.
    password: Timestamp,
    code: UsedCode,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum UsedCode {
    /// The step of the app that is in use since then.
    Step { since: Timestamp, step: u64 },
    /// A recovery code.
    Recovery([u8; 32]),
}

impl Used {
    /// What the record says of it.
    pub(crate) const fn words(&self) -> &'static str {
        match self.code {
            UsedCode::Step { .. } => "totp",
            UsedCode::Recovery(_) => "recovery_code",
        }
    }
}

/// Marks in the row what was used; a code that was used meanwhile is refused, in the same
/// commit in which it would be used again. Who shows both begins the count of those anew who
/// had the password alone.
pub(crate) fn use_up(row: &mut AccountRow, used: &Used) -> Result<(), IdentityError> {
    let changed = IdentityError::SignIn(SignInRefusal::AccountChanged);
    if row.password.as_ref().map(|password| password.set) != Some(used.password) {
        return Err(changed);
    }
    match &used.code {
        UsedCode::Step { since, step } => {
            let totp = row.totp.as_mut().filter(|totp| totp.since == *since);
            let totp = totp.ok_or(changed)?;
            if *step <= totp.used {
                return Err(IdentityError::SignIn(SignInRefusal::CodeUsed));
            }
            totp.used = *step;
        }
        UsedCode::Recovery(hash) => {
            let place = find_hash(&row.recovery, hash);
            let place = place.ok_or(IdentityError::SignIn(SignInRefusal::CodeUsed))?;
            row.spent.push(row.recovery.remove(place));
        }
    }
    row.wrong_codes = 0;
    Ok(())
}

/// Somebody who tries to sign in as an operator.
pub struct SignInTry {
    /// Who has the name, if anybody.
    actor: Option<ActorId>,
    row: Option<AccountRow>,
    /// Whether the operator signed in from there before.
    is_known_place: bool,
}

/// Somebody who showed that they are an operator. What they used is used up when the web
/// login is made.
pub struct SignInPassed {
    pub(crate) person: Authenticated,
    pub(crate) name: Label,
    pub(crate) used: Used,
}

impl SignInPassed {
    /// Who it is.
    #[must_use]
    pub const fn person(&self) -> &Authenticated {
        &self.person
    }
}

impl SignInTry {
    /// Looks the name up, as it was typed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(
        store: &Store,
        snapshot: &Snapshot,
        name: &str,
        place: &Block,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let actor = name
            .parse::<Label>()
            .ok()
            .and_then(|name| snapshot.owner_named(&name).map(|actor| actor.id));
        // Of a name that nobody has a row is looked for as well.
        let row = read(store, &actor.unwrap_or(ActorId::from_bytes([0; 32])))?;
        let row = row.map(|row| row.value).filter(|_| actor.is_some());
        let is_known_place = row.as_ref().is_some_and(|row| row.is_known(place, now));
        Ok(Self {
            actor,
            row,
            is_known_place,
        })
    }

    /// Who has the name, for the record.
    #[must_use]
    pub const fn actor(&self) -> Option<&ActorId> {
        self.actor.as_ref()
    }

    /// Whether the operator signed in from there before.
    #[must_use]
    pub const fn is_known_place(&self) -> bool {
        self.is_known_place
    }

    /// Whether password and code are right: the code is six digits of the app, or a
    /// recovery code. `nobodys` is tried where there is no password.
    ///
    /// Takes a large part of a second and 64 MiB, whatever the answer; not for an async
    /// thread.
    ///
    /// # Errors
    /// The first [`SignInRefusal`] that applies.
    pub fn verify(
        self,
        name: &str,
        (password, code): (&str, &str),
        nobodys: &PasswordHash,
        now: Timestamp,
    ) -> Result<SignInPassed, SignInError> {
        let row = self.row.unwrap_or_default();
        let hash = row.password.as_ref().map_or(nobodys, |row| &row.hash);
        let is_password = hash.is(password).map_err(IdentityError::from)?;
        let code = check_code(&row, code, now);
        let (Some(actor), Ok(name)) = (self.actor, name.parse()) else {
            return Err(SignInRefusal::UnknownName.into());
        };
        let (Some(set), Some(_)) = (row.password.map(|row| row.set), &row.totp) else {
            return Err(SignInRefusal::NoAccount.into());
        };
        if !is_password {
            return Err(SignInRefusal::WrongPassword.into());
        }
        match code {
            Ok(code) => Ok(SignInPassed {
                person: Authenticated::vouched(actor, Amr::Password),
                name,
                used: Used {
                    password: set,
                    code,
                },
            }),
            Err(refusal) => {
                let right = RightPassword { actor, name, set };
                Err(SignInError::HalfRight(refusal, right))
            }
        }
    }
}

/// The secret whose codes are computed where there is no app; they let nobody in.
const NOBODYS_APP: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What the code uses up, if it is one. Both kinds are looked for, whatever was typed.
fn check_code(row: &AccountRow, code: &str, now: Timestamp) -> Result<UsedCode, SignInRefusal> {
    let totp = row.totp.as_ref();
    let text = totp.map_or(NOBODYS_APP, |row| row.secret.expose());
    let step = TotpSecret::from_base32(text).and_then(|secret| secret.matches(code, now));
    let hash = RecoveryCode::read(code).map(|code| code.hash());
    let is_left = hash.and_then(|hash| find_hash(&row.recovery, &hash));
    let is_spent = hash.and_then(|hash| find_hash(&row.spent, &hash));
    match (totp, step, hash.filter(|_| is_left.is_some())) {
        (Some(totp), Some(step), _) if step <= totp.used => Err(SignInRefusal::CodeUsed),
        (Some(totp), Some(step), _) => Ok(UsedCode::Step {
            since: totp.since,
            step,
        }),
        (_, _, Some(hash)) => Ok(UsedCode::Recovery(hash)),
        _ if is_spent.is_some() => Err(SignInRefusal::CodeUsed),
        _ => Err(SignInRefusal::WrongCode),
    }
}
