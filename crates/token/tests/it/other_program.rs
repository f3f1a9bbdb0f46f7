//! Another implementation verifies what we sign: OpenSSL, by its command line.

use crate::p256;
use procura_token::{AGENT_TYPE, Jws, sign};
use procura_types::encoding::{b64_standard, from_b64url};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// `SubjectPublicKeyInfo` of a P-256 key up to its point (RFC 5480 §2).
const SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// An INTEGER of DER (X.690 §8.3), of a number without sign.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(31);
    let mut value = bytes[first..].to_vec();
    if value[0] & 0x80 != 0 {
        value.insert(0, 0);
    }
    [vec![0x02, value.len() as u8], value].concat()
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path)
        .unwrap()
        .write_all(bytes)
        .unwrap();
}

/// Whether OpenSSL says that the signature is good.
fn openssl_verifies(folder: &Path, message: &[u8], signature: &[u8]) -> bool {
    let (r, s) = signature.split_at(32);
    let both = [integer(r), integer(s)].concat();
    let der = [vec![0x30, both.len() as u8], both].concat();
    write(&folder.join("message"), message);
    write(&folder.join("signature"), &der);
    let said = Command::new("openssl")
        .current_dir(folder)
        .args([
            "dgst",
            "-sha256",
            "-verify",
            "key.pem",
            "-signature",
            "signature",
            "message",
        ])
        .output()
        .expect("openssl is installed");
    String::from_utf8_lossy(&said.stdout).contains("Verified OK")
}

#[test]
fn openssl_verifies_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let key = p256();
    let spki = [&SPKI[..], key.public().as_bytes()].concat();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        b64_standard(&spki)
    );
    write(&folder.path().join("key.pem"), pem.as_bytes());
    let token = sign(&key, AGENT_TYPE, b"{\"sub\":\"scribe\"}").unwrap();
    Jws::parse(token.expose())
        .unwrap()
        .verify(key.public())
        .unwrap();
    let (signed, signature) = token.expose().rsplit_once('.').unwrap();
    let signature = from_b64url("signature", signature).unwrap();
    assert!(openssl_verifies(
        folder.path(),
        signed.as_bytes(),
        &signature
    ));
    let changed = signed.replacen('e', "f", 1);
    assert!(!openssl_verifies(
        folder.path(),
        changed.as_bytes(),
        &signature
    ));
}
