//! Shares that the command line made, combined by a program that was written from their
//! description alone: they lead to the root, as it is and after it turned, and whatever
//! else is made of them opens nothing.

use super::Program;
use procura_acceptance::Installation;
use serde_json::{Value, json};
use std::path::Path;

/// Adds a set, and gives its shares.
fn added(server: &Installation, name: &str, scheme: &str, numbers: &str) -> Vec<String> {
    let add = ["--json", "unseal-source", "add", name, scheme, numbers];
    let made = server.cli(&add).ok().json();
    let shares = made["shares"].as_array().unwrap().iter();
    shares
        .map(|share| share.as_str().unwrap().to_owned())
        .collect()
}

/// What the other program says of shares of a source in a file.
fn combined(server: &Installation, file: &Path, name: &str, shares: &[String]) -> Value {
    let list = server.folder().join("shares.txt");
    std::fs::write(&list, shares.join("\n")).unwrap();
    let words = [file.to_str().unwrap(), name, list.to_str().unwrap()];
    let mut said = Program::python("shares.py", &words).rest();
    std::fs::remove_file(list).unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0)
}

/// What it says when every one of so many choices opens a root.
fn opened(said: &Value, choices: u32, root_epoch: u32) {
    let step = json!([
        said["step"],
        said["choices"],
        said["root_epoch"],
        said["root_bytes"]
    ]);
    assert_eq!(step, json!(["opened", choices, root_epoch, 32]), "{said}");
}

/// Opens the vault with shares.
fn unsealed(server: &Installation, shares: &[&str]) {
    server.cli(&["seal"]).ok();
    let home = server.home();
    server
        .cli_lines(&home, shares, &["unseal", "--shares"])
        .ok()
        .says("unsealed");
}

#[test]
fn shares_lead_to_the_root_by_their_description_alone() {
    let server = Installation::ready();
    let (home, file) = (server.home(), server.home().join("installation.json"));
    let shares = added(&server, "recovery", "--shares", "3/5");
    let said = combined(&server, &file, "recovery", &shares);
    opened(&said, 10, 1);
    assert_eq!(said["fewer"], json!(false), "{said}");

    // What it made of them: a share that was lost, one more than were made, and a forged
    // one, all three with a checksum that fits.
    let others = &said["others"];
    let [again, beyond, forged] =
        ["again", "beyond", "forged"].map(|which| others[which].as_str().unwrap());
    assert_eq!(again, shares[0]);
    for (share, code, says) in [
        (again, 0, "share 1 of the 5 of recovery"),
        (beyond, 77, "share 6 is not the one that was made"),
        (forged, 77, "share 2 is not the one that was made"),
    ] {
        let verified = server.cli_in(&home, share, &["unseal-source", "verify"], b"");
        let _ = verified.code(code).says(says);
    }
    unsealed(&server, &[again, &shares[4], &shares[2]]);
    // It is on the polynomials, and gives the root to whoever combines it elsewhere; here
    // it was never made.
    let test = ["unseal-source", "test", "--with", "shares"];
    let refused = server.cli_lines(&home, &[&shares[0], &shares[1], beyond], &test);
    let _ = refused.code(77).says("hare 6 is not the one that was made");

    // A root that turns reaches their holders, who are away.
    server.cli(&["rotate", "root"]).ok();
    opened(&combined(&server, &file, "recovery", &shares), 10, 2);

    // Others take their place: in a file of before they open what there was then.
    let before = server.folder().join("before.json");
    std::fs::copy(&file, &before).unwrap();
    let words = added(&server, "words", "--slip39", "2/4");
    opened(&combined(&server, &file, "words", &words), 6, 3);
    let gone = combined(&server, &file, "recovery", &shares);
    let expected = json!({"step": "wrong", "why": "there is no such source"});
    assert_eq!(gone, expected);
    opened(&combined(&server, &before, "recovery", &shares), 10, 2);
    unsealed(&server, &[&words[3], &words[1]]);
}

/// As many as there can be, all of them needed: together in one request, and each in one.
#[test]
fn the_largest_sets_open_the_vault() {
    let server = Installation::ready();
    let file = server.home().join("installation.json");
    for (root_epoch, scheme, numbers, count) in [
        (1, "--shares", "255/255", 255),
        (2, "--slip39", "16/16", 16),
    ] {
        let shares = added(&server, "everybody", scheme, numbers);
        assert_eq!(shares.len(), count);
        opened(
            &combined(&server, &file, "everybody", &shares),
            1,
            root_epoch,
        );
        let shares: Vec<&str> = shares.iter().map(String::as_str).collect();
        let test = ["unseal-source", "test", "--with", "shares"];
        server.cli_lines(&server.home(), &shares, &test).ok();
        unsealed(&server, &shares);
        let remove = ["unseal-source", "remove", "everybody"];
        server.cli(&remove).ok();
    }
}
