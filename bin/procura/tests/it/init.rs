//! `init` with a server that runs already.

use crate::installed::{Cli, PASSPHRASE, Running};

#[test]
fn init_over_the_socket_of_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let server = Running::start(&home);
    let told = Cli {
        home: home.clone(),
        url: Some(server.url.clone()),
    };
    assert!(
        told.ok(&["status"], b"")
            .contains("no installation yet; next: procura init")
    );
    // Not told where the server is: the server says so itself.
    let cli = Cli {
        home: home.clone(),
        url: None,
    };
    let answer = cli.ok(
        &["init", "--owner", "alice", "--json", "--passphrase-fd", "0"],
        PASSPHRASE,
    );
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert!(
        answer["ledger_vkey"]
            .as_str()
            .unwrap()
            .starts_with("procura/")
    );
    // The home remembers where its server is.
    let known = std::fs::read(home.join("operator/server.json")).unwrap();
    let known: serde_json::Value = serde_json::from_slice(&known).unwrap();
    assert_eq!(known["url"], server.url);
    cli.ok(&["login", "--passphrase-fd", "0"], PASSPHRASE);
    assert!(cli.ok(&["namespace", "list"], b"").contains("default"));
    // Where it listens is nobody's business who cannot reach the socket.
    let told = told.ok(&["status", "--json"], b"");
    assert!(!told.contains("\"api\""), "{told}");

    let key = std::fs::read(home.join("operator/key.json")).unwrap();
    let again = cli.run(&["init", "--passphrase-fd", "0"], PASSPHRASE);
    assert_eq!(again.code, 78);
    assert!(
        again.err.contains("belongs to an installation already"),
        "{}",
        again.err
    );
    assert_eq!(std::fs::read(home.join("operator/key.json")).unwrap(), key);
}

#[test]
fn init_without_a_server_says_what_comes_next() {
    let dir = tempfile::tempdir().unwrap();
    let cli = Cli {
        home: dir.path().join("home"),
        url: None,
    };
    let made = cli.run(
        &["init", "--owner", "alice", "--passphrase-fd", "0"],
        PASSPHRASE,
    );
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(
        made.err
            .ends_with("\nnext: procura server, then procura unseal\n"),
        "{}",
        made.err
    );
    // Nobody is there to type a passphrase, and the key is locked.
    let locked = cli.run(&["secret", "list"], b"");
    assert_eq!(
        (locked.code, locked.out.as_str(), locked.err.as_str()),
        (
            64,
            "",
            "procura: the operator's key is locked, and there is no terminal to ask for its passphrase at\n  next: procura login at a terminal, or --passphrase-fd N\n"
        )
    );
}
