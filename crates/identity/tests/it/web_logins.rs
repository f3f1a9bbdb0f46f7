//! Web logins: how they begin, go on and end.

use crate::account_world::{STEP, home};
use crate::world::{Actor, World, label, perform};
use procura_crypto::SystemEntropy;
use procura_identity::IdentityError;
use procura_identity::web_login::{
    FoundLogin, NewWebLogin, WebLoginEnd, WebLoginListing, WebLoginStart, WebLoginTerms,
    WhichLogins,
};
use procura_policy::DenyReason;
use procura_proof::{Authenticated, Caller, Case, WebLoginCookie};
use procura_types::{Amr, Duration, WebLoginId};

const MINUTE: Duration = Duration::from_secs(60);

/// Signs somebody in for whom a passkey vouched.
async fn begin(world: &World, who: &Actor, replaces: Option<WebLoginId>) -> NewWebLogin {
    begin_within(world, who, replaces, WebLoginTerms::default()).await
}

/// The same, for as long as the configuration says.
async fn begin_within(
    world: &World,
    who: &Actor,
    replaces: Option<WebLoginId>,
    terms: WebLoginTerms,
) -> NewWebLogin {
    let person = Authenticated::vouched(who.id, Amr::Passkey);
    let snapshot = world.snapshot();
    let op = WebLoginStart::vouched(&person, &snapshot, replaces).unwrap();
    let caller = Caller::signing_in(&person, &snapshot, world.now(), home());
    let made = perform(&world.recorder, caller, op, |batch| {
        WebLoginStart::run(batch, &terms, world.now(), &SystemEntropy)
    });
    made.await.ok().unwrap()
}

fn found(world: &World, cookie: &WebLoginCookie) -> Option<FoundLogin> {
    FoundLogin::of(world.recorder.store(), &cookie.digest()).unwrap()
}

/// Who a cookie makes, or why nobody.
fn who(world: &World, cookie: &WebLoginCookie) -> Result<Caller, Case> {
    let found = found(world, cookie);
    let kept = found.as_ref().map(FoundLogin::kept);
    Caller::web_login(
        cookie,
        kept.as_ref(),
        &world.snapshot(),
        world.now(),
        home(),
    )
    .map_err(|refusal| refusal.case)
}

fn list(world: &World, name: &str) -> Vec<WebLoginId> {
    let op = WebLoginListing::resolve(&world.snapshot(), &label(name)).unwrap();
    let permit = world.permit(&world.alice, op).ok().unwrap();
    let list = WebLoginListing::run(&permit, world.recorder.store(), world.now());
    list.unwrap().logins.iter().map(|login| login.id).collect()
}

async fn end(
    world: &World,
    by: &Actor,
    name: &str,
    which: WhichLogins,
) -> Result<usize, crate::world::Failure> {
    let op = WebLoginEnd::resolve(&world.snapshot(), &label(name), which).unwrap();
    let ended = world.act(by, op, WebLoginEnd::run).await?;
    Ok(ended.ended)
}

/// What a request does with a web login that is good.
async fn use_it(world: &World, cookie: &WebLoginCookie) -> bool {
    let found = found(world, cookie).unwrap();
    match found.seen(world.recorder.store(), world.now()).unwrap() {
        None => false,
        Some(batch) => world.recorder.store().commit(batch).await.is_ok(),
    }
}

#[tokio::test]
async fn a_cookie_is_found_by_its_hash_and_makes_its_person() {
    let world = World::new().await;
    let made = begin(&world, &world.alice, None).await;
    let read = WebLoginCookie::read(made.cookie.text().expose()).unwrap();
    let caller = who(&world, &read).unwrap();
    assert_eq!(*caller.actor(), world.alice.id);
    assert_eq!(caller.session(), Some(made.login.id.as_bytes()));
    assert_eq!(caller.authenticated(), Some(world.now()));
    assert_eq!(list(&world, "alice"), [made.login.id]);
    let other = WebLoginCookie::generate(&SystemEntropy).unwrap();
    assert_eq!(who(&world, &other).err(), Some(Case::WebLoginUnknown));
}

#[tokio::test]
async fn a_web_login_is_over_when_nothing_is_done_with_it_and_whatever_is_done() {
    let world = World::new().await;
    let made = begin(&world, &world.alice, None).await;
    let terms = WebLoginTerms::default();
    world.pass(Duration::from_secs(14 * 60 + 59));
    assert!(who(&world, &made.cookie).is_ok());
    assert!(use_it(&world, &made.cookie).await);
    world.pass(Duration::from_secs(14 * 60 + 59));
    assert!(who(&world, &made.cookie).is_ok());
    world.pass(Duration::from_secs(1));
    assert_eq!(who(&world, &made.cookie).err(), Some(Case::WebLoginIdle));
    assert!(list(&world, "alice").is_empty());
    // Used each minute, it goes on for twelve hours and no longer.
    let made = begin(&world, &world.alice, None).await;
    let end = world.now().plus(terms.absolute);
    assert_eq!(made.login.ends, end);
    while world.now() < end {
        assert!(who(&world, &made.cookie).is_ok());
        use_it(&world, &made.cookie).await;
        world.pass(Duration::from_secs(10 * 60));
    }
    assert_eq!(who(&world, &made.cookie).err(), Some(Case::WebLoginOver));
}

#[tokio::test]
async fn a_short_limit_ends_nothing_that_is_used() {
    let world = World::new().await;
    for minutes in 1..=3 {
        let idle = MINUTE * minutes;
        let terms = WebLoginTerms {
            idle,
            ..WebLoginTerms::default()
        };
        let made = begin_within(&world, &world.alice, None, terms).await;
        for _ in 0..12 {
            world.pass(idle / 2);
            assert!(who(&world, &made.cookie).is_ok(), "{minutes}");
            use_it(&world, &made.cookie).await;
        }
        world.pass(idle);
        assert_eq!(who(&world, &made.cookie).err(), Some(Case::WebLoginIdle));
    }
}

#[tokio::test]
async fn its_use_is_written_once_a_minute_and_never_brings_it_back() {
    let world = World::new().await;
    let made = begin(&world, &world.alice, None).await;
    assert!(!use_it(&world, &made.cookie).await);
    world.pass(Duration::from_secs(59));
    assert!(!use_it(&world, &made.cookie).await);
    world.pass(Duration::from_secs(1));
    assert!(use_it(&world, &made.cookie).await);
    assert!(!use_it(&world, &made.cookie).await);
    // One that was found before it was ended.
    world.pass(MINUTE);
    let before = found(&world, &made.cookie).unwrap();
    let all = end(&world, &world.alice, "alice", WhichLogins::All).await;
    assert_eq!(all.ok(), Some(1));
    let store = world.recorder.store();
    let late = before.seen(store, world.now()).unwrap().unwrap();
    assert!(store.commit(late).await.is_err());
    assert_eq!(who(&world, &made.cookie).err(), Some(Case::WebLoginUnknown));
}

#[tokio::test]
async fn each_sign_in_makes_another_cookie_and_ends_the_one_it_came_with() {
    let world = World::new().await;
    let first = begin(&world, &world.alice, None).await;
    let beside = begin(&world, &world.alice, None).await;
    let second = begin(&world, &world.alice, Some(first.login.id)).await;
    assert_ne!(first.cookie.digest(), second.cookie.digest());
    assert_ne!(first.login.id, second.login.id);
    assert_eq!(
        who(&world, &first.cookie).err(),
        Some(Case::WebLoginUnknown)
    );
    assert!(who(&world, &second.cookie).is_ok());
    assert!(who(&world, &beside.cookie).is_ok());
    // Somebody else's is not ended by naming it.
    let bob = world.operator("bob", &[]).await;
    begin(&world, &bob, Some(second.login.id)).await;
    assert!(who(&world, &second.cookie).is_ok());
}

#[tokio::test]
async fn of_too_many_the_ones_end_that_were_used_least_lately() {
    let world = World::new().await;
    let mut made = Vec::new();
    for _ in 0..16 {
        made.push(begin(&world, &world.alice, None).await);
        world.pass(Duration::from_secs(1));
    }
    world.pass(MINUTE);
    assert!(use_it(&world, &made[0].cookie).await);
    let last = begin(&world, &world.alice, None).await;
    assert_eq!(list(&world, "alice").len(), 16);
    assert!(who(&world, &made[0].cookie).is_ok());
    assert!(who(&world, &last.cookie).is_ok());
    assert_eq!(
        who(&world, &made[1].cookie).err(),
        Some(Case::WebLoginUnknown)
    );
}

#[tokio::test]
async fn whose_it_is_and_stewards_end_web_logins_and_nobody_else() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let (one, two) = (
        begin(&world, &bob, None).await,
        begin(&world, &bob, None).await,
    );
    let alices = begin(&world, &world.alice, None).await;
    let no = end(&world, &bob, "alice", WhichLogins::All).await;
    assert_eq!(no.unwrap_err().denied(), DenyReason::NoRole);
    // An id of somebody else's is not theirs.
    let which = WhichLogins::One(alices.login.id);
    let error = end(&world, &bob, "bob", which).await.unwrap_err().domain();
    assert!(matches!(error, IdentityError::NoWebLogin), "{error}");
    let which = WhichLogins::One(one.login.id);
    assert_eq!(end(&world, &bob, "bob", which).await.ok(), Some(1));
    let error = end(&world, &bob, "bob", which).await.unwrap_err().domain();
    assert!(matches!(error, IdentityError::NoWebLogin), "{error}");
    assert_eq!(who(&world, &one.cookie).err(), Some(Case::WebLoginUnknown));
    assert!(who(&world, &two.cookie).is_ok());
    let all = end(&world, &world.alice, "bob", WhichLogins::All).await;
    assert_eq!(all.ok(), Some(1));
    assert_eq!(who(&world, &two.cookie).err(), Some(Case::WebLoginUnknown));
    assert!(who(&world, &alices.cookie).is_ok());
}

#[tokio::test]
async fn another_password_or_app_ends_all_web_logins() {
    let world = World::new().await;
    let app = world.account(&world.alice, "alice").await;
    let made = world.sign_in("alice", &app).await;
    assert!(who(&world, &made.cookie).is_ok());
    world.set_password(&world.alice, "alice").await.unwrap();
    assert_eq!(who(&world, &made.cookie).err(), Some(Case::WebLoginUnknown));
    assert!(list(&world, "alice").is_empty());
    world.pass(STEP);
    let made = world.sign_in("alice", &app).await;
    let other = world.begin_app(&world.alice, "alice").await.unwrap();
    assert!(who(&world, &made.cookie).is_ok());
    let code = other.code(&world);
    let confirmed = world.confirm_app(&world.alice, "alice", code.expose());
    confirmed.await.unwrap();
    assert_eq!(who(&world, &made.cookie).err(), Some(Case::WebLoginUnknown));
}

#[tokio::test]
async fn whoever_is_revoked_has_no_web_login_at_once_and_gets_none() {
    let world = World::new().await;
    let bob = world.operator("bob", &[]).await;
    let app = world.account(&bob, "bob").await;
    let made = world.sign_in("bob", &app).await;
    world.pass(STEP);
    let code = app.code(&world);
    let password = crate::account_world::PASSWORD;
    let passed = world.verify("bob", password, code.expose()).ok().unwrap();
    let kept = found(&world, &made.cookie).unwrap().kept();
    world.revoke_operator(&world.alice, "bob").await.unwrap();
    assert!(found(&world, &made.cookie).is_none());
    // Also if its row were still there.
    let snapshot = world.snapshot();
    let late = Caller::web_login(&made.cookie, Some(&kept), &snapshot, world.now(), None);
    assert_eq!(late.unwrap_err().case, Case::ActorRevoked);
    // What was right a moment before.
    let error = world.begin(&passed).await.err().unwrap();
    assert_eq!(error.denied(), DenyReason::Revoked);
}

#[tokio::test]
async fn agents_have_no_web_logins() {
    let world = World::new().await;
    let agent = world.agent("scribe", None).await.unwrap();
    let person = Authenticated::vouched(agent.actor_id, Amr::Oidc);
    assert!(WebLoginStart::vouched(&person, &world.snapshot(), None).is_none());
}
