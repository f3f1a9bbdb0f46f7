//! Identities at identity providers, at the command line: what is no link proof of this
//! server links nothing. `outside::oidc` in `tests/acceptance` links by one that is.

use crate::installed::Installed;
use procura_types::encoding;

#[test]
fn what_this_server_did_not_see_proven_is_not_linked() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let list = cli.json(&["operator", "oidc", "list"]);
    assert_eq!(list["identities"], serde_json::json!([]));
    let none = cli.run(&["operator", "oidc", "list", "--of", "alice"], b"");
    assert!(none.err.contains("no identities"), "{}", none.err);

    // What is none is not sent; what looks like one is said back, then refused.
    let garbled = cli.run(&["operator", "oidc", "link", "AAAA"], b"");
    assert_eq!(garbled.code, 64, "{}", garbled.err);
    assert!(garbled.err.contains("no link proof"), "{}", garbled.err);
    let body = br#"{"provider":"corp","issuer":"https://login.example","subject":"42"}"#;
    let mac = encoding::b64url(&[0; 44]);
    let forged = format!("{}.{mac}\n", encoding::b64url(body));
    let refused = cli.run(&["--yes", "operator", "oidc", "link"], forged.as_bytes());
    assert_ne!(refused.code, 0);
    assert!(refused.err.contains("proof_unknown"), "{}", refused.err);
    assert!(refused.err.contains("sign-in page"), "{}", refused.err);
    assert_eq!(cli.json(&["operator", "oidc", "list"]), list);

    let id = "PCfMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo";
    let missing = cli.run(&["--yes", "operator", "oidc", "unlink", id], b"");
    assert_ne!(missing.code, 0);
    assert!(missing.err.contains("no such identity"), "{}", missing.err);
    let unknown = ["--yes", "operator", "oidc", "unlink", id, "--of", "nobody"];
    assert_ne!(cli.run(&unknown, b"").code, 0);
}
