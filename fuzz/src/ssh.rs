//! Keys of OpenSSH: what an agent's owner puts into the key directory, and what a
//! person hands to the command line.

use crate::Verdict;
use crate::world::key;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_crypto::PublicKey;
use procura_crypto::ssh::{SshPublicKey, check_private, read_private};
use procura_types::Alg;

const KIND: &[u8] = b"ssh-ed25519";

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn blob(key: &PublicKey) -> Vec<u8> {
    [string(KIND), string(key.as_bytes())].concat()
}

/// The line of a key, written anew.
pub(crate) fn line(key: &PublicKey, comment: &str) -> String {
    format!("ssh-ed25519 {} {comment}", STANDARD.encode(blob(key)))
}

/// The file of the private key whose bytes are all `byte`, not encrypted.
pub(crate) fn file(byte: u8) -> String {
    let public = key(Alg::Ed25519, byte).public().clone();
    let pair = [&[byte; 32][..], public.as_bytes()].concat();
    let parts = [string(KIND), string(public.as_bytes()), string(&pair)];
    let inner = [&[7; 8][..], &parts.concat(), &string(b"note"), &[1]].concat();
    armoured(b"none", b"none", b"", &public, &inner)
}

/// One that is said to be encrypted.
pub(crate) fn locked(byte: u8) -> String {
    let public = key(Alg::Ed25519, byte).public().clone();
    let options = [string(b"some salt of it!"), vec![0, 0, 0, 24]].concat();
    armoured(b"aes256-ctr", b"bcrypt", &options, &public, &[0; 144])
}

fn armoured(cipher: &[u8], kdf: &[u8], options: &[u8], key: &PublicKey, inner: &[u8]) -> String {
    let head = [
        b"openssh-key-v1\0",
        &[cipher, kdf, options].map(string).concat()[..],
    ]
    .concat();
    let bytes = [
        &head[..],
        &[0, 0, 0, 1],
        &string(&blob(key)),
        &string(inner),
    ]
    .concat();
    let (label, text) = ("OPENSSH PRIVATE KEY", STANDARD.encode(bytes));
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// A public key's line: its key has one spelling, and is one that is accepted from
/// anywhere else.
pub(crate) fn ssh_public_key(data: &[u8]) -> Verdict {
    let Ok(read) = SshPublicKey::parse(data) else {
        return Verdict::Refused;
    };
    assert!(data.len() <= 4096);
    let same = PublicKey::from_ed25519(read.key().as_bytes()).unwrap();
    assert_eq!(&same, read.key());
    assert!(!read.comment().contains(['\n', '\r']));
    let written = line(read.key(), read.comment());
    let text = written.split(' ').nth(1).unwrap().as_bytes();
    assert!(data.windows(text.len()).any(|part| part == text));
    // A comment with other bytes than UTF-8 may have grown beyond the limit.
    if written.len() <= 4096 {
        let again = SshPublicKey::parse(written.as_bytes()).unwrap();
        assert_eq!(again.key(), read.key());
        assert_eq!(again.comment(), read.comment());
    }
    let fingerprint = read.fingerprint();
    assert_eq!(fingerprint.len(), "SHA256:".len() + 43);
    Verdict::Accepted
}

/// A private key's file, without a passphrase: to be used here, and to be kept, which
/// is allowed of more.
pub(crate) fn ssh_private_key(data: &[u8]) -> Verdict {
    let kept = check_private(data);
    let Ok(key) = read_private(data, None) else {
        return Verdict::Refused;
    };
    assert!(kept.is_ok());
    assert!(
        key.public()
            .verify(b"message", &key.sign(b"message").unwrap())
    );
    Verdict::Accepted
}
