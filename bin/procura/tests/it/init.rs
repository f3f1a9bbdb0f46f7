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
    assert!(!made.err.contains("put into"), "{}", made.err);
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

/// A server that is started later finds no flag of init's; nor does a client a port that is
/// another after each start.
#[test]
fn init_says_what_the_configuration_lacks() {
    for (flags, lines, url) in [
        (
            &[
                "--listen",
                "127.0.0.1:7999",
                "--health-listen",
                "127.0.0.1:7998",
            ][..],
            "  listen = \"127.0.0.1:7999\"\n  health_listen = \"127.0.0.1:7998\"\n",
            Some("http://127.0.0.1:7999"),
        ),
        (
            &[
                "--listen",
                "127.0.0.1:0",
                "--health-listen",
                "127.0.0.1:7998",
            ],
            "  health_listen = \"127.0.0.1:7998\"\n",
            None,
        ),
        (&["--listen", "127.0.0.1:0"], "", None),
        (
            &["--listen", "127.0.0.1:7310"],
            "",
            Some("http://127.0.0.1:7310"),
        ),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let cli = Cli {
            home: home.clone(),
            url: None,
        };
        let init = ["init", "--owner", "alice", "--passphrase-fd", "0"];
        let made = cli.run(&[&init, flags].concat(), PASSPHRASE);
        assert_eq!(made.code, 0, "{}", made.err);
        let before = match lines {
            "" => String::new(),
            lines => format!(
                "put into {}, so that procura server listens there after each start:\n{lines}",
                home.join("procura.toml").display()
            ),
        };
        let end =
            format!("a backup of the home\n{before}next: procura server, then procura unseal\n");
        assert!(made.err.ends_with(&end), "{flags:?}: {}", made.err);
        let known = std::fs::read(home.join("operator/server.json")).unwrap();
        let known: serde_json::Value = serde_json::from_slice(&known).unwrap();
        let told = known.get("url").and_then(serde_json::Value::as_str);
        assert_eq!(told, url, "{flags:?}");
        // With the lines there is nothing that the configuration lacks.
        std::fs::write(home.join("procura.toml"), lines).unwrap();
        let again = dir.path().join("again");
        let config = home.join("procura.toml");
        let config = ["--config", config.to_str().unwrap()];
        let again = Cli {
            home: again,
            url: None,
        };
        let made = again.run(&[&init, flags, &config].concat(), PASSPHRASE);
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(!made.err.contains("put into"), "{flags:?}: {}", made.err);
    }
}
