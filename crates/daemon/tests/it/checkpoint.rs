//! The highest checkpoint seen, and servers that fall behind it.

use crate::client::{Raw, ask_exec};
use crate::fake::Scripted;
use crate::host::{Host, own_uid, usual};
use procura_daemon::socket::{Op, Reply};
use procura_types::exit;

fn host() -> Host {
    let host = Host::new();
    host.join(1).unwrap();
    host.fake.script().runs.push_back(Scripted::Pending);
    passes(&host);
    host
}

fn passes(host: &Host) {
    match ask_exec(&host.socket(), |_| {}).hear().unwrap().0 {
        Reply::Pending(_) => {}
        Reply::Failed(failure) => panic!("{}", failure.message),
        _ => panic!("not pending"),
    }
}

fn refused(host: &Host, why: &str) {
    let asked = host.fake.script().asked.len();
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (exit::REFUSED, "rolled_back")
    );
    assert!(failure.message.contains(why), "{}", failure.message);
    // It was not even asked.
    assert_eq!(host.fake.script().asked.len(), asked);
}

#[test]
fn the_record_is_looked_at_once_a_minute() {
    let mut host = host();
    passes(&host);
    assert_eq!(host.fake.script().checkpoints, 1);
    host.restart();
    passes(&host);
    assert_eq!(host.fake.script().checkpoints, 2);
}

#[test]
fn the_record_is_looked_at_again_when_the_server_was_gone() {
    let host = host();
    {
        let mut script = host.fake.script();
        script.runs.push_front(Scripted::Unreachable);
        script.entries = 4;
    }
    let asked = host.fake.script().asked.len();
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(failure.code, "rolled_back");
    assert_eq!(host.fake.script().asked.len(), asked + 1);
}

#[test]
fn the_record_is_looked_at_in_each_session() {
    let host = host();
    host.fake.script().session = 2;
    passes(&host);
    assert_eq!(host.fake.script().checkpoints, 2);
    host.fake.script().entries = 4;
    passes(&host);
    host.fake.script().session = 3;
    refused(&host, "its record has 4 entries, and 5 were seen before");
}

#[test]
fn values_of_a_session_that_began_on_the_way_are_not_handed_over_unchecked() {
    let host = host();
    {
        let mut script = host.fake.script();
        script.runs = [Scripted::Values(vec![("A", b"1".to_vec())])].into();
        script.sessions_end = true;
        script.entries = 4;
    }
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(failure.code, "rolled_back");
    // In the other session, and again until it was not waited for any longer.
    assert!(host.fake.script().checkpoints > 2);
}

/// Behind a balancer one of several servers may answer that is behind the others for a
/// moment.
#[test]
fn a_server_that_is_behind_is_asked_again_and_a_fork_is_not() {
    let mut host = host();
    let shown = host.fake.script().checkpoints;
    host.fake.script().behind = vec![(3, false), (3, false), (4, false)];
    host.restart();
    passes(&host);
    assert_eq!(host.fake.script().checkpoints, shown + 4);
    assert!(host.fake.script().behind.is_empty());
    // Of fewer entries that are others it is known at once.
    let shown = host.fake.script().checkpoints;
    host.fake.script().behind = vec![(4, true)];
    host.restart();
    refused(&host, "its record does not contain the one seen before");
    assert_eq!(host.fake.script().checkpoints, shown + 1);
    passes(&host);
}

#[test]
fn a_record_that_grew_passes() {
    let mut host = host();
    for entries in [6, 100, 101, 256] {
        host.fake.script().entries = entries;
        host.restart();
        passes(&host);
    }
    host.fake.script().entries = 255;
    host.restart();
    refused(
        &host,
        "its record has 255 entries, and 256 were seen before",
    );
}

#[test]
fn an_older_or_forked_record_is_refused_until_it_is_accepted() {
    let mut host = host();
    host.fake.script().entries = 4;
    host.restart();
    refused(&host, "its record has 4 entries, and 5 were seen before");
    host.fake.script().entries = 5;
    passes(&host);

    host.fake.script().fork = true;
    host.restart();
    refused(&host, "its record differs from the one seen before");
    host.fake.script().entries = 9;
    refused(&host, "its record does not contain the one seen before");

    host.connect().danger_accept_rollback(None).unwrap();
    passes(&host);
    host.restart();
    passes(&host);
}

#[test]
fn an_agent_cannot_accept_an_older_record_for_itself() {
    let mut host = host();
    // The daemon has a user of its own, and this one is an agent's.
    host.restart_with(procura_daemon::ServiceOptions {
        own_uid: own_uid() + 1,
        users: vec![own_uid()],
        ..usual()
    });
    let raw = Raw::connect(&host.socket());
    raw.ask(Op::DangerAcceptRollback { agent: None });
    if own_uid() == 0 {
        assert!(matches!(raw.hear().unwrap().0, Reply::Done {}));
    } else {
        assert_eq!(raw.failure().code, "not_root");
    }
}

#[test]
fn a_key_that_turned_is_followed_while_both_sign_and_after_a_long_sleep() {
    let mut host = host();
    let wait = |future: std::pin::Pin<Box<dyn Future<Output = String> + '_>>| {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.build().unwrap().block_on(future)
    };
    // Both sign: the device goes by the new one from then on.
    let first = wait(Box::pin(host.fake.turn_ledger_key(true)));
    host.restart();
    passes(&host);
    // The one before is over, and it needs it no more.
    if let Some((_, beside)) = &mut host.fake.script().turned {
        *beside = false;
    }
    host.restart();
    passes(&host);
    // Another turn that it slept through: by the one that it knows nothing is signed.
    let second = wait(Box::pin(host.fake.turn_ledger_key(false)));
    host.restart();
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(failure.code, "bad_checkpoint");
    // What was kept of the turns leads to it, and nothing else does.
    host.fake.script().handovers = vec![first.clone()];
    host.restart();
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(failure.code, "bad_checkpoint");
    host.fake.script().handovers = vec![first, second];
    host.restart();
    passes(&host);
    host.fake.script().handovers.clear();
    host.restart();
    passes(&host);
    // What was seen counts still.
    host.fake.script().entries = 4;
    host.restart();
    refused(&host, "its record has 4 entries, and 5 were seen before");
}
