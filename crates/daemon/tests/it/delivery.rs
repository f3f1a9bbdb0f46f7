//! Values on their way, and everything that keeps them from going.

use crate::client::{Raw, ask_exec};
use crate::fake::{REQUEST, RUN, Scripted};
use crate::host::{Host, eventually};
use procura_daemon::receive_values;
use procura_daemon::socket::Reply;
use procura_types::exit;
use procura_types::wire::RequestState;

fn host(runs: impl IntoIterator<Item = Scripted>) -> Host {
    let host = Host::new();
    host.join(1).unwrap();
    host.fake.script().runs.extend(runs);
    host
}

fn values(raw: &Raw) -> Vec<(String, Vec<u8>)> {
    match raw.hear().expect("an answer") {
        (Reply::Values { run, .. }, Some(file)) => {
            assert_eq!(run, RUN);
            receive_values(file, procura_types::Delivery::Env)
                .unwrap()
                .into_iter()
                .map(|(name, value)| (name.to_string(), value.expose().clone()))
                .collect()
        }
        (Reply::Failed(failure), _) => panic!("{}", failure.message),
        _ => panic!("no values"),
    }
}

fn two() -> Scripted {
    Scripted::Values(vec![("A", b"1".to_vec()), ("B", vec![0xff, b'\n'])])
}

#[test]
fn values_come_sealed_with_what_the_daemon_saw_of_the_process() {
    let host = host([two()]);
    let raw = ask_exec(&host.socket(), |_| {});
    let got = values(&raw);
    assert_eq!(
        got,
        [
            ("A".to_owned(), b"1".to_vec()),
            ("B".to_owned(), vec![0xff, b'\n'])
        ]
    );
    let script = host.fake.script();
    let asked = &script.asked[0];
    assert_eq!(asked.names, ["A", "X-Y"]);
    let caller = asked.caller.as_ref().unwrap();
    assert_eq!(caller.pid, Some(std::process::id()));
    assert_eq!(
        caller.argv_sha256.as_deref(),
        Some("ab".repeat(32).as_str())
    );
    assert_eq!(caller.cwd.as_deref(), Some("/work"));
    assert_eq!(caller.git.as_deref(), Some("c".repeat(40).as_str()));
    assert_eq!(caller.traced, Some(false));
    assert_eq!(caller.danger_same_uid, Some(true));
    assert!(caller.os.as_ref().unwrap().starts_with("Linux "));
    let exe = std::fs::read("/proc/self/exe").unwrap();
    let hash = procura_types::encoding::hex(&procura_crypto::sha256(&exe));
    assert_eq!(caller.exe_sha256, Some(hash));
}

#[test]
fn what_the_process_says_wrongly_of_itself_is_left_out() {
    let host = host([two()]);
    let raw = ask_exec(&host.socket(), |ask| {
        ask.argv_sha256 = "x".repeat(64);
        ask.git = Some("main".to_owned());
        ask.cwd = Some("/a\nb".to_owned());
    });
    values(&raw);
    let script = host.fake.script();
    let caller = script.asked[0].caller.as_ref().unwrap();
    assert_eq!(caller.argv_sha256, None);
    assert_eq!(caller.git, None);
    assert_eq!(caller.cwd, None);
}

#[test]
fn a_value_that_no_environment_can_hold_fails_the_whole_run() {
    for (bad, message) in [
        (
            ("B", b"a\0b".to_vec()),
            "the value of B contains a NUL byte and cannot be an environment variable",
        ),
        (
            ("LD_PRELOAD", b"x".to_vec()),
            "LD_PRELOAD is a variable of the loader and is never delivered; name the secret otherwise",
        ),
        (
            ("C", vec![b'x'; 128 * 1024]),
            "the value of C is longer than an environment variable can be (128 KiB with its name)",
        ),
    ] {
        let host = host([Scripted::Values(vec![("A", b"1".to_vec()), bad])]);
        let failure = ask_exec(&host.socket(), |_| {}).failure();
        assert_eq!(
            (failure.exit, failure.code.as_str()),
            (exit::REFUSED, "undeliverable")
        );
        assert_eq!(failure.message, message);
        // It was recorded as delivered; the server hears that it was not.
        eventually("the run is reported as ended", || {
            host.fake.script().ended == [RUN]
        });
    }
}

#[test]
fn a_request_that_waits_is_told_with_all_that_an_approver_needs() {
    let host = host([Scripted::Pending]);
    let raw = ask_exec(&host.socket(), |_| {});
    match raw.hear().unwrap() {
        (Reply::Pending(pending), None) => {
            assert_eq!(pending.request, REQUEST);
            assert_eq!(pending.agent, "alice//agent-1");
            assert_eq!(pending.namespace.as_str(), "main");
            assert_eq!(pending.asked[0].path.as_str(), "db/a");
            assert_eq!(pending.unmatched[0].name, "X-Y");
            assert!(!pending.waiting);
        }
        _ => panic!("not pending"),
    }
    assert!(raw.hear().is_none());
}

#[test]
fn waiting_ends_with_the_values_when_a_person_approves() {
    let host = host([Scripted::Pending, two()]);
    host.fake
        .script()
        .states
        .extend([RequestState::Pending, RequestState::Approved]);
    let raw = ask_exec(&host.socket(), |ask| ask.wait = true);
    match raw.hear().unwrap().0 {
        Reply::Pending(pending) => assert!(pending.waiting),
        _ => panic!("not pending"),
    }
    assert_eq!(values(&raw).len(), 2);
}

#[test]
fn waiting_ends_when_a_person_denies_or_nobody_answers() {
    for (state, code) in [
        (RequestState::Denied, "denied"),
        (RequestState::Expired, "expired"),
        (RequestState::Revoked, "denied"),
        (RequestState::Ended, "denied"),
    ] {
        let host = host([Scripted::Pending]);
        host.fake.script().states.push_back(state);
        let raw = ask_exec(&host.socket(), |ask| ask.wait = true);
        raw.hear().unwrap();
        let failure = raw.failure();
        assert_eq!((failure.exit, failure.code.as_str()), (exit::REFUSED, code));
        assert_eq!(host.fake.script().asked.len(), 1);
    }
}

#[test]
fn waiting_outlasts_the_seal() {
    let host = host([
        Scripted::Refused(503, "sealed"),
        Scripted::Unreachable,
        Scripted::Refused(503, "sealed"),
        Scripted::Pending,
        Scripted::Refused(503, "sealed"),
        two(),
    ]);
    host.fake.script().states.push_back(RequestState::Approved);
    let raw = ask_exec(&host.socket(), |ask| ask.wait = true);
    assert!(matches!(raw.hear().unwrap().0, Reply::Sealed {}));
    assert!(matches!(raw.hear().unwrap().0, Reply::Pending(_)));
    assert!(matches!(raw.hear().unwrap().0, Reply::Sealed {}));
    assert_eq!(values(&raw).len(), 2);
}

#[test]
fn a_project_without_names_is_told_with_its_own_name() {
    let host = host([Scripted::Refused(422, "nothing_to_deliver")]);
    let failure = ask_exec(&host.socket(), |ask| ask.names.clear()).failure();
    assert_eq!(
        (
            failure.exit,
            failure.code.as_str(),
            failure.message.as_str()
        ),
        (
            exit::REFUSED,
            "nothing_to_deliver",
            "shop maps no names; say which with --name STRIPE_KEY or --env-file .env, or map them: procura project set shop --env NAME=PATH -n main"
        )
    );
    // Names that were asked for and match nothing are the server's to tell.
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(failure.message, "the server says nothing_to_deliver");
}

#[test]
fn approval_in_part_asks_for_the_rest_and_does_not_wait_again() {
    let host = host([Scripted::Pending, Scripted::Pending]);
    host.fake.script().states.push_back(RequestState::Approved);
    let raw = ask_exec(&host.socket(), |ask| ask.wait = true);
    raw.hear().unwrap();
    match raw.hear().unwrap().0 {
        Reply::Pending(pending) => assert!(!pending.waiting),
        _ => panic!("not pending"),
    }
    assert!(raw.hear().is_none());
}

#[test]
fn refusals_and_absence_of_the_server_have_their_exit_codes() {
    for (scripted, exit, code) in [
        (
            Scripted::Refused(403, "forbidden"),
            exit::REFUSED,
            "forbidden",
        ),
        (
            Scripted::Refused(404, "not_found"),
            exit::REFUSED,
            "not_found",
        ),
        (Scripted::Refused(503, "sealed"), exit::REFUSED, "sealed"),
        (
            Scripted::Refused(507, "storage_full"),
            exit::STORAGE,
            "storage_full",
        ),
        (
            Scripted::Refused(429, "rate_limited"),
            exit::UNREACHABLE,
            "rate_limited",
        ),
        (Scripted::Unreachable, exit::UNREACHABLE, "unreachable"),
    ] {
        let host = host([scripted]);
        let failure = ask_exec(&host.socket(), |_| {}).failure();
        assert_eq!((failure.exit, failure.code.as_str()), (exit, code));
    }
}

#[test]
fn a_server_that_comes_back_is_not_noticed() {
    let host = host([
        Scripted::Unreachable,
        Scripted::Refused(503, "verifier_unavailable"),
        two(),
    ]);
    let raw = ask_exec(&host.socket(), |_| {});
    assert_eq!(values(&raw).len(), 2);
    assert_eq!(host.fake.script().asked.len(), 3);
}

#[test]
fn too_many_names_are_refused_before_the_server_hears_of_them() {
    let host = host([two()]);
    let raw = ask_exec(&host.socket(), |ask| {
        ask.names = (0..257).map(|number| format!("A{number}")).collect();
    });
    let failure = raw.failure();
    assert_eq!(failure.exit, exit::USAGE);
    assert_eq!(
        failure.message,
        "257 names are asked for; at most 256 can be"
    );
    assert!(host.fake.script().asked.is_empty());
}
