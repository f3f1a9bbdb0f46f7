//! What cannot be signed.

use super::{URL, secret_file};
use crate::openssl::ssh_key;
use crate::run;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn what_cannot_be_signed_ends_with_64_and_names_the_rule() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let key = ssh_key(dir, "key", "");
    let secret = secret_file(dir, "secret", b"canary");
    let empty = secret_file(dir, "empty", b"\n");
    let two = secret_file(dir, "two", b"canary\ncanary\n");
    let [key, secret, empty, two] =
        [&key, &secret, &empty, &two].map(|path| path.to_str().unwrap());
    let long = "x".repeat(65);
    let hmac = ["GET", URL, "--profile", "hmac-v2", "--agent-id", "a"];
    let with = |args: &[&'static str]| [args, &["--key"]].concat();
    let cases: Vec<(Vec<&str>, &str)> = vec![
        // The request.
        (
            [&with(&["get", URL])[..], &[key]].concat(),
            "is not a method in capital letters, such as GET",
        ),
        (
            [&with(&["G T", URL])[..], &[key]].concat(),
            "is not a method in capital letters, such as GET",
        ),
        (
            [&with(&["CONNECT", URL])[..], &[key]].concat(),
            "opens a tunnel",
        ),
        (
            [&with(&["GET", "svc.example"])[..], &[key]].concat(),
            "the URL must begin with https:// or http://",
        ),
        (
            [&with(&["GET", "svc.example/x"])[..], &[key]].concat(),
            "the URL is not a URL such as https://service.example/path?query",
        ),
        (
            [&with(&["GET", "ftp://svc.example/"])[..], &[key]].concat(),
            "the URL must begin with https:// or http://",
        ),
        (
            [&with(&["GET", "https://svc.example/#top"])[..], &[key]].concat(),
            "the URL must not have a fragment",
        ),
        (
            [&with(&["GET", "/v1#top"])[..], &[key]].concat(),
            "the URL must not have a fragment",
        ),
        (
            [&with(&["GET", "https://u:canary@svc.example/"])[..], &[key]].concat(),
            "the URL must not carry a user name or password",
        ),
        (
            [&with(&["GET", "https://svc.example/a b"])[..], &[key]].concat(),
            "the URL has characters that a URL does not have",
        ),
        (
            [
                &with(&["GET", "https://svc.example/a\r\nX: canary"])[..],
                &[key],
            ]
            .concat(),
            "the URL has characters that a URL does not have",
        ),
        (
            [&with(&["GET", "https://svc.example:99999/"])[..], &[key]].concat(),
            "the URL names a port that is none",
        ),
        (
            [&with(&["POST", URL, "@/nowhere"])[..], &[key]].concat(),
            "the body cannot be read from /nowhere",
        ),
        (
            [&with(&["GET", URL, "-H", "A: b\r\nX: canary"])[..], &[key]].concat(),
            "has a line end, or another character",
        ),
        (
            [&with(&["GET", URL, "-H", "A: b\nX: canary"])[..], &[key]].concat(),
            "has a line end, or another character",
        ),
        (
            [&with(&["GET", URL, "-H", "A\r\nX: canary"])[..], &[key]].concat(),
            "has a name that no header field has",
        ),
        (
            [&with(&["GET", URL, "-H", "canary"])[..], &[key]].concat(),
            "is not 'Name: value'",
        ),
        (
            [&with(&["GET", URL, "-H", "Host: canary"])[..], &[key]].concat(),
            "is a field that is made of the URL",
        ),
        (
            [&with(&["GET", URL, "-H", "X-Agent-Id: canary"])[..], &[key]].concat(),
            "is a field that is made of the URL",
        ),
        (
            [
                &with(&["GET", URL, "-H", "A: b", "-H", "a: canary"])[..],
                &[key],
            ]
            .concat(),
            "-H: a is given twice",
        ),
        (
            [&with(&["GET", URL, "-H", "@/nowhere"])[..], &[key]].concat(),
            "-H @/nowhere cannot be read",
        ),
        // The proof.
        (
            vec!["GET", URL, "--profile", "canary"],
            "[possible values: native, key-server-v1, guide-v1, hmac-v1, hmac-v2]",
        ),
        (
            [&with(&["GET", URL, "--agent-id", "a"])[..], &[key]].concat(),
            "the native profile has no --agent-id",
        ),
        (
            [&with(&["GET", URL, "--secret-file", "x"])[..], &[key]].concat(),
            "this profile signs with a key and takes no secret",
        ),
        (
            [&with(&["GET", URL, "--profile", "guide-v1"])[..], &[key]].concat(),
            "this profile names the agent in the request\n  next: --agent-id ID",
        ),
        (
            vec!["GET", URL, "--profile", "key-server-v1", "--agent-id", "a"],
            "this profile signs with the agent's own key\n  next: --key FILE",
        ),
        (
            [
                &with(&[
                    "GET",
                    URL,
                    "--profile",
                    "guide-v1",
                    "--agent-id",
                    "a",
                    "--secret-fd",
                    "0",
                ])[..],
                &[key],
            ]
            .concat(),
            "this profile signs with a key and takes no secret",
        ),
        (
            [&hmac[..], &["--key", key]].concat(),
            "the profiles with HMAC take no --key",
        ),
        (
            hmac.to_vec(),
            "this profile needs the agent's secret\n  next: --secret-file FILE or --secret-fd N",
        ),
        (
            vec!["GET", URL, "--profile", "hmac-v1", "--secret-file", secret],
            "this profile names the agent in the request",
        ),
        (
            [&hmac[..], &["--secret-file", secret, "--secret-fd", "0"]].concat(),
            "cannot be used with",
        ),
        (
            [&hmac[..], &["--secret-file", "/nowhere"]].concat(),
            "--secret-file /nowhere: it is not there",
        ),
        (
            [&hmac[..], &["--secret-file", empty]].concat(),
            "the secret is empty",
        ),
        (
            [&hmac[..], &["--secret-file", two]].concat(),
            "the secret is not one line of at most 1024 bytes",
        ),
        (
            [&hmac[..], &["--secret-fd", "99"]].concat(),
            "--secret-fd 99: it is not there",
        ),
        (
            [&hmac[..], &["--secret-fd", "x"]].concat(),
            "is not a whole number, such as 3",
        ),
        (
            vec!["GET", URL, "--profile", "hmac-v1", "--agent-id", "a/b"],
            "agent_id: ",
        ),
        (
            vec!["GET", URL, "--profile", "hmac-v1", "--agent-id", "a..b"],
            "agent_id: ",
        ),
        (
            vec!["GET", URL, "--profile", "hmac-v1", "--agent-id", &long],
            "agent_id: ",
        ),
        // One reader of stdin.
        (
            [&hmac[..], &["@-", "--secret-fd", "0"]].concat(),
            "only one thing can be read from stdin",
        ),
        (
            [&with(&["POST", URL, "@-", "-H", "@-"])[..], &[key]].concat(),
            "only one thing can be read from stdin",
        ),
        (
            [
                &with(&["POST", URL, "@-", "--passphrase-fd", "0"])[..],
                &[key],
            ]
            .concat(),
            "only one thing can be read from stdin",
        ),
    ];
    for (args, message) in cases {
        let ran = run(dir, &[&["sign"], &args[..]].concat());
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (64, ""),
            "{args:?}: {}",
            ran.err
        );
        assert!(ran.err.contains(message), "{args:?}: {}", ran.err);
        assert!(!ran.err.contains("canary"), "{args:?}: {}", ran.err);
    }
    // A secret that others can read is none.
    std::fs::set_permissions(secret, std::fs::Permissions::from_mode(0o604)).unwrap();
    let ran = run(
        dir,
        &[&["sign"], &hmac[..], &["--secret-file", secret]].concat(),
    );
    assert_eq!(ran.code, 78);
    assert!(
        ran.err
            .contains("secret is open to others: its mode is 604"),
        "{}",
        ran.err
    );
    // A body may be large, and not larger.
    let large = dir.join("large");
    let file = std::fs::File::create(&large).unwrap();
    for (size, code) in [(32 * 1024 * 1024, 0), (32 * 1024 * 1024 + 1, 64)] {
        file.set_len(size).unwrap();
        let from = format!("@{}", large.display());
        let signed = run(dir, &["sign", "POST", URL, &from, "--key", key]);
        assert_eq!(signed.code, code, "{}", signed.err);
    }
}
