//! Secrets through the command line: exact bytes, versions, deletion.

use crate::scene::shop;

#[test]
fn any_bytes_up_to_one_mebibyte_come_back_exactly() {
    let server = shop();
    let every_byte: Vec<u8> = (0..=255).cycle().take(1024 * 1024).collect();
    for (path, value) in [
        ("binary", &every_byte[..]),
        ("empty", b""),
        ("newline", b"ends with one\n"),
    ] {
        server.put("shop", path, value);
        let read = server.cli(&["-n", "shop", "secret", "get", path]).ok();
        assert!(read.stdout == value, "{path} came back otherwise");
    }
    let too_long = [&every_byte[..], b"x"].concat();
    let _ = server
        .cli_with(&["-n", "shop", "secret", "put", "long"], &too_long)
        .code(64)
        .says("1 MiB");
}

#[test]
fn versions_compare_and_set_delete_and_destroy() {
    let server = shop();
    for value in ["one", "two", "three"] {
        server.put("shop", "a", value.as_bytes());
    }
    let get =
        |version: &str| server.cli(&["-n", "shop", "secret", "get", "a", "--version", version]);
    assert_eq!(get("2").ok().text(), "two");
    let stale = ["-n", "shop", "secret", "put", "a", "--expect-version", "2"];
    let _ = server
        .cli_with(&stale, b"four")
        .code(77)
        .says("version_mismatch");
    let fresh = ["-n", "shop", "secret", "put", "a", "--expect-version", "3"];
    server.cli_with(&fresh, b"four").ok();

    server
        .cli(&["-n", "shop", "secret", "delete", "a", "--version", "2"])
        .ok();
    let _ = get("2")
        .code(77)
        .says("a has no version 2 that can be read");
    server
        .cli(&["-n", "shop", "secret", "destroy", "a", "--version", "1"])
        .ok();
    let _ = get("1")
        .code(77)
        .says("a has no version 1 that can be read");
    assert_eq!(get("3").ok().text(), "three");
    let history = server
        .cli(&["-n", "shop", "--json", "secret", "history", "a"])
        .ok()
        .json();
    let states: Vec<_> = history["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["state"].clone())
        .collect();
    assert_eq!(
        states,
        ["live", "live", "deleted", "destroyed"],
        "newest first"
    );

    server.cli(&["-n", "shop", "secret", "delete", "a"]).ok();
    let _ = server
        .cli(&["-n", "shop", "secret", "get", "a"])
        .code(77)
        .says("not_found");
}

#[test]
fn a_dotenv_file_becomes_secrets_or_nothing_does() {
    let server = shop();
    let file = server.folder().join(".env");
    std::fs::write(
        &file,
        "# keys\nexport API_KEY='quoted value'\nDB_URL=\"two\\nlines\"\n",
    )
    .unwrap();
    let import = [
        "-n",
        "shop",
        "secret",
        "import",
        file.to_str().unwrap(),
        "--prefix",
        "web/",
    ];
    server.cli(&import).ok();
    assert_eq!(
        server
            .cli(&["-n", "shop", "secret", "get", "web/api_key"])
            .ok()
            .stdout,
        b"quoted value"
    );
    assert_eq!(
        server
            .cli(&["-n", "shop", "secret", "get", "web/db_url"])
            .ok()
            .stdout,
        b"two\nlines"
    );
    // Once more changes nothing.
    server.cli(&import).ok();

    std::fs::write(&file, "GOOD=1\n2BAD=2\n").unwrap();
    let _ = server
        .cli(&["-n", "shop", "secret", "import", file.to_str().unwrap()])
        .code(64)
        .says("line 2");
    let _ = server
        .cli(&["-n", "shop", "secret", "get", "good"])
        .code(77)
        .says("not_found");
}

#[test]
fn names_are_refused_with_the_field() {
    let server = shop();
    for path in ["", "/a", "a/", "a//b", "../a", "a b", &"x".repeat(256)] {
        let refused = server
            .cli_with(&["-n", "shop", "secret", "put", path], b"v")
            .code(64);
        let _ = refused.says("path");
    }
    let _ = server
        .cli(&["-n", "UPPER", "secret", "list"])
        .code(64)
        .says("namespace");
}
