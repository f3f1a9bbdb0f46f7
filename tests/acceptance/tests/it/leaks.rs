//! A planted value is looked for everywhere but where it was delivered.

use crate::scene::{CANARY, PATIENCE, Scene, requests};
use procura_acceptance::{PASSPHRASE, Search, until};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

#[test]
fn neither_value_nor_passphrase_is_in_files_arguments_or_environments() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene
        .server
        .cli(&["-n", "shop", "secret", "get", "api/key"])
        .ok();
    let mut child = scene.holder();
    // While a program is being loaded it has its name already and no environment yet.
    until("the value in the environment", PATIENCE, || {
        let environment = std::fs::read(format!("/proc/{}/environ", child.id())).unwrap();
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

/// Becomes a command that may write a core file of any size, into the folder
/// that comes first.
const WITH_CORES: &str = "cd \"$0\" && ulimit -c \"$(ulimit -H -c)\" && exec \"$@\"";

/// Asserts that it was aborted and that the kernel wrote no core, neither into a
/// file nor to a program that collects them (wait(2), `WCOREDUMP`).
fn assert_no_core(what: &str, ended: ExitStatus, folder: &Path) {
    assert_eq!(ended.signal(), Some(6), "{what}: {ended}");
    assert!(!ended.core_dumped(), "{what} dumped its core");
    let left = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(left, 0, "{what} left files behind");
}

#[test]
fn an_abort_writes_no_core() {
    let mut scene = Scene::set();
    let folder = scene.server.folder().join("cores");
    std::fs::create_dir(&folder).unwrap();
    let wrapper = ["sh", "-c", WITH_CORES, folder.to_str().unwrap()];

    // Both begin anew with the limit, and both have held the value afterwards.
    scene.server.stop();
    scene.server.start_again_under(&wrapper);
    scene.server.unseal().ok();
    scene.daemon.kill();
    scene.daemon.start_again_under(&wrapper);
    scene.approved(&["API_KEY"]);
    let ran = scene
        .run(&["API_KEY"], &["sh", "-c", "printf %s \"$API_KEY\""])
        .ok();
    assert_eq!(ran.stdout, CANARY.as_bytes());

    // `procura run` has become the stub by the time that a request waits.
    let words = ["run", "--project", "orders", "--wait", "--", "true"];
    let procura = scene.daemon.procura(&words);
    let mut stub = Command::new(wrapper[0]);
    stub.args(&wrapper[1..])
        .arg(procura.get_program())
        .args(procura.get_args());
    for (name, value) in procura.get_envs() {
        match value {
            Some(value) => stub.env(name, value),
            None => stub.env_remove(name),
        };
    }
    let mut stub = stub
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("a request waits", PATIENCE, || {
        (!requests(&scene.server, "shop").is_empty()).then_some(())
    });
    let is = std::fs::read_to_string(format!("/proc/{}/comm", stub.id())).unwrap();
    assert_eq!(is, "procurad\n");
    kill_process(Pid::from_child(&stub), Signal::ABORT).unwrap();
    assert_no_core("the stub", stub.wait().unwrap(), &folder);
    assert_no_core("the daemon", scene.daemon.abort(), &folder);
    assert_no_core("the server", scene.server.abort(), &folder);
    for value in [CANARY, PASSPHRASE] {
        let mut search = Search::new(value);
        search.folder(scene.server.folder());
        search.assert_nowhere();
    }

    // A program that does nothing about it, aborted in the same way, does dump,
    // where this machine lets anything dump into a file.
    let mut plain = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .args(["sh", "-c", "kill -ABRT $$"])
        .spawn()
        .unwrap();
    let ended = plain.wait().unwrap();
    assert_eq!(ended.signal(), Some(6), "{ended}");
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let to_file = !pattern.starts_with('|') && !pattern.trim().is_empty();
    if to_file && getrlimit(Resource::Core).maximum != Some(0) {
        assert!(ended.core_dumped(), "nothing dumps here: {pattern}");
    }
}
