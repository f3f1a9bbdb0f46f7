//! The socket's place: private, and taken from nobody.

use crate::host::Host;
use procura_daemon::{DaemonError, Listener, SocketOptions};
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

fn bind(path: &Path) -> Result<Listener, DaemonError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    Listener::bind(&SocketOptions {
        path: path.to_owned(),
        group: None,
    })
}

#[test]
fn the_socket_is_private_and_goes_with_the_daemon() {
    let mut host = Host::new();
    let file = std::fs::metadata(host.socket()).unwrap();
    assert_eq!(file.mode() & 0o777, 0o600);
    host.stop();
    assert!(!host.socket().exists());

    let nested = host.home.path().join("a/b/agent.sock");
    let listener = bind(&nested).unwrap();
    let dir = std::fs::metadata(nested.parent().unwrap()).unwrap();
    assert_eq!(dir.mode() & 0o777, 0o700);
    drop(listener);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_a_live_one_is_not() {
    let host = Host::new();
    let error = bind(&host.socket()).err().unwrap();
    assert!(matches!(error, DaemonError::Config(_)));
    assert!(error.to_string().contains("another daemon answers"));
    assert!(host.connect().status().is_ok());

    let stale = host.home.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    drop(bind(&stale).unwrap());

    let file = host.home.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = bind(&file).err().unwrap();
    assert!(error.to_string().contains("is there and is no socket"));
    assert!(file.exists());
}

#[test]
fn a_place_that_others_can_write_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("open");
    std::fs::create_dir(&dir).unwrap();
    std::fs::set_permissions(&dir, Permissions::from_mode(0o777)).unwrap();
    let error = bind(&dir.join("agent.sock")).err().unwrap();
    assert!(matches!(error, DaemonError::Config(_)));
    assert!(
        error
            .to_string()
            .contains("others could replace the socket")
    );
}

#[test]
fn nobody_there_is_said_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("agent.sock");
    let error = procura_daemon::socket::client::DaemonClient::connect(&path)
        .err()
        .unwrap();
    assert_eq!(error.exit(), procura_types::exit::UNREACHABLE);
    assert!(error.to_string().contains("start it with `procurad`"));
}
