//! What an operator signs in with: who sets it, and what lets whom in.

use crate::account_world::{OTHER, PASSWORD, STEP, hash, home};
use crate::world::{Actor, World, label, p256};
use procura_identity::account::{
    Block, OperatorAccount, OperatorAccountEnd, OperatorPassword, OperatorRecoveryCodes,
    OperatorTotp, RECOVERY_CODES, SignInRefusal, SignInTry, new_password,
};
use procura_identity::web_login::FoundLogin;
use procura_identity::{DeviceRevocation, IdentityError, OperatorDeviceRevoke};
use procura_policy::DenyReason;
use procura_types::wire::Account;
use procura_types::{Duration, Role, Thumbprint};

fn refused(error: crate::world::Failure) -> SignInRefusal {
    match error.domain() {
        IdentityError::SignIn(refusal) => refusal,
        other => panic!("another error: {other}"),
    }
}

fn shown(world: &World, name: &str) -> Account {
    let op = OperatorAccount::resolve(&world.snapshot(), &label(name)).unwrap();
    let permit = world.permit(&world.alice, op).ok().unwrap();
    OperatorAccount::run(&permit, world.recorder.store()).unwrap()
}

#[tokio::test]
async fn an_account_is_set_by_whose_it_is_and_by_nobody_else() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    // Alice is a steward, and it is not hers to set.
    let no = |error: crate::world::Failure| assert_eq!(error.denied(), DenyReason::NotOwn);
    no(world.set_password(&world.alice, "bob").await.unwrap_err());
    no(world.begin_app(&world.alice, "bob").await.err().unwrap());
    let op = OperatorRecoveryCodes::resolve(&world.snapshot(), &label("bob")).unwrap();
    assert_eq!(
        world.permit(&world.alice, op).err(),
        Some(DenyReason::NotOwn)
    );
    world.set_password(&bob, "bob").await.unwrap();
    let (set, account) = (world.now(), shown(&world, "bob"));
    assert_eq!(account.password, Some(set));
    assert_eq!((account.totp, account.totp_waits), (None, false));
    assert_eq!(account.recovery_codes, 0);
    // Others learn nothing of hers, and cannot take it away.
    for own in [
        OperatorAccount::resolve(&world.snapshot(), &label("alice"))
            .map(|op| world.permit(&bob, op).err().unwrap()),
        OperatorAccountEnd::resolve(&world.snapshot(), &label("alice"))
            .map(|op| world.permit(&bob, op).err().unwrap()),
    ] {
        assert_eq!(own, Some(DenyReason::NoRole));
    }
    assert!(OperatorTotp::resolve(&world.snapshot(), &label("nobody")).is_none());
}

#[test]
fn passwords_have_a_length() {
    let entropy = procura_crypto::SystemEntropy;
    for bad in ["", "eleven char", &"x".repeat(1025)] {
        let error = new_password(bad, &entropy).err().unwrap();
        assert!(matches!(error, IdentityError::BadPassword), "{error}");
    }
}

#[tokio::test]
async fn an_app_counts_from_its_first_code_on_which_is_used_up() {
    let world = World::new().await;
    let alice = &world.alice;
    world.set_password(alice, "alice").await.unwrap();
    let error = world.confirm_app(alice, "alice", "123456").await;
    let error = error.unwrap_err().domain();
    assert!(matches!(error, IdentityError::NoTotpWaits), "{error}");
    let app = world.begin_app(alice, "alice").await.unwrap();
    assert!(shown(&world, "alice").totp_waits);
    let refused = world.verify("alice", PASSWORD, app.code(&world).expose());
    assert_eq!(refused.err(), Some(SignInRefusal::NoAccount));
    for wrong in ["", "000000x", "12345"] {
        let error = world.confirm_app(alice, "alice", wrong).await;
        let error = error.unwrap_err().domain();
        assert!(matches!(error, IdentityError::WrongTotp), "{error}");
    }
    let code = app.code(&world);
    let confirmed = world.confirm_app(alice, "alice", code.expose()).await;
    confirmed.unwrap();
    let account = shown(&world, "alice");
    assert_eq!(
        (account.totp, account.totp_waits),
        (Some(world.now()), false)
    );
    let refused = world.verify("alice", PASSWORD, code.expose());
    assert_eq!(refused.err(), Some(SignInRefusal::CodeUsed));
    world.pass(STEP);
    assert!(
        world
            .verify("alice", PASSWORD, app.code(&world).expose())
            .is_ok()
    );
}

#[tokio::test]
async fn every_wrong_sign_in_is_refused_for_its_reason() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let carol = world.operator("carol", &[]).await;
    let app = world.account(&world.alice, "alice").await;
    let bobs = world.account(&bob, "bob").await;
    world.set_password(&carol, "carol").await.unwrap();
    world.pass(STEP);
    let code = app.code(&world);
    let code = code.expose().as_str();
    let verify = |name, password, code| world.verify(name, password, code).err();
    for (name, password, code, reason) in [
        ("nobody", PASSWORD, code, SignInRefusal::UnknownName),
        ("", PASSWORD, code, SignInRefusal::UnknownName),
        ("Alice", PASSWORD, code, SignInRefusal::UnknownName),
        ("carol", PASSWORD, code, SignInRefusal::NoAccount),
        ("alice", OTHER, code, SignInRefusal::WrongPassword),
        ("alice", "", "", SignInRefusal::WrongPassword),
        ("alice", PASSWORD, "", SignInRefusal::WrongCode),
        (
            "alice",
            PASSWORD,
            "aaaa-aaaa-aaaa-aaaa",
            SignInRefusal::WrongCode,
        ),
        ("bob", PASSWORD, code, SignInRefusal::WrongCode),
    ] {
        assert_eq!(verify(name, password, code), Some(reason), "{name}");
    }
    // Two steps ago, and two ahead.
    for away in [2, 3] {
        world.pass(STEP);
        if away == 2 {
            assert!(world.verify("alice", PASSWORD, code).is_ok());
        } else {
            assert_eq!(
                verify("alice", PASSWORD, code),
                Some(SignInRefusal::WrongCode)
            );
        }
    }
    assert!(
        world
            .verify("alice", PASSWORD, app.code(&world).expose())
            .is_ok()
    );
    world.revoke_operator(&world.alice, "bob").await.unwrap();
    let code = bobs.code(&world);
    assert_eq!(
        verify("bob", PASSWORD, code.expose()),
        Some(SignInRefusal::UnknownName)
    );
}

#[tokio::test]
async fn a_code_is_good_once_and_none_from_before_it_is() {
    let world = World::new().await;
    let app = world.account(&world.alice, "alice").await;
    let before = app.code(&world);
    world.pass(STEP);
    let code = app.code(&world);
    // Both are right before either is used.
    let verify = |code: &str| world.verify("alice", PASSWORD, code);
    let (one, same) = (verify(code.expose()).ok(), verify(code.expose()).ok());
    let earlier = verify(before.expose()).ok();
    world.begin(&one.unwrap()).await.ok().unwrap();
    for late in [same.unwrap(), earlier.unwrap()] {
        let error = world.begin(&late).await.err().unwrap();
        assert_eq!(refused(error), SignInRefusal::CodeUsed);
    }
    for used in [&code, &before] {
        assert_eq!(verify(used.expose()).err(), Some(SignInRefusal::CodeUsed));
    }
    world.pass(STEP);
    assert!(verify(app.code(&world).expose()).is_ok());
}

#[tokio::test]
async fn a_recovery_code_is_good_once() {
    let world = World::new().await;
    let _app = world.account(&world.alice, "alice").await;
    let codes = world.recovery_codes(&world.alice, "alice").await;
    assert_eq!(codes.len(), RECOVERY_CODES);
    let verify = |code: &str| world.verify("alice", PASSWORD, code);
    let first = codes[0].expose().to_uppercase().replace('-', " ");
    let (one, same) = (verify(&first).ok().unwrap(), verify(&first).ok().unwrap());
    world.begin(&one).await.ok().unwrap();
    let error = world.begin(&same).await.err().unwrap();
    assert_eq!(refused(error), SignInRefusal::CodeUsed);
    let again = verify(codes[0].expose()).err();
    assert_eq!(again, Some(SignInRefusal::CodeUsed));
    assert_eq!(shown(&world, "alice").recovery_codes, RECOVERY_CODES - 1);
    assert!(verify(codes[9].expose()).is_ok());
    let others = world.recovery_codes(&world.alice, "alice").await;
    for code in [&codes[0], &codes[9]] {
        let old = verify(code.expose()).err();
        assert_eq!(old, Some(SignInRefusal::WrongCode));
    }
    assert!(verify(others[9].expose()).is_ok());
}

#[tokio::test]
async fn what_was_right_before_a_change_lets_nobody_in_after_it() {
    let world = World::new().await;
    let app = world.account(&world.alice, "alice").await;
    let verify = |code: &str| world.verify("alice", PASSWORD, code);
    let before = verify(app.code(&world).expose()).ok().unwrap();
    world.pass(Duration::from_millis(1));
    world.set_password(&world.alice, "alice").await.unwrap();
    let error = world.begin(&before).await.err().unwrap();
    assert_eq!(refused(error), SignInRefusal::AccountChanged);
    // The app is replaced by another: the code of the one before is none.
    let before = verify(app.code(&world).expose()).ok().unwrap();
    world.pass(Duration::from_millis(1));
    let other = world.begin_app(&world.alice, "alice").await.unwrap();
    assert!(verify(app.code(&world).expose()).is_ok());
    let code = other.code(&world);
    let confirmed = world.confirm_app(&world.alice, "alice", code.expose());
    confirmed.await.unwrap();
    let error = world.begin(&before).await.err().unwrap();
    assert_eq!(refused(error), SignInRefusal::AccountChanged);
    world.pass(STEP);
    let old = verify(app.code(&world).expose()).err();
    assert_eq!(old, Some(SignInRefusal::WrongCode));
    assert!(verify(other.code(&world).expose()).is_ok());
}

#[tokio::test]
async fn a_steward_takes_an_account_away_and_its_operator_sets_another() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let app = world.account(&bob, "bob").await;
    world.sign_in("bob", &app).await;
    let op = OperatorAccountEnd::resolve(&world.snapshot(), &label("bob")).unwrap();
    world
        .act(&world.alice, op, OperatorAccountEnd::run)
        .await
        .unwrap();
    let account = shown(&world, "bob");
    assert_eq!((account.password, account.totp), (None, None));
    world.pass(STEP);
    let old = world.verify("bob", PASSWORD, app.code(&world).expose());
    assert_eq!(old.err(), Some(SignInRefusal::NoAccount));
    let app = world.account(&bob, "bob").await;
    world.sign_in("bob", &app).await;
}

#[tokio::test]
async fn a_place_is_known_from_where_somebody_signed_in() {
    let world = World::new().await;
    let _carol = world.operator("carol", &[role()]).await;
    let app = world.account(&world.alice, "alice").await;
    let is_known = |name, from| world.try_from(name, from).is_known_place();
    assert!(!is_known("alice", home()));
    world.sign_in("alice", &app).await;
    assert!(is_known("alice", home()));
    assert!(!is_known("alice", Some("192.0.2.2".parse().unwrap())));
    assert!(!is_known("carol", home()));
    assert!(!is_known("nobody", home()));
    world.pass(Duration::from_secs(90 * 24 * 3600));
    assert!(!is_known("alice", home()));
}

fn role() -> procura_types::wire::RoleAssignment {
    crate::world::role(Role::Auditor, Some("shop"))
}

#[tokio::test]
async fn a_password_that_is_set_is_the_only_one() {
    let world = World::new().await;
    let app = world.account(&world.alice, "alice").await;
    let other = procura_crypto::PasswordHash::new(OTHER, &procura_crypto::SystemEntropy).unwrap();
    let op = OperatorPassword::resolve(&world.snapshot(), &label("alice")).unwrap();
    world
        .act(&world.alice, op, |batch| {
            OperatorPassword::run(batch, &other, world.now())
        })
        .await
        .unwrap();
    let code = app.code(&world);
    let old = world.verify("alice", PASSWORD, code.expose()).err();
    assert_eq!(old, Some(SignInRefusal::WrongPassword));
    assert!(world.verify("alice", OTHER, code.expose()).is_ok());
    // For a name that nobody has no account is read, whoever has the id of nothing.
    let place = Block::of(None);
    let store = world.recorder.store();
    let tried = SignInTry::of(store, &world.snapshot(), "zoe", &place, world.now());
    let tried = tried.unwrap();
    assert!(tried.actor().is_none() && !tried.is_known_place());
    let error = tried.verify("zoe", (PASSWORD, ""), hash(), world.now());
    assert_eq!(error.err().unwrap().to_string(), "unknown_name");
}

/// Whoever stole a device may have set with it what its operator signs in with.
#[tokio::test]
async fn what_a_revoked_device_had_set_goes_with_it() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let code = world.link("bob", &bob).await;
    let key = p256();
    world.join(&code, &key).await.unwrap();
    let other = Actor { id: bob.id, key };
    let app = world.account(&other, "bob").await;
    let made = world.sign_in("bob", &app).await;
    let digest = made.cookie.digest();
    let is_there = || {
        let found = FoundLogin::of(world.recorder.store(), &digest);
        found.unwrap().is_some()
    };
    // Another device that set nothing takes nothing along.
    let code = world.link("bob", &bob).await;
    let third = p256();
    world.join(&code, &third).await.unwrap();
    revoke_device(&world, &bob, &third.public().thumbprint()).await;
    assert!(is_there());
    assert!(shown(&world, "bob").password.is_some());
    revoke_device(&world, &bob, &other.device()).await;
    assert!(!is_there());
    let account = shown(&world, "bob");
    assert_eq!((account.password, account.totp), (None, None));
    world.pass(STEP);
    let late = world.verify("bob", PASSWORD, app.code(&world).expose());
    assert_eq!(late.err(), Some(SignInRefusal::NoAccount));
    // What another device sets afterwards stays.
    let app = world.account(&bob, "bob").await;
    world.sign_in("bob", &app).await;
}

async fn revoke_device(world: &World, by: &Actor, device: &Thumbprint) {
    match DeviceRevocation::resolve(&world.snapshot(), device).unwrap() {
        DeviceRevocation::Operator(op) => world
            .act(by, op, |batch| {
                OperatorDeviceRevoke::run(batch, world.now())
            })
            .await
            .unwrap(),
        DeviceRevocation::Agent(_) => panic!("a device of an agent"),
    }
}
