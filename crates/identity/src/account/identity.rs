//! The identities at identity providers that sign an operator in
//! ([ADR 44](../../../../docs/adr/0044-identity-providers.md)). They stand in the row of
//! what the operator signs in with, so they go with it; beside it is which operator to
//! look at, which decides nothing.

use super::{AccountRow, held, put, read, setting};
use crate::error::IdentityError;
use crate::oidc::{OidcRefusal, ProvenIdentity};
use crate::operator::of_operator;
use crate::web_login::end_made_by;
use procura_policy::{Op, Permit};
use procura_record::RecordedBatch;
use procura_store::{Expected, Kind, Store, Table};
use procura_types::wire::{OperatorIdentity, OperatorIdentityList};
use procura_types::{ActorId, IdentityId, Label, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// Most identities of one operator.
pub const MAX_IDENTITIES: usize = 8;

/// Identity → the operator who linked it last.
const LINKED: Table<[u8; 32], ActorId> = Table::new("operator-identity", Kind::Ordinary);

/// A linked identity.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdentityRow {
    id: IdentityId,
    proven: ProvenIdentity,
    since: Timestamp,
    /// With which device.
    pub(super) by: Thumbprint,
}

impl IdentityRow {
    fn shown(&self) -> OperatorIdentity {
        OperatorIdentity {
            id: self.id,
            provider: self.proven.provider().clone(),
            issuer: self.proven.issuer().to_owned(),
            subject: self.proven.subject().to_owned(),
            called: self.proven.called().map(str::to_owned),
            linked: self.since,
            device: self.by,
        }
    }
}

impl AccountRow {
    pub(super) fn has_identity(&self, id: &IdentityId) -> bool {
        self.identities.iter().any(|row| row.id == *id)
    }
}

/// The operator whom an identity is linked to.
pub(crate) fn linked_to(store: &Store, id: &IdentityId) -> Result<Option<ActorId>, IdentityError> {
    let Some(row) = LINKED.get(store, id.as_bytes())? else {
        return Ok(None);
    };
    let account = read(store, &row.value)?;
    let stands = account.is_some_and(|account| account.value.has_identity(id));
    Ok(stands.then_some(row.value))
}

/// That an identity is linked to this operator and stays so in this change.
pub(crate) fn still_linked<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
    id: &IdentityId,
) -> Result<(), IdentityError> {
    if held(batch, actor)?.has_identity(id) {
        Ok(())
    } else {
        Err(OidcRefusal::NotLinked.into())
    }
}

of_operator! {
    /// Links an identity to an operator.
    OidcLink { proven: ProvenIdentity } = OperatorOidcLink;
    /// Lists the identities that sign an operator in.
    OidcListing = OperatorOidcList;
    /// Unlinks an identity of an operator.
    OidcUnlink { id: IdentityId } = OperatorOidcUnlink;
}

impl OidcLink {
    /// Whose it becomes.
    #[must_use]
    pub const fn name(&self) -> &Label {
        &self.name
    }

    /// Which identity.
    #[must_use]
    pub const fn proven(&self) -> &ProvenIdentity {
        &self.proven
    }

    /// Links the identity of the permit; doing it again changes nothing.
    ///
    /// # Errors
    /// [`OidcRefusal::Taken`], [`OidcRefusal::TooMany`]; [`IdentityError::OtherCaller`]
    /// for a caller without a device.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<OperatorIdentity, IdentityError> {
        let op = batch.op();
        let (actor, id) = (op.actor, op.proven.id());
        let by = setting(batch)?;
        let mut row = held(batch, &actor)?;
        let key = *id.as_bytes();
        let last = LINKED.get(batch.store(), &key)?;
        // Of two operators at once the second finds the row of the first.
        let expected = last
            .as_ref()
            .map_or(Expected::Absent, |row| Expected::At(row.version));
        LINKED.expect(batch.rows(), &key, expected);
        if linked_to(batch.store(), &id)?.is_some_and(|other| other != actor) {
            return Err(OidcRefusal::Taken.into());
        }
        batch.details().with = Some(format!("oidc/{} identity/{id}", op.proven.provider()));
        if let Some(known) = row.identities.iter().find(|known| known.id == id) {
            return Ok(known.shown());
        }
        if row.identities.len() >= MAX_IDENTITIES {
            return Err(OidcRefusal::TooMany.into());
        }
        let linked = IdentityRow {
            id,
            proven: op.proven.clone(),
            since: now,
            by,
        };
        let shown = linked.shown();
        row.identities.push(linked);
        put(batch, &actor, &row);
        LINKED.put(batch.rows(), &key, &actor);
        Ok(shown)
    }
}

impl OidcListing {
    /// Those that are linked, by the time at which they were.
    ///
    /// # Errors
    /// [`IdentityError::Store`].
    pub fn run(
        permit: &Permit<Self>,
        store: &Store,
    ) -> Result<OperatorIdentityList, IdentityError> {
        let row = read(store, &permit.op().actor)?;
        let rows = row.map(|row| row.value.identities).unwrap_or_default();
        let mut identities: Vec<OperatorIdentity> = rows.iter().map(IdentityRow::shown).collect();
        identities.sort_by_key(|identity| (identity.linked, identity.id));
        Ok(OperatorIdentityList { identities })
    }
}

impl OidcUnlink {
    /// Unlinks the identity of the permit; web logins that were made with it end with that
    /// commit.
    ///
    /// # Errors
    /// [`IdentityError::NoIdentity`].
    pub fn run(batch: &mut RecordedBatch<'_, Self>) -> Result<(), IdentityError> {
        // A full disk must not keep anyone from taking authority away.
        batch.reserved();
        let (actor, id) = (batch.op().actor, batch.op().id);
        let mut row = held(batch, &actor)?;
        let before = row.identities.len();
        row.identities.retain(|linked| linked.id != id);
        if row.identities.len() == before {
            return Err(IdentityError::NoIdentity);
        }
        put(batch, &actor, &row);
        LINKED.delete(batch.rows(), id.as_bytes());
        let ended = end_made_by(batch, &actor, &id)?;
        batch.details().with = Some(format!("identity/{id} ended={ended}"));
        Ok(())
    }
}
