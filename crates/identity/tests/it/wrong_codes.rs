//! A right password with a wrong code: counted with the account, told to its operator, and
//! the end of the password when it is too often.

use crate::account_world::{App, OTHER, PASSWORD, STEP};
use crate::passkeys::recorded;
use crate::world::{World, label};
use procura_crypto::SystemEntropy;
use procura_identity::IdentityError;
use procura_identity::account::{
    OperatorAccount, PASSWORD_VOID_ACTION, RightPassword, SignInRefusal, WRONG_CODES_ACTION,
};
use procura_ledger::Decision;

const WRONG: &str = "000000x";

/// How often the record tells of wrong codes, and of a password that is none any more.
fn told(world: &World) -> (usize, usize) {
    let count = |action| recorded(world, action).len();
    (count(WRONG_CODES_ACTION), count(PASSWORD_VOID_ACTION))
}

async fn count(world: &World, right: &RightPassword, times: usize) {
    for _ in 0..times {
        let (store, now) = (world.recorder.store(), world.now());
        right
            .clone()
            .count(store, now, &SystemEntropy)
            .await
            .unwrap();
    }
}

/// The same of a try that is refused for this.
fn half_right(world: &World, code: &str, reason: SignInRefusal) -> RightPassword {
    let (refusal, right) = world.half_right("alice", PASSWORD, code);
    assert_eq!(refusal, reason);
    right.unwrap()
}

async fn account(world: &World) -> App {
    world.account(&world.alice, "alice").await
}

#[tokio::test]
async fn the_third_is_told_once_and_a_sign_in_with_both_begins_anew() {
    let world = World::new().await;
    let app = account(&world).await;
    let right = half_right(&world, WRONG, SignInRefusal::WrongCode);
    for (times, told_of) in [(2, 0), (1, 1), (5, 1)] {
        count(&world, &right, times).await;
        assert_eq!(told(&world), (told_of, 0), "{times}");
    }
    let entries = recorded(&world, "web_login.wrong_codes");
    let entry = entries.first().unwrap();
    assert_eq!(entry.resource.as_deref(), Some("operator/alice wrong:3"));
    assert_eq!((entry.decision, entry.actor), (Decision::Allow, None));
    let code = app.code(&world);
    world.sign_in("alice", &app).await;
    count(&world, &right, 2).await;
    assert_eq!(told(&world), (1, 0));
    // A code that was used is as wrong as another, and a recovery code that is none.
    let used = half_right(&world, code.expose(), SignInRefusal::CodeUsed);
    count(&world, &used, 1).await;
    assert_eq!(told(&world), (2, 0));
    half_right(&world, "aaaa-aaaa-aaaa-aaaa", SignInRefusal::WrongCode);
}

#[tokio::test]
async fn nobody_without_the_password_brings_it_about() {
    let world = World::new().await;
    let app = account(&world).await;
    let code = app.code(&world);
    for (name, password, code) in [
        ("alice", OTHER, WRONG),
        ("alice", OTHER, code.expose().as_str()),
        ("alice", "", ""),
        ("nobody", PASSWORD, WRONG),
    ] {
        let (_, right) = world.half_right(name, password, code);
        assert!(right.is_none(), "{name} {password}");
    }
    assert_eq!(told(&world), (0, 0));
}

#[tokio::test]
async fn after_fifty_the_password_is_none_until_its_operator_sets_one() {
    let world = World::new().await;
    let app = account(&world).await;
    let right = half_right(&world, WRONG, SignInRefusal::WrongCode);
    count(&world, &right, 49).await;
    assert_eq!(told(&world), (1, 0));
    let code = app.code(&world);
    let passed = world.verify("alice", PASSWORD, code.expose()).ok().unwrap();
    count(&world, &right, 1).await;
    assert_eq!(told(&world), (1, 1));
    let entries = recorded(&world, "operator.password.void");
    let said = entries.first().unwrap().resource.as_deref();
    assert_eq!(said, Some("operator/alice wrong:50"));
    // Also for whoever was right a moment before.
    let error = world.begin(&passed).await.err().unwrap().domain();
    assert!(
        matches!(error, IdentityError::SignIn(SignInRefusal::AccountChanged)),
        "{error}"
    );
    let refused = world.verify("alice", PASSWORD, code.expose()).err();
    assert_eq!(refused, Some(SignInRefusal::NoAccount));
    let op = OperatorAccount::resolve(&world.snapshot(), &label("alice")).unwrap();
    let permit = world.permit(&world.alice, op).ok().unwrap();
    let shown = OperatorAccount::run(&permit, world.recorder.store()).unwrap();
    assert!(shown.password.is_none() && shown.totp.is_some());
    // There is nothing more to count, of that password ever again.
    count(&world, &right, 60).await;
    world.pass(STEP);
    world.set_password(&world.alice, "alice").await.unwrap();
    count(&world, &right, 60).await;
    assert_eq!(told(&world), (1, 1));
    // The new one begins anew, and lets in with the same app.
    let right = half_right(&world, WRONG, SignInRefusal::WrongCode);
    count(&world, &right, 2).await;
    assert_eq!(told(&world), (1, 1));
    world.sign_in("alice", &app).await;
}

#[tokio::test]
async fn tries_at_the_same_moment_are_counted_each() {
    let world = World::new().await;
    let _app = account(&world).await;
    let right = half_right(&world, WRONG, SignInRefusal::WrongCode);
    tokio::join!(
        count(&world, &right, 17),
        count(&world, &right, 17),
        count(&world, &right, 15),
    );
    assert_eq!(told(&world), (1, 0));
    count(&world, &right, 1).await;
    assert_eq!(told(&world), (1, 1));
}
