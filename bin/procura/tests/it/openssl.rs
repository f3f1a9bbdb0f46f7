//! Other people's programs that make keys and check signatures.

use std::path::{Path, PathBuf};
use std::process::Command;

fn ran(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    output.stdout
}

/// A private key of OpenSSH in `dir`, as `ssh-keygen` makes it when it is told no
/// more than this.
pub(crate) fn ssh_key(dir: &Path, name: &str, passphrase: &str) -> PathBuf {
    let path = dir.join(name);
    let file = path.to_str().unwrap();
    let args = ["-q", "-t", "ed25519", "-C", name, "-N", passphrase];
    ran("ssh-keygen", &[&args[..], &["-f", file]].concat());
    path
}

/// The public half of a private key of OpenSSH: 32 bytes at the end of its blob.
pub(crate) fn public_of(key: &Path) -> Vec<u8> {
    let line = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let text = line.split(' ').nth(1).unwrap();
    let blob = unbase64(text);
    blob[blob.len() - 32..].to_vec()
}

/// Base64 of either alphabet, padded or not.
pub(crate) fn unbase64(text: &str) -> Vec<u8> {
    let mut bits = 0u32;
    let mut held = 0;
    let mut bytes = Vec::new();
    for letter in text.bytes().take_while(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            other => panic!("{other} is no letter of base64"),
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}

/// Whether OpenSSL finds that `signature` is the key's over `message`.
pub(crate) fn is_signed(dir: &Path, key: &Path, message: &[u8], signature: &[u8]) -> bool {
    // SubjectPublicKeyInfo of RFC 8410 §4, around the 32 bytes.
    let head = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";
    let files = [
        (
            dir.join("public.der"),
            [&head[..], &public_of(key)].concat(),
        ),
        (dir.join("message"), message.to_vec()),
        (dir.join("signature"), signature.to_vec()),
    ];
    for (path, bytes) in &files {
        std::fs::write(path, bytes).unwrap();
    }
    let [public, message, signature] = files.map(|(path, _)| path.to_str().unwrap().to_owned());
    Command::new("openssl")
        .args(["pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin"])
        .args(["-inkey", &public, "-in", &message, "-sigfile", &signature])
        .output()
        .unwrap()
        .status
        .success()
}

/// The SHA-256 of a text in hexadecimal, by OpenSSL.
pub(crate) fn sha256_hex(dir: &Path, bytes: &[u8]) -> String {
    hex(&digest(dir, &["-sha256"], bytes))
}

/// The SHA-256 itself.
pub(crate) fn sha256(dir: &Path, bytes: &[u8]) -> Vec<u8> {
    digest(dir, &["-sha256"], bytes)
}

/// HMAC-SHA256, by OpenSSL; in hexadecimal.
pub(crate) fn hmac_hex(dir: &Path, key: &[u8], bytes: &[u8]) -> String {
    let key = format!("hexkey:{}", hex(key));
    hex(&digest(
        dir,
        &["-sha256", "-mac", "HMAC", "-macopt", &key],
        bytes,
    ))
}

/// HKDF-SHA256 without a salt, 32 bytes, by OpenSSL.
pub(crate) fn hkdf(key: &[u8], info: &str) -> Vec<u8> {
    let (key, info) = (format!("hexkey:{}", hex(key)), format!("info:{info}"));
    let options = [
        "-kdfopt",
        "digest:SHA256",
        "-kdfopt",
        &key,
        "-kdfopt",
        &info,
    ];
    let args = [
        &["kdf", "-keylen", "32", "-binary"][..],
        &options,
        &["HKDF"],
    ];
    ran("openssl", &args.concat())
}

fn digest(dir: &Path, options: &[&str], bytes: &[u8]) -> Vec<u8> {
    let path = dir.join("digested");
    std::fs::write(&path, bytes).unwrap();
    let args = [&["dgst", "-binary"][..], options, &[path.to_str().unwrap()]];
    ran("openssl", &args.concat())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A certificate that could be an authority's, in `dir`.
pub(crate) fn certificate(dir: &Path) -> PathBuf {
    let (path, key) = (dir.join("ca.pem"), dir.join("ca.key"));
    let subject = [
        "-subj",
        "/CN=an authority of the test",
        "-nodes",
        "-days",
        "1",
    ];
    let files = [
        "-out",
        path.to_str().unwrap(),
        "-keyout",
        key.to_str().unwrap(),
    ];
    let args = [
        &["req", "-x509", "-newkey", "ed25519"][..],
        &subject,
        &files,
    ];
    let output = Command::new("openssl")
        .args(args.concat())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    path
}
