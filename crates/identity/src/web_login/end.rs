//! Which web logins an operator has, and the end of them.

use super::{LOGINS, LoginRow, OF_OPERATOR, WebLogin, held, put, rows};
use crate::error::IdentityError;
use crate::operator::of_operator;
use procura_directory::Snapshot;
use procura_policy::{Action, Concerned, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_store::{Batch, KeyPrefix, Store};
use procura_types::wire::{WebLoginList, WebLoginsEnded};
use procura_types::{ActorId, IdentityId, Label, Thumbprint, Timestamp, WebLoginId};

of_operator! {
    /// Lists the web logins of an operator.
    WebLoginListing = WebLoginList;
}

impl WebLoginListing {
    /// Those that are not over, the newest first.
    pub fn run(
        permit: &Permit<Self>,
        store: &Store,
        now: Timestamp,
    ) -> Result<WebLoginList, IdentityError> {
        let key = permit.op().actor.to_string();
        let all = OF_OPERATOR.get(store, &key)?;
        let all = all.map(|row| row.value).unwrap_or_default();
        let found = rows(store, &all)?.into_iter();
        let mut logins: Vec<WebLogin> = found
            .filter(|(_, row)| !row.is_over(now))
            .map(|(_, row)| row.shown())
            .collect();
        logins.sort_by_key(|login| std::cmp::Reverse(login.id));
        Ok(WebLoginList { logins })
    }
}

/// Which of an operator's web logins are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichLogins {
    /// All of them.
    All,
    /// One.
    One(WebLoginId),
}

/// Ends web logins of an operator. Made by [`WebLoginEnd::resolve`].
pub struct WebLoginEnd {
    name: Label,
    actor: ActorId,
    which: WhichLogins,
}

impl Op for WebLoginEnd {
    const ACTION: Action = Action::WebLoginEnd;
    fn resource(&self) -> Resource {
        match self.which {
            WhichLogins::All => Resource::Operator(self.name.clone()),
            WhichLogins::One(id) => Resource::WebLogin(id),
        }
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

impl WebLoginEnd {
    /// The operation for this operator; none when there is nobody of that name who is not
    /// revoked.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, name: &Label, which: WhichLogins) -> Option<Self> {
        let actor = snapshot.owner_named(name)?;
        Some(Self {
            name: name.clone(),
            actor: actor.id,
            which,
        })
    }

    /// The sign-out of whose web login it is; none when they are revoked, and it has ended.
    #[must_use]
    pub fn own(snapshot: &Snapshot, login: &WebLogin) -> Option<Self> {
        let actor = snapshot.actor(&login.actor)?;
        Some(Self {
            name: actor.label().clone(),
            actor: actor.id,
            which: WhichLogins::One(login.id),
        })
    }

    /// Ends what the permit names.
    ///
    /// # Errors
    /// [`IdentityError::NoWebLogin`] when the operator has no such one.
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<WebLoginsEnded, IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let (actor, which) = (batch.op().actor, batch.op().which);
        let ended = match which {
            WhichLogins::All => {
                let ended = end_all_of(batch, &actor)?;
                batch.details().with = Some(format!("ended={ended}"));
                ended
            }
            WhichLogins::One(id) => {
                let mut all = held(batch, &actor)?;
                let found = rows(batch.store(), &all)?;
                let (digest, _) = found
                    .into_iter()
                    .find(|(_, row)| row.id == id)
                    .ok_or(IdentityError::NoWebLogin)?;
                all.retain(|kept| *kept != digest);
                put(batch, &actor, &all);
                LOGINS.delete(batch.rows(), &digest);
                1
            }
        };
        Ok(WebLoginsEnded { ended })
    }
}

/// Ends all web logins of an operator, in the batch, and says how many there were.
///
/// # Errors
/// When the store cannot be read.
pub fn end_all_of<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
) -> Result<usize, IdentityError> {
    let all = held(batch, actor)?;
    for digest in &all {
        LOGINS.delete(batch.rows(), digest);
    }
    put(batch, actor, &Vec::new());
    Ok(all.len())
}

/// Ends the web logins of an operator that were made with one of these passkeys, in the
/// batch.
pub(crate) fn end_made_with<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
    passkeys: &[Thumbprint],
) -> Result<usize, IdentityError> {
    end_those(batch, actor, |row| {
        row.passkey.is_some_and(|by| passkeys.contains(&by))
    })
}

/// Ends the web logins of an operator that were made with this identity, in the batch.
pub(crate) fn end_made_by<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
    identity: &IdentityId,
) -> Result<usize, IdentityError> {
    end_those(batch, actor, |row| {
        row.identity
            .as_ref()
            .is_some_and(|made| made.id == *identity)
    })
}

fn end_those<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
    ends: impl Fn(&LoginRow) -> bool,
) -> Result<usize, IdentityError> {
    let mut all = held(batch, actor)?;
    let found = rows(batch.store(), &all)?;
    let ended: Vec<[u8; 32]> = found
        .into_iter()
        .filter(|(_, row)| ends(row))
        .map(|(digest, _)| digest)
        .collect();
    all.retain(|kept| !ended.contains(kept));
    for digest in &ended {
        LOGINS.delete(batch.rows(), digest);
    }
    put(batch, actor, &all);
    Ok(ended.len())
}

/// Ends the web logins of all operators. For an older state of the store: those that were
/// ended since would go on.
pub fn end_everybodys(batch: &mut Batch) {
    LOGINS.delete_all(batch, &KeyPrefix::all());
    OF_OPERATOR.delete_all(batch, &KeyPrefix::all());
}
