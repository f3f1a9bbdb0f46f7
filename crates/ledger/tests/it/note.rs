//! Signed notes, verifier keys and checkpoints.

use crate::fixture::{Counting, Log};
use procura_crypto::SigningKey;
use procura_ledger::{Checkpoint, Hash, LedgerError, Note, NoteSigner, Vkey};

fn signer(name: &str, seed: u64) -> NoteSigner {
    let key = SigningKey::generate_ed25519(&Counting::new(seed)).unwrap();
    NoteSigner::new(name, key).unwrap()
}

fn problem<T>(result: Result<T, LedgerError>) -> &'static str {
    match result {
        Err(LedgerError::Malformed { problem, .. }) => problem,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("passed"),
    }
}

#[test]
fn a_note_opens_with_its_key_only() {
    let (alice, bob) = (signer("alice", 1), signer("bob", 2));
    let text = "first\n\nsecond \u{e9}\n";
    let note = alice.sign(text).unwrap();
    let parsed = Note::parse(&note).unwrap();
    assert_eq!(parsed.open(&[alice.vkey().clone()]).unwrap(), text);
    let both = [bob.vkey().clone(), alice.vkey().clone()];
    assert_eq!(parsed.open(&both).unwrap(), text);
    assert!(matches!(
        parsed.open(&[bob.vkey().clone()]),
        Err(LedgerError::Unsigned { name }) if name == "bob"
    ));
    assert!(matches!(
        parsed.open(&[]),
        Err(LedgerError::Unsigned { .. })
    ));
    // A signature of the same name by another key has another id: unknown.
    let other = signer("alice", 3);
    assert!(matches!(
        parsed.open(&[other.vkey().clone()]),
        Err(LedgerError::Unsigned { .. })
    ));
}

#[test]
fn unknown_signatures_are_ignored_and_known_ones_must_verify() {
    let (alice, bob) = (signer("alice", 1), signer("bob", 2));
    let text = "text\n";
    let line = |note: &str| note.rsplit_once("\n\n").unwrap().1.to_owned();
    let cosigned = format!(
        "{}{}",
        alice.sign(text).unwrap(),
        line(&bob.sign(text).unwrap())
    );
    let keys = [alice.vkey().clone(), bob.vkey().clone()];
    for known in [&keys[..1], &keys[1..], &keys[..]] {
        let opened = Note::parse(&cosigned).unwrap().open(known).unwrap();
        assert_eq!(opened, text);
    }
    let wrong = format!(
        "{}{}",
        alice.sign(text).unwrap(),
        line(&bob.sign("other\n").unwrap())
    );
    let parsed = Note::parse(&wrong).unwrap();
    assert_eq!(parsed.open(&keys[..1]).unwrap(), text);
    assert!(matches!(
        parsed.open(&keys),
        Err(LedgerError::BadSignature { name }) if name == "bob"
    ));
}

#[test]
fn malformed_notes() {
    let good = signer("alice", 1).sign("text\n").unwrap();
    let (text, line) = good.split_once("\n\n").unwrap();
    for (note, why) in [
        (String::new(), "has no signature block"),
        ("text\n".to_owned(), "has no signature block"),
        ("text\n\n".to_owned(), "does not end with a newline"),
        (good.trim_end().to_owned(), "does not end with a newline"),
        (good.replace("text", "te\txt"), "has control characters"),
        (good.replace('\n', "\r\n"), "has control characters"),
        (
            good.replace('\u{2014}', "-"),
            "a signature line is not — <name> <base64>",
        ),
        (
            good.replace(" alice", "  alice"),
            "a signature line is not — <name> <base64>",
        ),
        (
            good.replace("alice", "al+ice"),
            "a signature line is not — <name> <base64>",
        ),
        (
            format!("{text}\n\n\u{2014} alice AAAA\n"),
            "a signature is too short",
        ),
        (
            format!("{text}\n\n\u{2014} alice AAAAAA==\n"),
            "a signature is too short",
        ),
        (
            format!("{text}\n\n\u{2014} alice AAAAAB=\n"),
            "a signature is not base64",
        ),
        (
            format!("{text}\n\n{}", line.repeat(65)),
            "has more than 64 signatures",
        ),
        (
            format!("{}\n\n{line}", "x".repeat(65_536)),
            "is longer than 64 KiB",
        ),
        (format!("{good} "), "does not end with a newline"),
    ] {
        assert_eq!(problem(Note::parse(&note)), why, "{note}");
    }
    // At least 16 signatures are to be accepted; 64 are.
    let many = format!("{text}\n\n{}", line.repeat(64));
    assert!(Note::parse(&many).is_ok());
    assert_eq!(
        problem(signer("alice", 1).sign("no newline")),
        "its text does not end with a newline"
    );
}

#[test]
fn malformed_verifier_keys() {
    let good = signer("alice", 1).vkey().to_string();
    let parsed: Vkey = good.parse().unwrap();
    assert_eq!(parsed.to_string(), good);
    let parts: Vec<&str> = good.splitn(3, '+').collect();
    let (name, id, key) = (parts[0], parts[1], parts[2]);
    let small_order = format!("AQ{}", "A".repeat(42));
    for (text, why) in [
        (String::new(), "is not <name>+<id>+<key>"),
        (format!("{name}+{id}"), "is not <name>+<id>+<key>"),
        (
            format!("{name}+00000000+{key}"),
            "the id is not of this name and key",
        ),
        (
            format!("{name}+{}+{key}", id.to_uppercase() + "0"),
            "the id is not of this name and key",
        ),
        (
            format!("bob+{id}+{key}"),
            "the id is not of this name and key",
        ),
        (format!("{name}+{id}+{key} "), "the key is not base64"),
        (format!("{name}+{id}+AgAA"), "is no Ed25519 key"),
        (format!("{name}+{id}+AQAA"), "is no valid Ed25519 key"),
        (
            format!("{name}+{id}+{small_order}"),
            "is no valid Ed25519 key",
        ),
        (
            format!("a b+{id}+{key}"),
            "the name is empty or has spaces or +",
        ),
        (
            format!("+{id}+{key}"),
            "the name is empty or has spaces or +",
        ),
    ] {
        assert_eq!(problem(text.parse::<Vkey>()), why, "{text}");
    }
    let p256 = SigningKey::generate_p256(&Counting::new(1)).unwrap();
    assert_eq!(
        problem(Vkey::new("alice", p256.public())),
        "is no Ed25519 key"
    );
}

#[test]
fn checkpoints() {
    let mut log = Log::new();
    let entry = log.entry("namespace.create");
    log.push(&entry);
    let checkpoint = log.checkpoint(1);
    let note = checkpoint.sign(&log.signer).unwrap();
    let lines: Vec<&str> = note.lines().collect();
    assert_eq!(lines[0], format!("procura/{}", log.installation));
    assert_eq!(lines[1], "1");
    assert_eq!(lines[2], checkpoint.root.to_string());
    assert_eq!(lines[3], "procura-seq 1001");
    assert!(lines[4].starts_with("procura-set "));
    assert_eq!(lines[5], "");
    assert!(lines[6].starts_with(&format!("\u{2014} procura/{} ", log.installation)));
    assert_eq!(Checkpoint::open(&note, log.vkey()).unwrap(), checkpoint);

    let other = Checkpoint {
        origin: "procura/other".to_owned(),
        ..checkpoint.clone()
    };
    assert!(matches!(
        other.sign(&log.signer),
        Err(LedgerError::WrongOrigin { .. })
    ));
    let foreign = log.signer.sign(&other.body().unwrap()).unwrap();
    assert!(matches!(
        Checkpoint::open(&foreign, log.vkey()),
        Err(LedgerError::WrongOrigin { found, .. }) if found == "procura/other"
    ));
    let extended = Checkpoint {
        extensions: vec!["of others".to_owned()],
        ..checkpoint.clone()
    };
    let note = extended.sign(&log.signer).unwrap();
    assert_eq!(Checkpoint::open(&note, log.vkey()).unwrap(), extended);
    for line in ["", "two\nlines", "procura-seq 7"] {
        let wrong = Checkpoint {
            extensions: vec![line.to_owned()],
            ..checkpoint.clone()
        };
        assert!(matches!(
            wrong.sign(&log.signer),
            Err(LedgerError::Malformed {
                what: "checkpoint",
                ..
            })
        ));
    }
}

#[test]
fn malformed_checkpoints() {
    let root = Hash::empty_root().to_string();
    let set = "procura-set 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    for (body, why) in [
        (String::new(), "does not end with a newline"),
        ("a\n1\n".to_owned(), "has fewer than three lines"),
        (format!("\n1\n{root}\n"), "the origin is empty"),
        (
            format!("a\n01\n{root}\n"),
            "the size is not a decimal number",
        ),
        (
            format!("a\n+1\n{root}\n"),
            "the size is not a decimal number",
        ),
        (format!("a\n\n{root}\n"), "the size is not a decimal number"),
        (
            format!("a\n18446744073709551616\n{root}\n"),
            "the size is not a decimal number",
        ),
        (
            "a\n1\nAAAA\n".to_owned(),
            "the root is not 32 bytes in base64",
        ),
        (
            format!("a\n1\n{}\n", root.trim_end_matches('=')),
            "the root is not 32 bytes in base64",
        ),
        (format!("a\n1\n{root}\n\n"), "an extension line is empty"),
        (
            format!("a\n1\n{root}\nprocura-seq x\n"),
            "procura-seq is not a decimal number",
        ),
        (
            format!("a\n1\n{root}\nprocura-seq 1\nprocura-seq 1\n"),
            "procura-seq stands twice",
        ),
        (
            format!("a\n1\n{root}\nprocura-set AAAA\n"),
            "procura-set is not 32 bytes in base64",
        ),
        (
            format!("a\n1\n{root}\n{set}\n{set}\n"),
            "procura-set stands twice",
        ),
    ] {
        assert_eq!(problem(Checkpoint::parse_body(&body)), why, "{body}");
    }
}
