//! Proofs by the profiles of other systems, with a key and with a secret.

use super::{URL, headers, seconds, secret_file};
use crate::openssl::{hex, hkdf, hmac_hex, is_signed, sha256_hex, ssh_key, unbase64};
use crate::{run, run_with_input};

#[test]
fn proofs_of_other_profiles_by_keys_are_good() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let body = home.path().join("body");
    std::fs::write(&body, b"\x00raw\n\xff").unwrap();
    let from = format!("@{}", body.display());
    for body in [None, Some(from.as_str())] {
        let bytes: &[u8] = if body.is_some() {
            b"\x00raw\n\xff"
        } else {
            b""
        };
        let mut args = vec!["sign", "PUT", URL];
        args.extend(body);
        args.extend([
            "--key",
            key.to_str().unwrap(),
            "--agent-id",
            "agent_7.x",
            "--profile",
        ]);

        let shown = headers(&run(home.path(), &[&args[..], &["key-server-v1"]].concat()));
        let (moment, nonce) = (&shown["x-timestamp"], &shown["x-nonce"]);
        assert_eq!(shown["x-agent-id"], "agent_7.x");
        assert!(moment.contains('T') && moment.ends_with('Z'), "{moment}");
        assert!(nonce.len() >= 16 && nonce.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let hash = sha256_hex(home.path(), bytes);
        let message = format!("PUT\n/items/%2e\n{moment}\n{nonce}\n{hash}");
        let signature = unbase64(&shown["x-signature"]);
        assert!(is_signed(home.path(), &key, message.as_bytes(), &signature));
        assert_eq!(shown.contains_key("content-type"), body.is_some());

        let shown = headers(&run(home.path(), &[&args[..], &["guide-v1"]].concat()));
        let (moment, nonce) = (&shown["x-timestamp"], &shown["x-nonce"]);
        assert_eq!(shown["x-agent"], "agent_7.x");
        assert!(!shown.contains_key("x-agent-id"));
        assert!(seconds().abs_diff(moment.parse().unwrap()) < 60);
        let head = format!("PUT\n/items/%2e\n{moment}\n{nonce}\n");
        let message = [head.as_bytes(), bytes].concat();
        let signature = unbase64(&shown["x-signature"]);
        assert!(is_signed(home.path(), &key, &message, &signature));
    }
}

#[test]
fn proofs_of_other_profiles_by_secrets_are_good() {
    let home = tempfile::tempdir().unwrap();
    let secret = "an agent's secret, grün";
    let file = secret_file(home.path(), "secret", format!("{secret}\n").as_bytes());
    let file = file.to_str().unwrap();
    let common = ["sign", "POST", URL, "some body", "--agent-id", "agent-7"];
    for from in [&["--secret-file", file][..], &["--secret-fd", "0"]] {
        let sign = |profile| {
            let args = [&common[..], from, &["--profile", profile]].concat();
            headers(&run_with_input(home.path(), &args, secret.as_bytes()))
        };
        let shown = sign("hmac-v1");
        let millis: u64 = shown["x-timestamp"].parse().unwrap();
        assert!(seconds().abs_diff(millis / 1000) < 60);
        assert_eq!(shown["x-agent-id"], "agent-7");
        let expected = hmac_hex(home.path(), secret.as_bytes(), b"some body");
        assert_eq!(shown["x-signature"], expected);

        let shown = sign("hmac-v2");
        assert_eq!(shown["x-signature-version"], "2");
        let message = format!(
            "v2\nPOST\n/items/%2e?page=2&q=a%20b\nsvc.example\n{}\n{}\n\n{}",
            shown["x-timestamp"],
            shown["x-nonce"],
            sha256_hex(home.path(), b"some body")
        );
        let key = hkdf(secret.as_bytes(), "procura.hmac-v2");
        assert_eq!(hex(&key).len(), 64);
        assert_eq!(
            shown["x-signature"],
            hmac_hex(home.path(), &key, message.as_bytes())
        );
    }
}

#[test]
fn a_path_alone_is_one_of_the_server() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let file = secret_file(home.path(), "secret", b"s");
    let (key, file) = (key.to_str().unwrap(), file.to_str().unwrap());
    let args = [
        "--server",
        "https://procura.example:7310/",
        "sign",
        "GET",
        "/v1/x?y",
    ];
    let more = [
        "--agent-id",
        "a",
        "--profile",
        "hmac-v2",
        "--secret-file",
        file,
    ];
    let shown = headers(&run(home.path(), &[&args[..], &more].concat()));
    let message = format!(
        "v2\nGET\n/v1/x?y\nprocura.example:7310\n{}\n{}\n\n{}",
        shown["x-timestamp"],
        shown["x-nonce"],
        sha256_hex(home.path(), b"")
    );
    let derived = hkdf(b"s", "procura.hmac-v2");
    assert_eq!(
        shown["x-signature"],
        hmac_hex(home.path(), &derived, message.as_bytes())
    );
    // Without a server that is known, the one of this machine.
    headers(&run(home.path(), &["sign", "GET", "/v1/x", "--key", key]));
}
