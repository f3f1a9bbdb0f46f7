//! Break-glass accounts: owners with the role of a steward that do nothing until they are
//! used, once, for a limited time, and with everybody told
//! ([decision 45](../../../docs/adr/0045-second-persons.md)).
//!
//! What one may do is decided by its record in the directory; here is how it comes, opens
//! and is listed. It ends as any operator does, by being revoked, which one steward can.

use crate::account;
use crate::error::IdentityError;
use crate::founding::{id_of, put_owner};
use crate::operator::is_free;
use crate::proposal::ByQuorum;
use crate::stewards;
use crate::{tree, web_login};
use procura_crypto::{PublicKey, SignatureAlgorithm};
use procura_directory::{ActorKind, ActorRecord, BreakGlassRecord, RolesRecord, Snapshot};
use procura_policy::{Action, Concerned, Op, Permit, Resource};
use procura_record::RecordedBatch;
use procura_types::wire::{
    BreakGlass, BreakGlassCreate as Wanted, BreakGlassList, BreakGlassState, ProposedAct,
    RoleAssignment,
};
use procura_types::{ActorId, InstallationId, Label, Role, Timestamp};
use std::ops::RangeInclusive;

/// For how many minutes an account may open.
const MINUTES: RangeInclusive<u32> = 5..=24 * 60;
/// Accounts that wait to be used, at most.
const MOST: usize = 16;

/// Makes a break-glass account.
pub struct BreakGlassCreate {
    /// Its name.
    pub name: Label,
    /// Its key.
    pub key: PublicKey,
    /// By that key, over [`procura_types::wire::BreakGlassCreate::message`].
    pub signature: Vec<u8>,
    /// For how many minutes it opens.
    pub minutes: u32,
    /// Whether it takes the place of the one of this name.
    pub renews: bool,
}

impl Op for BreakGlassCreate {
    const ACTION: Action = Action::BreakGlassCreate;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
}

impl BreakGlassCreate {
    /// Puts the account of the permit: an owner, a steward by its role, and sealed. One that
    /// it renews is revoked in the same commit, with all below it.
    ///
    /// # Errors
    /// [`IdentityError::BadMinutes`], [`IdentityError::RootKeyAlgorithm`],
    /// [`IdentityError::NotPossessed`], [`IdentityError::KeyTaken`],
    /// [`IdentityError::NameTaken`], [`IdentityError::NameOfAgent`],
    /// [`IdentityError::NoBreakGlass`], [`IdentityError::TooManyBreakGlass`],
    /// [`IdentityError::CountsNot`].
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        installation: &InstallationId,
        now: Timestamp,
    ) -> Result<BreakGlass, IdentityError> {
        let op = batch.op();
        let made_by = *batch.permit().caller().actor();
        // One that made the next would never end.
        if batch.directory().break_glass(&made_by).is_some() {
            return Err(IdentityError::CountsNot);
        }
        if !MINUTES.contains(&op.minutes) {
            return Err(IdentityError::BadMinutes);
        }
        if op.key.algorithm() != SignatureAlgorithm::EcdsaP256Sha256 {
            return Err(IdentityError::RootKeyAlgorithm);
        }
        let device = op.key.thumbprint();
        let message = Wanted::message(installation, &op.name, &device, op.minutes);
        if !op.key.verify(&message, &op.signature) {
            return Err(IdentityError::NotPossessed);
        }
        let (id, _) = id_of(&op.key);
        is_new(batch.directory(), &op.key)?;
        if op.renews {
            retire(batch, &op.name, now)?;
        } else {
            is_free(batch.directory(), &op.name)?;
        }
        let waiting = batch.directory().all_break_glass();
        let snapshot = batch.directory();
        let waiting =
            waiting.filter(|account| account.used.is_none() && snapshot.is_active(&account.actor));
        if waiting.count() >= MOST {
            return Err(IdentityError::TooManyBreakGlass);
        }
        let steward = RoleAssignment {
            role: Role::Steward,
            namespace: None,
        };
        put_owner(batch, &op.name, &op.key, vec![steward], now);
        let record = BreakGlassRecord {
            actor: id,
            made_by,
            minutes: op.minutes,
            created: now,
            used: None,
        };
        batch.put_break_glass(&record);
        batch.details().with = Some(format!("device/{device} minutes:{}", op.minutes));
        Ok(BreakGlass {
            name: op.name.clone(),
            actor: id,
            device,
            state: BreakGlassState::Sealed,
            minutes: op.minutes,
            made_by,
            created: now,
            used: None,
            until: None,
        })
    }
}

/// That nobody has this key or had it, as a device, a passkey or an owner.
pub(crate) fn is_new(snapshot: &Snapshot, key: &PublicKey) -> Result<(), IdentityError> {
    let thumbprint = key.thumbprint();
    let taken = snapshot.device(&thumbprint).is_some()
        || snapshot.passkey(&thumbprint).is_some()
        || snapshot.actor(&id_of(key).0).is_some();
    if taken {
        return Err(IdentityError::KeyTaken);
    }
    Ok(())
}

/// Revokes the account of this name, whose place another takes.
fn retire<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    name: &Label,
    now: Timestamp,
) -> Result<(), IdentityError> {
    let snapshot = batch.directory();
    let old = snapshot
        .owner_named(name)
        .filter(|found| snapshot.break_glass(&found.id).is_some())
        .map(|found| found.id)
        .ok_or_else(|| IdentityError::NoBreakGlass(name.clone()))?;
    batch.put_roles(&RolesRecord {
        actor: old,
        roles: Vec::new(),
    });
    account::forget(batch, &old);
    // They end with whose they are; a damaged row of them keeps nobody from this.
    web_login::end_all_of(batch, &old).ok();
    tree::revoke(batch, &old, now);
    Ok(())
}

/// Opens a break-glass account. Made by [`BreakGlassUse::resolve`].
pub struct BreakGlassUse {
    name: Label,
    actor: ActorId,
    by: Option<ByQuorum>,
}

impl Op for BreakGlassUse {
    const ACTION: Action = Action::BreakGlassUse;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

impl BreakGlassUse {
    /// The operation for the account of this name; none when there is none.
    #[must_use]
    pub fn resolve(snapshot: &Snapshot, name: &Label, by: Option<ByQuorum>) -> Option<Self> {
        let actor = snapshot.owner_named(name)?;
        snapshot.break_glass(&actor.id)?;
        Some(Self {
            name: name.clone(),
            actor: actor.id,
            by,
        })
    }

    /// Opens the account of the permit, by its own key, and as stewards agreed where it
    /// takes more than that.
    ///
    /// # Errors
    /// [`IdentityError::NoBreakGlass`], [`IdentityError::BreakGlassUsed`],
    /// [`IdentityError::MakerGone`], [`IdentityError::MakerOnHold`],
    /// [`IdentityError::TakesApprovals`], and why what was brought is not what stewards
    /// agreed to.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<BreakGlass, IdentityError> {
        let op = batch.op();
        let snapshot = batch.directory();
        let account = snapshot
            .break_glass(&op.actor)
            .filter(|_| snapshot.is_active(&op.actor))
            .ok_or_else(|| IdentityError::NoBreakGlass(op.name.clone()))?
            .as_ref()
            .clone();
        if account.used.is_some() {
            return Err(IdentityError::BreakGlassUsed);
        }
        // It ends with whoever made it: nobody who was removed comes back by it.
        if !stewards::is_one(snapshot, &account.made_by) {
            return Err(IdentityError::MakerGone);
        }
        // Nor does whoever was stopped go on by it.
        let is_held = snapshot
            .devices_in_person(&account.made_by)
            .any(|device| snapshot.on_hold(&device.thumbprint).is_some());
        if is_held {
            return Err(IdentityError::MakerOnHold);
        }
        let act = ProposedAct::UseBreakGlass {
            name: op.name.clone(),
        };
        let agreed = stewards::approved(batch, &act, Some(op.actor), op.by.as_ref(), now)?;
        let record = BreakGlassRecord {
            used: Some(now),
            ..account
        };
        batch.put_break_glass(&record);
        let agreed = agreed.map_or_else(String::new, |id| format!(" proposal {id}"));
        let until = record.until();
        batch.details().with = until.map(|until| format!("until {until}{agreed}"));
        batch
            .directory()
            .actor(&op.actor)
            .and_then(|actor| render(batch.directory(), actor, &record, now))
            .ok_or_else(|| IdentityError::NoBreakGlass(op.name.clone()))
    }
}

/// Lists break-glass accounts.
pub struct BreakGlassListing;

impl Op for BreakGlassListing {
    const ACTION: Action = Action::BreakGlassList;
    fn resource(&self) -> Resource {
        Resource::Installation
    }
}

impl BreakGlassListing {
    /// All that were ever made.
    #[must_use]
    pub fn run(_permit: &Permit<Self>, snapshot: &Snapshot, now: Timestamp) -> BreakGlassList {
        let mut accounts: Vec<BreakGlass> = snapshot
            .all_break_glass()
            .filter_map(|record| {
                let actor = snapshot.actor(&record.actor)?;
                render(snapshot, actor, record, now)
            })
            .collect();
        accounts.sort_by(|one, other| {
            (&one.name, one.created, one.actor).cmp(&(&other.name, other.created, other.actor))
        });
        BreakGlassList { accounts }
    }
}

/// An account as listed; none of what is no owner.
fn render(
    snapshot: &Snapshot,
    actor: &ActorRecord,
    record: &BreakGlassRecord,
    now: Timestamp,
) -> Option<BreakGlass> {
    let ActorKind::Owner { root_key, .. } = &actor.kind else {
        return None;
    };
    let stands = snapshot.is_active(&actor.id) && stewards::is_one(snapshot, &record.made_by);
    let state = match (record.used, record.acts(now)) {
        (Some(_), Ok(())) if stands => BreakGlassState::Open,
        (Some(_), _) => BreakGlassState::Used,
        (None, _) if stands => BreakGlassState::Sealed,
        (None, _) => BreakGlassState::Ended,
    };
    Some(BreakGlass {
        name: actor.label().clone(),
        actor: actor.id,
        device: root_key.thumbprint(),
        state,
        minutes: record.minutes,
        made_by: record.made_by,
        created: record.created,
        used: record.used,
        until: record.until(),
    })
}
