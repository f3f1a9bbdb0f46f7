//! `doctor` on a machine that is well, and on one that is not.

use crate::installed::Installed;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn the_doctor_finds_a_server_well_and_a_file_open_to_others() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let url = cli.url.as_deref().unwrap();
    let port = url.rsplit_once(':').unwrap().1.to_owned();
    let checks = |code: i32| -> Vec<serde_json::Value> {
        let ran = cli.run(&["doctor", "--json"], b"");
        assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
        serde_json::from_str(&ran.out).unwrap()
    };
    let verdict = |checks: &[serde_json::Value], what: &str| {
        let found = checks
            .iter()
            .find(|check| check["what"] == what)
            .expect(what);
        (
            found["verdict"].as_str().unwrap().to_owned(),
            found["found"].as_str().unwrap().to_owned(),
        )
    };
    let well = checks(0);
    for what in [
        "modes",
        "key",
        "login",
        "server",
        "vault",
        "clock",
        "listener",
        "admin socket",
        "exposure",
        "allow-list",
        "agent keys",
        "record",
        "dials",
        "agent secrets",
        "signing key",
    ] {
        assert_eq!(verdict(&well, what).0, "ok", "{well:?}");
    }
    assert_eq!(verdict(&well, "clock").1, "agrees with the server's");
    assert!(
        verdict(&well, "listener")
            .1
            .contains(&format!("127.0.0.1 port {port}"))
    );

    assert!(verdict(&well, "record").1.starts_with("it moves"));

    let key = cli.home.join("operator/key.json");
    let mode =
        |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    let ill = checks(78);
    let (found, words) = verdict(&ill, "modes");
    assert_eq!(
        (found.as_str(), words),
        ("problem", format!("{} is open to others", key.display()))
    );
    mode(0o600);
    checks(0);
}

#[test]
fn the_doctor_finds_files_with_secrets_that_others_can_read() {
    let outside = tempfile::tempdir().unwrap();
    let home = outside.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&home, 0o700);
    let (passphrase, key) = (
        outside.path().join("passphrase"),
        outside.path().join("key.pem"),
    );
    std::fs::write(
        home.join("procura.toml"),
        format!(
            "passphrase_file = {:?}\ntls_key = {:?}\n",
            passphrase.display().to_string(),
            key.display().to_string()
        ),
    )
    .unwrap();
    mode(&home.join("procura.toml"), 0o600);
    std::fs::write(&passphrase, "a passphrase").unwrap();
    mode(&passphrase, 0o644);
    std::fs::write(&key, "a key").unwrap();
    mode(&key, 0o600);
    let checks = || {
        let ran = crate::run(&home, &["doctor", "--json"]);
        let checks: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
        let of = |what: &str| {
            let found = checks
                .iter()
                .find(|check| check["what"] == what)
                .expect(what);
            let next = found["next"].as_str().map(str::to_owned);
            (found["verdict"].as_str().unwrap().to_owned(), next)
        };
        (of("passphrase_file"), of("tls_key"))
    };
    let chmod = |path: &std::path::Path| {
        (
            "problem".to_owned(),
            Some(format!("chmod 600 {}", path.display())),
        )
    };
    let well = || ("ok".to_owned(), None);
    assert_eq!(checks(), (chmod(&passphrase), well()));
    mode(&passphrase, 0o400);
    mode(&key, 0o640);
    assert_eq!(checks(), (well(), chmod(&key)));
    std::fs::remove_file(&key).unwrap();
    let correct = Some("correct tls_key in procura.toml".to_owned());
    assert_eq!(checks().1, ("problem".to_owned(), correct));
}

/// What a configuration opens is told from its words alone: nothing has to listen.
#[test]
fn the_doctor_finds_what_the_configuration_opens() {
    let outside = tempfile::tempdir().unwrap();
    let home = outside.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let told = |what: &str, text: &str| -> Vec<(String, String)> {
        std::fs::write(home.join("procura.toml"), text).unwrap();
        let ran = crate::run(&home, &["doctor", "--json"]);
        let checks: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
        let text = |check: &serde_json::Value, key: &str| check[key].as_str().unwrap().to_owned();
        checks
            .iter()
            .filter(|check| check["what"] == what)
            .map(|check| (text(check, "verdict"), text(check, "found")))
            .collect()
    };
    let exposure = |text: &str| told("exposure", text);
    let said = |verdict: &str, found: &str| (verdict.to_owned(), found.to_owned());
    let local = said("ok", "the API is for this machine, 127.0.0.1:7310");
    assert_eq!(exposure(""), std::slice::from_ref(&local));
    assert_eq!(
        exposure("health_listen = \"0.0.0.0:7311\"\n"),
        [
            local,
            said(
                "note",
                "health and metrics at 0.0.0.0:7311 are open to other machines"
            ),
        ]
    );
    assert_eq!(
        exposure("listen = \"0.0.0.0:7310\"\n"),
        [said(
            "problem",
            "the API at 0.0.0.0:7310 would be open to other machines without TLS"
        )]
    );
    assert_eq!(told("auth_mode", ""), []);
    assert_eq!(
        told("auth_mode", "auth_mode = \"off\"\n"),
        [said("note", "off in the server's configuration")]
    );
}

/// What the doctor says of one thing: verdict, what was found, what it means, what to
/// do.
type Finding = (String, String, Option<String>, Option<String>);

fn findings(installed: &Installed, code: i32, what: &str) -> Vec<Finding> {
    let ran = installed.cli.run(&["doctor", "--json"], b"");
    assert_eq!(ran.code, code, "{}{}", ran.out, ran.err);
    let checks: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    let text = |check: &serde_json::Value, key| check[key].as_str().map(str::to_owned);
    checks
        .iter()
        .filter(|check| check["what"] == what)
        .map(|check| {
            (
                text(check, "verdict").unwrap(),
                text(check, "found").unwrap(),
                text(check, "why"),
                text(check, "next"),
            )
        })
        .collect()
}

#[test]
fn the_doctor_looks_at_who_may_ask_and_with_which_keys() {
    let installed = Installed::new();
    let home = &installed.cli.home;
    let list = home.join("auth/allowed-clients.json");
    let private = |path: &std::path::Path, text: &str| {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    // A list, the code that the doctor ends with, its verdict and what it found.
    for (text, code, verdict, found) in [
        (
            r#"{"allowed_ips": ["10.0.0.0/8", "::1"]}"#,
            0,
            "ok",
            "2 blocks",
        ),
        (r#"{"allowed_ips": ["10.0.0.0/8"]}"#, 0, "ok", "1 block"),
        (
            r#"{"allowed_ips": ["0.0.0.0/0"]}"#,
            78,
            "problem",
            "admits addresses of strangers",
        ),
        (
            r#"{"allowed_ips": ["::/0"]}"#,
            78,
            "problem",
            "admits addresses of strangers",
        ),
        (
            r#"{"allowed_ips": ["10.0.0.0/33"]}"#,
            78,
            "problem",
            "cannot be used",
        ),
        ("10.0.0.0/8", 78, "problem", "cannot be used"),
    ] {
        private(&list, text);
        let found_now = findings(&installed, code, "allow-list");
        let [(said, words, ..)] = found_now.as_slice() else {
            panic!("{found_now:?}");
        };
        assert_eq!(said, verdict, "{text}: {words}");
        assert!(words.contains(found), "{text}: {words}");
        assert!(!words.contains("1 blocks"), "{words}");
    }
    std::fs::remove_file(&list).unwrap();

    let keys = home.join("keys/agents");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(installed.dir().join("key"))
        .status()
        .unwrap();
    assert!(made.success());
    let line = std::fs::read_to_string(installed.dir().join("key.pub")).unwrap();
    private(&keys.join("bot-1.pub"), &line);
    let new = findings(&installed, 0, "agent keys");
    assert_eq!(new[0].1, "1, none older than 90 days");
    let file = std::fs::File::options()
        .write(true)
        .open(keys.join("bot-1.pub"))
        .unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    let long_ago = written - std::time::Duration::from_secs(91 * 86_400);
    file.set_modified(long_ago).unwrap();
    let old = findings(&installed, 0, "agent keys");
    assert_eq!(
        (old[0].0.as_str(), old[0].1.as_str()),
        ("note", "older than 90 days: bot-1")
    );
    assert!(old[0].2.as_ref().unwrap().contains("rotate-agent-keys.md"));
    private(&keys.join("bot-2.pub"), "ssh-rsa AAAA\n");
    private(&keys.join("b t.pub"), &line);
    let mut unfit: Vec<_> = findings(&installed, 78, "agent keys")
        .into_iter()
        .filter(|finding| finding.0 == "problem")
        .map(|finding| finding.1)
        .collect();
    unfit.sort();
    assert_eq!(unfit[0], "b t.pub: its name is no id of an agent");
    assert!(unfit[1].starts_with("bot-2.pub: "), "{unfit:?}");
}

#[test]
fn the_doctor_tells_which_services_let_anybody_in() {
    let installed = Installed::new();
    let cli = &installed.cli;
    cli.ok(&["agent", "add", "door", "--no-code"], b"");
    cli.ok(
        &[
            "service", "add", "web", "--mode", "observe", "--gate", "door",
        ],
        b"",
    );
    let dials = |code| {
        let found = findings(&installed, code, "dials");
        let said: Vec<_> = found
            .into_iter()
            .map(|(verdict, found, ..)| (verdict, found))
            .collect();
        said
    };
    let said = |verdict: &str, found: &str| (verdict.to_owned(), found.to_owned());
    assert_eq!(dials(0), [said("note", "default/web is at observe")]);
    cli.ok(&["auth", "mode", "web", "enforce"], b"");
    assert_eq!(dials(0), [said("ok", "default/web enforces")]);
    cli.ok(
        &["auth", "mode", "web", "off", "--route", "/open", "--yes"],
        b"",
    );
    cli.ok(
        &[
            "service",
            "route",
            "web",
            "/up",
            "--danger-unsigned-body",
            "true",
            "--yes",
        ],
        b"",
    );
    assert_eq!(
        dials(0),
        [
            said("note", "default/web enforces, but for /open off"),
            said("note", "default/web takes bodies of /up unsigned"),
        ]
    );
    cli.ok(&["service", "gate", "web", "door", "--remove"], b"");
    assert!(dials(0).contains(&said("note", "default/web has no gate")));
}

#[test]
fn the_doctor_does_not_call_well_what_it_could_not_look_at() {
    let mut installed = Installed::new();
    let not_looked_at = |installed: &Installed, code, what: &str| {
        let found = findings(installed, code, what);
        let [(verdict, found, ..)] = found.as_slice() else {
            panic!("{what}: {found:?}");
        };
        assert_eq!(
            (verdict.as_str(), found.as_str()),
            ("note", "not looked at"),
            "{what}"
        );
    };
    installed.cli.ok(&["--yes", "seal"], b"");
    for what in ["dials", "agent secrets", "signing key"] {
        not_looked_at(&installed, 0, what);
    }
    installed.server.take().unwrap().stop();
    for what in ["dials", "agent secrets", "signing key"] {
        not_looked_at(&installed, 78, what);
    }
}

#[test]
fn the_doctor_says_that_clients_of_cortexauth_are_sent_to_a_page_that_is_not_there() {
    let outside = tempfile::tempdir().unwrap();
    let home = outside.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&home, 0o700);
    let file = home.join("procura.toml");
    let said = |text: &str| {
        std::fs::write(&file, text).unwrap();
        mode(&file, 0o600);
        let ran = crate::run(&home, &["doctor", "--json"]);
        let checks: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
        let mut all = checks.into_iter();
        all.find(|check| check["what"] == "cortexauth")
    };
    assert!(said("[web]\nenabled = true\n").is_none());
    let found = said("cortexauth = true\n").unwrap();
    assert_eq!(found["verdict"], "note", "{found}");
    assert!(
        found["why"].as_str().unwrap().contains("/device"),
        "{found}"
    );
    assert!(found["next"].as_str().unwrap().contains("[web]"), "{found}");
    let found = said("cortexauth = true\n[web]\nenabled = true\n").unwrap();
    assert!(found["next"].is_null(), "{found}");
}
