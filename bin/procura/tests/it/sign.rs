//! `procura sign`: what it prints proves the request to programs that share no code
//! with it, and what cannot be proven is refused.

use crate::openssl::{hex, hkdf, hmac_hex, is_signed, sha256, sha256_hex, ssh_key, unbase64};
use crate::service_seen::Service;
use crate::{Ran, run, run_with_input};
use procura_client::SystemClock;
use procura_types::Clock as _;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

const URL: &str = "https://Svc.Example:443/items/%2e?page=2&q=a%20b";

fn headers(ran: &Ran) -> BTreeMap<String, String> {
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{}", ran.err);
    ran.out
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn names(headers: &BTreeMap<String, String>) -> Vec<&str> {
    headers.keys().map(String::as_str).collect()
}

/// The message that RFC 9421 §2.5 makes of a request and its `Signature-Input`,
/// written down from the standard once more.
fn signature_base(input: &str, values: &[(&str, &str)]) -> String {
    let parameters = input.strip_prefix("procura=").unwrap();
    let (covered, _) = parameters
        .strip_prefix('(')
        .unwrap()
        .split_once(')')
        .unwrap();
    let mut base = String::new();
    for name in covered.split(' ') {
        let bare = name.trim_matches('"');
        let (_, value) = values
            .iter()
            .find(|(known, _)| *known == bare)
            .unwrap_or_else(|| panic!("{name} is covered"));
        base.push_str(&format!("{name}: {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {parameters}"));
    base
}

fn parameter<'a>(input: &'a str, name: &str) -> &'a str {
    let (_, rest) = input.split_once(&format!(";{name}=")).unwrap();
    rest.split(';').next().unwrap()
}

fn seconds() -> u64 {
    SystemClock.now().as_secs()
}

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

/// A file with a secret in it, for its owner alone.
fn secret_file(dir: &Path, name: &str, text: &[u8]) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
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

#[test]
fn headers_that_others_must_not_see_come_from_a_file() {
    let home = tempfile::tempdir().unwrap();
    let key = ssh_key(home.path(), "key", "");
    let file = home.path().join("headers");
    std::fs::write(&file, "Authorization: Bearer canary\n\nX-Other: y\n").unwrap();
    let from = format!("@{}", file.display());
    let args = [
        "sign",
        "GET",
        URL,
        "--key",
        key.to_str().unwrap(),
        "-H",
        &from,
    ];
    let shown = headers(&run(home.path(), &args));
    assert_eq!(shown["authorization"], "Bearer canary");
    assert!(shown["signature-input"].contains("\"authorization\""));
    let args = [
        "sign",
        "GET",
        URL,
        "--key",
        key.to_str().unwrap(),
        "-H",
        "@-",
    ];
    let shown = headers(&run_with_input(home.path(), &args, b"X-Other: z\r\n"));
    assert_eq!(shown["x-other"], "z");

    for (text, message) in [
        (
            &b"A: b\nBearer canary\n"[..],
            "field 2 is not 'Name: value'",
        ),
        (
            b"A: b\nHost: canary\n",
            "field 2 is a field that is made of the URL",
        ),
        (
            b"A: canary\x00\n",
            "field 1 has a line end, or another character",
        ),
        (b"A: canary\nA: canary\n", "-H: a is given twice"),
        (&vec![b'x'; 64 * 1024 + 1], "is longer than 64 KiB"),
    ] {
        std::fs::write(&file, text).unwrap();
        let args = [
            "sign",
            "GET",
            URL,
            "--key",
            key.to_str().unwrap(),
            "-H",
            &from,
        ];
        let ran = run(home.path(), &args);
        assert_eq!((ran.code, ran.out.as_str()), (64, ""), "{}", ran.err);
        assert!(ran.err.contains(message), "{}", ran.err);
        assert!(!ran.err.contains("canary"), "{}", ran.err);
    }
}

#[test]
fn keys_that_cannot_be_used_are_refused_with_a_way_on() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let locked = ssh_key(dir, "locked", "correct horse");
    let open = ssh_key(dir, "open", "");
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o640)).unwrap();
    let made = ssh_key(dir, "made", "");
    let text = std::fs::read_to_string(&made).unwrap();
    let third = text.lines().nth(2).unwrap();
    let damaged = secret_file(dir, "damaged", text.replace(third, "").as_bytes());
    let public = made.with_extension("pub");
    let text = secret_file(dir, "text", b"canary");
    let rsa = dir.join("rsa");
    let keygen = Command::new("ssh-keygen")
        .args([
            "-q",
            "-t",
            "rsa",
            "-b",
            "2048",
            "-N",
            "",
            "-f",
            rsa.to_str().unwrap(),
        ])
        .status();
    assert!(keygen.unwrap().success());
    let nowhere = dir.join("nowhere");
    for (file, input, code, what, next) in [
        (&nowhere, &b""[..], 64, "nowhere: it is not there", ""),
        (&dir.to_owned(), b"", 64, "it is a directory", ""),
        (
            &open,
            b"",
            78,
            "open is open to others: its mode is 640",
            "chmod 600 ",
        ),
        (
            &public,
            b"",
            78,
            "made.pub: it is the public half of a key",
            "--key with the private half",
        ),
        (
            &text,
            b"",
            78,
            "text: not an OpenSSH key",
            "--key with a file that ssh-keygen",
        ),
        (
            &rsa,
            b"",
            78,
            "rsa: an OpenSSH key of another type than Ed25519",
            "ssh-keygen -t ed25519",
        ),
        (
            &damaged,
            b"",
            78,
            "damaged: the OpenSSH key is damaged",
            "put it back from a backup",
        ),
        (
            &locked,
            b"wrong horse\n",
            77,
            "locked: the passphrase does not open the private key",
            "the command again",
        ),
        (&locked, b"\n", 64, "the passphrase is empty", ""),
    ] {
        let args = [
            "--passphrase-fd",
            "0",
            "sign",
            "GET",
            URL,
            "--key",
            file.to_str().unwrap(),
        ];
        let ran = run_with_input(dir, &args, input);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (code, ""),
            "{what}: {}",
            ran.err
        );
        assert!(ran.err.contains(what), "{what}: {}", ran.err);
        if !next.is_empty() {
            assert!(
                ran.err.contains(&format!("\n  next: {next}")),
                "{what}: {}",
                ran.err
            );
        }
    }
    // Nobody to ask.
    let ran = run(
        dir,
        &["sign", "GET", URL, "--key", locked.to_str().unwrap()],
    );
    assert_eq!(ran.code, 64);
    assert!(
        ran.err.contains("there is no terminal to ask at"),
        "{}",
        ran.err
    );
    // No key at all.
    let ran = run(dir, &["sign", "GET", URL]);
    assert_eq!(ran.code, 78);
    assert!(ran.err.contains("no server is known in"), "{}", ran.err);
}

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
