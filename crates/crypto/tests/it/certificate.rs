//! Certificates that are made here and now, by two other programs, and what differs
//! from them in one thing.

use procura_crypto::certificate::{CertificateError, certificate_with_key};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P384_SHA384,
    PKCS_ED25519, SignatureAlgorithm,
};
use std::process::Command;

fn read(text: &str) -> Result<(), CertificateError> {
    certificate_with_key(text.as_bytes())
}

/// The certificate of a server, that of who vouches for it, and the server's key.
fn made(algorithm: &'static SignatureAlgorithm) -> (String, String, String) {
    let mut params = CertificateParams::new(vec!["Root".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_key = KeyPair::generate().unwrap();
    let root = params.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(params, root_key);
    let key = KeyPair::generate_for(algorithm).unwrap();
    let leaf = CertificateParams::new(vec!["web.example".to_owned()])
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    (leaf.pem(), root.pem(), key.serialize_pem())
}

/// What `openssl` writes: a key in its form and a certificate, one after the other.
fn openssl(algorithm: &[&str], traditional: bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let run = |args: &[&str]| {
        let output = Command::new("openssl").args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let (key, old, cert) = (at("key"), at("old"), at("cert"));
    run(&[&["genpkey", "-out", &key, "-algorithm"], algorithm].concat());
    let subject = ["-subj", "/CN=web.example", "-days", "2", "-out", &cert];
    run(&[&["req", "-x509", "-key", &key], &subject[..]].concat());
    let key = if traditional {
        run(&["pkey", "-in", &key, "-traditional", "-out", &old]);
        old
    } else {
        key
    };
    let read = |path: String| std::fs::read_to_string(path).unwrap();
    read(key) + &read(cert)
}

#[test]
fn chains_with_their_key_are_read() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ED25519,
    ] {
        let (leaf, root, key) = made(algorithm);
        for text in [
            format!("{leaf}{root}{key}"),
            format!("{key}{leaf}{root}"),
            format!("{leaf}{key}"),
            format!("subject=web\n{leaf}\n\n# the key\n{key}\n"),
            format!("{leaf}{key}").replace('\n', "\r\n"),
        ] {
            assert_eq!(read(&text), Ok(()), "{text}");
        }
    }
    for (algorithm, traditional, begin) in [
        (&["RSA"][..], false, "-----BEGIN PRIVATE KEY-----"),
        (&["RSA"], true, "-----BEGIN RSA PRIVATE KEY-----"),
        (
            &["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            true,
            "-----BEGIN EC PRIVATE KEY-----",
        ),
    ] {
        let text = openssl(algorithm, traditional);
        assert!(text.starts_with(begin), "{begin}");
        assert_eq!(read(&text), Ok(()), "{begin}");
    }
}

#[test]
fn what_differs_in_one_thing_is_refused_for_that_thing() {
    let (leaf, root, key) = made(&PKCS_ED25519);
    let (_, _, other) = made(&PKCS_ED25519);
    let cut = leaf.replacen("-----END", "-----SEND", 1);
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let mut bent = leaf.clone();
    bent.replace_range(30..31, "!");
    for (text, expected) in [
        (String::new(), CertificateError::NoCertificate),
        ("any text".into(), CertificateError::NoCertificate),
        (key.clone(), CertificateError::NoCertificate),
        (leaf.clone(), CertificateError::NoKey),
        (format!("{leaf}{root}"), CertificateError::NoKey),
        (format!("{leaf}{key}{key}"), CertificateError::SeveralKeys),
        (format!("{leaf}{other}"), CertificateError::OtherKey),
        // In the wrong order the key is not that of the first.
        (format!("{root}{leaf}{key}"), CertificateError::OtherKey),
        (
            format!("{leaf}{broken}{key}"),
            CertificateError::Certificate(2),
        ),
        (format!("{cut}{key}"), CertificateError::Pem),
        (format!("{bent}{key}"), CertificateError::Pem),
        (
            format!("{leaf}-----BEGIN PRIVATE KEY-----"),
            CertificateError::Pem,
        ),
        (
            format!(
                "{leaf}{}",
                key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
            ),
            CertificateError::Encrypted,
        ),
        (
            format!("{leaf}{}", key.replace("PRIVATE KEY", "PUBLIC KEY")),
            CertificateError::Other,
        ),
        (
            format!("{leaf}{}", broken.replace("CERTIFICATE", "PRIVATE KEY")),
            CertificateError::Key,
        ),
    ] {
        assert_eq!(read(&text), Err(expected), "{expected}");
    }
    assert_eq!(certificate_with_key(b"\xff"), Err(CertificateError::Pem));
}
