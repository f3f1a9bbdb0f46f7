//! A planted value is looked for everywhere but where it was delivered.

use crate::scene::{CANARY, Scene};
use procura_acceptance::{PASSPHRASE, Search, until};
use std::time::Duration;

#[test]
fn neither_value_nor_passphrase_is_in_files_arguments_or_environments() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene
        .server
        .cli(&["-n", "shop", "secret", "get", "api/key"])
        .ok();
    let mut child = scene.daemon.spawn_for(
        scene.server.folder(),
        "orders",
        &["API_KEY"],
        &["sleep", "300"],
    );
    until("the command has the value", Duration::from_secs(20), || {
        let environment = std::fs::read(format!("/proc/{}/environ", child.id())).ok()?;
        String::from_utf8_lossy(&environment)
            .contains(CANARY)
            .then_some(())
    });
    for value in [CANARY, PASSPHRASE] {
        let mut search = Search::new(value);
        // The home, the daemon's home and both logs are in this folder.
        search.folder(scene.server.folder());
        search.processes(&[child.id()]);
        search.assert_nowhere();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Stopped, with everything flushed, it is nowhere either.
    scene.server.stop();
    let mut search = Search::new(CANARY);
    search.folder(scene.server.folder());
    search.assert_nowhere();
}

#[test]
fn the_search_finds_what_is_there() {
    let scene = Scene::set();
    std::fs::write(scene.server.home().join("leak"), CANARY).unwrap();
    let mut search = Search::new(CANARY);
    search.folder(scene.server.folder());
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| search.assert_nowhere()));
    assert!(found.is_err(), "a file with the value was overlooked");
}

#[test]
fn server_and_daemon_cannot_be_dumped_and_their_files_are_private() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let scene = Scene::set();
    // The daemon's process is not dumpable, so its files in /proc are root's.
    let status = std::fs::metadata(format!("/proc/{}/environ", scene.daemon.pid())).unwrap();
    assert_eq!(status.uid(), 0);
    let mut folders = vec![scene.server.home(), scene.daemon.home().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = std::fs::symlink_metadata(&path)
                .unwrap()
                .permissions()
                .mode()
                & 0o077;
            assert_eq!(mode, 0, "{} can be used by others", path.display());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
}
