//! How many stewards the most dangerous acts take, and what counts as a yes to them.

use crate::passkey_world::{asserted, party};
use crate::steward_world::{by, look, propose, sign};
use crate::world::{Actor, Failure, INSTALLATION, World, ed25519, label, namespace, perform, role};
use procura_crypto::sha256;
use procura_crypto::webauthn::{Flaw, SoftwarePasskey};
use procura_directory::TokenHash;
use procura_identity::passkey::{PasskeyAnswer, PasskeyRefusal};
use procura_identity::{
    ApiKeyCreate, ApiKeyScope, ApprovalRuleListing, ApprovalRuleSet, IdentityError, NewApiKey,
    ProposalDraft, ProposalSignByPasskey, stewards_needed,
};
use procura_types::wire::{
    self, ApprovalRule, GuardedAct, Proposal, ProposalState, ProposedAct, RootTurn,
};
use procura_types::{Duration, InstallationId, ProposalId, Role, Thumbprint};

fn turn() -> ProposedAct {
    ProposedAct::RotateRoot {
        turn: RootTurn::Keys {
            sessions_go_on: false,
        },
    }
}

/// In a web login by the first passkey, the second says yes to what this challenge is of.
async fn says_yes(
    world: &World,
    login: &mut SoftwarePasskey,
    passkey: Option<&mut SoftwarePasskey>,
    id: ProposalId,
    challenge: [u8; 32],
) -> Result<Proposal, Failure> {
    let made = world.sign_in_by(login).await;
    let caller = world.browser(&made.cookie).unwrap();
    let passkey = passkey.unwrap_or(login);
    let answered = passkey.answer(&challenge).unwrap();
    let op = ProposalSignByPasskey {
        id,
        party: party(),
        answer: PasskeyAnswer::from(asserted(passkey, answered)),
    };
    perform(&world.recorder, caller, op, |batch| {
        ProposalSignByPasskey::run(batch, &INSTALLATION, world.now())
    })
    .await
}

/// That so many yeses count of so many that it takes.
fn counts(world: &World, proposal: &Proposal, have: usize, needs: usize) {
    match look(world, &proposal.id) {
        Ok(_) => assert!(have >= needs, "it is agreed"),
        Err(IdentityError::NotAgreed {
            have: found,
            needs: takes,
        }) => assert_eq!((found, takes), (have, needs)),
        Err(other) => panic!("another error: {other}"),
    }
}

fn refusal(failure: Failure) -> PasskeyRefusal {
    match failure.domain() {
        IdentityError::Passkey(refused) => refused.refusal,
        other => panic!("another error: {other}"),
    }
}

async fn set(
    world: &World,
    needs: u8,
    proposal: Option<&Proposal>,
) -> Result<ApprovalRule, IdentityError> {
    let op = ApprovalRuleSet {
        act: GuardedAct::RotateRoot,
        needs,
        by: proposal.and_then(by),
    };
    world
        .act(&world.alice, op, |batch| {
            ApprovalRuleSet::run(batch, world.now())
        })
        .await
        .map_err(Failure::domain)
}

async fn to_set(world: &World, needs: u8) -> Proposal {
    let act = GuardedAct::RotateRoot;
    propose(
        world,
        &world.alice,
        ProposedAct::SetApprovals { act, needs },
    )
    .await
    .unwrap()
}

async fn goes(world: &World, who: &Actor, name: &str) {
    world.revoke_operator(who, name).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_says_yes_to_the_very_act_and_as_long_as_it_is_enrolled() {
    let world = World::new().await;
    let [bea] = world.stewards(["bea"]).await;
    let mut hers = world.passkey(&world.alice, "alice").await;
    let mut of_bea = world.passkey(&bea, "bea").await;
    let proposal = propose(&world, &world.alice, turn()).await.unwrap();
    let other = propose(&world, &world.alice, turn()).await.unwrap();
    let op = ProposalDraft { id: proposal.id };
    let permit = world.permit(&world.alice, op).unwrap();
    let (store, snapshot) = (world.recorder.store(), world.snapshot());
    let (challenge, shown) =
        ProposalDraft::run(&permit, &snapshot, store, &INSTALLATION, world.now()).unwrap();
    assert_eq!(challenge, sha256(&proposal.message(&INSTALLATION)));
    assert_eq!((shown.id, shown.act), (proposal.id, turn()));

    let elsewhere = InstallationId::from_bytes([8; 16]);
    for (what, message) in [
        ("another proposal", other.message(&INSTALLATION)),
        ("another installation", proposal.message(&elsewhere)),
    ] {
        let no = says_yes(&world, &mut hers, None, proposal.id, sha256(&message)).await;
        let flaw = PasskeyRefusal::Flaw(Flaw::WrongChallenge);
        assert_eq!(refusal(no.unwrap_err()), flaw, "{what}");
    }
    let no = says_yes(&world, &mut hers, Some(&mut of_bea), proposal.id, challenge).await;
    assert_eq!(refusal(no.unwrap_err()), PasskeyRefusal::OtherUser);
    counts(&world, &proposal, 0, 2);

    // She counts once, by whatever she signs.
    sign(&world, &world.alice, &proposal).await.unwrap();
    for _ in 0..2 {
        let signed = says_yes(&world, &mut hers, None, proposal.id, challenge).await;
        let signed = signed.unwrap();
        assert_eq!(
            (signed.state, signed.signed.len()),
            (ProposalState::Open, 1)
        );
        assert!(signed.signed[0].by_passkey && signed.signed[0].counts);
    }
    let agreed = says_yes(&world, &mut of_bea, None, proposal.id, challenge).await;
    assert_eq!(agreed.unwrap().state, ProposalState::Agreed);
    world
        .remove_passkey(&bea, &of_bea.key.public().thumbprint())
        .await
        .unwrap();
    counts(&world, &proposal, 1, 2);
    // Her device is held: whoever has it may have enrolled the passkey.
    world.hold(&bea, &world.alice.device()).await.unwrap();
    counts(&world, &proposal, 0, 2);
}

/// An API key of alice's, as the device that it is.
async fn api_key(world: &World) -> Thumbprint {
    let (key, name) = (ed25519(), label("deploy"));
    let device = key.public().thumbprint();
    let alice = &world.alice;
    let message = wire::ApiKeyCreate::message(&INSTALLATION, &alice.id, &name, &device);
    let actions = vec!["secret.list".to_owned()];
    let terms = NewApiKey {
        name,
        key: key.public().clone(),
        signature: key.sign(&message).unwrap(),
        scope: ApiKeyScope::new(actions, vec![namespace("shop")], false).unwrap(),
        life: Duration::from_secs(3600),
    };
    let op = ApiKeyCreate::resolve(&world.snapshot(), &label("alice"), terms).unwrap();
    let hash = TokenHash::from_bytes([1; 32]);
    world
        .act(alice, op, |batch| {
            ApiKeyCreate::run(batch, &INSTALLATION, hash, world.now())
        })
        .await
        .unwrap();
    device
}

/// Whoever has the key of a steward's automation could take that steward's yes away else.
#[tokio::test(flavor = "multi_thread")]
async fn what_stops_the_device_of_an_api_key_takes_no_yes_of_a_passkey_away() {
    let world = World::new().await;
    let [bea] = world.stewards(["bea"]).await;
    let mut hers = world.passkey(&world.alice, "alice").await;
    let proposal = propose(&world, &world.alice, turn()).await.unwrap();
    let challenge = sha256(&proposal.message(&INSTALLATION));
    let device = api_key(&world).await;
    world.hold(&bea, &device).await.unwrap();
    let signed = says_yes(&world, &mut hers, None, proposal.id, challenge).await;
    assert!(signed.unwrap().signed[0].counts);
    counts(&world, &proposal, 1, 2);
    // One of her own does.
    world.hold(&bea, &world.alice.device()).await.unwrap();
    counts(&world, &proposal, 0, 2);
    let signed = says_yes(&world, &mut hers, None, proposal.id, challenge).await;
    let error = signed.unwrap_err().domain();
    assert!(matches!(error, IdentityError::OnHold), "{error}");
}

#[tokio::test]
async fn a_yes_ends_with_its_device_and_with_the_role() {
    let world = World::new().await;
    let [bea, cleo, dora] = world.stewards(["bea", "cleo", "dora"]).await;
    let act = ProposedAct::EndNamespace {
        name: namespace("shop"),
    };
    let proposal = propose(&world, &world.alice, act).await.unwrap();
    // Two, of four too: a quorum is for what makes stewards and shares.
    assert_eq!(proposal.needs, 2);
    for _ in 0..2 {
        sign(&world, &world.alice, &proposal).await.unwrap();
        counts(&world, &proposal, 1, 2);
    }
    for by in [&bea, &cleo] {
        sign(&world, by, &proposal).await.unwrap();
    }
    counts(&world, &proposal, 3, 2);
    world.revoke_device(&bea, &bea.device()).await.unwrap();
    counts(&world, &proposal, 2, 2);
    world
        .set_roles(&cleo, "cleo", &[role(Role::Admin, Some("shop"))])
        .await
        .unwrap();
    counts(&world, &proposal, 1, 2);
    sign(&world, &dora, &proposal).await.unwrap();
    counts(&world, &proposal, 2, 2);
    goes(&world, &dora, "dora").await;
    counts(&world, &proposal, 1, 2);
}

#[tokio::test]
async fn what_is_proposed_has_to_be_there() {
    let world = World::new().await;
    let refused = async |act| {
        propose(&world, &world.alice, act)
            .await
            .unwrap_err()
            .domain()
    };
    let gone = namespace("gone");
    assert!(matches!(
        refused(ProposedAct::EndNamespace { name: gone.clone() }).await,
        IdentityError::NoNamespace(name) if name == gone
    ));
    // An operator is no break-glass account.
    let name = label("alice");
    assert!(matches!(
        refused(ProposedAct::UseBreakGlass { name }).await,
        IdentityError::NoBreakGlass(_)
    ));
    for needs in [0, 2] {
        let act = GuardedAct::EndNamespace;
        assert!(matches!(
            refused(ProposedAct::SetApprovals { act, needs }).await,
            IdentityError::BadApprovals
        ));
    }
}

#[tokio::test]
async fn what_takes_more_is_made_to_take_fewer_by_as_many() {
    let world = World::new().await;
    let act = GuardedAct::RotateRoot;
    assert_eq!(stewards_needed(&world.snapshot(), act), 1);
    assert!(matches!(
        set(&world, 2, None).await,
        Err(IdentityError::BadApprovals)
    ));
    let alone = set(&world, 1, None).await.unwrap();
    assert_eq!(
        (alone.needs, alone.set, alone.by),
        (1, Some(1), Some(world.alice.id))
    );

    // What was set when there was one stays until it is set anew.
    let [bea, cleo] = world.stewards(["bea", "cleo"]).await;
    assert_eq!(stewards_needed(&world.snapshot(), act), 1);
    assert!(matches!(
        set(&world, 3, None).await,
        Err(IdentityError::TakesQuorum)
    ));
    let more = to_set(&world, 3).await;
    assert_eq!(more.needs, 2);
    sign(&world, &world.alice, &more).await.unwrap();
    assert!(matches!(
        set(&world, 3, Some(&more)).await,
        Err(IdentityError::NotAgreed { have: 1, needs: 2 })
    ));
    sign(&world, &bea, &more).await.unwrap();
    assert!(matches!(
        set(&world, 2, Some(&more)).await,
        Err(IdentityError::OtherProposal)
    ));
    assert_eq!(set(&world, 3, Some(&more)).await.unwrap().needs, 3);
    assert!(matches!(
        set(&world, 3, Some(&more)).await,
        Err(IdentityError::ProposalOver)
    ));

    // Two of three would be a quorum, and take back what takes all three.
    let fewer = to_set(&world, 1).await;
    assert_eq!(fewer.needs, 3);
    for by in [&world.alice, &bea] {
        sign(&world, by, &fewer).await.unwrap();
    }
    counts(&world, &fewer, 2, 3);
    // Who is left can still bring it down.
    goes(&world, &cleo, "cleo").await;
    assert_eq!(stewards_needed(&world.snapshot(), act), 3);
    counts(&world, &fewer, 2, 2);
    assert_eq!(set(&world, 1, Some(&fewer)).await.unwrap().needs, 1);
    let permit = world.permit(&world.alice, ApprovalRuleListing).unwrap();
    let list = ApprovalRuleListing::run(&permit, &world.snapshot());
    let found: Vec<_> = list
        .rules
        .iter()
        .map(|rule| (rule.act, rule.needs, rule.set))
        .collect();
    assert_eq!(list.stewards, 2);
    assert_eq!(
        found,
        [
            (GuardedAct::MakeShares, 2, None),
            (GuardedAct::RotateRoot, 1, Some(1)),
            (GuardedAct::EndNamespace, 2, None),
            (GuardedAct::UseBreakGlass, 2, None),
        ]
    );
}
