//! Codes for passkeys, and the list of them, at the command line.

use crate::installed::Installed;

#[test]
fn an_operator_makes_a_code_for_a_browser_and_sees_their_passkeys() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let made = cli.run(&["operator", "passkey", "invite"], b"");
    assert_eq!(made.code, 0, "{}", made.err);
    // The code alone, so that it can be piped; the page is a word to the person, and has
    // no code in it.
    assert_eq!(made.out.trim_end().len(), 22, "{}", made.out);
    assert!(made.err.contains("http://localhost:"), "{}", made.err);
    assert!(made.err.contains("/passkey/enrol\n"), "{}", made.err);
    assert!(!made.err.contains(made.out.trim_end()), "{}", made.err);
    let list = cli.json(&["operator", "passkey", "list"]);
    assert_eq!(list["passkeys"], serde_json::json!([]));
    let none = cli.run(&["operator", "passkey", "list", "--of", "alice"], b"");
    assert!(none.err.contains("no passkeys"), "{}", none.err);
    let id = "PCfMGuJiMVe6aCQMYtYGJGsHzlHJxaIYy7e2ZrnUfxo";
    let remove = ["--yes", "operator", "passkey", "remove", id];
    let rename = ["operator", "passkey", "rename", id, "Phone"];
    for missing in [&remove[..], &rename[..]] {
        let refused = cli.run(missing, b"");
        assert_ne!(refused.code, 0);
        assert!(refused.err.contains("no such passkey"), "{}", refused.err);
    }
    let hidden = ["operator", "passkey", "rename", id, "a\u{202e}b"];
    assert_eq!(cli.run(&hidden, b"").code, 64);
}
