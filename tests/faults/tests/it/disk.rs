//! A full disk: ordinary writes are refused, and taking authority away works.
//! The disk is a small tmpfs in a mount namespace of the server's own.

use procura_acceptance::{Installation, PASSPHRASE, until};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-a"])
        .arg(from.join("."))
        .arg(to)
        .status()
        .unwrap();
    assert!(copied.success());
}

#[test]
fn on_a_full_disk_revoke_delete_and_seal_still_work() {
    let mut server = Installation::ready();
    server.cli(&["agent", "add", "scribe"]).ok();
    server.put("default", "doomed", b"value");
    server.stop();
    let saved = server.folder().join("saved");
    std::fs::create_dir(&saved).unwrap();
    copy(&server.home(), &saved);
    let mount = format!(
        "mount -t tmpfs -o size=12m,mode=700 none \"$PROCURA_HOME\" && cp -a {}/. \"$PROCURA_HOME\" && exec \"$0\" \"$@\"",
        saved.display()
    );
    server.start_again_under(&["unshare", "-rm", "bash", "-c", &mount]);
    // The home as the server sees it.
    let inside = PathBuf::from(format!(
        "/proc/{}/root{}",
        server.pid(),
        server.home().display()
    ));
    let cli =
        |arguments: &[&str], input: &[u8]| server.cli_in(&inside, PASSPHRASE, arguments, input);
    cli(&["unseal"], b"").ok();
    let refused = (0..400)
        .map(|number| {
            cli(
                &["secret", "put", &format!("fill/{number}")],
                &[b'x'; 60_000],
            )
        })
        .find(|put| put.code != 0)
        .expect("the disk became full");
    assert_eq!(refused.code, 74, "{refused:?}");
    let _ = refused.says("full");
    cli(&["agent", "revoke", "scribe"], b"").ok();
    cli(&["secret", "delete", "doomed"], b"").ok();
    cli(&["seal"], b"").ok();
    let kept = server.folder().join("kept");
    std::fs::create_dir(&kept).unwrap();
    copy(&inside, &kept);
    server.stop();
    // The key agent listens in the home, and would go on without it.
    server.cli(&["logout"]).ok();
    std::fs::remove_dir_all(server.home()).unwrap();
    std::fs::rename(&kept, server.home()).unwrap();
    // With room again all that was acknowledged is there.
    server.start_again();
    server.unseal().ok();
    // Which proofs were used could not be written either, so those of the time
    // before are refused for as long as they could be sent again.
    until(
        "the window of old proofs has passed",
        Duration::from_secs(120),
        || (server.cli(&["secret", "get", "fill/0"]).code == 0).then_some(()),
    );
    assert_ne!(server.cli(&["secret", "get", "doomed"]).code, 0);
    let agents = server.cli(&["--json", "agent", "list"]).ok().json();
    assert!(agents["agents"][0]["revoked"].is_string(), "{agents}");
    server.put("default", "after", b"v");
}
