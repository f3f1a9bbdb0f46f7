//! The decision itself.

use crate::action::{Action, Rule, STEP_UP};
use crate::resource::{Concerned, Resource};
use procura_directory::{ApiKeyRefusal, BreakGlassClosed, Snapshot, TokenRecord, TokenRefusal};
use procura_proof::{Caller, Profile};
use procura_types::wire::RoleAssignment;
use procura_types::{Grade, GrantId, Namespace, Role, Scope, Thumbprint, Timestamp};
use std::sync::Arc;

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
    /// By having just proven who they are.
    SigningIn,
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
    /// The caller is a break-glass account that does not act.
    #[error("{0}")]
    BreakGlass(BreakGlassClosed),
    /// The caller's device is bound to an API key that does not open this, or an API key is
    /// shown with a proof by another device.
    #[error("{0}")]
    ApiKey(ApiKeyRefusal),
    /// The daemon that asks has not attested what the project requires.
    #[error("attestation_required")]
    Attestation {
        /// What it has to have attested at least.
        needs: Grade,
    },
    /// The project or the service does not name the caller.
    #[error("not_a_member")]
    NotMember,
    /// It belongs to another actor.
    #[error("not_own")]
    NotOwn,
    /// The action is not open to this kind of caller.
    #[error("wrong_profile")]
    WrongProfile,
    /// In a browser it takes that the person proved who they are a moment ago.
    #[error("reauthenticate")]
    Reauthenticate,
    /// It takes a proof by the device's own key, and it was asked for within a session.
    #[error("own_key")]
    OwnKey,
    /// Roles and grants would allow it; the policies in force do not.
    #[error("{0}")]
    Policy(PolicyRefusal),
}

/// Why policies deny what roles and grants allow; the word stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// A policy forbids it.
    #[error("policy_forbids")]
    Forbids,
    /// Policies are in force and none of them permits it.
    #[error("no_policy_permits")]
    NonePermits,
    /// The policies in force cannot be read or used, so nothing is allowed by them.
    #[error("policies_unusable")]
    Unusable,
}

/// The names of the policies that decided, as in the ledger: words with one space between.
pub type PolicyNames = Arc<str>;

/// A yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    /// By what.
    pub basis: Basis,
    /// The policies that permit it, where any are in force.
    pub policies: Option<PolicyNames>,
}

impl From<Basis> for Allowed {
    fn from(basis: Basis) -> Self {
        Self {
            basis,
            policies: None,
        }
    }
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Denied {
    /// Why.
    pub reason: DenyReason,
    /// Whether the caller may know that the resource exists: 403, else 404.
    pub visible: bool,
    /// The policies that forbid it, if any do. For the record, not for the caller.
    pub policies: Option<PolicyNames>,
}

impl Denied {
    /// A no of roles and grants.
    #[must_use]
    pub const fn new(reason: DenyReason, visible: bool) -> Self {
        Self {
            reason,
            visible,
            policies: None,
        }
    }
}

/// A use that is counted from the moment it is claimed: taken back when this is dropped,
/// unless it was recorded.
pub trait Counted: Send {
    /// It is recorded, so it counts.
    fn recorded(self: Box<Self>);
}

/// What a [`Decider`] keeps of an operation that is about to be recorded.
#[derive(Default)]
pub struct Claim(Option<Box<dyn Counted>>);

impl Claim {
    /// A claim on one of a limited number of uses.
    #[must_use]
    pub fn of(counted: Box<dyn Counted>) -> Self {
        Self(Some(counted))
    }

    /// The operation is recorded.
    pub fn recorded(self) {
        if let Some(counted) = self.0 {
            counted.recorded();
        }
    }
}

/// Decides. The table of roles and grants is one; a policy engine may be another.
pub trait Decider: Send + Sync {
    /// Whether the operation may run, by what, or why not.
    fn decide(&self, snapshot: &Snapshot, question: &Question<'_>) -> Result<Allowed, Denied>;

    /// Claims a use of what was decided, right before it is recorded. Where only so many
    /// uses are allowed this decides once more, so that of many at the same moment no
    /// more than those pass.
    ///
    /// # Errors
    /// Why it may not run any more.
    fn claim(&self, _: &Snapshot, _: &Question<'_>) -> Result<Claim, Denied> {
        Ok(Claim::default())
    }
}

/// Decides by the rule of each action, and nothing else.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoleDecider;

impl Decider for RoleDecider {
    fn decide(&self, snapshot: &Snapshot, question: &Question<'_>) -> Result<Allowed, Denied> {
        let basis = by_table(snapshot, question)?;
        // Last, so that whoever may not do it learns as much as by the key.
        if question.caller.profile() == Profile::Session && question.action.takes_own_key() {
            return Err(Denied::new(DenyReason::OwnKey, true));
        }
        Ok(basis.into())
    }
}

/// What the rule of the action says.
fn by_table(snapshot: &Snapshot, question: &Question<'_>) -> Result<Basis, Denied> {
    let caller = question.caller;
    match (question.action.rule(), caller.profile()) {
        (Rule::AdminSocket, Profile::AdminSocket) => return Ok(Basis::AdminSocket),
        (Rule::Joining, Profile::Join) => return Ok(Basis::Joining),
        (Rule::Joining, Profile::Legacy) if takes_legacy(question) => return Ok(Basis::Joining),
        (Rule::SigningIn, Profile::SigningIn(_)) if snapshot.is_active(caller.actor()) => {
            return Ok(Basis::SigningIn);
        }
        (Rule::SigningIn, Profile::SigningIn(_)) => {
            return Err(Denied::new(DenyReason::Revoked, false));
        }
        (Rule::AdminSocket | Rule::Joining | Rule::SigningIn, _)
        | (_, Profile::AdminSocket | Profile::Join | Profile::SigningIn(_)) => {
            return Err(Denied::new(DenyReason::WrongProfile, false));
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
        Profile::Foreign(_) | Profile::Legacy => {
            still_bound(snapshot, caller) && (caller.device().is_none() || device_is_active)
        }
        // It has none, and ends with whose it is, and with the passkey it was made with.
        Profile::WebLogin(_) => {
            let passkey = caller.passkey();
            caller.device().is_none()
                && passkey.is_none_or(|passkey| snapshot.passkey_may_act(passkey))
        }
        _ => device_is_active,
    };
    if !proof_stands || !snapshot.is_active(actor) {
        return Err(Denied::new(DenyReason::Revoked, false));
    }
    if is_kept_back(snapshot, question) {
        return Err(Denied::new(DenyReason::Quarantined, false));
    }
    let scope = question.resource.scope();
    restrained(snapshot, question, &scope)?;
    let exists = match &scope {
        Scope::Installation => true,
        Scope::Namespace(name) => snapshot.namespace(name).is_some(),
    };
    let visible = exists && sees(snapshot, caller, &scope);
    let deny = |reason| Err(Denied::new(reason, visible));
    if !exists {
        return deny(DenyReason::NoRole);
    }
    if let Profile::Foreign(profile) = caller.profile()
        && !question.action.takes_foreign(profile)
    {
        return deny(DenyReason::WrongProfile);
    }
    if caller.profile() == Profile::Legacy && !takes_legacy(question) {
        return deny(DenyReason::WrongProfile);
    }
    if let Profile::WebLogin(amr) = caller.profile() {
        if !question.action.takes_web_login(amr) {
            return deny(DenyReason::WrongProfile);
        }
        if question.action.is_dangerous() && !is_fresh(question) {
            return deny(DenyReason::Reauthenticate);
        }
    }
    if let Some(needs) = question.concerned.grade
        && grade_of(snapshot, caller, question.now) < Some(needs)
    {
        return deny(DenyReason::Attestation { needs });
    }
    let by_role = |roles: &[Role]| role_held(snapshot, caller, roles, &scope).map(Basis::Role);
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
        Rule::Member => Err(Denied::new(DenyReason::NotMember, false)),
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
                let holder = token_holder(caller, token);
                snapshot.token_opens(token, actor, holder, need.items, question.now)
            })
            .map_or_else(
                |refusal| deny(DenyReason::Token(refusal)),
                |grant| Ok(Basis::Grant(grant.id)),
            ),
        // By itself it is nobody's: what is asked about is its parts.
        Rule::Parts => deny(DenyReason::NoRole),
        Rule::Joining | Rule::SigningIn | Rule::AdminSocket => deny(DenyReason::WrongProfile),
    }
}

/// What keeps a break-glass account from all but opening, and the device of an API key from
/// all that is not listed. It tells nothing of what there is.
fn restrained(snapshot: &Snapshot, question: &Question<'_>, scope: &Scope) -> Result<(), Denied> {
    let (caller, action) = (question.caller, question.action);
    if action != Action::BreakGlassUse {
        snapshot
            .break_glass_acts(caller.actor(), question.now)
            .map_err(|closed| Denied::new(DenyReason::BreakGlass(closed), false))?;
    }
    let (device, shown) = (caller.device(), caller.api_key());
    let closed = |refusal| Denied::new(DenyReason::ApiKey(refusal), false);
    snapshot
        .api_key_lets(device, shown, action.as_str(), scope, question.now)
        .map_err(closed)?;
    // Whatever it was made for: no key is made for this, or none any more.
    let is_key = device.is_some_and(|device| snapshot.api_key(device).is_some());
    if is_key && !action.takes_api_key() {
        return Err(closed(ApiKeyRefusal::Scope));
    }
    Ok(())
}

/// Whether something in quarantine keeps the caller from it. Whoever has a device of an
/// operator may have set what that operator signs in with, so what stops the device stops
/// their web logins too; to end those stays open. The device of an API key sets nothing of
/// that, and shuts nobody out.
fn is_kept_back(snapshot: &Snapshot, question: &Question<'_>) -> bool {
    let (caller, action) = (question.caller, question.action);
    // One that a steward put on hold keeps its say.
    let stops = |device: &Thumbprint| {
        snapshot.is_quarantined(Some(device), None)
            && !(action.is_a_say() && snapshot.on_hold(device).is_some())
    };
    match (caller.profile(), caller.device()) {
        (Profile::WebLogin(_), _) => {
            let mut devices = snapshot.devices_in_person(caller.actor());
            action != Action::WebLoginEnd && devices.any(|device| stops(&device.thumbprint))
        }
        (_, Some(device)) => stops(device),
        (_, None) => snapshot.is_quarantined(None, caller.foreign_id()),
    }
}

/// Whether the person in a browser proved who they are a moment ago.
fn is_fresh(question: &Question<'_>) -> bool {
    let since = question.caller.authenticated();
    since.is_some_and(|since| question.now < since.plus(STEP_UP))
}

/// How good the attestation is now under which the caller's session was started: what it
/// counted as then, as long as it still does.
#[must_use]
pub fn grade_of(snapshot: &Snapshot, caller: &Caller, now: Timestamp) -> Option<Grade> {
    let attested = caller.attested()?;
    let grade = snapshot.attested(&attested.id, now).ok()?;
    Some(grade.min(attested.grade))
}

/// Whether a client of CortexAuth may do it by what it has shown.
fn takes_legacy(question: &Question<'_>) -> bool {
    let signed = question.caller.process().is_some();
    question.action.takes_legacy(signed)
}

/// What of the caller a project token has to be bound to: its device, and of a daemon of
/// CortexAuth the key of its process. Neither uses the tokens of the other.
fn token_holder<'a>(caller: &'a Caller, token: &TokenRecord) -> Option<&'a Thumbprint> {
    match (caller.profile(), &token.foreign) {
        (Profile::Legacy, Some(id)) if caller.foreign_id() == Some(id) => caller.process(),
        (Profile::Legacy, _) | (_, Some(_)) => None,
        (_, None) => caller.device(),
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

/// The roles of the caller: those that the actor holds, and in a browser those that groups
/// at an identity provider lend. Only owners have any.
pub fn roles_of<'a>(
    snapshot: &'a Snapshot,
    caller: &'a Caller,
) -> impl Iterator<Item = &'a RoleAssignment> {
    let held = snapshot.roles(caller.actor());
    let held = held.map(|held| held.roles.as_slice()).unwrap_or_default();
    held.iter().chain(caller.lent())
}

/// The first of `roles` that the caller has in the scope.
fn role_held(snapshot: &Snapshot, caller: &Caller, roles: &[Role], scope: &Scope) -> Option<Role> {
    let has = |role: Role, namespace: Option<&Namespace>| {
        roles_of(snapshot, caller)
            .any(|held| held.role == role && held.namespace.as_ref() == namespace)
    };
    roles.iter().copied().find(|role| match (role, scope) {
        (Role::Steward, _) => has(Role::Steward, None),
        (_, Scope::Namespace(namespace)) => has(*role, Some(namespace)),
        (_, Scope::Installation) => false,
    })
}

/// Whether the caller has any part in the scope, so that a refusal may admit
/// that the thing exists.
fn sees(snapshot: &Snapshot, caller: &Caller, scope: &Scope) -> bool {
    match scope {
        Scope::Installation => true,
        Scope::Namespace(namespace) => {
            roles_of(snapshot, caller).any(|role| role.namespace.as_ref() == Some(namespace))
                || snapshot
                    .actor(caller.actor())
                    .is_some_and(|record| record.namespace() == Some(namespace))
        }
    }
}
