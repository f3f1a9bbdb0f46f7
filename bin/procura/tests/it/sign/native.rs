//! Native proofs, checked by the standard and by OpenSSL, and as curl sends them.

use super::{URL, headers, names, parameter, seconds, signature_base};
use crate::openssl::{is_signed, sha256, ssh_key, unbase64};
use crate::service_seen::Service;
use crate::{run, run_with_input};
use std::collections::BTreeMap;
use std::process::Command;

#[test]
fn native_proofs_by_keys_of_ssh_keygen_are_good() {
    let home = tempfile::tempdir().unwrap();
    let plain = ssh_key(home.path(), "plain", "");
    let locked = ssh_key(home.path(), "locked", "correct horse");
    for (key, passphrase) in [(&plain, &b""[..]), (&locked, b"correct horse\n")] {
        let file = key.to_str().unwrap();
        let mut args = vec!["sign", "POST", URL, "{\"a\":1}", "--key", file];
        args.extend(["-H", "Authorization: Bearer x", "-H", "X-Other: y"]);
        args.extend(["--passphrase-fd", "0"]);
        let headers = headers(&run_with_input(home.path(), &args, passphrase));
        assert_eq!(
            names(&headers),
            [
                "authorization",
                "content-digest",
                "content-type",
                "signature",
                "signature-input",
                "x-other"
            ]
        );
        let digest = unbase64(
            headers["content-digest"]
                .strip_prefix("sha-256=:")
                .unwrap()
                .strip_suffix(':')
                .unwrap(),
        );
        assert_eq!(digest, sha256(home.path(), b"{\"a\":1}"));
        assert_eq!(headers["content-type"], "application/json");
        let input = &headers["signature-input"];
        let base = signature_base(
            input,
            &[
                ("@method", "POST"),
                ("@authority", "svc.example"),
                ("@path", "/items/%2e"),
                ("@query", "?page=2&q=a%20b"),
                ("content-digest", &headers["content-digest"]),
                ("content-type", "application/json"),
                ("authorization", "Bearer x"),
            ],
        );
        let signature = &headers["signature"];
        let signature = signature.strip_prefix("procura=:").unwrap();
        let signature = unbase64(signature.strip_suffix(':').unwrap());
        assert!(
            is_signed(home.path(), key, base.as_bytes(), &signature),
            "{base}"
        );
        let other = base.replace("POST", "PUT");
        assert!(!is_signed(home.path(), key, other.as_bytes(), &signature));

        let created: u64 = parameter(input, "created").parse().unwrap();
        assert!(seconds().abs_diff(created) < 60);
        assert_eq!(parameter(input, "alg"), "\"ed25519\"");
        assert_eq!(parameter(input, "tag"), "\"procura-v1\"");
        assert!(parameter(input, "nonce").len() >= 18);
    }
}

#[test]
fn without_a_body_there_is_no_digest_and_with_json_the_headers_are_an_object() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let args = [
        "sign",
        "GET",
        "http://127.0.0.1:8080",
        "--key",
        key.to_str().unwrap(),
    ];
    let printed = headers(&run(home.path(), &args));
    assert_eq!(names(&printed), ["signature", "signature-input"]);
    let base = signature_base(
        &printed["signature-input"],
        &[
            ("@method", "GET"),
            ("@authority", "127.0.0.1:8080"),
            ("@path", "/"),
            ("@query", "?"),
        ],
    );
    let signature = unbase64(
        printed["signature"]
            .strip_prefix("procura=:")
            .unwrap()
            .trim_end_matches(':'),
    );
    assert!(is_signed(home.path(), &key, base.as_bytes(), &signature));

    let json = run(home.path(), &[&["--json"], &args[..]].concat());
    let json: BTreeMap<String, String> = serde_json::from_str(&json.out).unwrap();
    assert_eq!(names(&json), names(&printed));
    // Nothing is signed twice.
    assert_ne!(json["signature-input"], printed["signature-input"]);
}

/// As its help says: the other program reads the headers and sends the request.
#[test]
fn curl_sends_what_was_signed() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let service = Service::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let url = service.url("/items?page=2");
    let args = [
        "sign",
        "POST",
        &url,
        "{\"a\": 1}",
        "--key",
        key.to_str().unwrap(),
    ];
    let printed = run(home.path(), &args);
    let expected = headers(&printed);
    let file = home.path().join("headers");
    std::fs::write(&file, &printed.out).unwrap();
    let from = format!("@{}", file.display());
    let curl = Command::new("curl")
        .args([
            "-sS",
            "--noproxy",
            "*",
            "-H",
            &from,
            "--data-binary",
            "{\"a\": 1}",
            &url,
        ])
        .output()
        .unwrap();
    assert_eq!(curl.stdout, b"hi", "{curl:?}");
    let seen = service.next();
    assert_eq!(seen.line, "POST /items?page=2 HTTP/1.1");
    assert_eq!(seen.body, b"{\"a\": 1}");
    for (name, value) in &expected {
        assert_eq!(seen.header(name), value);
    }
    let base = signature_base(
        seen.header("signature-input"),
        &[
            ("@method", "POST"),
            ("@authority", seen.header("Host")),
            ("@path", "/items"),
            ("@query", "?page=2"),
            ("content-digest", seen.header("content-digest")),
            ("content-type", seen.header("content-type")),
        ],
    );
    let signature = seen.header("signature").strip_prefix("procura=:").unwrap();
    let signature = unbase64(signature.trim_end_matches(':'));
    assert!(is_signed(home.path(), &key, base.as_bytes(), &signature));
}
