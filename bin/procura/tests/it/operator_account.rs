//! What an operator signs in with in a browser, set at the command line.

use crate::browser::code;
use crate::installed::Installed;

#[test]
fn an_operator_sets_what_they_sign_in_with_and_takes_it_away() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let set = ["operator", "password", "--passphrase-fd", "0"];
    let short = cli.run(&set, b"too short\n");
    assert_eq!(short.code, 64, "{}", short.err);
    let done = cli.run(&set, b"correct horse battery\n");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.err.contains("has a new password"), "{}", done.err);
    assert!(!done.err.contains("horse") && done.out.is_empty());

    // The address for the app, and the same as a QR code.
    let begun = cli.run(&["operator", "totp"], b"");
    assert_eq!(begun.code, 0, "{}", begun.err);
    let shown = begun.out;
    let uri = shown.lines().next().unwrap();
    let (_, rest) = uri.split_once("otpauth://totp/Procura:").unwrap();
    let (_, rest) = rest.split_once("?secret=").unwrap();
    let (secret, issuer) = rest.split_once('&').unwrap();
    assert_eq!((secret.len(), issuer), (32, "issuer=Procura"));
    assert!(shown.lines().count() > 10 && shown.contains('▀'), "{shown}");
    let waits = cli.ok(&["operator", "account"], b"");
    assert!(waits.contains("waits for its first code"), "{waits}");

    let wrong = cli.run(&["operator", "totp", "--confirm", "00000x"], b"");
    assert_ne!(wrong.code, 0);
    assert!(wrong.err.contains("not the code"), "{}", wrong.err);
    let confirm = ["operator", "totp", "--confirm", &code(secret)];
    let confirmed = cli.run(&confirm, b"");
    assert_eq!(confirmed.code, 0, "{}", confirmed.err);
    let codes = cli.ok(&["operator", "recovery-codes"], b"");
    assert_eq!(codes.lines().count(), 10);
    assert!(codes.lines().all(|code| code.len() == 19), "{codes}");

    let account = cli.json(&["operator", "account"]);
    assert_eq!(account["recovery_codes"], 10);
    assert!(account["password"].is_string() && account["totp"].is_string());
    let logins = cli.json(&["operator", "logins"]);
    assert_eq!(logins["logins"], serde_json::json!([]));
    let none = cli.ok(&["operator", "logins", "--end-all"], b"");
    assert!(none.is_empty());
    let both = ["operator", "logins", "--end-all", "--end"];
    let id = "0198c5d2-7b1e-7c3a-9f00-5b8e8d1f2a34";
    assert_eq!(cli.run(&[&both[..], &[id]].concat(), b"").code, 64);
    let missing = cli.run(&["operator", "logins", "--end", id], b"");
    assert!(missing.err.contains("no such web login"), "{}", missing.err);

    cli.ok(&["--yes", "operator", "account", "--end"], b"");
    let account = cli.json(&["operator", "account"]);
    assert_eq!(account["recovery_codes"], 0);
    assert!(account.get("password").is_none() && account.get("totp").is_none());
}
