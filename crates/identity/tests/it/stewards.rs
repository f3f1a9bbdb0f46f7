//! One steward bends no quorum: who is a steward changes by a quorum, each counts whatever
//! devices they have left, and what one can do at once, another can undo.

use crate::steward_world::{
    by, hold, look, propose, reinstate, remove, revoke, set_roles, shares, sign, signed,
};
use crate::world::{Actor, Failure, INSTALLATION, World, admin, label, p256, perform, role};
use procura_identity::{
    ByQuorum, IdentityError, JoinRefusal, OperatorInvite, OperatorListing, OperatorRecover,
    ProposalListing, ProposalRefuse,
};
use procura_policy::DenyReason;
use procura_types::wire::{Proposal, ProposalState, ProposedAct};
use procura_types::{Duration, ProposalId, Role};

fn make(name: &str) -> ProposedAct {
    ProposedAct::MakeSteward { name: label(name) }
}

fn recovery(name: &str) -> ProposedAct {
    ProposedAct::RecoverOperator { name: label(name) }
}

async fn refuse(world: &World, who: &Actor, proposal: &Proposal) -> Result<Proposal, Failure> {
    let id = proposal.id;
    world
        .act(who, ProposalRefuse { id }, |batch| {
            ProposalRefuse::run(batch, &INSTALLATION, world.now())
        })
        .await
}

async fn invite(
    world: &World,
    who: &Actor,
    name: &str,
) -> Result<procura_identity::IssuedCode, Failure> {
    let op = OperatorInvite {
        name: label(name),
        roles: vec![role(Role::Steward, None)],
    };
    world
        .act(who, op, |batch| {
            OperatorInvite::run(batch, world.now(), world.recorder.entropy())
        })
        .await
}

/// On the server's machine, with what opens the vault.
async fn recover(
    world: &World,
    name: &str,
    by: Option<ByQuorum>,
) -> Result<procura_identity::IssuedCode, Failure> {
    let op = OperatorRecover {
        name: label(name),
        by,
    };
    perform(&world.recorder, admin(&world.clock), op, |batch| {
        OperatorRecover::run(batch, world.now(), world.recorder.entropy())
    })
    .await
}

fn needs(world: &World, id: &ProposalId) -> (usize, usize) {
    match look(world, id) {
        Err(IdentityError::NotAgreed { have, needs }) => (have, needs),
        other => panic!("{other:?}"),
    }
}

fn takes_a_quorum<T>(what: &str, tried: Result<T, Failure>) {
    let error = tried.err().unwrap().domain();
    assert!(
        matches!(error, IdentityError::TakesQuorum),
        "{what}: {error}"
    );
}

#[tokio::test]
async fn one_steward_makes_no_other_and_none_less() {
    let world = World::new().await;
    let adam = world
        .operator("adam", &[role(Role::Admin, Some("shop"))])
        .await;
    let [bea] = world.stewards(["bea"]).await;
    let alice = &world.alice;
    let (none, steward) = ([], [role(Role::Steward, None)]);
    let error = invite(&world, alice, "eve").await.err().unwrap().domain();
    assert!(matches!(error, IdentityError::JoinFirst), "{error}");
    let raised = set_roles(&world, alice, "adam", &steward, None).await;
    takes_a_quorum("raise", raised);
    let stripped = set_roles(&world, alice, "bea", &none, None).await;
    takes_a_quorum("strip", stripped);
    takes_a_quorum("revoke", revoke(&world, alice, "bea", None).await);
    let device = world.revoke_device(alice, &bea.device()).await;
    let error = device.err().unwrap().domain();
    assert!(matches!(error, IdentityError::HoldInstead), "{error}");
    // Other roles, other operators and oneself are as before.
    let more = [steward[0].clone(), role(Role::Auditor, Some("shop"))];
    set_roles(&world, alice, "bea", &more, None).await.unwrap();
    world.revoke_device(alice, &adam.device()).await.unwrap();
    revoke(&world, alice, "adam", None).await.unwrap();
    set_roles(&world, &bea, "bea", &none, None).await.unwrap();
    // Alone again, everything is hers to do.
    invite(&world, alice, "eve").await.unwrap();
}

#[tokio::test]
async fn a_quorum_makes_and_removes_stewards_once_and_for_whom_it_signed() {
    let world = World::new().await;
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    let alice = &world.alice;
    let eve = world.operator("eve", &[]).await;
    world.operator("dora", &[]).await;
    let steward = [role(Role::Steward, None)];
    let proposal = propose(&world, alice, make("eve")).await.unwrap();
    sign(&world, alice, &proposal).await.unwrap();
    let early = set_roles(&world, alice, "eve", &steward, by(&proposal)).await;
    let error = early.err().unwrap().domain();
    assert!(
        matches!(error, IdentityError::NotAgreed { have: 1, needs: 2 }),
        "{error}"
    );
    sign(&world, &bea, &proposal).await.unwrap();
    for (what, tried) in [
        (
            "somebody else",
            set_roles(&world, alice, "dora", &steward, by(&proposal)).await,
        ),
        (
            "the other way",
            revoke(&world, alice, "cleo", by(&proposal)).await,
        ),
    ] {
        let error = tried.err().unwrap().domain();
        assert!(
            matches!(error, IdentityError::OtherProposal),
            "{what}: {error}"
        );
    }
    set_roles(&world, alice, "eve", &steward, by(&proposal))
        .await
        .unwrap();
    let again = set_roles(&world, alice, "dora", &steward, by(&proposal)).await;
    let error = again.err().unwrap().domain();
    assert!(matches!(error, IdentityError::ProposalOver), "{error}");

    // She goes by herself. More than half of all three: the one who is to go may sign, and
    // is not needed.
    set_roles(&world, &eve, "eve", &[], None).await.unwrap();
    let proposal = propose(&world, &bea, remove("cleo")).await.unwrap();
    sign(&world, &bea, &proposal).await.unwrap();
    sign(&world, alice, &proposal).await.unwrap();
    revoke(&world, &bea, "cleo", by(&proposal)).await.unwrap();
    assert_eq!(
        world.permit(&cleo, OperatorListing).err(),
        Some(DenyReason::Revoked)
    );
    for act in [remove("nobody"), make("nobody"), recovery("nobody")] {
        let error = propose(&world, alice, act).await.err().unwrap().domain();
        assert!(matches!(error, IdentityError::NoOperator(name) if name == label("nobody")));
    }
}

#[tokio::test]
async fn a_steward_counts_with_whatever_devices_are_left() {
    let world = World::new().await;
    let [bea, cleo, dora] = world.stewards(["bea", "cleo", "dora"]).await;
    let proposal = propose(&world, &world.alice, shares()).await.unwrap();
    assert_eq!(needs(&world, &proposal.id), (0, 3));
    for gone in [&bea, &cleo] {
        world.revoke_device(gone, &gone.device()).await.unwrap();
    }
    hold(&world, &world.alice, &dora).await.unwrap();
    sign(&world, &world.alice, &proposal).await.unwrap();
    assert_eq!(needs(&world, &proposal.id), (1, 3));
}

#[tokio::test]
async fn a_device_on_hold_has_a_no_and_no_yes_but_against_its_holder() {
    let world = World::new().await;
    world
        .operator("adam", &[role(Role::Admin, Some("shop"))])
        .await;
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    let alice = &world.alice;
    let before = propose(&world, alice, shares()).await.unwrap();
    sign(&world, &bea, &before).await.unwrap();
    assert_eq!(needs(&world, &before.id), (1, 2));
    // Whoever has alice's key holds everybody.
    hold(&world, alice, &bea).await.unwrap();
    hold(&world, alice, &cleo).await.unwrap();
    assert_eq!(needs(&world, &before.id), (0, 2));
    for held in [&bea, &cleo] {
        assert_eq!(
            world.permit(held, OperatorListing).err(),
            Some(DenyReason::Quarantined)
        );
        assert!(world.permit(held, ProposalListing).is_ok());
    }
    let lifted = reinstate(&world, &bea, &bea).await.unwrap_err();
    assert_eq!(lifted.denied(), DenyReason::Quarantined);
    for (what, tried) in [
        ("sign", sign(&world, &bea, &before).await.map(|_| ())),
        (
            "make",
            propose(&world, &bea, make("adam")).await.map(|_| ()),
        ),
    ] {
        let error = tried.err().unwrap().domain();
        assert!(matches!(error, IdentityError::OnHold), "{what}: {error}");
    }
    refuse(&world, &bea, &before).await.unwrap();
    let other = propose(&world, &bea, remove("cleo")).await.unwrap();
    let error = sign(&world, &bea, &other).await.err().unwrap().domain();
    assert!(matches!(error, IdentityError::OnHold), "{error}");

    // The two together are more than half, and what she held is free when she goes.
    let proposal = propose(&world, &bea, remove("alice")).await.unwrap();
    sign(&world, &bea, &proposal).await.unwrap();
    let state = sign(&world, &cleo, &proposal).await.unwrap().state;
    assert_eq!(state, ProposalState::Agreed);
    // Nobody is left who is not held, so one who is carries it out, and nothing else.
    for tried in [
        revoke(&world, &cleo, "cleo", None).await,
        revoke(&world, &cleo, "adam", None).await,
    ] {
        let error = tried.err().unwrap().domain();
        assert!(matches!(error, IdentityError::OnHold), "{error}");
    }
    takes_a_quorum("another", revoke(&world, &cleo, "bea", None).await);
    revoke(&world, &cleo, "alice", by(&proposal)).await.unwrap();
    for free in [&bea, &cleo] {
        assert!(world.permit(free, OperatorListing).is_ok());
    }
}

#[tokio::test]
async fn a_hold_is_undone_by_another_and_leaves_one_who_can_act() {
    let world = World::new().await;
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    hold(&world, &bea, &world.alice).await.unwrap();
    hold(&world, &bea, &world.alice).await.unwrap();
    reinstate(&world, &cleo, &world.alice).await.unwrap();
    assert!(world.permit(&world.alice, OperatorListing).is_ok());
    hold(&world, &bea, &world.alice).await.unwrap();
    hold(&world, &bea, &cleo).await.unwrap();
    let last = hold(&world, &bea, &bea).await.err().unwrap().domain();
    assert!(matches!(last, IdentityError::LastSteward), "{last}");
    // It does nothing else meanwhile.
    let scribe = world.agent("scribe", None).await;
    assert_eq!(scribe.err().unwrap().denied(), DenyReason::Quarantined);
}

#[tokio::test]
async fn of_two_a_lost_one_goes_when_nobody_says_no_for_two_weeks() {
    let world = World::new().await;
    let [bea] = world.stewards(["bea"]).await;
    let alice = &world.alice;
    let proposal = propose(&world, alice, remove("bea")).await.unwrap();
    let then = proposal.unless_refused.unwrap();
    assert_eq!(
        then,
        proposal.created.plus(Duration::from_secs(14 * 24 * 3600))
    );
    sign(&world, alice, &proposal).await.unwrap();
    world.pass(Duration::from_secs(14 * 24 * 3600 - 1));
    assert_eq!(needs(&world, &proposal.id), (1, 2));
    // A no keeps it from ever happening by time alone, until it is taken back.
    refuse(&world, &bea, &proposal).await.unwrap();
    world.pass(Duration::from_secs(1));
    assert_eq!(needs(&world, &proposal.id), (1, 2));
    let second = propose(&world, alice, remove("bea")).await.unwrap();
    world.pass(Duration::from_secs(14 * 24 * 3600));
    // Time alone without a yes is nothing.
    assert_eq!(needs(&world, &second.id), (0, 2));
    sign(&world, alice, &second).await.unwrap();
    assert_eq!(look(&world, &second.id).unwrap(), remove("bea"));
    revoke(&world, alice, "bea", by(&second)).await.unwrap();
    invite(&world, alice, "eve").await.unwrap();

    // Nothing else happens by time alone.
    let world = World::new().await;
    let [_] = world.stewards(["bea"]).await;
    world.operator("eve", &[]).await;
    let made = propose(&world, &world.alice, make("eve")).await.unwrap();
    assert_eq!(made.unless_refused, None);
    sign(&world, &world.alice, &made).await.unwrap();
    world.pass(Duration::from_secs(24 * 3600));
    let over = look(&world, &made.id);
    assert!(matches!(over, Err(IdentityError::ProposalOver)), "{over:?}");
}

#[tokio::test]
async fn a_removal_is_of_the_steward_who_had_the_name() {
    let world = World::new().await;
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    let proposal = propose(&world, &world.alice, remove("bea")).await.unwrap();
    sign(&world, &world.alice, &proposal).await.unwrap();
    sign(&world, &cleo, &proposal).await.unwrap();
    // She goes by herself, and another has her name.
    revoke(&world, &bea, "bea", None).await.unwrap();
    world.operator("bea", &[]).await;
    let agreed = propose(&world, &world.alice, make("bea")).await.unwrap();
    sign(&world, &world.alice, &agreed).await.unwrap();
    sign(&world, &cleo, &agreed).await.unwrap();
    let steward = [role(Role::Steward, None)];
    set_roles(&world, &world.alice, "bea", &steward, by(&agreed))
        .await
        .unwrap();
    let error = revoke(&world, &world.alice, "bea", by(&proposal))
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, IdentityError::OtherProposal), "{error}");
}

#[tokio::test]
async fn a_steward_is_made_of_the_operator_who_was_signed_for() {
    let world = World::new().await;
    let [bea] = world.stewards(["bea"]).await;
    let alice = &world.alice;
    let cara = world.operator("cara", &[]).await;
    let proposal = propose(&world, alice, make("cara")).await.unwrap();
    assert_eq!(proposal.about, Some(cara.id));
    let mut another = proposal.clone();
    another.about = Some(bea.id);
    let error = {
        let signature = bea.key.sign(&another.message(&INSTALLATION)).unwrap();
        let signed = signed(&world, &bea, proposal.id, signature);
        signed.await.err().unwrap().domain()
    };
    assert!(
        matches!(error, IdentityError::BadProposalSignature),
        "{error}"
    );
    sign(&world, alice, &proposal).await.unwrap();
    sign(&world, &bea, &proposal).await.unwrap();
    // One steward puts a key of their own in her place, under her name.
    revoke(&world, alice, "cara", None).await.unwrap();
    world.operator("cara", &[]).await;
    let steward = [role(Role::Steward, None)];
    let error = set_roles(&world, alice, "cara", &steward, by(&proposal))
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(error, IdentityError::OtherProposal), "{error}");
}

#[tokio::test]
async fn another_key_of_a_lone_steward_joins_by_what_opens_the_vault() {
    let world = World::new().await;
    let error = recover(&world, "nobody", None)
        .await
        .err()
        .unwrap()
        .domain();
    assert!(matches!(error, IdentityError::NoOperator(name) if name == label("nobody")));
    let code = recover(&world, "alice", None).await.unwrap();
    let late = recover(&world, "alice", None).await.unwrap();
    let key = p256();
    let id = world.join(&code, &key).await.unwrap().actor;
    assert_eq!(id, world.alice.id);
    let found = Actor { id, key };
    assert!(world.permit(&found, OperatorListing).is_ok());
    let error = world.join(&code, &p256()).await.unwrap_err().domain();
    assert!(
        matches!(error, IdentityError::Join(JoinRefusal::UnknownCode)),
        "{error}"
    );
    world.pass(procura_identity::CODE_LIFE);
    let error = world.join(&late, &p256()).await.unwrap_err().domain();
    assert!(
        matches!(error, IdentityError::Join(JoinRefusal::CodeExpired)),
        "{error}"
    );
    // Also of an operator who is no steward; their revocation ends the code.
    world.operator("otto", &[]).await;
    let code = recover(&world, "otto", None).await.unwrap();
    revoke(&world, &found, "otto", None).await.unwrap();
    let error = world.join(&code, &p256()).await.unwrap_err().domain();
    assert!(
        matches!(error, IdentityError::Join(JoinRefusal::UnknownCode)),
        "{error}"
    );
}

#[tokio::test]
async fn what_opens_the_vault_gives_nobody_the_key_of_one_of_several_stewards() {
    let world = World::new().await;
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    world.operator("otto", &[]).await;
    for name in ["bea", "alice", "otto"] {
        takes_a_quorum(name, recover(&world, name, None).await);
    }
    let proposal = propose(&world, &cleo, recovery("bea")).await.unwrap();
    assert_eq!(proposal.about, Some(bea.id));
    sign(&world, &cleo, &proposal).await.unwrap();
    let early = recover(&world, "bea", by(&proposal)).await;
    let error = early.err().unwrap().domain();
    assert!(
        matches!(error, IdentityError::NotAgreed { have: 1, needs: 2 }),
        "{error}"
    );
    sign(&world, &world.alice, &proposal).await.unwrap();
    let other = recover(&world, "cleo", by(&proposal)).await;
    let error = other.err().unwrap().domain();
    assert!(matches!(error, IdentityError::OtherProposal), "{error}");
    let code = recover(&world, "bea", by(&proposal)).await.unwrap();
    assert_eq!(world.join(&code, &p256()).await.unwrap().actor, bea.id);
    let again = recover(&world, "bea", by(&proposal)).await;
    let error = again.err().unwrap().domain();
    assert!(matches!(error, IdentityError::ProposalOver), "{error}");
}
