//! What takes a quorum of stewards.

use crate::steward_world::{look, propose, shares, sign, signed};
use crate::world::{INSTALLATION, World, label, role};
use procura_identity::{IdentityError, ProposalCreate, ProposalListing, carry_out, takes_a_quorum};
use procura_policy::DenyReason;
use procura_types::wire::{ProposalState, ProposedAct, ShareScheme};
use procura_types::{Duration, InstallationId, ProposalId, Role};

async fn carry(world: &World, id: &ProposalId) -> Result<(), IdentityError> {
    let store = world.recorder.store();
    let mut batch = store.batch().unwrap();
    let snapshot = world.snapshot();
    carry_out(&mut batch, store, &snapshot, &INSTALLATION, id, world.now())?;
    store.commit(batch).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn more_than_half_of_the_stewards_agree_and_once() {
    let world = World::new().await;
    assert!(!takes_a_quorum(&world.snapshot()));
    // Whoever is no steward could sign nothing that counts.
    world
        .operator("otto", &[role(Role::Auditor, Some("shop"))])
        .await;
    assert!(!takes_a_quorum(&world.snapshot()));
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    assert!(takes_a_quorum(&world.snapshot()));
    let proposal = propose(&world, &world.alice, shares()).await.unwrap();
    assert_eq!((proposal.needs, proposal.state), (2, ProposalState::Open));
    // Who proposes it has not signed it.
    let before = look(&world, &proposal.id);
    assert!(matches!(
        before,
        Err(IdentityError::NotAgreed { have: 0, needs: 2 })
    ));
    let first = sign(&world, &bea, &proposal).await.unwrap();
    assert_eq!(first.state, ProposalState::Open);
    // The same steward twice is one.
    let again = sign(&world, &bea, &proposal).await.unwrap();
    assert_eq!((again.state, again.signed.len()), (ProposalState::Open, 1));
    let second = sign(&world, &cleo, &proposal).await.unwrap();
    assert_eq!(second.state, ProposalState::Agreed);
    assert_eq!(look(&world, &proposal.id).unwrap(), shares());
    carry(&world, &proposal.id).await.unwrap();
    for over in [
        look(&world, &proposal.id).map(|_| ()),
        carry(&world, &proposal.id).await,
    ] {
        assert!(matches!(over, Err(IdentityError::ProposalOver)), "{over:?}");
    }
    let late = sign(&world, &world.alice, &proposal).await.unwrap_err();
    assert!(matches!(late.domain(), IdentityError::ProposalOver));
}

#[tokio::test]
async fn signatures_count_as_long_as_their_stewards_do() {
    let world = World::new().await;
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    let proposal = propose(&world, &world.alice, shares()).await.unwrap();
    sign(&world, &bea, &proposal).await.unwrap();
    sign(&world, &cleo, &proposal).await.unwrap();
    assert!(look(&world, &proposal.id).is_ok());
    // Bea goes by herself. Of two stewards that are left, both have to have signed.
    world.revoke_operator(&bea, "bea").await.unwrap();
    let short = look(&world, &proposal.id);
    assert!(matches!(
        short,
        Err(IdentityError::NotAgreed { have: 1, needs: 2 })
    ));
    assert!(carry(&world, &proposal.id).await.is_err());
    sign(&world, &world.alice, &proposal).await.unwrap();
    assert!(look(&world, &proposal.id).is_ok());
    // An operator who is no steward any more does not count either.
    let other = propose(&world, &world.alice, shares()).await.unwrap();
    sign(&world, &cleo, &other).await.unwrap();
    world
        .set_roles(&cleo, "cleo", &[role(Role::Admin, Some("shop"))])
        .await
        .unwrap();
    let short = look(&world, &other.id);
    assert!(matches!(
        short,
        Err(IdentityError::NotAgreed { have: 0, needs: 1 })
    ));
}

#[tokio::test]
async fn a_signature_is_for_one_proposal_of_one_installation_by_its_own_device() {
    let world = World::new().await;
    let [bea] = world.stewards(["bea"]).await;
    let proposal = propose(&world, &world.alice, shares()).await.unwrap();
    let other = propose(&world, &world.alice, shares()).await.unwrap();
    let elsewhere = InstallationId::from_bytes([8; 16]);
    let mut larger = proposal.clone();
    larger.act = ProposedAct::MakeShares {
        name: label("recovery"),
        threshold: 2,
        count: 4,
        retires: None,
        scheme: ShareScheme::Shamir,
    };
    let mut later = proposal.clone();
    later.expires = later.expires.plus(Duration::from_secs(1));
    for (what, key, message) in [
        ("another proposal", &bea, other.message(&INSTALLATION)),
        ("another installation", &bea, proposal.message(&elsewhere)),
        ("another act", &bea, larger.message(&INSTALLATION)),
        ("another end", &bea, later.message(&INSTALLATION)),
        (
            "another steward",
            &world.alice,
            proposal.message(&INSTALLATION),
        ),
    ] {
        let signature = key.key.sign(&message).unwrap();
        let refused = signed(&world, &bea, proposal.id, signature)
            .await
            .unwrap_err();
        let error = refused.domain();
        assert!(
            matches!(error, IdentityError::BadProposalSignature),
            "{what}: {error}"
        );
    }
}

#[tokio::test]
async fn only_stewards_propose_sign_and_look() {
    let world = World::new().await;
    let [_] = world.stewards(["bea"]).await;
    let adam = world
        .operator("adam", &[role(Role::Admin, Some("shop"))])
        .await;
    let proposal = propose(&world, &world.alice, shares()).await.unwrap();
    let refused = sign(&world, &adam, &proposal).await.unwrap_err();
    assert_eq!(refused.denied(), DenyReason::NoRole);
    assert_eq!(
        world.permit(&adam, ProposalListing).err(),
        Some(DenyReason::NoRole)
    );
    let op = ProposalCreate { act: shares() };
    assert_eq!(world.permit(&adam, op).err(), Some(DenyReason::NoRole));
}

#[tokio::test]
async fn proposals_end_after_a_day_and_do_not_pile_up() {
    let world = World::new().await;
    let [bea] = world.stewards(["bea"]).await;
    let proposal = propose(&world, &world.alice, shares()).await.unwrap();
    sign(&world, &bea, &proposal).await.unwrap();
    sign(&world, &world.alice, &proposal).await.unwrap();
    for _ in 1..16 {
        propose(&world, &world.alice, shares()).await.unwrap();
    }
    let refused = propose(&world, &world.alice, shares())
        .await
        .unwrap_err()
        .domain();
    assert!(matches!(refused, IdentityError::TooManyProposals));
    world.pass(Duration::from_secs(24 * 3600));
    let over = look(&world, &proposal.id);
    assert!(matches!(over, Err(IdentityError::ProposalOver)), "{over:?}");
    propose(&world, &world.alice, shares()).await.unwrap();
    world.pass(Duration::from_secs(24 * 3600 + 1));
    propose(&world, &world.alice, shares()).await.unwrap();
    let permit = world.permit(&world.alice, ProposalListing).unwrap();
    let (store, snapshot) = (world.recorder.store(), world.snapshot());
    let list = ProposalListing::run(&permit, store, &snapshot, &INSTALLATION, world.now()).unwrap();
    let states: Vec<_> = list
        .proposals
        .iter()
        .map(|proposal| proposal.state)
        .collect();
    assert_eq!(states, [ProposalState::Open, ProposalState::Expired]);
}

#[tokio::test]
async fn shares_that_cannot_be_made_are_not_proposed() {
    let world = World::new().await;
    for (scheme, threshold, count) in [
        (ShareScheme::Shamir, 0, 3),
        (ShareScheme::Shamir, 1, 3),
        (ShareScheme::Shamir, 4, 3),
        (ShareScheme::Slip39, 2, 17),
    ] {
        let act = ProposedAct::MakeShares {
            name: label("recovery"),
            threshold,
            count,
            retires: None,
            scheme,
        };
        let refused = propose(&world, &world.alice, act)
            .await
            .unwrap_err()
            .domain();
        assert!(
            matches!(refused, IdentityError::BadShares),
            "{threshold} of {count}"
        );
    }
}
