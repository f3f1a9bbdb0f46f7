//! Several devices on one host: which one is meant, and which count no more.

use crate::client::{Raw, ask_exec};
use crate::fake::{Fake, Scripted};
use crate::host::{Host, own_uid};
use procura_daemon::socket::client::JoinOptions;
use procura_daemon::socket::{Failure, Reply};
use procura_types::{Thumbprint, exit};

/// Who asked, when a person has to say yes first.
fn asks(raw: &Raw) -> String {
    match raw.hear().expect("an answer").0 {
        Reply::Pending(pending) => pending.agent,
        Reply::Failed(failure) => panic!("{}", failure.message),
        _ => panic!("not pending"),
    }
}

fn host(actors: &[u8]) -> Host {
    let host = Host::new();
    for actor in actors {
        host.join(*actor).unwrap();
    }
    host.fake.script().runs.push_back(Scripted::Pending);
    host
}

/// The devices, and whether each is marked as revoked.
fn marks(host: &Host) -> Vec<(Thumbprint, bool)> {
    let devices = host.connect().status().unwrap().devices;
    devices
        .iter()
        .map(|device| (device.device, device.revoked.is_some()))
        .collect()
}

fn revoked(host: &Host, agent: &str) -> Failure {
    let again = host.fake.script().runs.pop_back().unwrap();
    host.fake
        .script()
        .runs
        .extend([Scripted::Refused(401, "revoked"), again]);
    let failure = ask_exec(&host.socket(), |ask| ask.agent = Some(agent.to_owned())).failure();
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (exit::REFUSED, "revoked")
    );
    failure
}

#[test]
fn a_label_that_was_given_anew_is_the_agent_that_joined_last() {
    let mut host = host(&[1]);
    let old = host.connect().status().unwrap().devices[0].device;
    let new = host.join(101).unwrap().device;
    assert_eq!(marks(&host), [(old, true), (new, false)]);
    for agent in [None, Some("agent-1"), Some("main/agent-1")] {
        let raw = ask_exec(&host.socket(), |ask| ask.agent = agent.map(str::to_owned));
        assert_eq!(asks(&raw), "alice//agent-101");
    }
    host.restart();
    let mut after = marks(&host);
    after.sort_by_key(|(_, revoked)| !revoked);
    assert_eq!(after, [(old, true), (new, false)]);
    assert_eq!(asks(&ask_exec(&host.socket(), |_| {})), "alice//agent-101");
}

/// Whoever makes up a link code can have a server of their own name any installation,
/// namespace and label.
#[test]
fn a_server_that_only_names_an_installation_marks_no_device_of_it() {
    let mut host = host(&[1]);
    let old = host.connect().status().unwrap().devices[0].device;
    host.fake.script().server_key = Fake::server_key();
    let made_up = host.join(101).unwrap().device;
    let both = [(old, false), (made_up, false)];
    assert_eq!(marks(&host), both);
    host.restart();
    let mut after = marks(&host);
    after.sort_by_key(|(device, _)| *device != old);
    assert_eq!(after, both);
    // Neither stands for the other: they are told apart by their keys.
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    let mut names = [old.to_string(), made_up.to_string()];
    names.sort();
    assert_eq!(
        failure.message,
        format!(
            "several agents have joined here; choose one with --agent: {}",
            names.join(", ")
        )
    );
    let raw = ask_exec(&host.socket(), |ask| ask.agent = Some(old.to_string()));
    assert_eq!(asks(&raw), "alice//agent-1");
}

/// What a server says of a label is not signed, so that a user could have their own proxy
/// say another's.
#[test]
fn what_one_user_joins_marks_no_device_of_another() {
    let host = Host::new();
    let of_another = JoinOptions {
        uid: Some(own_uid() + 1),
        ..JoinOptions::default()
    };
    let joined = host.connect().join(&Fake::code(1), of_another);
    if own_uid() != 0 {
        // Without root there is nobody here to join for another user.
        assert_eq!(joined.unwrap_err().code(), "not_root");
        return;
    }
    let others = joined.unwrap().device;
    let own = host.join(101).unwrap().device;
    assert_eq!(marks(&host), [(others, false), (own, false)]);
    // One of the same user is what it takes.
    let newer = host.join(201).unwrap().device;
    assert_eq!(marks(&host), [(others, false), (own, true), (newer, false)]);
}

#[test]
fn a_device_that_the_server_called_revoked_counts_only_when_it_is_alone() {
    let mut host = host(&[1, 2]);
    revoked(&host, "agent-1");
    host.restart();
    assert_eq!(
        marks(&host).iter().filter(|(_, revoked)| *revoked).count(),
        1
    );
    assert_eq!(asks(&ask_exec(&host.socket(), |_| {})), "alice//agent-2");
    // Refusals are not signed: it is asked for again, and then counts again.
    let raw = ask_exec(&host.socket(), |ask| ask.agent = Some("agent-1".to_owned()));
    assert_eq!(asks(&raw), "alice//agent-1");
    assert!(marks(&host).iter().all(|(_, revoked)| !revoked));
    let failure = ask_exec(&host.socket(), |_| {}).failure();
    assert_eq!(
        failure.message,
        "several agents have joined here; choose one with --agent: main/agent-1, main/agent-2"
    );
}

#[test]
fn the_namespace_chooses_too() {
    let host = host(&[1]);
    let raw = ask_exec(&host.socket(), |ask| {
        ask.namespace = Some("main".parse().unwrap());
    });
    assert_eq!(asks(&raw), "alice//agent-1");
    for (agent, message) in [
        (None, "no device in namespace lab has joined here for user "),
        (
            Some("agent-1"),
            "no device of agent agent-1 in namespace lab has joined here for user ",
        ),
    ] {
        let failure = ask_exec(&host.socket(), |ask| {
            ask.agent = agent.map(str::to_owned);
            ask.namespace = Some("lab".parse().unwrap());
        })
        .failure();
        assert_eq!(failure.exit, exit::CONFIG);
        assert!(failure.message.starts_with(message), "{}", failure.message);
    }
    assert_eq!(host.fake.script().asked.len(), 1);
}

#[test]
fn a_device_that_was_forgotten_is_gone_for_good() {
    let mut host = host(&[1, 2]);
    let devices = host.connect().status().unwrap().devices;
    let (first, second) = (devices[0].device, devices[1].device);
    let file = host.dir().join(format!("{first}.json"));
    assert!(file.exists());
    host.connect().forget(first).unwrap();
    assert!(!file.exists());
    assert_eq!(marks(&host), [(second, false)]);
    let error = host.connect().forget(first).unwrap_err();
    assert_eq!(
        (error.exit(), error.to_string()),
        (
            exit::USAGE,
            format!("there is no device {first} here; `procura device list --here` shows yours")
        )
    );
    assert_eq!(asks(&ask_exec(&host.socket(), |_| {})), "alice//agent-2");
    host.restart();
    assert_eq!(marks(&host), [(second, false)]);
}

#[test]
fn a_device_that_is_forgotten_in_use_is_not_written_again() {
    let host = host(&[1]);
    let device = host.connect().status().unwrap().devices[0].device;
    let raw = ask_exec(&host.socket(), |ask| ask.wait = true);
    assert_eq!(asks(&raw), "alice//agent-1");
    host.connect().forget(device).unwrap();
    {
        let mut script = host.fake.script();
        // A longer record, which is remembered of a device that is kept.
        script.entries += 1;
        script.session += 1;
        script
            .states
            .push_back(procura_types::wire::RequestState::Approved);
    }
    assert_eq!(asks(&raw), "alice//agent-1");
    assert!(!host.dir().join(format!("{device}.json")).exists());
}
