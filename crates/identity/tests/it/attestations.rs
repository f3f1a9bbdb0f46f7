//! What daemons attest: every refusal by its exact word, and how an attestation ends.

use crate::world::{Actor, INSTALLATION, World, ed25519, label, namespace, p256, role};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_directory::AttestationOver;
use procura_identity::{
    ATTESTATION_LIFE, AttestChallenge, AttestMake, AttestationListing, AttestationRefusal,
    AttestationRevoke, CHALLENGE_LIFE, IdentityError, ReleaseAdd, ReleaseKeyAdd, ReleaseKeyListing,
    ReleaseKeyRemove, ReleaseListing, ReleaseWithdraw,
};
use procura_ledger::{NoteSigner, ReleasedProgram, sign_release};
use procura_policy::DenyReason;
use procura_proof::{attestation_id, attestation_message};
use procura_types::wire::{
    AttestationGiven, AttestationPut, AttestationState, AttestationStatement, PublicJwk,
};
use procura_types::{Duration, ExeDigest, Grade, InstallationId, Role};

/// A process of the daemon of an agent.
pub(crate) struct Process<'a> {
    pub(crate) world: &'a World,
    pub(crate) agent: &'a Actor,
    pub(crate) key: SigningKey,
    pub(crate) exe: ExeDigest,
}

impl<'a> Process<'a> {
    pub(crate) fn start(world: &'a World, agent: &'a Actor) -> Self {
        Self {
            world,
            agent,
            key: ed25519(),
            exe: ExeDigest::from_bytes([1; 32]),
        }
    }

    pub(crate) async fn nonce(&self) -> String {
        let snapshot = self.world.snapshot();
        let caller = self.world.caller(self.agent);
        let op = AttestChallenge::resolve(&snapshot, &caller, None).unwrap();
        let now = self.world.now();
        let given = self.world.act(self.agent, op, |batch| {
            AttestChallenge::run(batch, now, &SystemEntropy)
        });
        given.await.unwrap().nonce
    }

    pub(crate) fn statement(&self, nonce: &str) -> AttestationStatement {
        AttestationStatement {
            installation: INSTALLATION,
            agent: self.agent.id,
            device: self.agent.device(),
            key: self.key.public().to_jwk(),
            exe_sha256: self.exe,
            version: "0.5.0".parse().unwrap(),
            target: "x86_64-linux".parse().unwrap(),
            pid: 4711,
            boot_id: "a7a4b3c2-0000-4000-8000-000000000000".parse().unwrap(),
            time: self.world.now(),
            nonce: nonce.to_owned(),
        }
    }

    pub(crate) fn signed(&self, statement: AttestationStatement) -> AttestationPut {
        let message = attestation_message(&self.world.server, &statement, self.key.public());
        AttestationPut {
            signature: self.key.sign(&message).unwrap(),
            statement,
            quote: None,
        }
    }

    pub(crate) async fn send(
        &self,
        put: AttestationPut,
    ) -> Result<AttestationGiven, AttestationRefusal> {
        self.send_as(self.agent, put).await
    }

    async fn send_as(
        &self,
        sender: &Actor,
        put: AttestationPut,
    ) -> Result<AttestationGiven, AttestationRefusal> {
        let world = self.world;
        let caller = world.caller(sender);
        let snapshot = world.snapshot();
        let op = AttestMake::resolve(&snapshot, &caller, put, INSTALLATION, world.server).unwrap();
        let made = world.act(sender, op, |batch| AttestMake::run(batch, world.now()));
        made.await.map_err(|failure| match failure.domain() {
            IdentityError::Attestation(refusal) => refusal,
            other => panic!("another failure: {other:?}"),
        })
    }

    pub(crate) async fn attest(&self) -> Result<AttestationGiven, AttestationRefusal> {
        let nonce = self.nonce().await;
        self.send(self.signed(self.statement(&nonce))).await
    }
}

/// A release key, and the release of one program by it.
pub(crate) struct Release {
    pub(crate) signer: NoteSigner,
}

impl Release {
    pub(crate) async fn enrol(world: &World, name: &str) -> Self {
        let signer = NoteSigner::new(name, ed25519()).unwrap();
        let vkey = signer.vkey().clone();
        let now = world.now();
        let add = ReleaseKeyAdd { vkey };
        world
            .act(&world.alice, add, |batch| ReleaseKeyAdd::run(batch, now))
            .await
            .unwrap();
        Self { signer }
    }

    pub(crate) fn note(&self, exe: ExeDigest, version: &str) -> String {
        let program = ReleasedProgram {
            sha256: exe,
            version: version.parse().unwrap(),
            target: "x86_64-linux".parse().unwrap(),
        };
        sign_release(&[program], &self.signer).unwrap()
    }

    pub(crate) async fn add(&self, world: &World, exe: ExeDigest, version: &str) {
        add(world, self.note(exe, version)).await.unwrap();
    }
}

async fn add(world: &World, note: String) -> Result<(), IdentityError> {
    let now = world.now();
    let op = ReleaseAdd { note };
    let added = world.act(&world.alice, op, |batch| {
        ReleaseAdd::run(batch, now).map(drop)
    });
    added.await.map_err(crate::world::Failure::domain)
}

async fn withdraw(world: &World, sha256: ExeDigest) {
    let now = world.now();
    let op = ReleaseWithdraw { sha256 };
    world
        .act(&world.alice, op, |batch| ReleaseWithdraw::run(batch, now))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_nobody_vouches_for_is_self_reported() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let process = Process::start(&world, &scribe);
    let given = process.attest().await.unwrap();
    assert_eq!(given.grade, Grade::SelfReported);
    assert_eq!(
        given.id,
        attestation_id(&scribe.device(), process.key.public())
    );
    assert_eq!(given.until, world.now().plus(ATTESTATION_LIFE));
    assert!(given.lacks.unwrap().contains("procura release add"));
    let snapshot = world.snapshot();
    assert_eq!(
        snapshot.attested(&given.id, world.now()),
        Ok(Grade::SelfReported)
    );
    // It is not renewed: over to the millisecond.
    let last = given.until.minus(Duration::from_millis(1));
    assert!(snapshot.attested(&given.id, last).is_ok());
    assert_eq!(
        snapshot.attested(&given.id, given.until),
        Err(AttestationOver::Expired)
    );
}

#[tokio::test]
async fn a_signed_release_is_one_until_it_is_withdrawn() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let process = Process::start(&world, &scribe);
    let before = process.attest().await.unwrap();
    let release = Release::enrol(&world, "release.example.com").await;
    release.add(&world, process.exe, "0.5.0").await;
    // Renewed, it is the same attestation of a better grade.
    let given = process.attest().await.unwrap();
    assert_eq!((given.id, given.grade), (before.id, Grade::SignedRelease));
    withdraw(&world, process.exe).await;
    assert_eq!(
        world.snapshot().attested(&given.id, world.now()),
        Err(AttestationOver::Withdrawn)
    );
    assert_eq!(
        process.attest().await.unwrap_err(),
        AttestationRefusal::DigestWithdrawn
    );
    // Nor does another signature bring it back.
    let error = add(&world, release.note(process.exe, "0.5.0")).await;
    assert!(
        matches!(error, Err(IdentityError::Withdrawn(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_a_removed_key_vouched_for_counts_no_more() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let process = Process::start(&world, &scribe);
    let release = Release::enrol(&world, "one").await;
    release.add(&world, process.exe, "0.5.0").await;
    let given = process.attest().await.unwrap();
    assert_eq!(given.grade, Grade::SignedRelease);
    let now = world.now();
    let remove = ReleaseKeyRemove::resolve(&world.snapshot(), "one");
    world
        .act(&world.alice, remove, |batch| {
            ReleaseKeyRemove::run(batch, now)
        })
        .await
        .unwrap();
    let over = world.snapshot().attested(&given.id, now);
    assert_eq!(over, Err(AttestationOver::Withdrawn));
    assert_eq!(process.attest().await.unwrap().grade, Grade::SelfReported);
    let error = add(&world, release.note(process.exe, "0.5.0")).await;
    assert!(
        matches!(error, Err(IdentityError::BadRelease(_))),
        "{error:?}"
    );
    // The name means that key for good, and another one vouches for the program.
    let again = ReleaseKeyAdd {
        vkey: NoteSigner::new("one", ed25519()).unwrap().vkey().clone(),
    };
    let taken = world
        .act(&world.alice, again, |batch| ReleaseKeyAdd::run(batch, now))
        .await;
    let taken = taken.unwrap_err().domain();
    assert!(matches!(taken, IdentityError::ReleaseKeyTaken), "{taken:?}");
    let other = Release::enrol(&world, "two").await;
    other.add(&world, process.exe, "0.5.0").await;
    assert_eq!(process.attest().await.unwrap().grade, Grade::SignedRelease);
}

#[tokio::test]
async fn a_note_counts_only_by_an_enrolled_key_and_in_its_form() {
    let world = World::new().await;
    let exe = ExeDigest::from_bytes([1; 32]);
    let early = NoteSigner::new("release", ed25519()).unwrap();
    let early = Release { signer: early };
    let error = add(&world, early.note(exe, "0.5.0")).await.unwrap_err();
    let why = "there is no key that could have signed it";
    assert!(error.to_string().contains(why), "{error}");
    let release = Release::enrol(&world, "release").await;
    let stranger = NoteSigner::new("release", ed25519()).unwrap();
    let stranger = Release { signer: stranger };
    let other_purpose = release.signer.sign(&format!("{exe} 0.5.0 x\n")).unwrap();
    let twice = format!("procura-release/v1\n{exe} 0.5.0 x\n{exe} 0.6.0 x\n");
    let twice = release.signer.sign(&twice).unwrap();
    let changed = release.note(exe, "0.5.0").replace("0.5.0", "0.5.1");
    for (note, why) in [
        (stranger.note(exe, "0.5.0"), "not signed by release"),
        (changed, "does not verify"),
        (other_purpose, "does not begin with procura-release/v1"),
        (twice, "the same digest twice"),
        ("x".to_owned(), "signed note"),
    ] {
        let error = add(&world, note).await.unwrap_err();
        assert!(matches!(error, IdentityError::BadRelease(_)), "{error:?}");
        assert!(error.to_string().contains(why), "{error}: {why}");
    }
    release.add(&world, exe, "0.5.0").await;
    let permit = world.permit(&world.alice, ReleaseListing).unwrap();
    let list = ReleaseListing::run(&permit, &world.snapshot());
    assert_eq!(list.releases.len(), 1);
    assert_eq!(list.releases[0].key, "release");
}

/// How a statement is wrong that is refused.
type Wrong = fn(&mut AttestationStatement, &Others);

/// Somebody else's.
struct Others {
    agent: procura_types::ActorId,
    device: procura_types::Thumbprint,
    p256: PublicJwk,
}

#[tokio::test]
async fn a_statement_that_does_not_hold_is_refused_for_its_reason() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let clerk = world.agent_with_device("clerk", None).await;
    let process = Process::start(&world, &scribe);
    let others = Others {
        agent: clerk.id,
        device: clerk.device(),
        p256: p256().public().to_jwk(),
    };
    let cases: [(Wrong, AttestationRefusal); 8] = [
        (
            |it, _| it.nonce = "AAAA".to_owned(),
            AttestationRefusal::Replayed,
        ),
        (
            |it, _| it.installation = InstallationId::from_bytes([8; 16]),
            AttestationRefusal::WrongInstallation,
        ),
        (
            |it, others| it.agent = others.agent,
            AttestationRefusal::WrongAgent,
        ),
        (
            |it, others| it.device = others.device,
            AttestationRefusal::WrongAgent,
        ),
        (
            |it, _| it.time = it.time.minus(Duration::from_millis(300_001)),
            AttestationRefusal::Clock,
        ),
        (
            |it, _| it.time = it.time.plus(Duration::from_millis(300_001)),
            AttestationRefusal::Clock,
        ),
        (
            |it, others| it.key = others.p256.clone(),
            AttestationRefusal::BadKey,
        ),
        (
            |it, _| it.key = ed25519().public().to_jwk(),
            AttestationRefusal::BadSignature,
        ),
    ];
    for (change, reason) in cases {
        let nonce = process.nonce().await;
        let mut statement = process.statement(&nonce);
        change(&mut statement, &others);
        let refused = process.send(process.signed(statement)).await;
        assert_eq!(refused.unwrap_err(), reason);
    }
    // Whatever is changed after it was signed.
    let nonce = process.nonce().await;
    let good = process.statement(&nonce);
    let changes: [Wrong; 5] = [
        |it, _| it.exe_sha256 = ExeDigest::from_bytes([2; 32]),
        |it, _| it.version = "0.5.1".parse().unwrap(),
        |it, _| it.target = "aarch64-linux".parse().unwrap(),
        |it, _| it.pid += 1,
        |it, _| it.boot_id = "b".parse().unwrap(),
    ];
    for change in changes {
        let mut put = process.signed(good.clone());
        change(&mut put.statement, &others);
        let refused = process.send(put).await;
        assert_eq!(refused.unwrap_err(), AttestationRefusal::BadSignature);
    }
    assert!(world.snapshot().all_attestations().next().is_none());
    // None of it used the challenge up.
    process.send(process.signed(good)).await.unwrap();
}

#[tokio::test]
async fn a_challenge_is_good_once_for_its_device_and_for_five_minutes() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let clerk = world.agent_with_device("clerk", None).await;
    let process = Process::start(&world, &scribe);
    let nonce = process.nonce().await;
    let put = || process.signed(process.statement(&nonce));
    process.send(put()).await.unwrap();
    assert_eq!(
        process.send(put()).await.unwrap_err(),
        AttestationRefusal::Replayed
    );
    // A newer one takes the place of the one before.
    let older = process.nonce().await;
    let newer = process.nonce().await;
    let refused = process
        .send(process.signed(process.statement(&older)))
        .await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::Replayed);
    // That of another device.
    let other = Process::start(&world, &clerk);
    let refused = other.send(other.signed(other.statement(&newer))).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::Replayed);
    // At its last moment, and after it.
    world.pass(CHALLENGE_LIFE);
    process
        .send(process.signed(process.statement(&newer)))
        .await
        .unwrap();
    let late = process.nonce().await;
    world.pass(CHALLENGE_LIFE + Duration::from_millis(1));
    let refused = process.send(process.signed(process.statement(&late))).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::ChallengeExpired);
}

#[tokio::test]
async fn one_agents_daemon_attests_for_no_other() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let clerk = world.agent_with_device("clerk", None).await;
    let process = Process::start(&world, &scribe);
    // The clerk's daemon sends what the scribe's has signed, with a challenge of its own.
    let thief = Process::start(&world, &clerk);
    let nonce = thief.nonce().await;
    let put = process.signed(process.statement(&nonce));
    let refused = thief.send_as(&clerk, put).await;
    assert_eq!(refused.unwrap_err(), AttestationRefusal::WrongAgent);
    // The key of one process is another attestation on another device.
    let same_key = Process {
        key: SigningKey::from_secret_bytes(process.key.to_secret_bytes().expose()).unwrap(),
        ..Process::start(&world, &clerk)
    };
    let one = process.attest().await.unwrap().id;
    assert_ne!(same_key.attest().await.unwrap().id, one);
    // An operator has no daemon.
    let caller = world.caller(&world.alice);
    assert!(AttestChallenge::resolve(&world.snapshot(), &caller, None).is_none());
}

#[tokio::test]
async fn a_program_that_says_it_is_a_release_has_to_be_it() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let mut process = Process::start(&world, &scribe);
    let release = Release::enrol(&world, "release").await;
    release.add(&world, process.exe, "0.5.0").await;
    assert_eq!(process.attest().await.unwrap().grade, Grade::SignedRelease);
    // Another program of the same version.
    process.exe = ExeDigest::from_bytes([2; 32]);
    assert_eq!(
        process.attest().await.unwrap_err(),
        AttestationRefusal::WrongDigest
    );
    // The released program under another version.
    let other = ExeDigest::from_bytes([3; 32]);
    release.add(&world, other, "0.4.0").await;
    process.exe = other;
    assert_eq!(
        process.attest().await.unwrap_err(),
        AttestationRefusal::WrongDigest
    );
    // A second build of the same release.
    let build = ExeDigest::from_bytes([4; 32]);
    release.add(&world, build, "0.5.0").await;
    process.exe = build;
    assert_eq!(process.attest().await.unwrap().grade, Grade::SignedRelease);
    // Of a version that nobody knows the word is the process's own.
    process.exe = ExeDigest::from_bytes([5; 32]);
    let nonce = process.nonce().await;
    let mut statement = process.statement(&nonce);
    statement.version = "0.6.0-dev".parse().unwrap();
    let given = process.send(process.signed(statement)).await.unwrap();
    assert_eq!(given.grade, Grade::SelfReported);
}

#[tokio::test]
async fn a_revoked_process_attests_no_more_and_another_does() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let process = Process::start(&world, &scribe);
    let given = process.attest().await.unwrap();
    let revoke = |who: &'static str| {
        let op = AttestationRevoke::resolve(&world.snapshot(), &namespace("shop"), &given.id);
        (who, op.unwrap())
    };
    // Who is neither admin nor whose it is.
    let clerk = world.agent_with_device("clerk", None).await;
    let watcher = world
        .operator("watcher", &[role(Role::Auditor, Some("shop"))])
        .await;
    for (who, actor) in [("clerk", &clerk), ("watcher", &watcher)] {
        let (who, op) = revoke(who);
        let now = world.now();
        let refused = world.act(actor, op, |batch| AttestationRevoke::run(batch, now));
        assert_eq!(
            refused.await.unwrap_err().denied(),
            DenyReason::NoRole,
            "{who}"
        );
    }
    let other = AttestationRevoke::resolve(&world.snapshot(), &namespace("bank"), &given.id);
    assert!(other.is_none());
    let (_, op) = revoke("alice");
    let now = world.now();
    world
        .act(&world.alice, op, |batch| AttestationRevoke::run(batch, now))
        .await
        .unwrap();
    let over = world.snapshot().attested(&given.id, now);
    assert_eq!(over, Err(AttestationOver::Revoked));
    assert_eq!(
        process.attest().await.unwrap_err(),
        AttestationRefusal::Revoked
    );
    let again = Process::start(&world, &scribe).attest().await.unwrap();
    assert!(world.snapshot().attested(&again.id, now).is_ok());
    // Its own agent may say no to it as well.
    let own = AttestationRevoke::resolve(&world.snapshot(), &namespace("shop"), &again.id);
    world
        .act(&scribe, own.unwrap(), |batch| {
            AttestationRevoke::run(batch, now)
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn the_list_says_where_each_stands_and_few_are_remembered() {
    let world = World::new().await;
    let scribe = world.agent_with_device("scribe", None).await;
    let mut ids = Vec::new();
    for _ in 0..10 {
        let process = Process::start(&world, &scribe);
        ids.push(process.attest().await.unwrap().id);
        world.pass(Duration::from_secs(1));
    }
    let list = |actor: &Actor| {
        let op = AttestationListing {
            namespace: namespace("shop"),
        };
        let permit = world.permit(actor, op)?;
        Ok::<_, DenyReason>(AttestationListing::run(
            &permit,
            &world.snapshot(),
            world.now(),
        ))
    };
    let found: Vec<_> = list(&world.alice)
        .unwrap()
        .attestations
        .into_iter()
        .map(|found| found.id)
        .collect();
    let expected: Vec<_> = ids.iter().rev().take(8).copied().collect();
    assert_eq!(found, expected, "the newest eight");
    assert_eq!(list(&scribe).unwrap_err(), DenyReason::NoRole);
    world
        .revoke_device(&world.alice, &scribe.device())
        .await
        .unwrap();
    let list = list(&world.alice).unwrap();
    assert!(
        list.attestations
            .iter()
            .all(|found| found.state == AttestationState::Revoked)
    );
    assert_eq!(list.attestations[0].agent, label("scribe"));
}

#[tokio::test]
async fn release_keys_are_for_stewards() {
    let world = World::new().await;
    let roles = [Role::Admin, Role::Approver, Role::Auditor];
    let roles = roles.map(|held| role(held, Some("shop")));
    let bea = world.operator("bea", &roles).await;
    let no = DenyReason::NoRole;
    let now = world.now();
    assert_eq!(world.permit(&bea, ReleaseKeyListing).err(), Some(no));
    assert_eq!(world.permit(&bea, ReleaseListing).err(), Some(no));
    let vkey = NoteSigner::new("x", ed25519()).unwrap().vkey().clone();
    let refused = world.act(&bea, ReleaseKeyAdd { vkey }, |batch| {
        ReleaseKeyAdd::run(batch, now)
    });
    assert_eq!(refused.await.unwrap_err().denied(), no);
    let note = "x".to_owned();
    let refused = world.act(&bea, ReleaseAdd { note }, |batch| {
        ReleaseAdd::run(batch, now)
    });
    assert_eq!(refused.await.unwrap_err().denied(), no);
    let sha256 = ExeDigest::from_bytes([1; 32]);
    let refused = world.act(&bea, ReleaseWithdraw { sha256 }, |batch| {
        ReleaseWithdraw::run(batch, now)
    });
    assert_eq!(refused.await.unwrap_err().denied(), no);
}
