//! Joining, and keys that are never lost.

use crate::fake::{Fake, refused, unreachable};
use crate::host::{Host, own_uid};
use procura_daemon::socket::client::JoinOptions;
use procura_types::{ActorId, Joins, LinkCodeText, Secret, exit};

fn files(host: &Host) -> usize {
    std::fs::read_dir(host.dir())
        .unwrap()
        .filter(|entry| {
            let path = entry.as_ref().unwrap().path();
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .count()
}

#[test]
fn a_device_that_joined_is_there_after_a_restart() {
    let mut host = Host::new();
    let device = host.join(1).unwrap();
    assert_eq!(device.lineage, "alice//agent-1");
    assert_eq!(device.actor, ActorId::from_bytes([1; 32]));
    assert_eq!(device.uid, own_uid());
    host.restart();
    let status = host.connect().status().unwrap();
    assert_eq!(status.devices.len(), 1);
    assert_eq!(status.devices[0].device, device.device);
}

#[test]
fn a_join_that_was_cut_off_goes_on_with_the_same_key() {
    let mut host = Host::new();
    host.fake.script().join_fails.push_back(unreachable());
    let error = host.join(1).unwrap_err();
    assert_eq!(error.exit(), exit::UNREACHABLE);
    // The key was on disk before the server heard of it.
    assert_eq!(files(&host), 1);
    assert!(host.connect().status().unwrap().devices.is_empty());

    host.restart();
    let device = host.join(1).unwrap();
    assert_eq!(files(&host), 1);
    let joined = host.fake.script().joined.clone();
    assert_eq!(joined, [device.device, device.device]);
}

#[test]
fn a_code_that_an_unfinished_try_used_up_is_explained() {
    let host = Host::new();
    {
        let mut script = host.fake.script();
        script.join_fails.push_back(unreachable());
        script.join_fails.push_back(refused(404, "code_unknown"));
    }
    host.join(1).unwrap_err();
    let error = host.join(1).unwrap_err();
    assert_eq!(
        (error.exit(), error.code()),
        (exit::REFUSED, "join_refused")
    );
    assert!(error.to_string().contains("ask for a new code"));
}

#[test]
fn other_codes_make_other_keys() {
    let host = Host::new();
    host.fake.script().join_fails.push_back(unreachable());
    host.join(1).unwrap_err();
    let device = host.join(2).unwrap();
    assert_ne!(host.fake.script().joined[0], device.device);
    assert_eq!(files(&host), 2);
}

#[test]
fn codes_that_are_none_or_for_people_are_refused_here() {
    let host = Host::new();
    let join = |text: &str| {
        host.connect()
            .join(&Secret::new(text.to_owned()), JoinOptions::default())
            .unwrap_err()
    };
    let error = join("hello");
    assert_eq!(error.exit(), exit::USAGE);
    assert_eq!(
        error.to_string(),
        "code: is not a link code: those begin with pcj1_"
    );

    let mut code = LinkCodeText::parse(Fake::code(1).expose()).unwrap();
    code.joins = Joins::NewOperator;
    let error = join(code.encode().expose());
    assert_eq!(error.exit(), exit::USAGE);
    assert!(error.to_string().contains("procura operator join"));
    assert!(host.fake.script().joined.is_empty());
    assert_eq!(files(&host), 0);
}

#[test]
fn a_ledger_of_another_installation_is_refused() {
    let host = Host::new();
    let mut code = LinkCodeText::parse(Fake::code(1).expose()).unwrap();
    code.installation = procura_types::InstallationId::from_bytes([1; 16]);
    let error = host
        .connect()
        .join(&code.encode(), JoinOptions::default())
        .unwrap_err();
    assert_eq!((error.exit(), error.code()), (exit::REFUSED, "bad_answer"));
    assert!(host.connect().status().unwrap().devices.is_empty());
}

#[test]
fn root_may_join_for_another_user_who_alone_may_use_it() {
    let host = Host::new();
    let options = JoinOptions {
        uid: Some(own_uid() + 1),
        ..JoinOptions::default()
    };
    let joined = host.connect().join(&Fake::code(1), options);
    if own_uid() == 0 {
        assert_eq!(joined.unwrap().uid, 1);
        // Root sees it; using it is for its user.
        assert_eq!(host.connect().status().unwrap().devices.len(), 1);
        let failure = crate::client::ask_exec(&host.socket(), |_| {}).failure();
        assert_eq!(failure.exit, exit::CONFIG);
        assert!(
            failure
                .message
                .contains("no device has joined here for user 0")
        );
    } else {
        assert_eq!(joined.unwrap_err().code(), "not_root");
    }
}
