//! The seal: who has the passphrase, and nobody else.

use crate::scene::{CANARY, Scene, shop};
use procura_acceptance::{Installation, PASSPHRASE};

#[test]
fn a_restart_is_sealed_and_nothing_can_be_read_until_an_unseal() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    assert_eq!(scene.server.stop(), Some(0));
    scene.server.start_again();
    let _ = scene
        .server
        .cli(&["-n", "shop", "secret", "get", "api/key"])
        .code(77)
        .says("sealed");
    let refused = scene
        .run(&["API_KEY"], &["sh", "-c", "echo started"])
        .code(77);
    assert_eq!(refused.says("sealed").text(), "");
    scene.server.unseal().ok();
    // The daemon ran all the while and needs no restart.
    let ran = scene
        .run(&["API_KEY"], &["sh", "-c", "printf %s \"$API_KEY\""])
        .ok();
    assert_eq!(ran.stdout, CANARY.as_bytes());
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let mut server = Installation::ready();
    server.stop();
    server.start_again();
    let home = server.home();
    let _ = server
        .cli_in(&home, "not the passphrase at all", &["unseal"], b"")
        .code(77)
        .says("wrong_passphrase");
    let status = server.cli(&["--json", "status"]).ok().json();
    assert_eq!(status["sealed"], true, "{status}");
    server.unseal().ok();
}

#[test]
fn wrong_passphrases_slow_the_next_try() {
    let mut server = Installation::ready();
    server.stop();
    server.start_again();
    let wrong = || {
        let begin = std::time::Instant::now();
        let _ = server
            .cli_in(
                &server.home(),
                "not the passphrase at all",
                &["unseal"],
                b"",
            )
            .code(77);
        begin.elapsed()
    };
    let first = wrong();
    let later = (0..4).map(|_| wrong()).max().unwrap();
    // Four wrong ones before it: the last waits for eight seconds, and the first for none.
    assert!(
        later >= std::time::Duration::from_secs(8) && later > first,
        "the first took {first:?}, the slowest of four more {later:?}"
    );
}

#[test]
fn seal_closes_at_once() {
    let server = shop();
    server.cli(&["seal"]).ok();
    let _ = server.cli(&["namespace", "list"]).code(77).says("sealed");
    let _ = server.cli(&["status"]).ok();
}

#[test]
fn a_new_passphrase_replaces_the_old_one() {
    let mut server = shop();
    server.put("shop", "a", b"value from before");
    let new = "another passphrase for the vault";
    server
        .cli_lines(&server.home(), &[PASSPHRASE, new], &["passphrase"])
        .ok();
    server.stop();
    server.start_again();
    let home = server.home();
    let _ = server.unseal().code(77).says("wrong_passphrase");
    server.cli_in(&home, new, &["unseal"], b"").ok();
    let read = server
        .cli_in(&home, new, &["-n", "shop", "secret", "get", "a"], b"")
        .ok();
    assert_eq!(read.text(), "value from before");
}

#[test]
fn init_is_done_once_and_a_short_passphrase_is_refused() {
    let server = Installation::empty();
    let home = server.home();
    let _ = server
        .cli_in(&home, "short", &["init", "--owner", "alice"], b"")
        .says("12 characters");
    server.cli(&["init", "--owner", "alice"]).ok();
    let _ = server
        .cli(&["init", "--owner", "mallory"])
        .code(78)
        .says("belongs to an installation already");
    // Without what the owner's side remembers, the server itself refuses.
    std::fs::remove_dir_all(server.home().join("operator")).unwrap();
    let _ = server.cli(&["init", "--owner", "mallory"]).code(77);
}
