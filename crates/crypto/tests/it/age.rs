//! Files of age against the program `age`, both ways, and hostile ones.

use procura_crypto::SystemEntropy;
use procura_crypto::age::{AgeError, Identity, MAX_RECIPIENTS, Recipient, decrypt, encrypt};
use procura_types::Secret;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CHUNK: usize = 64 * 1024;

fn ran(program: &str, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || {
        // A program that refuses does not read to the end.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    output
}

fn ok(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let output = ran(program, args, input);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// A key in a file, and who can be written to so that it opens.
fn key(dir: &Path, kind: &str) -> (PathBuf, String) {
    let file = dir.join(kind);
    if kind == "ssh" {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "a comment", "-f"])
            .arg(&file)
            .status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        return (file, public.trim().to_owned());
    }
    std::fs::write(&file, ok("age-keygen", &[], b"")).unwrap();
    let public = ok("age-keygen", &["-y", file.to_str().unwrap()], b"");
    (file, String::from_utf8(public).unwrap().trim().to_owned())
}

fn identities(file: &Path) -> Vec<Identity> {
    Identity::read(&std::fs::read(file).unwrap(), None).unwrap()
}

fn texts() -> Vec<Vec<u8>> {
    let long = |length: usize| {
        (0..length)
            .map(|at| u8::try_from(at % 251).unwrap())
            .collect()
    };
    [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 7]
        .map(long)
        .to_vec()
}

#[test]
fn what_is_written_here_the_program_reads_and_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    for kind in ["age", "ssh"] {
        let (file, public) = key(dir.path(), kind);
        let recipient = Recipient::parse(&public).unwrap();
        let identity = identities(&file);
        assert_eq!(
            identity[0].recipient().unwrap().fingerprint(),
            recipient.fingerprint()
        );
        if kind == "age" {
            assert_eq!(recipient.fingerprint(), public);
        }
        for text in texts() {
            let sealed = encrypt(std::slice::from_ref(&recipient), &text, &SystemEntropy).unwrap();
            let opened = ok("age", &["-d", "-i", file.to_str().unwrap()], &sealed);
            assert!(opened == text, "{kind}, {} bytes, by age", text.len());
            assert!(decrypt(&identity, &sealed).unwrap().expose() == &text);
            let sealed = ok("age", &["-e", "-r", &public], &text);
            let opened = decrypt(&identity, &sealed).unwrap();
            assert!(
                opened.expose() == &text,
                "{kind}, {} bytes, of age",
                text.len()
            );
        }
    }
}

#[test]
fn each_of_several_recipients_opens_it_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (age, to_age) = key(dir.path(), "age");
    let (ssh, to_ssh) = key(dir.path(), "ssh");
    let (other, _) = key(dir.path(), "other");
    let to = [to_age, to_ssh].map(|text| Recipient::parse(&text).unwrap());
    let sealed = encrypt(&to, b"text", &SystemEntropy).unwrap();
    for file in [&age, &ssh] {
        assert_eq!(
            decrypt(&identities(file), &sealed).unwrap().expose(),
            b"text"
        );
        assert_eq!(
            ok("age", &["-d", "-i", file.to_str().unwrap()], &sealed),
            b"text"
        );
    }
    let refused = decrypt(&identities(&other), &sealed).err().unwrap();
    assert!(matches!(refused, AgeError::NotForThis), "{refused}");
    let nobody = encrypt(&[], b"", &SystemEntropy).err().unwrap();
    assert!(matches!(nobody, AgeError::Recipients), "{nobody}");
    let many = vec![to[0].clone(); MAX_RECIPIENTS + 1];
    let many = encrypt(&many, b"", &SystemEntropy).err().unwrap();
    assert!(matches!(many, AgeError::Recipients), "{many}");
}

#[test]
fn no_byte_of_a_file_can_be_changed_and_no_end_cut() {
    let dir = tempfile::tempdir().unwrap();
    let (file, public) = key(dir.path(), "age");
    let identity = identities(&file);
    let to = [Recipient::parse(&public).unwrap()];
    let text = vec![7; CHUNK + 100];
    let sealed = encrypt(&to, &text, &SystemEntropy).unwrap();
    let header = sealed
        .windows(4)
        .position(|window| window == b"--- ")
        .unwrap()
        + 48;
    let places = (0..header + 32).chain((header + 32..sealed.len()).step_by(977));
    for at in places.chain([sealed.len() - 1]) {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(decrypt(&identity, &changed).is_err(), "{at}");
    }
    let lengths = (0..header + 40).chain([CHUNK, CHUNK + 16, sealed.len() - 1]);
    for length in lengths.chain([header + 16 + CHUNK + 16]) {
        assert!(decrypt(&identity, &sealed[..length]).is_err(), "{length}");
    }
    let mut longer = sealed.clone();
    longer.push(0);
    assert!(decrypt(&identity, &longer).is_err());
    // The chunks the other way round.
    let payload = header + 16;
    let mut turned = sealed[..payload].to_vec();
    turned.extend_from_slice(&sealed[payload + CHUNK + 16..]);
    turned.extend_from_slice(&sealed[payload..payload + CHUNK + 16]);
    assert!(decrypt(&identity, &turned).is_err());
}

#[test]
fn what_is_no_recipient_and_no_identity_is_refused() {
    for text in [
        "",
        "age1",
        "AGE1QL3Z7HJY54PW3HYWW5AYYFG7ZQGVC7W3J2ELW8ZMRJ2KG5SFN9AQMCAC8P",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q",
        "hello@example.com",
    ] {
        let refused = Recipient::parse(text).err().unwrap();
        assert!(
            matches!(refused, AgeError::NotARecipient),
            "{text}: {refused}"
        );
    }
    let rsa = Recipient::parse("ssh-rsa AAAA").err().unwrap();
    assert!(matches!(rsa, AgeError::Ssh(_)), "{rsa}");
    for file in [&b""[..], b"# nothing\n", b"AGE-SECRET-KEY-1QQQ\n", b"\xff"] {
        let refused = Identity::read(file, None).err().unwrap();
        assert!(matches!(refused, AgeError::NotAnIdentity), "{refused}");
    }
    for (file, why) in [
        (&b""[..], "its header has no end"),
        (b"hello\n", "it does not begin as one"),
        (b"age-encryption.org/v2\n", "it does not begin as one"),
        (
            b"age-encryption.org/v1\n-> X25519 a",
            "its header has no end",
        ),
        (
            b"age-encryption.org/v1\nX25519\n",
            "its header cannot be read",
        ),
        (
            b"age-encryption.org/v1\n--- AAAA\n",
            "its tag cannot be read",
        ),
    ] {
        match decrypt(&[], file) {
            Err(AgeError::NotAFile(found)) => assert_eq!(found, why),
            other => panic!("{:?}", other.err()),
        }
    }
}

#[test]
fn a_key_of_openssh_with_a_passphrase_opens_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("locked");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-a", "1", "-N", "open it", "-f"])
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    let sealed = ok("age", &["-e", "-r", public.trim()], b"text");
    let bytes = std::fs::read(&file).unwrap();
    assert!(matches!(
        Identity::read(&bytes, None).err(),
        Some(AgeError::Ssh(
            procura_crypto::ssh::SshKeyError::PassphraseNeeded
        ))
    ));
    let passphrase = Secret::new("open it".to_owned());
    let identity = Identity::read(&bytes, Some(&passphrase)).unwrap();
    assert_eq!(decrypt(&identity, &sealed).unwrap().expose(), b"text");
}

/// An RSA key of OpenSSH in a file, and its public line.
fn rsa_key(dir: &Path, bits: &str) -> (PathBuf, String) {
    let file = dir.join(format!("rsa{bits}"));
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "rsa", "-b", bits, "-N", "", "-C", "a comment"])
        .arg("-f")
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    (file, public.trim().to_owned())
}

/// The body of the first is one whole line and a part of one, that of the second whole
/// lines alone.
#[test]
fn whoever_has_the_rsa_key_of_openssh_opens_what_is_written_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let (other, _) = key(dir.path(), "age");
    for bits in ["2048", "3072"] {
        let (file, public) = rsa_key(dir.path(), bits);
        let recipient = Recipient::parse(&public).unwrap();
        let listed = ok("ssh-keygen", &["-lf", file.to_str().unwrap()], b"");
        let listed = String::from_utf8(listed).unwrap();
        assert_eq!(
            listed.split(' ').nth(1),
            Some(recipient.fingerprint().as_str())
        );
        for text in texts() {
            let sealed = encrypt(std::slice::from_ref(&recipient), &text, &SystemEntropy).unwrap();
            let opened = ok("age", &["-d", "-i", file.to_str().unwrap()], &sealed);
            assert!(opened == text, "{bits}, {} bytes", text.len());
            let refused = decrypt(&identities(&other), &sealed).err().unwrap();
            assert!(matches!(refused, AgeError::NotForThis), "{refused}");
        }
    }
}

#[test]
fn a_key_of_rsa_that_is_not_safe_or_not_whole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (_, short) = rsa_key(dir.path(), "1024");
    let refused = Recipient::parse(&short).err().unwrap();
    assert!(matches!(refused, AgeError::Rsa), "{refused}");
    let (_, public) = rsa_key(dir.path(), "2048");
    let text = public.split(' ').nth(1).unwrap();
    let other = "AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
    for (what, line) in [
        ("a part", format!("ssh-rsa {}", &text[..text.len() - 4])),
        ("something behind it", format!("ssh-rsa {text}AAAA")),
        ("nothing", "ssh-rsa".to_owned()),
        ("no base64", format!("ssh-rsa *{}", &text[1..])),
        ("a key of another type", format!("ssh-rsa {other}")),
    ] {
        let refused = Recipient::parse(&line).err().unwrap();
        let damaged = matches!(
            refused,
            AgeError::Ssh(procura_crypto::ssh::SshKeyError::Damaged)
        );
        assert!(damaged, "{what}: {refused}");
    }
    let two = format!("{public}\n{public}");
    let refused = Recipient::parse(&two).err().unwrap();
    let too_long = matches!(
        refused,
        AgeError::Ssh(procura_crypto::ssh::SshKeyError::TooLong)
    );
    assert!(too_long, "{refused}");
}
