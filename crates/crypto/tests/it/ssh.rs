//! Keys of OpenSSH: those that `ssh-keygen` makes here and now are read, and what
//! differs from them in one thing is refused for that thing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_crypto::ssh::{SshKeyError, SshPublicKey, read_private};
use procura_crypto::{KeyError, SigningKey};
use procura_types::Secret;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
const END: &str = "-----END OPENSSH PRIVATE KEY-----\n";

fn keygen(args: &[&str]) -> String {
    let output = Command::new("ssh-keygen").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A key pair of `ssh-keygen`'s own: the private key's file; the public one is
/// beside it.
struct Made {
    dir: TempDir,
    file: PathBuf,
}

impl Made {
    fn new(passphrase: &str, more: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let path = file.to_str().unwrap();
        keygen(&[&["-q", "-N", passphrase, "-f", path], more].concat());
        Self { dir, file }
    }

    fn private(&self) -> Vec<u8> {
        std::fs::read(&self.file).unwrap()
    }

    fn public_file(&self) -> PathBuf {
        self.file.with_extension("pub")
    }

    fn public(&self) -> Vec<u8> {
        std::fs::read(self.public_file()).unwrap()
    }
}

fn passphrase(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn refusal(line: &[u8]) -> SshKeyError {
    SshPublicKey::parse(line).expect_err("a key that is refused")
}

fn no_key(file: &[u8], words: Option<&str>) -> SshKeyError {
    match read_private(file, words.map(passphrase).as_ref()) {
        Ok(_) => panic!("a key that is refused"),
        Err(error) => error,
    }
}

fn fingerprint_of(file: &Path) -> String {
    let listed = keygen(&["-l", "-f", file.to_str().unwrap()]);
    listed.split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn public_keys_are_read_as_made_with_their_fingerprint_and_comment() {
    for (args, comment) in [
        (
            &["-t", "ed25519", "-C", "scribe@build  host, no. 7"][..],
            "scribe@build  host, no. 7",
        ),
        (
            &["-t", "ed25519", "-C", "grün \"quoted\" ssh-rsa"],
            "grün \"quoted\" ssh-rsa",
        ),
        (&["-t", "ed25519", "-C", ""], ""),
    ] {
        let made = Made::new("", args);
        let key = SshPublicKey::parse(&made.public()).unwrap();
        assert_eq!(key.comment(), comment);
        assert_eq!(key.fingerprint(), fingerprint_of(&made.public_file()));
        let again = SshPublicKey::of(key.key().clone());
        let line = String::from_utf8(made.public()).unwrap();
        assert!(line.starts_with(&again.line()), "{line}");
        assert_eq!(again.fingerprint(), key.fingerprint());
        let private = read_private(&made.private(), None).unwrap();
        assert_eq!(key.key(), private.public());
    }
}

#[test]
fn private_keys_are_read_with_and_without_a_passphrase() {
    // As made without a word about cost; and cheaper and dearer ones.
    for (words, more) in [
        ("", &[][..]),
        ("correct horse", &[]),
        ("grün, und ein Leerzeichen ", &["-a", "1"]),
        ("x-y-z", &["-a", "40"]),
    ] {
        let made = Made::new(words, &[&["-t", "ed25519"], more].concat());
        let public = SshPublicKey::parse(&made.public()).unwrap();
        let given = Some(passphrase(words)).filter(|words| !words.expose().is_empty());
        let key = read_private(&made.private(), given.as_ref()).unwrap();
        assert_eq!(key.public(), public.key());
        let signature = key.sign(b"message").unwrap();
        assert!(public.key().verify(b"message", &signature));
    }
}

#[test]
fn a_passphrase_is_asked_for_and_must_be_the_right_one() {
    let made = Made::new("correct horse", &["-t", "ed25519", "-a", "1"]);
    let file = made.private();
    assert!(matches!(no_key(&file, None), SshKeyError::PassphraseNeeded));
    for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
        assert!(
            matches!(no_key(&file, Some(wrong)), SshKeyError::WrongPassphrase),
            "{wrong:?}"
        );
    }
    // Not looked at where nothing is encrypted.
    let open = Made::new("", &["-t", "ed25519"]);
    read_private(&open.private(), Some(&passphrase("any"))).unwrap();
    drop(made.dir);
}

#[test]
fn keys_of_other_types_and_ciphers_are_told_apart() {
    for more in [&["-t", "ecdsa"][..], &["-t", "rsa", "-b", "2048"]] {
        let made = Made::new("", more);
        assert!(
            matches!(refusal(&made.public()), SshKeyError::OtherType),
            "{more:?}"
        );
        assert!(
            matches!(no_key(&made.private(), None), SshKeyError::OtherType),
            "{more:?}"
        );
    }
    for cipher in [
        "aes256-cbc",
        "aes128-ctr",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
    ] {
        let made = Made::new("correct horse", &["-t", "ed25519", "-a", "1", "-Z", cipher]);
        assert!(
            matches!(
                no_key(&made.private(), Some("correct horse")),
                SshKeyError::Cipher
            ),
            "{cipher}"
        );
    }
    let pem = Made::new("", &["-t", "ecdsa", "-m", "PEM"]);
    assert!(matches!(no_key(&pem.private(), None), SshKeyError::NotAKey));
}

/// A certificate is no key, though it begins like one.
#[test]
fn certificates_are_another_type() {
    let authority = Made::new("", &["-t", "ed25519"]);
    let made = Made::new("", &["-t", "ed25519"]);
    let (by, of) = (authority.file.to_str().unwrap(), made.public_file());
    keygen(&["-q", "-s", by, "-I", "scribe", of.to_str().unwrap()]);
    let certificate = std::fs::read(made.file.with_file_name("key-cert.pub")).unwrap();
    assert!(certificate.starts_with(b"ssh-ed25519-cert-v01@openssh.com "));
    assert!(matches!(refusal(&certificate), SshKeyError::OtherType));
}

/// The key of RFC 8032 §7.1, test 1, as OpenSSH writes it.
const LINE: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea agent@host";

fn blob(kind: &[u8], key: &[u8]) -> Vec<u8> {
    [string(kind), string(key)].concat()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&length[..], bytes].concat()
}

fn line(blob: &[u8]) -> String {
    format!("ssh-ed25519 {}", STANDARD.encode(blob))
}

#[test]
fn a_public_key_has_one_form() {
    let key = SshPublicKey::parse(LINE.as_bytes()).unwrap();
    let bytes = key.key().as_bytes().to_vec();
    assert_eq!(
        line(&blob(b"ssh-ed25519", &bytes)),
        LINE.strip_suffix(" agent@host").unwrap()
    );
    for same in [
        format!("{LINE}\n"),
        format!("{LINE}\r\n"),
        LINE.replacen(' ', "\t", 1),
        LINE.replacen(' ', "   ", 1),
        line(&blob(b"ssh-ed25519", &bytes)),
        format!("{} ", line(&blob(b"ssh-ed25519", &bytes))),
    ] {
        assert_eq!(
            SshPublicKey::parse(same.as_bytes()).unwrap().key(),
            key.key(),
            "{same:?}"
        );
    }
    // A comment is anything, of any bytes.
    let odd = [LINE.as_bytes(), b" \xff\x1b"].concat();
    assert_eq!(
        SshPublicKey::parse(&odd).unwrap().comment(),
        "agent@host \u{fffd}\u{1b}"
    );

    let whole = blob(b"ssh-ed25519", &bytes);
    let encoded = STANDARD.encode(&whole);
    type Expected = fn(&SshKeyError) -> bool;
    let damaged: Expected = |error| matches!(error, SshKeyError::Damaged);
    let no_key: Expected = |error| matches!(error, SshKeyError::NotAKey);
    let other: Expected = |error| matches!(error, SshKeyError::OtherType);
    let options: Expected = |error| matches!(error, SshKeyError::Options);
    let long: Expected = |error| matches!(error, SshKeyError::TooLong);
    let small: Expected = |error| matches!(error, SshKeyError::Key(KeyError::SmallOrder));
    let beyond: Expected = |error| matches!(error, SshKeyError::Key(KeyError::NotCanonical));
    for (text, expected) in [
        (String::new(), no_key),
        ("\n".to_owned(), no_key),
        ("# a comment".to_owned(), no_key),
        ("nonsense".to_owned(), no_key),
        (encoded.clone(), no_key),
        (BEGIN.to_owned(), no_key),
        // In authorized_keys white space may stand first, here not.
        (format!(" {LINE}"), options),
        (format!("no-pty {LINE}"), options),
        (format!("command=\"echo a b\",no-pty {LINE}"), options),
        (format!("SSH-ED25519 {encoded}"), no_key),
        (format!("ssh-ed448 {encoded}"), other),
        (format!("ssh-rsa {encoded}"), other),
        (format!("ecdsa-sha2-nistp256 {encoded}"), other),
        (format!("sk-ssh-ed25519@openssh.com {encoded}"), other),
        (format!("{LINE}\n{LINE}\n"), long),
        (format!("{LINE}\n\n"), long),
        (format!("{LINE}\rx"), long),
        (format!("\n{LINE}"), long),
        (format!("{LINE} {}", "x".repeat(4096 - LINE.len())), long),
        ("ssh-ed25519".to_owned(), damaged),
        ("ssh-ed25519 ".to_owned(), damaged),
        ("ssh-ed25519 *".to_owned(), damaged),
        (format!("ssh-ed25519 {encoded}="), damaged),
        (format!("ssh-ed25519 {}", &encoded[1..]), damaged),
        (
            format!("ssh-ed25519 {}", encoded.replace('+', "-")),
            damaged,
        ),
        // The type within the key is another than before it.
        (line(&blob(b"ssh-rsa", &bytes)), damaged),
        (line(&blob(b"ssh-ed25519\0", &bytes)), damaged),
        (line(&blob(b"", &bytes)), damaged),
        (line(&blob(b"ssh-ed25519", &bytes[1..])), damaged),
        (
            line(&blob(b"ssh-ed25519", &[&bytes[..], &[0]].concat())),
            damaged,
        ),
        (line(&blob(b"ssh-ed25519", b"")), damaged),
        (line(&[&whole[..], &[0]].concat()), damaged),
        (line(&whole[..50]), damaged),
        (line(&[0xff; 51]), damaged),
        (line(&blob(b"ssh-ed25519", &[0; 32])), small),
        (line(&blob(b"ssh-ed25519", &[0xff; 32])), beyond),
    ] {
        let error = refusal(text.as_bytes());
        assert!(expected(&error), "{text:?}: {error:?}");
    }
    let longest = format!("{LINE} {}", "x".repeat(4095 - LINE.len()));
    assert_eq!(longest.len(), 4096);
    SshPublicKey::parse(longest.as_bytes()).unwrap();
}

/// The parts of a private key file that is not encrypted.
#[derive(Clone)]
struct Parts {
    magic: Vec<u8>,
    cipher: Vec<u8>,
    kdf: Vec<u8>,
    options: Vec<u8>,
    keys: u32,
    public: Vec<u8>,
    private: Vec<u8>,
    rest: Vec<u8>,
}

/// The part that would be encrypted.
fn inner(checks: [u32; 2], kind: &[u8], public: &[u8], pair: &[u8], padding: &[u8]) -> Vec<u8> {
    let [first, second] = checks.map(u32::to_be_bytes);
    let parts = [string(kind), string(public), string(pair), string(b"note")];
    [&first[..], &second, &parts.concat(), padding].concat()
}

impl Parts {
    fn file(&self) -> Vec<u8> {
        let bytes = [
            self.magic.clone(),
            string(&self.cipher),
            string(&self.kdf),
            string(&self.options),
            self.keys.to_be_bytes().to_vec(),
            string(&self.public),
            string(&self.private),
            self.rest.clone(),
        ]
        .concat();
        armoured(&bytes)
    }
}

fn armoured(bytes: &[u8]) -> Vec<u8> {
    format!("{BEGIN}{}\n{END}", STANDARD.encode(bytes)).into_bytes()
}

#[test]
fn a_private_key_has_one_form() {
    let seed = [7u8; 32];
    let key = SigningKey::from_secret_bytes(&[&[3][..], &seed].concat()).unwrap();
    let public = key.public().as_bytes().to_vec();
    let pair = [&seed[..], &public].concat();
    let kind = b"ssh-ed25519";
    // 4 + 4 + 15 + 36 + 68 + 8 = 135 bytes, so one of padding.
    let sound = Parts {
        magic: b"openssh-key-v1\0".to_vec(),
        cipher: b"none".to_vec(),
        kdf: b"none".to_vec(),
        options: Vec::new(),
        keys: 1,
        public: blob(kind, &public),
        private: inner([5, 5], kind, &public, &pair, &[1]),
        rest: Vec::new(),
    };
    let read = read_private(&sound.file(), None).unwrap();
    assert_eq!(read.public(), key.public());
    // As ssh-keygen itself reads it.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    std::fs::write(&path, sound.file()).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let shown = keygen(&["-y", "-f", path.to_str().unwrap()]);
    assert_eq!(
        SshPublicKey::parse(shown.as_bytes()).unwrap().key(),
        key.public()
    );

    let zeros = [0u8; 32];
    let aes = |rounds: u32, salt: &[u8]| Parts {
        cipher: b"aes256-ctr".to_vec(),
        kdf: b"bcrypt".to_vec(),
        options: [string(salt), rounds.to_be_bytes().to_vec()].concat(),
        private: vec![0; 144],
        ..sound.clone()
    };
    let with = |private: Vec<u8>| Parts {
        private,
        ..sound.clone()
    };
    type Expected = fn(&SshKeyError) -> bool;
    let damaged: Expected = |error| matches!(error, SshKeyError::Damaged);
    let cipher: Expected = |error| matches!(error, SshKeyError::Cipher);
    let wrong: Expected = |error| matches!(error, SshKeyError::WrongPassphrase);
    let cases: Vec<(&str, Parts, Expected)> = vec![
        (
            "magic",
            Parts {
                magic: b"openssh-key-v2\0".to_vec(),
                ..sound.clone()
            },
            |error| matches!(error, SshKeyError::NotAKey),
        ),
        (
            "no key",
            Parts {
                keys: 0,
                ..sound.clone()
            },
            damaged,
        ),
        (
            "two keys",
            Parts {
                keys: 2,
                ..sound.clone()
            },
            damaged,
        ),
        (
            "options without a kdf",
            Parts {
                options: vec![0],
                ..sound.clone()
            },
            damaged,
        ),
        (
            "more behind it",
            Parts {
                rest: vec![0],
                ..sound.clone()
            },
            damaged,
        ),
        (
            "other type outside",
            Parts {
                public: blob(b"ssh-rsa", &public),
                ..sound.clone()
            },
            |error| matches!(error, SshKeyError::OtherType),
        ),
        (
            "other key outside",
            Parts {
                public: blob(kind, &zeros),
                ..sound.clone()
            },
            damaged,
        ),
        (
            "other type inside",
            with(inner([5, 5], b"ssh-ed25518", &public, &pair, &[1])),
            damaged,
        ),
        (
            "other key inside",
            with(inner([5, 5], kind, &zeros, &pair, &[1])),
            damaged,
        ),
        (
            "a seed of another key",
            with(inner(
                [5, 5],
                kind,
                &public,
                &[&zeros[..], &public].concat(),
                &[1],
            )),
            damaged,
        ),
        (
            "another key beside the seed",
            with(inner(
                [5, 5],
                kind,
                &public,
                &[&seed[..], &zeros].concat(),
                &[1],
            )),
            damaged,
        ),
        (
            "a seed alone",
            with(inner([5, 5], kind, &public, &seed, &[1])),
            damaged,
        ),
        (
            "unequal checks",
            with(inner([5, 6], kind, &public, &pair, &[1])),
            damaged,
        ),
        (
            "no padding",
            with(inner([5, 5], kind, &public, &pair, &[])),
            damaged,
        ),
        (
            "other padding",
            with(inner([5, 5], kind, &public, &pair, &[2])),
            damaged,
        ),
        (
            "a block of padding too much",
            with(inner(
                [5, 5],
                kind,
                &public,
                &pair,
                &[1, 2, 3, 4, 5, 6, 7, 8, 9],
            )),
            damaged,
        ),
        ("nothing inside", with(Vec::new()), damaged),
        (
            "a cipher without a kdf",
            Parts {
                kdf: b"none".to_vec(),
                ..aes(1, b"salt")
            },
            cipher,
        ),
        (
            "a kdf without a cipher",
            Parts {
                kdf: b"bcrypt".to_vec(),
                ..sound.clone()
            },
            cipher,
        ),
        ("no rounds", aes(0, b"salt"), damaged),
        ("no salt", aes(1, b""), damaged),
        (
            "options with more",
            Parts {
                options: [aes(1, b"salt").options, vec![0]].concat(),
                ..aes(1, b"salt")
            },
            damaged,
        ),
        ("too many rounds", aes(4097, b"salt"), |error| {
            matches!(error, SshKeyError::TooCostly)
        }),
        ("encrypted zeros", aes(1, b"salt"), wrong),
        (
            "a part of a block",
            Parts {
                private: vec![0; 143],
                ..aes(1, b"salt")
            },
            damaged,
        ),
    ];
    for (what, parts, expected) in cases {
        let error = no_key(&parts.file(), Some("any"));
        assert!(expected(&error), "{what}: {error:?}");
    }
}

#[test]
fn what_is_no_private_key_file_is_refused_wherever_it_ends() {
    let made = Made::new("", &["-t", "ed25519", "-C", "note"]);
    let file = made.private();
    let text = std::str::from_utf8(&file).unwrap();
    for (bytes, damaged) in [
        (&b""[..], false),
        (b"nonsense", false),
        (&made.public(), false),
        (
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            false,
        ),
        (BEGIN.as_bytes(), true),
        (format!("{BEGIN}{END}").as_bytes(), true),
        (format!("{BEGIN}*{END}").as_bytes(), true),
        (format!("{text}{text}").as_bytes(), true),
        (format!("{text}x").as_bytes(), true),
        (text.replace(END, "").as_bytes(), true),
    ] {
        let error = no_key(bytes, None);
        let right = if damaged {
            matches!(error, SshKeyError::Damaged)
        } else {
            matches!(error, SshKeyError::NotAKey)
        };
        assert!(right, "{:?}: {error:?}", String::from_utf8_lossy(bytes));
    }
    // Windows' line ends, and blank lines around it, change nothing.
    read_private(text.replace('\n', "\r\n").as_bytes(), None).unwrap();
    read_private(format!("\n{text}\n").as_bytes(), None).unwrap();

    let inside: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let binary = STANDARD.decode(inside).unwrap();
    for end in 0..binary.len() {
        let error = no_key(&armoured(&binary[..end]), None);
        assert!(matches!(error, SshKeyError::Damaged), "{end}: {error:?}");
    }
    // Each byte counts but those of the comment, which is the writer's own, and the
    // last of its length: the one byte of padding behind it can be taken for a
    // part of it.
    let comment = binary.len() - 6..binary.len() - 1;
    assert_eq!(&binary[comment.clone()], b"\x04note");
    for place in (0..binary.len()).filter(|place| !comment.contains(place)) {
        let mut changed = binary.clone();
        changed[place] ^= 1;
        assert!(read_private(&armoured(&changed), None).is_err(), "{place}");
    }
    let long = format!("{BEGIN}{}\n{END}", "A".repeat(16 * 1024));
    assert!(matches!(
        no_key(long.as_bytes(), None),
        SshKeyError::TooLong
    ));
}
