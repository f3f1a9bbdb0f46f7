//! Servers of one installation whose clocks differ, and what is good for one use, at
//! several of them at once.

use crate::actors::{Actors, join_body};
use crate::servers::{LIST, PATIENCE, SECRET, Shared, again, is_undecided, let_in, put};
use crate::servers::{soon, soon_told, value};
use crate::sessions::{list, started, unauthorized};
use crate::world::{CANARY, Sent, World};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_types::{Duration, LinkCodeText};
use serde_json::{Value, json};

/// As far apart as clocks may be: the shared guard refuses what is made by one that is
/// more than five seconds from its own. A busy machine takes some of that.
const APART: Duration = Duration::from_secs(4);

fn holds(world: &World) -> bool {
    let open = world.app.open().unwrap();
    open.lease.as_ref().unwrap().is_held()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_whose_clocks_differ_are_one_installation() {
    let shared = Shared::new();
    let (one, two) = (shared.server(), shared.server());
    two.clock.turn(APART);
    let root = SigningKey::generate_p256(&SystemEntropy).unwrap();
    one.init(&root).await;
    two.unseal().await;
    // A proof is good at both, by whichever clock it was made, and once.
    for (first, second) in [(&one, &two), (&two, &one)] {
        for made in [&one, &two] {
            let sent = let_in(first, made, &root).await;
            unauthorized(&again(second, &sent).await, "nonce_replayed");
        }
    }
    // A session that begins by the clock that is ahead is one at the other, and so are
    // its counters.
    let (session, _) = started(&two, &root, None).await;
    let mut decided = 0;
    for counter in 1..=200 {
        if decided == 20 {
            break;
        }
        let (here, there) =
            tokio::join!(list(&one, &session, counter), list(&two, &session, counter));
        assert!(!(here.status == 200 && there.status == 200), "{counter}");
        if is_undecided(&here) || is_undecided(&there) {
            continue;
        }
        decided += 1;
        let (good, bad) = match here.status.is_success() {
            true => (here, there),
            false => (there, here),
        };
        assert_eq!(good.status, 200, "{}", good.text());
        unauthorized(&bad, "nonce_replayed");
    }
    assert_eq!(decided, 20, "the guard does not answer");
    // Nobody compares clocks for the lease: never do both have it, while either writes.
    for round in 0..20 {
        let wanted = format!("{CANARY} {round}");
        let (writer, reader) = match round % 2 {
            0 => (&one, &two),
            _ => (&two, &one),
        };
        writer.ok(&root, "PUT", SECRET, put(&wanted)).await;
        soon("the value", PATIENCE, async || {
            (value(reader, &root).await == wanted).then_some(())
        })
        .await;
        // Asked once more: between two answers it may have gone from hand to hand.
        let both = holds(&one) && holds(&two) && holds(&one);
        assert!(!both, "round {round}");
    }
    // Entries stand in the order of the commits, whatever times they bear, and the record
    // is whole at both.
    let entries = "/v1/ledger/entries?limit=1000";
    let indexes = |list: &Value| -> Vec<u64> {
        let rows = list["entries"].as_array().unwrap().iter();
        rows.map(|row| row["index"].as_u64().unwrap()).collect()
    };
    let here = indexes(&one.ok(&root, "GET", entries, Value::Null).await);
    // The other shows them as soon as it has heard of the last.
    let there = soon_told("as many at the other", PATIENCE, async || {
        let there = indexes(&two.ok(&root, "GET", entries, Value::Null).await);
        match there.len() >= here.len() {
            true => Ok(there),
            false => Err(format!("{} of {}", there.len(), here.len())),
        }
    })
    .await;
    assert_eq!(here, (0..here.len() as u64).rev().collect::<Vec<_>>());
    assert!(there.ends_with(&here), "{here:?} {there:?}");
    for world in [&one, &two] {
        let deep = world
            .ok(&root, "GET", "/v1/status?deep=true", Value::Null)
            .await;
        assert_eq!(deep["deep"], json!([]));
    }
    // The other takes the lease over, ahead or behind.
    one.seal().await;
    soon("the lease", PATIENCE, async || holds(&two).then_some(())).await;
    one.unseal().await;
    two.seal().await;
    soon("the lease", PATIENCE, async || holds(&one).then_some(())).await;
}

/// What ends at a time ends by the clock of the server that is asked.
#[tokio::test(flavor = "multi_thread")]
async fn what_ends_at_a_time_ends_by_the_clock_of_the_server_that_is_asked() {
    const RUNS: &str = "/v1/namespaces/shop/projects/web/runs";
    let shared = Shared::new();
    let (one, two) = (shared.server(), shared.server());
    two.clock.turn(APART);
    let actors = Actors::within(one).await;
    let one = &actors.world;
    two.unseal().await;
    let run = json!({"names": ["DB"], "delivery": "env"});
    let ask = async |world: &World| {
        world
            .call(actors.key("scribe"), "POST", RUNS, Some(&run))
            .await
    };
    // A machine that is busy for longer than the time that is set begins anew.
    soon("a value in its time", PATIENCE, async || {
        let expires = one.now().plus(APART - Duration::from_millis(500));
        let body = json!({"value_b64": crate::actors::value_b64(), "expires": expires});
        let secret = "/v1/namespaces/shop/secrets/db/password";
        actors.ok("adam", "PUT", secret, body).await;
        let still = ask(one).await;
        if one.now() >= expires {
            return None;
        }
        assert_eq!(still.status, 200, "{}", still.text());
        let over = ask(&two).await;
        if over.status == 200 {
            // It has not heard of this version yet, and gave out the one before, which
            // ends at no time, or by its clock only now.
            return None;
        }
        over.expect("secret_expired", None, None, "where it is later");
        Some(())
    })
    .await;
}

/// Brings a code by two keys at once; the answers.
async fn at_once(code: &LinkCodeText, at: [&World; 2], keys: &[SigningKey; 2]) -> [u16; 2] {
    let join = |key: &SigningKey| {
        let body = serde_json::to_vec(&join_body(code, key)).unwrap();
        Sent::new("POST", "/v1/join", Some(&body))
    };
    let (here, there) = (join(&keys[0]), join(&keys[1]));
    let (here, there) = tokio::join!(at[0].send(&here), at[1].send(&there));
    for refused in [&here, &there] {
        if !refused.status.is_success() {
            refused.expect("code_refused", Some("unknown_code"), None, "the other one");
        }
    }
    [here.status.as_u16(), there.status.as_u16()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_two_bring_at_once_lets_one_in() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let agents = "/v1/namespaces/default/agents";
    for (round, at) in [[&one, &two], [&two, &one], [&one, &one], [&one, &two]]
        .into_iter()
        .enumerate()
    {
        let roles = json!([{"role": "auditor", "namespace": "default"}]);
        let name = format!("operator-{round}");
        let invitation = json!({"name": name, "roles": roles});
        let operator = one.ok(&root, "POST", "/v1/operators", invitation).await;
        let label = json!({"label": format!("agent-{round}")});
        one.ok(&root, "POST", agents, label).await;
        let target = format!("{agents}/agent-{round}/link-code");
        let agent = one.ok(&root, "POST", &target, Value::Null).await;
        for code in [operator, agent] {
            let code = LinkCodeText::parse(code["code"].as_str().unwrap()).unwrap();
            let keys = [0, 1].map(|_| SigningKey::generate_p256(&SystemEntropy).unwrap());
            let answers = at_once(&code, at, &keys).await;
            let let_in = answers.iter().position(|status| *status == 200).unwrap();
            assert_eq!(answers[1 - let_in], 403, "{answers:?}");
            for world in [&one, &two] {
                soon("who was let in", PATIENCE, async || {
                    let listed = world.call(&keys[let_in], LIST.0, LIST.1, None).await;
                    (listed.status == 200).then_some(())
                })
                .await;
                let stranger = world.call(&keys[1 - let_in], LIST.0, LIST.1, None).await;
                unauthorized(&stranger, "unknown_agent");
            }
            // Nor does it let anybody in later.
            let late = [0, 1].map(|_| SigningKey::generate_p256(&SystemEntropy).unwrap());
            assert_eq!(at_once(&code, [&one, &two], &late).await, [403, 403]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_answered_at_both_at_once_has_one_answer() {
    let shared = Shared::new();
    let actors = Actors::within(shared.server()).await;
    let two = shared.server();
    two.unseal().await;
    for request in &actors.waiting {
        let requests = format!("/v1/namespaces/shop/requests/{request}");
        let approval = actors.approval(request, "anna").await;
        let (approve, deny) = (format!("{requests}/approve"), format!("{requests}/deny"));
        let key = actors.key("anna");
        let (yes, no) = tokio::join!(
            actors.world.call(key, "POST", &approve, Some(&approval)),
            two.call(key, "POST", &deny, None),
        );
        let said = [yes.status.is_success(), no.status.is_success()];
        assert!(said[0] != said[1], "{} {}", yes.text(), no.text());
        let state = if said[0] { "approved" } else { "denied" };
        for world in [&actors.world, &two] {
            let read = world.ok(key, "GET", &requests, Value::Null).await;
            assert_eq!(read["state"], state, "{read}");
        }
    }
}
