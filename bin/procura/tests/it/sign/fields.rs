//! Header fields that are signed along.

use super::{URL, headers};
use crate::openssl::ssh_key;
use crate::{run, run_with_input};

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
