//! What takes more than one steward, and accounts for emergencies.

use crate::actors::Actors;
use crate::share_quorum::{sign, steward};
use crate::world::{Answer, PASSPHRASE};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_record::Since;
use procura_types::wire::{BreakGlassCreate, EventKind, Proposal};
use procura_types::{Duration, Label, encoding};
use serde_json::{Value, json};

/// What makes a break-glass account of this key.
pub(crate) fn account(actors: &Actors, name: &str, key: &SigningKey, minutes: u32) -> Value {
    let label: Label = name.parse().unwrap();
    let thumbprint = key.public().thumbprint();
    let message = BreakGlassCreate::message(&actors.installation, &label, &thumbprint, minutes);
    json!({
        "name": name,
        "key": key.public().to_jwk(),
        "signature": encoding::b64url(&key.sign(&message).unwrap()),
        "minutes": minutes,
    })
}

fn p256() -> SigningKey {
    SigningKey::generate_p256(&SystemEntropy).unwrap()
}

async fn propose(actors: &Actors, act: Value) -> Proposal {
    let made = actors
        .ok("alice", "POST", "/v1/proposals", json!({"act": act}))
        .await;
    serde_json::from_value(made).unwrap()
}

/// Alice proposes it, and she and bea sign.
async fn agreed(actors: &Actors, bea: &SigningKey, act: Value) -> Proposal {
    let proposal = propose(actors, act).await;
    sign(actors, actors.key("alice"), &proposal).await;
    sign(actors, bea, &proposal).await
}

/// How often something was told as an alarm.
fn alarms(actors: &Actors, action: &str) -> usize {
    let open = actors.world.app.open().unwrap();
    let Since::Notices(found, _) = open.notices.since(open.notices.first()) else {
        panic!("nothing was dropped");
    };
    let named = format!("\"action\":\"{action}\"");
    let alarms = found
        .iter()
        .filter(|notice| notice.kinds.contains(&EventKind::Alarm));
    alarms.filter(|notice| notice.json.contains(&named)).count()
}

/// The newest entry of an action.
async fn newest(actors: &Actors, action: &str) -> String {
    let target = format!("/v1/ledger/entries?action={action}&limit=50");
    let found = actors.ok("alice", "GET", &target, Value::Null).await;
    let entries = found["entries"].as_array().unwrap().iter();
    let mut entries = entries.map(|entry| entry["entry"].as_str().unwrap());
    // Refusals come into the record by a way of their own, and after what was asked later.
    let allowed = entries.find(|entry| entry.contains("\"decision\":\"allow\""));
    allowed.unwrap().to_owned()
}

/// What a device of an operator is told of when it signs in.
async fn told(actors: &Actors, by: &str) -> Vec<Value> {
    let audience = json!({"audience": "procura"});
    let session = actors.ok(by, "POST", "/v1/sessions", audience).await;
    let recoveries = session.get("recoveries").and_then(Value::as_array);
    recoveries.cloned().unwrap_or_default()
}

const USE: &str = "/v1/break-glass/night/use";

async fn opens(actors: &Actors, body: Value) -> Answer {
    let world = &actors.world;
    world
        .call(actors.key("night"), "POST", USE, Some(&body))
        .await
}

async fn by_night(actors: &Actors, method: &str, target: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then_some(body);
    let world = &actors.world;
    world
        .call(actors.key("night"), method, target, body.as_ref())
        .await
}

async fn made(actors: &Actors) {
    let night = account(actors, "night", actors.key("night"), 60);
    let made = actors.ok("alice", "POST", "/v1/break-glass", night).await;
    assert_eq!(made["state"], "sealed");
}

#[tokio::test]
async fn an_account_opens_once_for_its_time_and_everybody_is_told() {
    let actors = Actors::new().await;
    made(&actors).await;
    assert_eq!(alarms(&actors, "break_glass.create"), 1);
    let audience = json!({"audience": "procura"});
    for (method, target, body) in [
        ("GET", "/v1/operators", Value::Null),
        ("POST", "/v1/sessions", audience),
        ("GET", "/v1/namespaces", Value::Null),
        ("POST", "/v1/operators/night/link-code", Value::Null),
        ("POST", "/v1/operators/night/totp", Value::Null),
    ] {
        by_night(&actors, method, target, body).await.expect(
            "break_glass_closed",
            Some("break_glass_sealed"),
            None,
            target,
        );
    }
    // Nobody else opens it, a steward neither.
    for name in ["alice", "adam", "scribe"] {
        let world = &actors.world;
        let answer = world
            .call(actors.key(name), "POST", USE, Some(&json!({})))
            .await;
        answer.expect("not_found", None, None, name);
    }
    assert_eq!(told(&actors, "otto").await.len(), 0);
    assert_eq!(alarms(&actors, "break_glass.use"), 0);

    let used = opens(&actors, json!({})).await;
    assert_eq!(used.status, 200, "{}", used.text());
    assert_eq!(used.json()["state"], "open");
    let list = by_night(&actors, "GET", "/v1/operators", Value::Null).await;
    assert_eq!(list.status, 200, "{}", list.text());
    assert_eq!(alarms(&actors, "break_glass.use"), 1);
    for name in ["alice", "adam", "otto"] {
        let told = told(&actors, name).await;
        assert_eq!(told.len(), 1, "{name}");
        assert_eq!(
            (&told[0]["source"], &told[0]["break_glass"]),
            (&json!("night"), &json!(true)),
            "{name}"
        );
    }
    let entry = newest(&actors, "break_glass.use").await;
    assert!(entry.contains("operator/night until "), "{entry}");

    let again = async |what: &str| {
        let answer = opens(&actors, json!({})).await;
        answer.expect("break_glass_closed", Some("break_glass_used"), None, what);
    };
    again("while it is open").await;
    actors.world.clock.turn(Duration::from_millis(3_599_999));
    let list = by_night(&actors, "GET", "/v1/operators", Value::Null).await;
    assert_eq!(list.status, 200, "{}", list.text());
    actors.world.clock.turn(Duration::from_millis(1));
    by_night(&actors, "GET", "/v1/operators", Value::Null)
        .await
        .expect("break_glass_closed", Some("break_glass_over"), None, "over");
    again("when it is over").await;
}

#[tokio::test]
async fn an_account_ends_when_it_is_revoked_or_renewed_and_with_who_made_it() {
    let actors = Actors::new().await;
    made(&actors).await;
    let mut next = account(&actors, "night", &p256(), 30);
    // A name is an operator's, sealed or not.
    let world = &actors.world;
    world
        .call(actors.key("alice"), "POST", "/v1/break-glass", Some(&next))
        .await
        .expect("already_exists", None, None, "without a word of renewing");
    actors.world.clock.turn(Duration::from_secs(1));
    next["renews"] = json!(true);
    actors.ok("alice", "POST", "/v1/break-glass", next).await;
    opens(&actors, json!({}))
        .await
        .expect("unauthorized", Some("revoked"), None, "the one before");
    let list = actors
        .ok("alice", "GET", "/v1/break-glass", Value::Null)
        .await;
    let states: Vec<&Value> = list["accounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|account| &account["state"])
        .collect();
    assert_eq!(states, [&json!("ended"), &json!("sealed")]);

    // Who made one is a steward no more.
    let bea = steward(&actors, "bea").await;
    let late = p256();
    let made = account(&actors, "late", &late, 30);
    world.ok(&bea, "POST", "/v1/break-glass", made).await;
    world
        .ok(&bea, "PUT", "/v1/operators/bea/roles", json!({"roles": []}))
        .await;
    world
        .call(&late, "POST", "/v1/break-glass/late/use", Some(&json!({})))
        .await
        .expect("break_glass_closed", Some("maker_gone"), None, "bea went");
}

#[tokio::test]
async fn an_account_is_no_second_voice_and_leaves_nothing_of_its_kind() {
    let actors = Actors::new().await;
    made(&actors).await;
    assert_eq!(opens(&actors, json!({})).await.status, 200);
    // It stands for the only steward there is, who may invite another.
    let zoe = json!({"name": "zoe", "roles": [{"role": "steward"}]});
    let invited = by_night(&actors, "POST", "/v1/operators", zoe).await;
    assert_eq!(invited.status, 201, "{}", invited.text());
    let another = account(&actors, "another", &p256(), 60);
    let proposal = propose(&actors, json!({"rotate_root": {"turn": "passphrase"}})).await;
    let night = actors.key("night");
    let signature = night.sign(&proposal.message(&actors.installation)).unwrap();
    let signature = json!({"signature": encoding::b64url(&signature)});
    let sign = format!("/v1/proposals/{}/sign", proposal.id);
    for (method, target, body, code, reason) in [
        (
            "POST",
            "/v1/break-glass",
            another,
            "forbidden",
            "no_steward",
        ),
        ("POST", sign.as_str(), signature, "forbidden", "no_steward"),
        (
            "PUT",
            "/v1/approval-rules/rotate_root",
            json!({"needs": 1}),
            "forbidden",
            "no_steward",
        ),
        (
            "PUT",
            "/v1/operators/night/roles",
            json!({"roles": []}),
            "forbidden",
            "break_glass",
        ),
    ] {
        let answer = by_night(&actors, method, target, body).await;
        answer.expect(code, Some(reason), None, target);
    }
    // Nor is it the steward who has to stay.
    let world = &actors.world;
    let roles = json!({"roles": []});
    world
        .call(night, "PUT", "/v1/operators/alice/roles", Some(&roles))
        .await
        .expect("conflict", Some("last_steward"), None, "alice stays");
    // One steward ends it, and asks nobody.
    actors
        .ok("alice", "DELETE", "/v1/operators/night", Value::Null)
        .await;
    by_night(&actors, "GET", "/v1/operators", Value::Null)
        .await
        .expect("unauthorized", Some("revoked"), None, "revoked");
}

#[tokio::test]
async fn among_several_stewards_one_has_to_agree_to_the_use_of_an_account() {
    let actors = Actors::new().await;
    let bea = steward(&actors, "bea").await;
    made(&actors).await;
    opens(&actors, json!({})).await.expect(
        "forbidden",
        Some("approvals_needed"),
        None,
        "by itself",
    );
    let other = agreed(&actors, &bea, json!({"end_namespace": {"name": "bank"}})).await;
    opens(&actors, json!({"proposal": other.id})).await.expect(
        "conflict",
        Some("other_proposal"),
        None,
        "about something else",
    );
    let act = json!({"use_break_glass": {"name": "night"}});
    let proposal = propose(&actors, act).await;
    assert_eq!(proposal.needs, 1);
    opens(&actors, json!({"proposal": proposal.id}))
        .await
        .expect("conflict", Some("not_agreed"), None, "nobody signed");
    // Whoever made it may have its key, and would be two.
    let world = &actors.world;
    let alice = actors.key("alice");
    let signature = alice.sign(&proposal.message(&actors.installation)).unwrap();
    let signature = json!({"signature": encoding::b64url(&signature)});
    let target = format!("/v1/proposals/{}/sign", proposal.id);
    world
        .call(alice, "POST", &target, Some(&signature))
        .await
        .expect("forbidden", Some("no_steward"), None, "her own account");
    sign(&actors, &bea, &proposal).await;
    assert_eq!(told(&actors, "otto").await.len(), 0);
    // While a device of hers is on hold it stays shut.
    let of_alice = |what: &str| format!("/v1/devices/{}/{what}", actors.device("alice"));
    world.ok(&bea, "POST", &of_alice("hold"), Value::Null).await;
    opens(&actors, json!({"proposal": proposal.id}))
        .await
        .expect("break_glass_closed", Some("maker_on_hold"), None, "held");
    world
        .ok(&bea, "POST", &of_alice("reinstate"), Value::Null)
        .await;
    let used = opens(&actors, json!({"proposal": proposal.id})).await;
    assert_eq!(used.status, 200, "{}", used.text());
    // There are others, so it invites no steward.
    let zoe = json!({"name": "zoe", "roles": [{"role": "steward"}]});
    by_night(&actors, "POST", "/v1/operators", zoe)
        .await
        .expect("forbidden", Some("join_first"), None, "another steward");
    // Nobody could vote it away, so it puts no steward's device on hold.
    let of_bea = format!("/v1/devices/{}/hold", bea.public().thumbprint());
    by_night(&actors, "POST", &of_bea, Value::Null)
        .await
        .expect("forbidden", Some("no_steward"), None, "a steward's device");
    // Open or not, it ends with who made it.
    let list = by_night(&actors, "GET", "/v1/operators", Value::Null).await;
    assert_eq!(list.status, 200, "{}", list.text());
    let roles = json!({"roles": []});
    actors
        .ok("alice", "PUT", "/v1/operators/alice/roles", roles)
        .await;
    by_night(&actors, "GET", "/v1/operators", Value::Null)
        .await
        .expect("break_glass_closed", Some("maker_gone"), None, "alice went");
}

#[tokio::test]
async fn turning_the_root_and_ending_a_namespace_take_two_of_several() {
    let actors = Actors::new().await;
    let world = &actors.world;
    let open = json!({"passphrase": PASSPHRASE});
    let rotate = |proposal: Option<&Proposal>| {
        let mut body = json!({"open": open.clone()});
        if let Some(proposal) = proposal {
            body["proposal"] = json!(proposal.id);
        }
        body
    };
    // One steward is enough where there is one.
    let turned = world.admin("POST", "/admin/rotate", &rotate(None)).await;
    assert_eq!(turned.status, 204, "{}", turned.text());
    let bea = steward(&actors, "bea").await;
    let changed = json!({"current": PASSPHRASE, "new": "another passphrase 91c3"});
    let removed = json!({"open": open.clone(), "name": "recovery"});
    for (target, body) in [
        ("/admin/rotate", rotate(None)),
        ("/admin/passphrase", changed),
        ("/admin/unseal-sources/remove", removed),
    ] {
        world.admin("POST", target, &body).await.expect(
            "forbidden",
            Some("approvals_needed"),
            None,
            target,
        );
    }
    let bank = "/v1/namespaces/bank";
    let confirm = json!({"confirm": "bank"});
    world
        .call(actors.key("alice"), "DELETE", bank, Some(&confirm))
        .await
        .expect("forbidden", Some("approvals_needed"), None, "by herself");

    let keys = json!({"rotate_root": {"turn": {"keys": {}}}});
    let half = propose(&actors, keys.clone()).await;
    sign(&actors, actors.key("alice"), &half).await;
    world
        .admin("POST", "/admin/rotate", &rotate(Some(&half)))
        .await
        .expect("conflict", Some("not_agreed"), None, "one of two");
    let other = json!({"rotate_root": {"turn": {"keys": {"sessions_go_on": true}}}});
    let other = agreed(&actors, &bea, other).await;
    world
        .admin("POST", "/admin/rotate", &rotate(Some(&other)))
        .await
        .expect("conflict", Some("other_proposal"), None, "another turn");
    let proposal = agreed(&actors, &bea, keys).await;
    let turned = world
        .admin("POST", "/admin/rotate", &rotate(Some(&proposal)))
        .await;
    assert_eq!(turned.status, 204, "{}", turned.text());
    world
        .admin("POST", "/admin/rotate", &rotate(Some(&proposal)))
        .await
        .expect("conflict", Some("proposal_over"), None, "twice");

    let proposal = agreed(&actors, &bea, json!({"end_namespace": {"name": "bank"}})).await;
    let shop = json!({"confirm": "shop", "proposal": proposal.id});
    world
        .call(
            actors.key("alice"),
            "DELETE",
            "/v1/namespaces/shop",
            Some(&shop),
        )
        .await
        .expect("conflict", Some("other_proposal"), None, "another one");
    let confirm = json!({"confirm": "bank", "proposal": proposal.id});
    actors.ok("alice", "DELETE", bank, confirm).await;
    let ended = newest(&actors, "namespace.delete").await;
    let by = format!(" proposal {}\"", proposal.id);
    assert!(ended.contains(&by), "{ended}");
    let turned = newest(&actors, "installation.rotate").await;
    assert!(turned.contains("installation proposal "), "{turned}");
}

#[tokio::test]
async fn how_many_it_takes_is_set_by_the_stewards() {
    let actors = Actors::new().await;
    let bea = steward(&actors, "bea").await;
    let world = &actors.world;
    let rule = "/v1/approval-rules/rotate_root";
    let set = async |body: Value| {
        world
            .call(actors.key("alice"), "PUT", rule, Some(&body))
            .await
    };
    set(json!({"needs": 1}))
        .await
        .expect("forbidden", Some("quorum_needed"), None, "alice alone");
    set(json!({"needs": 3}))
        .await
        .expect("malformed", None, Some("needs"), "there are two");
    let one = json!({"set_approvals": {"act": "rotate_root", "needs": 1}});
    let proposal = agreed(&actors, &bea, one).await;
    set(json!({"needs": 2, "proposal": proposal.id}))
        .await
        .expect("conflict", Some("other_proposal"), None, "another number");
    let done = set(json!({"needs": 1, "proposal": proposal.id})).await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(alarms(&actors, "approval_rule.set"), 1);
    let list = actors
        .ok("alice", "GET", "/v1/approval-rules", Value::Null)
        .await;
    let needs = |act: &str| {
        let mut rules = list["rules"].as_array().unwrap().iter();
        rules.find(|rule| rule["act"] == act).unwrap()["needs"].clone()
    };
    assert_eq!(list["stewards"], 2);
    assert_eq!(needs("rotate_root"), 1);
    assert_eq!(needs("end_namespace"), 2);
    let body = json!({"open": {"passphrase": PASSPHRASE}});
    let turned = world.admin("POST", "/admin/rotate", &body).await;
    assert_eq!(turned.status, 204, "{}", turned.text());
    // Shares take a quorum all the same.
    let one = json!({"set_approvals": {"act": "make_shares", "needs": 1}});
    let proposal = agreed(&actors, &bea, one).await;
    let body = json!({"needs": 1, "proposal": proposal.id});
    let done = actors
        .ok("alice", "PUT", "/v1/approval-rules/make_shares", body)
        .await;
    assert_eq!((&done["set"], &done["needs"]), (&json!(1), &json!(2)));
}
