//! Words of SLIP-0039: the reference implementation of the standard combines them to the
//! key of the source, and its holders have them as they need them.

use crate::installed::{Cli, Installed, PASSPHRASE};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The interpreter that has `shamir-mnemonic`; `./x` installs it beside what is built.
fn python() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_procura"));
    let target = built.parent().unwrap().parent().unwrap();
    target.join("slip39/bin/python3")
}

/// Runs a script with these lines as its input, and gives what it prints.
fn script(program: &Path, text: &str, lines: &[&str]) -> String {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(["-c", text])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; ./x test installs it", program.display()));
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.join("\n").as_bytes()).unwrap();
    drop(input);
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// What the reference implementation gives for these words, in hex.
const COMBINE: &str = "import sys; from shamir_mnemonic import combine_mnemonics; \
    print(combine_mnemonics([line.strip() for line in sys.stdin], b'').hex())";

/// The public half of an X25519 key, as base64url.
const PUBLIC: &str = "import sys, base64; \
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey as K; \
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat; \
    key = K.from_private_bytes(bytes.fromhex(sys.stdin.read().strip())).public_key(); \
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw); \
    print(base64.urlsafe_b64encode(raw).decode().rstrip('='))";

fn add(cli: &Cli, name: &str, numbers: &str, more: &[&str]) -> crate::Ran {
    let mut args = vec!["unseal-source", "add", name, "--slip39", numbers];
    args.extend(more);
    args.extend(["--passphrase-fd", "0"]);
    cli.run(&args, PASSPHRASE)
}

#[test]
fn the_reference_implementation_combines_them_to_the_key() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let made = add(cli, "words", "3/5", &[]);
    assert_eq!(made.code, 0, "{}", made.err);
    let words: Vec<&str> = made.out.lines().collect();
    assert_eq!(words.len(), 5, "{}", made.out);
    let file = std::fs::read(cli.home.join("installation.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let source = &file["sources"][1];
    assert_eq!(source["keeper"]["kind"], "slip39");
    let key = source["key"].as_str().unwrap();
    for chosen in [[0, 1, 2], [4, 2, 0]] {
        let chosen = chosen.map(|at: usize| words[at]);
        let secret = script(&python(), COMBINE, &chosen);
        assert_eq!(secret.len(), 64);
        let public = script(Path::new("/usr/bin/python3"), PUBLIC, &[&secret]);
        assert_eq!(public, key, "the private half of the source's key");
    }
}

#[test]
fn holders_try_bring_and_lose_them() {
    let installed = Installed::new();
    let (cli, place) = (&installed.cli, installed.dir());
    for (numbers, more) in [
        ("1/3", ""),
        ("4/3", ""),
        ("2/17", ""),
        ("2/3", "--shares=2/3"),
    ] {
        let more: Vec<&str> = Some(more)
            .filter(|more| !more.is_empty())
            .into_iter()
            .collect();
        let refused = add(cli, "words", numbers, &more);
        assert_eq!(refused.code, 64, "{numbers}: {}", refused.err);
    }
    let made = add(cli, "words", "2/3", &["--qr"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let words: Vec<&str> = made
        .out
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter(|line| line.split(' ').count() == 33)
        .collect();
    assert_eq!(words.len(), 3, "{}", made.out);
    let drawn = made.out.lines().filter(|line| line.contains('█')).count();
    assert!(drawn > 3 * 20, "{}", made.out);

    let verify = |share: &str| {
        let args = ["unseal-source", "verify", "--passphrase-fd", "0"];
        cli.run(&args, share.as_bytes())
    };
    cli.ok(&["seal", "--yes"], b"");
    let genuine = verify(words[1]);
    assert_eq!(genuine.code, 0, "{}", genuine.err);
    let said = format!("{}{}", genuine.out, genuine.err);
    assert!(said.contains("share 2 of the 3 of words"), "{said}");
    for (wrong, part) in [
        (
            words[1].replacen(' ', " procura ", 1),
            "word 2 of the mnemonic is not in the list",
        ),
        (swapped(words[1]), "checksum does not match"),
        (
            words[1].rsplit_once(' ').unwrap().0.to_owned(),
            "no mnemonic has 32 words",
        ),
    ] {
        let refused = verify(&wrong);
        assert_eq!(refused.code, 77, "{part}: {}", refused.err);
        assert!(refused.err.contains(part), "{part}: {}", refused.err);
    }
    let typed = format!("{}\n{}\n", words[2], words[0]);
    let opened = ["unseal", "--shares", "--passphrase-fd", "0"];
    cli.ok(&opened, typed.as_bytes());

    // Each for its holder alone, in the place of the set before.
    let keygen = Command::new("age-keygen")
        .args(["-o", "ann.key"])
        .current_dir(place)
        .output()
        .unwrap();
    assert!(keygen.status.success());
    let ann = Command::new("age-keygen")
        .args(["-y", "ann.key"])
        .current_dir(place)
        .output()
        .unwrap();
    let ann = String::from_utf8(ann.stdout).unwrap();
    let bob = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", "bob"])
        .current_dir(place)
        .output()
        .unwrap();
    assert!(bob.status.success());
    let bob = place.join("bob.pub");
    let to = ["--to", ann.trim(), "--to", bob.to_str().unwrap()];
    let asked = add(cli, "later", "2/2", &to);
    assert_eq!(asked.code, 64, "{}", asked.err);
    let question = "Put later in the place of words (2 of its 3 shares, which are words)? The shares of words open nothing any more";
    assert!(asked.err.contains(question), "{}", asked.err);
    assert_eq!(verify(words[1]).code, 0, "nothing was done");
    let sealed = add(cli, "later", "2/2", &[&to[..], &["--yes"]].concat());
    assert_eq!(sealed.code, 0, "{}", sealed.err);
    assert!(
        sealed.err.contains("takes the place of words"),
        "{}",
        sealed.err
    );
    let end = "-----END AGE ENCRYPTED FILE-----\n";
    let mut lines = Vec::new();
    for (file, key) in sealed.out.split_inclusive(end).zip(["ann.key", "bob"]) {
        std::fs::write(place.join("share.age"), file).unwrap();
        let opened = Command::new("age")
            .args(["-d", "-i", key, "share.age"])
            .current_dir(place)
            .output()
            .unwrap();
        lines.push(String::from_utf8(opened.stdout).unwrap());
    }
    assert_eq!(lines.len(), 2);
    let test = [
        "unseal-source",
        "test",
        "--with",
        "shares",
        "--passphrase-fd",
        "0",
    ];
    cli.ok(&test, lines.concat().as_bytes());
    let old = verify(words[1]);
    assert_eq!(old.code, 77, "{}", old.err);
}

/// Two words that differ in each other's place.
fn swapped(text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    let at = (5..).find(|at| words[*at] != words[at + 1]).unwrap();
    words.swap(at, at + 1);
    words.join(" ")
}

/// A person who writes them down sees which is which.
#[test]
fn a_terminal_numbers_them() {
    let installed = Installed::new();
    let program = env!("CARGO_BIN_EXE_procura");
    let place = installed.dir();
    std::fs::write(place.join("passphrase"), PASSPHRASE).unwrap();
    let file = place.join("passphrase");
    let command = format!(
        "{program} unseal-source add words --slip39 2/2 --passphrase-fd 3 3< {}",
        file.display()
    );
    let shown = Command::new("script")
        .args([
            "--quiet",
            "--flush",
            "--return",
            "--command",
            &command,
            "/dev/null",
        ])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PROCURA_HOME", &installed.cli.home)
        .env("SHELL", "/bin/sh")
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let mut shares = Vec::new();
    for part in shown.split("  1 ").skip(1) {
        let cells: Vec<&str> = part.split_whitespace().collect();
        let mut words = vec![cells[0]];
        for number in 2..=33usize {
            let at = 2 * number - 3;
            assert_eq!(cells[at], number.to_string(), "{shown}");
            words.push(cells[at + 1]);
        }
        shares.push(words.join(" "));
    }
    assert_eq!(shares.len(), 2, "{shown}");
    let test = [
        "unseal-source",
        "test",
        "--with",
        "shares",
        "--passphrase-fd",
        "0",
    ];
    let typed = format!("{}\n", shares.join("\n"));
    installed.cli.ok(&test, typed.as_bytes());
}
