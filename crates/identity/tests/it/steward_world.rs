//! What stewards do to each other: they propose, say yes, give roles and take them, and put
//! devices on hold.

use crate::world::{Actor, Failure, INSTALLATION, World, label};
use procura_directory::Suspect;
use procura_identity::{
    ByQuorum, IdentityError, OperatorRevoke, OperatorRoles, ProposalCreate, ProposalSign,
    QuarantineLift, agreed,
};
use procura_types::ProposalId;
use procura_types::wire::{Proposal, ProposedAct, RoleAssignment, ShareScheme};

pub(crate) fn remove(name: &str) -> ProposedAct {
    ProposedAct::RemoveSteward { name: label(name) }
}

pub(crate) fn shares() -> ProposedAct {
    ProposedAct::MakeShares {
        name: label("recovery"),
        threshold: 2,
        count: 3,
        retires: None,
        scheme: ShareScheme::Shamir,
    }
}

pub(crate) fn by(proposal: &Proposal) -> Option<ByQuorum> {
    Some(ByQuorum {
        installation: INSTALLATION,
        proposal: proposal.id,
    })
}

pub(crate) async fn propose(
    world: &World,
    who: &Actor,
    act: ProposedAct,
) -> Result<Proposal, Failure> {
    world
        .act(who, ProposalCreate { act }, |batch| {
            let entropy = world.recorder.entropy();
            ProposalCreate::run(batch, &INSTALLATION, world.now(), entropy)
        })
        .await
}

/// Brings this as what somebody signed.
pub(crate) async fn signed(
    world: &World,
    who: &Actor,
    id: ProposalId,
    signature: Vec<u8>,
) -> Result<Proposal, Failure> {
    world
        .act(who, ProposalSign { id, signature }, |batch| {
            ProposalSign::run(batch, &INSTALLATION, world.now())
        })
        .await
}

pub(crate) async fn sign(
    world: &World,
    who: &Actor,
    proposal: &Proposal,
) -> Result<Proposal, Failure> {
    let signature = who.key.sign(&proposal.message(&INSTALLATION)).unwrap();
    signed(world, who, proposal.id, signature).await
}

/// What was agreed to, or why nothing was.
pub(crate) fn look(world: &World, id: &ProposalId) -> Result<ProposedAct, IdentityError> {
    let store = world.recorder.store();
    agreed(store, &world.snapshot(), &INSTALLATION, id, world.now())
}

pub(crate) async fn set_roles(
    world: &World,
    who: &Actor,
    name: &str,
    roles: &[RoleAssignment],
    by: Option<ByQuorum>,
) -> Result<(), Failure> {
    let op = OperatorRoles {
        name: label(name),
        roles: roles.to_vec(),
        by,
    };
    world
        .act(who, op, |batch| OperatorRoles::run(batch, world.now()))
        .await
        .map(|_| ())
}

pub(crate) async fn revoke(
    world: &World,
    who: &Actor,
    name: &str,
    by: Option<ByQuorum>,
) -> Result<(), Failure> {
    let op = OperatorRevoke {
        name: label(name),
        by,
    };
    world
        .act(who, op, |batch| OperatorRevoke::run(batch, world.now()))
        .await
        .map(|_| ())
}

pub(crate) async fn hold(world: &World, who: &Actor, whose: &Actor) -> Result<(), Failure> {
    world.hold(who, &whose.device()).await
}

pub(crate) async fn reinstate(world: &World, who: &Actor, whose: &Actor) -> Result<(), Failure> {
    let suspect = Suspect::Device(whose.device());
    world
        .act(who, QuarantineLift { suspect }, |batch| {
            QuarantineLift::run(batch, world.now())
        })
        .await
}
