//! An account for emergencies, and keys of automation, at the command line.

use crate::installed::Installed;
use crate::openssl::ssh_key;
use serde_json::Value;

const USE: [&str; 5] = ["--yes", "break-glass", "use", "--passphrase-fd", "0"];
const LOGIN: [&str; 3] = ["login", "--passphrase-fd", "0"];

#[test]
fn an_account_is_opened_once_by_its_code_and_everybody_is_told() {
    let installed = Installed::new();
    let alice = &installed.cli;
    let night = installed.other("night");
    let home = night.home.display().to_string();
    let create = ["break-glass", "create", "night", "--out", &home];
    let made = alice.json(&create);
    assert_eq!(made["account"]["state"], "sealed");
    let code = format!("{}\n", made["code"].as_str().unwrap());
    // What is in the home says nothing without the code.
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(night.home.join("operator")).unwrap() {
        kept.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    let kept = String::from_utf8_lossy(&kept);
    assert!(!kept.contains(code.trim()), "{kept}");
    let again = alice.run(&create, b"");
    assert_ne!(again.code, 0, "{}", again.out);

    let wrong = night.run(&USE, b"not the code\n");
    assert_ne!(wrong.code, 0, "{}", wrong.out);
    night.ok(&LOGIN, code.as_bytes());
    let sealed = night.run(&["operator", "list"], b"");
    assert_eq!(sealed.code, 77, "{}", sealed.err);
    assert!(
        sealed.err.contains("procura break-glass use"),
        "{}",
        sealed.err
    );
    let notice = "the break-glass account night was used";
    let before = alice.run(&["operator", "list"], b"");
    assert!(!before.err.contains(notice), "{}", before.err);

    // However it is typed.
    let typed = code.to_uppercase().replace('-', " ");
    night.ok(&USE, typed.as_bytes());
    night.ok(&["operator", "list"], b"");
    let after = alice.run(&["operator", "list"], b"");
    assert!(after.err.contains(notice), "{}", after.err);
    let twice = night.run(&USE, code.as_bytes());
    assert_eq!(twice.code, 77, "{}", twice.err);
    assert!(twice.err.contains("--renew"), "{}", twice.err);
    let listed = alice.ok(&["break-glass", "list"], b"");
    assert!(listed.contains("night"), "{listed}");
    assert!(listed.contains("open"), "{listed}");

    alice.ok(&["--yes", "operator", "revoke", "night"], b"");
    assert_ne!(night.run(&["operator", "list"], b"").code, 0);
}

#[test]
fn an_api_key_is_shown_with_its_own_key_and_no_other() {
    let installed = Installed::new();
    let alice = &installed.cli;
    let key = ssh_key(installed.dir(), "deploy", "");
    let key = key.to_str().unwrap();
    let header = installed.dir().join("deploy.header");
    let file = header.to_str().unwrap();
    let create = [
        "api-key",
        "create",
        "deploy",
        "--key",
        key,
        "--action",
        "secret.list",
        "--in",
        "default",
        "--header",
        file,
    ];
    let made = alice.json(&create);
    assert_eq!(made["state"], "live");
    assert_eq!(made["token"], Value::Null);
    // Nothing is made whose token had nowhere to go.
    assert_ne!(alice.run(&create, b"").code, 0);
    let of = alice.json(&["api-key", "list"]);
    assert_eq!(of["keys"].as_array().unwrap().len(), 1);

    let url = alice.url.as_deref().unwrap();
    let secrets = format!("{url}/v1/namespaces/default/secrets");
    let shown = format!("@{file}");
    let get = ["request", "GET", &secrets];
    let good = [&get[..], &["-H", &shown, "--key", key]].concat();
    let answer = alice.ok(&good, b"");
    assert!(answer.contains("\"secrets\""), "{answer}");
    for (more, reason) in [
        (&["--key", key][..], "api_key_missing"),
        (&["-H", &shown][..], "api_key_device"),
    ] {
        let refused = alice.run(&[&get[..], more].concat(), b"");
        assert_eq!(refused.code, 77, "{}", refused.err);
        assert!(refused.out.contains(reason), "{}", refused.out);
        let next = "procura api-key list, typed by its operator";
        assert!(refused.err.contains(next), "{}", refused.err);
    }
    // By its name, which another one may have tomorrow, nothing is revoked.
    let by_name = alice.run(&["--yes", "api-key", "revoke", "deploy"], b"");
    assert_eq!(by_name.code, 64, "{}", by_name.err);
    let next = "procura api-key list shows";
    assert!(by_name.err.contains(next), "{}", by_name.err);
    let device = made["device"].as_str().unwrap();
    alice.ok(&["--yes", "api-key", "revoke", device], b"");
    let refused = alice.run(&good, b"");
    assert_eq!(refused.code, 77, "{}", refused.err);
    assert!(refused.out.contains("revoked"), "{}", refused.out);
}

/// One id in 64 begins with a hyphen, and one in 4096 with two. It gets as far as the
/// server, which knows of none.
#[test]
fn an_id_that_begins_with_a_hyphen_is_an_id() {
    let installed = Installed::new();
    for id in [
        "-CfMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo",
        "--fMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo",
    ] {
        let commands: [(&[&str], &[&str]); 5] = [
            (&["api-key", "revoke"], &[]),
            (&["operator", "oidc", "unlink"], &[]),
            (&["operator", "oidc", "unlink"], &["--of", "alice"]),
            (&["operator", "passkey", "remove"], &[]),
            (&["operator", "passkey", "rename"], &["Phone"]),
        ];
        for (command, more) in commands {
            let typed = [&["--yes"][..], command, &[id], more].concat();
            let missing = installed.cli.run(&typed, b"");
            assert_ne!(missing.code, 0, "{typed:?}");
            let found = missing.err.to_lowercase();
            assert!(found.contains("no such"), "{typed:?}: {}", missing.err);
        }
    }
}
