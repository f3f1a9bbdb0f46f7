//! The decision itself.

use crate::action::{Action, Rule};
use crate::resource::{Concerned, Resource};
use procura_directory::{Snapshot, TokenRefusal};
use procura_proof::{Caller, Profile};
use procura_types::{ActorId, GrantId, Role, Scope, Timestamp};

/// All that a decision may depend on.
#[derive(Clone, Copy)]
pub struct Question<'a> {
    /// Who asks.
    pub caller: &'a Caller,
    /// To do what.
    pub action: Action,
    /// On what.
    pub resource: &'a Resource,
    /// Whom it concerns.
    pub concerned: Concerned<'a>,
    /// When.
    pub now: Timestamp,
}

/// Why an operation is allowed; it stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// By a role.
    Role(Role),
    /// By a grant.
    Grant(GrantId),
    /// Because it is the caller's own.
    Own,
    /// Because the project or the service names the caller.
    Member,
    /// Every authenticated actor may.
    Anyone,
    /// By a link code.
    Joining,
    /// By the admin socket.
    AdminSocket,
}

/// Why an operation is denied; the word stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DenyReason {
    /// The caller or an actor above it is revoked, or its device is.
    #[error("revoked")]
    Revoked,
    /// What proved the caller touched a decoy, and nobody let it out yet.
    #[error("quarantined")]
    Quarantined,
    /// No role that opens the action.
    #[error("no_role")]
    NoRole,
    /// No grant that holds and covers what is asked for.
    #[error("no_grant")]
    NoGrant,
    /// The project token does not open what is asked for.
    #[error("{0}")]
    Token(TokenRefusal),
    /// The project or the service does not name the caller.
    #[error("not_a_member")]
    NotMember,
    /// It belongs to another actor.
    #[error("not_own")]
    NotOwn,
    /// The action is not open to this kind of caller.
    #[error("wrong_profile")]
    WrongProfile,
}

/// A no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// Why.
    pub reason: DenyReason,
    /// Whether the caller may know that the resource exists: 403, else 404.
    pub visible: bool,
}

/// Decides. The table of roles and grants is one; a policy engine may be another.
pub trait Decider: Send + Sync {
    /// Whether the operation may run, by what, or why not.
    fn decide(&self, snapshot: &Snapshot, question: &Question<'_>) -> Result<Basis, Denied>;
}

/// Decides by the rule of each action, and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoleDecider;

impl Decider for RoleDecider {
    fn decide(&self, snapshot: &Snapshot, question: &Question<'_>) -> Result<Basis, Denied> {
        let caller = question.caller;
        match (question.action.rule(), caller.profile()) {
            (Rule::AdminSocket, Profile::AdminSocket) => return Ok(Basis::AdminSocket),
            (Rule::Joining, Profile::Join) => return Ok(Basis::Joining),
            (Rule::AdminSocket | Rule::Joining, _) | (_, Profile::AdminSocket | Profile::Join) => {
                return Err(Denied {
                    reason: DenyReason::WrongProfile,
                    visible: false,
                });
            }
            _ => {}
        }
        let actor = caller.actor();
        let device_is_active = caller.device().is_some_and(|thumbprint| {
            snapshot
                .device(thumbprint)
                .is_some_and(|device| device.revoked.is_none() && device.actor == *actor)
        });
        let proof_stands = match caller.profile() {
            Profile::Foreign(_) => {
                still_bound(snapshot, caller) && (caller.device().is_none() || device_is_active)
            }
            _ => device_is_active,
        };
        if !proof_stands || !snapshot.is_active(actor) {
            return Err(Denied {
                reason: DenyReason::Revoked,
                visible: false,
            });
        }
        let is_voting = || {
            question.action.is_a_say()
                && caller
                    .device()
                    .is_some_and(|device| snapshot.on_hold(device).is_some())
        };
        if snapshot.is_quarantined(caller.device(), caller.foreign_id()) && !is_voting() {
            return Err(Denied {
                reason: DenyReason::Quarantined,
                visible: false,
            });
        }
        let scope = question.resource.scope();
        let exists = match &scope {
            Scope::Installation => true,
            Scope::Namespace(name) => snapshot.namespace(name).is_some(),
        };
        let visible = exists && sees(snapshot, actor, &scope);
        let deny = |reason| Err(Denied { reason, visible });
        if !exists {
            return deny(DenyReason::NoRole);
        }
        if let Profile::Foreign(profile) = caller.profile()
            && !question.action.takes_foreign(profile)
        {
            return deny(DenyReason::WrongProfile);
        }
        let by_role = |roles: &[Role]| role_held(snapshot, actor, roles, &scope).map(Basis::Role);
        match question.action.rule() {
            Rule::Roles(roles) => by_role(roles).map_or_else(|| deny(DenyReason::NoRole), Ok),
            Rule::Anyone if visible => Ok(Basis::Anyone),
            Rule::Anyone => deny(DenyReason::NoRole),
            Rule::Own if question.concerned.own == Some(actor) => Ok(Basis::Own),
            Rule::Own => deny(DenyReason::NotOwn),
            Rule::OwnOr(_) if question.concerned.own == Some(actor) => Ok(Basis::Own),
            Rule::OwnOr(roles) => by_role(roles).map_or_else(|| deny(DenyReason::NoRole), Ok),
            Rule::Member if question.concerned.members.contains(actor) => Ok(Basis::Member),
            // Whoever is not named learns nothing of it.
            Rule::Member => Err(Denied {
                reason: DenyReason::NotMember,
                visible: false,
            }),
            Rule::Grant => question
                .concerned
                .need
                .and_then(|need| {
                    snapshot.covering_grant(
                        actor,
                        need.namespace,
                        need.project,
                        need.delivery,
                        need.items,
                        question.now,
                    )
                })
                .map_or_else(
                    || deny(DenyReason::NoGrant),
                    |grant| Ok(Basis::Grant(grant.id)),
                ),
            Rule::Token => question
                .concerned
                .token
                .ok_or(TokenRefusal::Unknown)
                .and_then(|need| {
                    let token = snapshot.token(need.token).ok_or(TokenRefusal::Unknown)?;
                    let device = caller.device();
                    snapshot.token_opens(token, actor, device, need.items, question.now)
                })
                .map_or_else(
                    |refusal| deny(DenyReason::Token(refusal)),
                    |grant| Ok(Basis::Grant(grant.id)),
                ),
            // By itself it is nobody's: what is asked about is its parts.
            Rule::Parts => deny(DenyReason::NoRole),
            Rule::Joining | Rule::AdminSocket => deny(DenyReason::WrongProfile),
        }
    }
}

/// Whether the id that a foreign proof named still stands for the caller, and with
/// the same key.
fn still_bound(snapshot: &Snapshot, caller: &Caller) -> bool {
    caller
        .foreign_id()
        .and_then(|id| snapshot.foreign(id))
        .is_some_and(|bound| {
            bound.actor == *caller.actor() && bound.device.as_ref() == caller.device()
        })
}

/// The first of `roles` that the actor holds in the scope. Only owners hold roles.
fn role_held(snapshot: &Snapshot, actor: &ActorId, roles: &[Role], scope: &Scope) -> Option<Role> {
    let held = snapshot.roles(actor)?;
    roles.iter().copied().find(|role| match (role, scope) {
        (Role::Steward, _) => held.has(Role::Steward, None),
        (_, Scope::Namespace(namespace)) => held.has(*role, Some(namespace)),
        (_, Scope::Installation) => false,
    })
}

/// Whether the actor has any part in the scope, so that a refusal may admit
/// that the thing exists.
fn sees(snapshot: &Snapshot, actor: &ActorId, scope: &Scope) -> bool {
    let roles = snapshot.roles(actor);
    match scope {
        Scope::Installation => true,
        Scope::Namespace(namespace) => {
            roles.is_some_and(|held| {
                held.roles
                    .iter()
                    .any(|role| role.namespace.as_ref() == Some(namespace))
            }) || snapshot
                .actor(actor)
                .is_some_and(|record| record.namespace() == Some(namespace))
        }
    }
}
