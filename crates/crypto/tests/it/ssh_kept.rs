//! Private keys of SSH that are kept for others: what `ssh-keygen` makes is one, of each
//! type and in each of its forms, and what differs from it in a bit is none.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_crypto::certificate::CertificateError;
use procura_crypto::ssh::{SshKeyError, check_private};
use std::process::Command;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
const END: &str = "-----END OPENSSH PRIVATE KEY-----\n";
const TYPES: [&[&str]; 5] = [
    &["-t", "ed25519"],
    &["-t", "ecdsa", "-b", "256"],
    &["-t", "ecdsa", "-b", "384"],
    &["-t", "ecdsa", "-b", "521"],
    &["-t", "rsa", "-b", "2048"],
];

fn keygen(passphrase: &str, args: &[&str]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    let path = file.to_str().unwrap();
    let own = ["-q", "-C", "", "-N", passphrase, "-f", path];
    let output = Command::new("ssh-keygen").args(own).args(args).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    std::fs::read(file).unwrap()
}

fn bytes(file: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(file).unwrap();
    let text = text.strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap();
    STANDARD.decode(text.replace('\n', "")).unwrap()
}

fn file(bytes: &[u8]) -> Vec<u8> {
    format!("{BEGIN}{}\n{END}", STANDARD.encode(bytes)).into_bytes()
}

fn refusal(file: &[u8]) -> SshKeyError {
    check_private(file).expect_err("a key that is refused")
}

#[test]
fn what_ssh_keygen_makes_is_a_key_in_each_form() {
    for of in TYPES {
        check_private(&keygen("", of)).unwrap_or_else(|error| panic!("{of:?}: {error}"));
        let ciphers = ["aes256-ctr", "aes128-cbc", "aes256-gcm@openssh.com"];
        for cipher in ciphers.into_iter().chain(["chacha20-poly1305@openssh.com"]) {
            let key = keygen(
                "correct horse",
                &[of, &["-a", "1", "-Z", cipher][..]].concat(),
            );
            check_private(&key).unwrap_or_else(|error| panic!("{of:?} {cipher}: {error}"));
        }
    }
    for of in TYPES.into_iter().skip(1) {
        for form in ["PEM", "PKCS8"] {
            let open = keygen("", &[of, &["-m", form][..]].concat());
            assert!(!open.starts_with(BEGIN.as_bytes()), "{of:?} {form}");
            check_private(&open).unwrap_or_else(|error| panic!("{of:?} {form}: {error}"));
            let sealed = keygen("correct horse", &[of, &["-m", form][..]].concat());
            let error = refusal(&sealed);
            assert!(
                matches!(error, SshKeyError::Pem(CertificateError::Encrypted)),
                "{of:?} {form}: {error}"
            );
        }
    }
}

/// Each bit of a key on a curve counts, and of RSA each of modulus, exponent and primes.
#[test]
fn what_differs_in_one_bit_is_no_key() {
    for of in &TYPES[..4] {
        let whole = bytes(&keygen("", of));
        assert!(check_private(&file(&whole)).is_ok());
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1 << (at % 8);
            assert!(check_private(&file(&other)).is_err(), "{of:?}: byte {at}");
        }
    }
    let whole = bytes(&keygen("", TYPES[4]));
    // Behind the head: the public half of 279 bytes with its length, then the private one.
    let public = 15 + 8 + 8 + 4 + 4;
    let private = public + 4 + 279;
    let (modulus, exponent) = (private + 4 + 8 + 11, private + 4 + 8 + 11 + 4 + 257);
    for at in [
        public + 4 + 20,
        public + 4 + 278,
        private + 4,
        modulus + 4 + 100,
        exponent + 5,
        whole.len() - 40,
        whole.len() - 170,
    ] {
        let mut other = whole.clone();
        other[at] ^= 0x20;
        let error = refusal(&file(&other));
        assert!(matches!(error, SshKeyError::Damaged), "byte {at}: {error}");
    }
}

#[test]
fn halves_of_two_keys_are_no_key() {
    for of in TYPES {
        let (one, other) = (bytes(&keygen("", of)), bytes(&keygen("", of)));
        let length = u32::from_be_bytes(one[39..43].try_into().unwrap());
        let private = 43 + usize::try_from(length).unwrap();
        let mixed = [&one[..private], &other[private..]].concat();
        let error = refusal(&file(&mixed));
        assert!(matches!(error, SshKeyError::Damaged), "{of:?}: {error}");
    }
}

#[test]
fn what_is_cut_or_something_else_is_refused_for_that() {
    for (of, passphrase) in [(TYPES[1], ""), (TYPES[4], "correct horse")] {
        let key = keygen(passphrase, &[of, &["-a", "1"][..]].concat());
        let whole = bytes(&key);
        for end in 0..whole.len() {
            assert!(check_private(&file(&whole[..end])).is_err(), "{of:?} {end}");
        }
        for end in 0..key.len() - 1 {
            assert!(check_private(&key[..end]).is_err(), "{of:?} {end}");
        }
        let longer = [&whole[..], b"\0"].concat();
        assert!(matches!(refusal(&file(&longer)), SshKeyError::Damaged));
    }
    for (other, says) in [
        (&b""[..], "not an OpenSSH key"),
        (b"ssh-ed25519 AAAA", "not an OpenSSH key"),
        (b"-----BEGIN PRIVATE KEY-----\n", "it is no whole PEM text"),
        (
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "its private key cannot be read",
        ),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "it has something that is neither a certificate nor a private key",
        ),
    ] {
        assert_eq!(refusal(other).to_string(), says);
    }
    let twice = keygen("", &["-t", "ecdsa", "-m", "PEM"]).repeat(2);
    assert!(matches!(
        refusal(&twice),
        SshKeyError::Pem(CertificateError::Other)
    ));
    // A type that there is, and that has no private half in its file.
    let mut whole = bytes(&keygen("", &["-t", "ed25519"]));
    whole[47..58].copy_from_slice(b"sk-ssh-ed25");
    let error = refusal(&file(&whole));
    assert!(matches!(error, SshKeyError::UnknownType), "{error}");
}
