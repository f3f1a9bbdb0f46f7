//! A certificate with its private key in one text, as servers of TLS take them: PEM
//! (RFC 7468), the certificate first, then those that vouch for it; the key anywhere.
//! Whether anybody trusts the chain is not looked at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use procura_types::{Secret, SecretBytes};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::server::ParsedCertificate;
use rustls::sign::SigningKey;
use std::sync::Arc;

/// A text is no certificate with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The lines or what is between them are no PEM.
    #[error("it is no whole PEM text")]
    Pem,
    /// Something else is in it.
    #[error("it has something that is neither a certificate nor a private key")]
    Other,
    /// No certificate is in it.
    #[error("it has no certificate")]
    NoCertificate,
    /// One of its certificates cannot be read.
    #[error("certificate {0} of it cannot be read")]
    Certificate(usize),
    /// No private key is in it.
    #[error("it has no private key")]
    NoKey,
    /// More than one private key is in it.
    #[error("it has more than one private key")]
    SeveralKeys,
    /// The private key is encrypted, so nobody could say that it belongs to it.
    #[error("its private key is encrypted with a passphrase")]
    Encrypted,
    /// The private key cannot be read.
    #[error("its private key cannot be read")]
    Key,
    /// The private key is another one's.
    #[error("its private key is not that of its first certificate")]
    OtherKey,
}

/// What a private key is written in.
#[derive(Clone, Copy)]
enum Form {
    Pkcs8,
    Pkcs1,
    Sec1,
}

/// Reads a chain of certificates with the private key of the first.
///
/// # Errors
///
/// [`CertificateError`], by what is wrong first.
pub fn certificate_with_key(text: &[u8]) -> Result<(), CertificateError> {
    let text = std::str::from_utf8(text).map_err(|_| CertificateError::Pem)?;
    let mut chain = Vec::new();
    let mut key = None;
    for section in Sections(text.lines()) {
        let (label, body) = section?;
        if label == "CERTIFICATE" {
            chain.push(body);
            continue;
        }
        if key.replace((Form::of(label)?, body)).is_some() {
            return Err(CertificateError::SeveralKeys);
        }
    }
    let mut public = None;
    for (number, der) in (1..).zip(&chain) {
        let der = CertificateDer::from(der.expose().as_slice());
        let read =
            ParsedCertificate::try_from(&der).map_err(|_| CertificateError::Certificate(number))?;
        public.get_or_insert_with(|| read.subject_public_key_info());
    }
    let public = public.ok_or(CertificateError::NoCertificate)?;
    let (form, key) = key.ok_or(CertificateError::NoKey)?;
    if form.read(key.expose())?.public_key() == Some(public) {
        Ok(())
    } else {
        Err(CertificateError::OtherKey)
    }
}

/// Reads a text that is one private key, unencrypted, and nothing beside it.
///
/// # Errors
///
/// [`CertificateError`], by what is wrong first.
pub(crate) fn lone_private_key(text: &[u8]) -> Result<(), CertificateError> {
    let text = std::str::from_utf8(text).map_err(|_| CertificateError::Pem)?;
    // RFC 1421 §4.6.1.1, which the old form of `ssh-keygen` and `openssl` still writes.
    if text.lines().any(|line| line.starts_with("Proc-Type:")) {
        return Err(CertificateError::Encrypted);
    }
    let mut sections = Sections(text.lines());
    let (label, body) = sections.next().ok_or(CertificateError::NoKey)??;
    let form = Form::of(label)?;
    if sections.next().is_some() {
        return Err(CertificateError::Other);
    }
    form.read(body.expose()).map(|_| ())
}

impl Form {
    /// What the label of a section says that it is.
    fn of(label: &str) -> Result<Self, CertificateError> {
        match label {
            "PRIVATE KEY" => Ok(Self::Pkcs8),
            "RSA PRIVATE KEY" => Ok(Self::Pkcs1),
            "EC PRIVATE KEY" => Ok(Self::Sec1),
            "ENCRYPTED PRIVATE KEY" => Err(CertificateError::Encrypted),
            _ => Err(CertificateError::Other),
        }
    }

    /// The key in a section.
    fn read(self, der: &[u8]) -> Result<Arc<dyn SigningKey>, CertificateError> {
        let der = match self {
            Self::Pkcs8 => PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der)),
            Self::Pkcs1 => PrivateKeyDer::Pkcs1(PrivatePkcs1KeyDer::from(der)),
            Self::Sec1 => PrivateKeyDer::Sec1(PrivateSec1KeyDer::from(der)),
        };
        any_supported_type(&der).map_err(|_| CertificateError::Key)
    }
}

/// The sections of a PEM text: label and bytes. What stands between them is for
/// people (RFC 7468 §2).
struct Sections<'a>(std::str::Lines<'a>);

impl<'a> Iterator for Sections<'a> {
    type Item = Result<(&'a str, SecretBytes), CertificateError>;

    fn next(&mut self) -> Option<Self::Item> {
        let label = self.0.find_map(|line| boundary(line, "-----BEGIN "))?;
        Some(self.body(label).map(|body| (label, body)))
    }
}

impl Sections<'_> {
    /// The bytes up to the end of the section `label`.
    fn body(&mut self, label: &str) -> Result<SecretBytes, CertificateError> {
        let lines = self.0.clone();
        let within = lines.take_while(|line| boundary(line, "-----END ").is_none());
        let length = within.map(str::len).sum();
        // Room for all of it at once: nothing is left behind in memory that was grown
        // out of.
        let mut joined = Secret::new(Vec::with_capacity(length));
        loop {
            let line = self.0.next().ok_or(CertificateError::Pem)?;
            if let Some(end) = boundary(line, "-----END ") {
                if end != label {
                    return Err(CertificateError::Pem);
                }
                break;
            }
            joined
                .expose_mut()
                .extend_from_slice(line.trim().as_bytes());
        }
        let mut bytes = Secret::new(vec![0; joined.expose().len()]);
        let length = STANDARD
            .decode_slice(joined.expose(), bytes.expose_mut())
            .map_err(|_| CertificateError::Pem)?;
        bytes.expose_mut().truncate(length);
        Ok(bytes)
    }
}

/// The label of a line that begins or ends a section.
fn boundary<'a>(line: &'a str, begin: &str) -> Option<&'a str> {
    line.trim_end().strip_prefix(begin)?.strip_suffix("-----")
}
