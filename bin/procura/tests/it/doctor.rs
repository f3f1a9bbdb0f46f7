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
    ] {
        assert_eq!(verdict(&well, what).0, "ok", "{well:?}");
    }
    assert_eq!(verdict(&well, "clock").1, "agrees with the server's");
    assert!(
        verdict(&well, "listener")
            .1
            .contains(&format!("127.0.0.1 port {port}"))
    );

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
