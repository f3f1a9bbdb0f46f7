//! Break-glass accounts among stewards: what whoever made one does not get by it.

use crate::passkey_world::{asserted, party};
use crate::steward_world::{by, hold, look, propose, reinstate, remove, revoke, set_roles, sign};
use crate::world::{Actor, Failure, INSTALLATION, World, label, owner_id, p256, perform, role};
use procura_crypto::sha256;
use procura_directory::BreakGlassClosed;
use procura_identity::passkey::PasskeyAnswer;
use procura_identity::{
    BreakGlassCreate, BreakGlassListing, BreakGlassUse, IdentityError, OperatorDeviceHold,
    OperatorListing, ProposalDraft, ProposalSignByPasskey,
};
use procura_policy::DenyReason;
use procura_proof::{Caller, Profile};
use procura_types::wire::{
    BreakGlass, BreakGlassCreate as Wanted, BreakGlassState, Proposal, ProposedAct,
};
use procura_types::{Amr, Role};

const NIGHT: &str = "night";

/// An account that this steward makes.
async fn account(world: &World, by: &Actor) -> Actor {
    let key = p256();
    let message = Wanted::message(&INSTALLATION, &label(NIGHT), &key.public().thumbprint(), 60);
    let op = BreakGlassCreate {
        name: label(NIGHT),
        key: key.public().clone(),
        signature: key.sign(&message).unwrap(),
        minutes: 60,
        renews: false,
    };
    let made = world
        .act(by, op, |batch| {
            BreakGlassCreate::run(batch, &INSTALLATION, world.now())
        })
        .await
        .unwrap();
    let id = owner_id(key.public());
    assert_eq!((made.actor, made.made_by), (id, by.id));
    Actor { id, key }
}

async fn opens(
    world: &World,
    night: &Actor,
    proposal: Option<&Proposal>,
) -> Result<BreakGlass, Failure> {
    let by = proposal.and_then(by);
    let op = BreakGlassUse::resolve(&world.snapshot(), &label(NIGHT), by).unwrap();
    world
        .act(night, op, |batch| BreakGlassUse::run(batch, world.now()))
        .await
}

fn to_use() -> ProposedAct {
    ProposedAct::UseBreakGlass { name: label(NIGHT) }
}

fn counts_not<T>(what: &str, tried: Result<T, Failure>) {
    let error = tried.err().unwrap().domain();
    assert!(matches!(error, IdentityError::CountsNot), "{what}: {error}");
}

fn state(world: &World, by: &Actor) -> BreakGlassState {
    let permit = world.permit(by, BreakGlassListing).unwrap();
    let list = BreakGlassListing::run(&permit, &world.snapshot(), world.now());
    list.accounts[0].state
}

/// Whoever is on hold votes against their holder alone. With holders who are no stewards one
/// person would have as many as it takes for no two of the others to agree about any.
#[tokio::test]
async fn only_one_of_several_stewards_holds_the_device_of_another_or_lets_it_out() {
    let world = World::new().await;
    let adam = world
        .operator("adam", &[role(Role::Admin, Some("shop"))])
        .await;
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    let alice = &world.alice;
    let night = account(&world, alice).await;
    let proposal = propose(&world, alice, to_use()).await.unwrap();
    sign(&world, &cleo, &proposal).await.unwrap();
    opens(&world, &night, Some(&proposal)).await.unwrap();
    for (whose, device) in [("alice", alice), ("bea", &bea), ("cleo", &cleo)] {
        counts_not(whose, hold(&world, &night, device).await);
    }
    // Nor does somebody who is lent the role for the time of a web login.
    let eve = world.operator("eve", &[]).await;
    let seq = world.snapshot().seq();
    let lent = Caller::fake(Profile::WebLogin(Amr::Oidc), eve.id, eve.id, None, seq)
        .authenticated_at(world.now())
        .lending(&[role(Role::Steward, None)]);
    let op = OperatorDeviceHold::resolve(&world.snapshot(), &bea.device()).unwrap();
    let tried = perform(&world.recorder, lent, op, |batch| {
        OperatorDeviceHold::run(batch, world.now())
    });
    counts_not("lent", tried.await);
    for free in [alice, &bea, &cleo] {
        assert!(world.permit(free, OperatorListing).is_ok());
    }
    // What is wrong with others the account stops, and lets go on.
    hold(&world, &night, &adam).await.unwrap();
    reinstate(&world, &night, &adam).await.unwrap();

    // So it is one of them who holds all others, and they vote her out; with her goes what
    // she held, and what she made.
    hold(&world, alice, &bea).await.unwrap();
    hold(&world, alice, &cleo).await.unwrap();
    counts_not("out", reinstate(&world, &night, &bea).await);
    let proposal = propose(&world, &bea, remove("alice")).await.unwrap();
    sign(&world, &bea, &proposal).await.unwrap();
    sign(&world, &cleo, &proposal).await.unwrap();
    revoke(&world, &cleo, "alice", by(&proposal)).await.unwrap();
    for free in [&bea, &cleo] {
        assert!(world.permit(free, OperatorListing).is_ok());
    }
    assert_eq!(
        world.permit(&night, OperatorListing).err(),
        Some(DenyReason::BreakGlass(BreakGlassClosed::Maker))
    );
}

/// It stands for the only one there is, who is not left without a device.
#[tokio::test]
async fn an_account_of_the_only_steward_leaves_them_a_device() {
    let world = World::new().await;
    let night = account(&world, &world.alice).await;
    opens(&world, &night, None).await.unwrap();
    let held = hold(&world, &night, &world.alice).await;
    let error = held.err().unwrap().domain();
    assert!(matches!(error, IdentityError::LastSteward), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_made_an_account_says_no_yes_to_its_use() {
    let world = World::new().await;
    let [bea] = world.stewards(["bea"]).await;
    let alice = &world.alice;
    let night = account(&world, alice).await;
    let mut passkey = world.passkey(alice, "alice").await;
    // Who proposes it makes no difference.
    for proposer in [alice, &bea] {
        let proposal = propose(&world, proposer, to_use()).await.unwrap();
        assert_eq!(proposal.needs, 1);
        counts_not("by her key", sign(&world, alice, &proposal).await);
        let op = ProposalDraft { id: proposal.id };
        let permit = world.permit(alice, op).unwrap();
        let (store, snapshot) = (world.recorder.store(), world.snapshot());
        let draft = ProposalDraft::run(&permit, &snapshot, store, &INSTALLATION, world.now());
        counts_not("to be asked", draft.map_err(Failure::Domain));
        let login = world.sign_in_by(&mut passkey).await;
        let caller = world.browser(&login.cookie).unwrap();
        let challenge = sha256(&proposal.message(&INSTALLATION));
        let answered = passkey.answer(&challenge).unwrap();
        let op = ProposalSignByPasskey {
            id: proposal.id,
            party: party(),
            answer: PasskeyAnswer::from(asserted(&passkey, answered)),
        };
        let signed = perform(&world.recorder, caller, op, |batch| {
            ProposalSignByPasskey::run(batch, &INSTALLATION, world.now())
        });
        counts_not("by her passkey", signed.await);
        assert!(matches!(
            look(&world, &proposal.id),
            Err(IdentityError::NotAgreed { have: 0, needs: 1 })
        ));
        let error = opens(&world, &night, Some(&proposal)).await.err().unwrap();
        assert!(matches!(
            error.domain(),
            IdentityError::NotAgreed { have: 0, needs: 1 }
        ));
    }
    let proposal = propose(&world, alice, to_use()).await.unwrap();
    sign(&world, &bea, &proposal).await.unwrap();
    let open = opens(&world, &night, Some(&proposal)).await.unwrap();
    assert_eq!(open.state, BreakGlassState::Open);
}

#[tokio::test]
async fn an_account_does_not_open_while_its_maker_is_held_and_is_over_when_they_go() {
    let world = World::new().await;
    let [bea] = world.stewards(["bea"]).await;
    let alice = &world.alice;
    let night = account(&world, alice).await;
    let proposal = propose(&world, alice, to_use()).await.unwrap();
    sign(&world, &bea, &proposal).await.unwrap();
    hold(&world, &bea, alice).await.unwrap();
    let error = opens(&world, &night, Some(&proposal)).await.err().unwrap();
    let error = error.domain();
    assert!(matches!(error, IdentityError::MakerOnHold), "{error}");
    reinstate(&world, &bea, alice).await.unwrap();
    opens(&world, &night, Some(&proposal)).await.unwrap();
    assert_eq!(state(&world, &bea), BreakGlassState::Open);
    assert!(world.permit(&night, OperatorListing).is_ok());
    set_roles(&world, alice, "alice", &[], None).await.unwrap();
    assert_eq!(
        world.permit(&night, OperatorListing).err(),
        Some(DenyReason::BreakGlass(BreakGlassClosed::Maker))
    );
    assert_eq!(state(&world, &bea), BreakGlassState::Used);
}
