//! Which certificates are trusted when the server is reached over TLS.

use crate::ClientError;
use rustls::{CertificateError, ClientConfig, InvalidMessage, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::sync::Arc;

/// Where distributions keep the certificates that the machine trusts.
const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// TLS that trusts the authorities in `ca_pem`, or those of the machine.
///
/// # Errors
/// [`ClientError::Certificates`] when there are none, or one that was named is none.
pub fn config(ca_pem: Option<&[u8]>) -> Result<ClientConfig, ClientError> {
    let mut roots = RootCertStore::empty();
    for certificate in authorities(ca_pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| ClientError::Certificates(error.to_string()))?;
    }
    over(roots)
}

/// The authorities in `ca_pem`, or those of the machine.
///
/// # Errors
/// As [`config`].
pub(crate) fn authorities(
    ca_pem: Option<&[u8]>,
) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let pem = match ca_pem {
        Some(pem) => pem.to_vec(),
        None => system_bundle()?,
    };
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate =
            certificate.map_err(|error| ClientError::Certificates(error.to_string()))?;
        let added = RootCertStore::empty().add(certificate.clone());
        match added {
            Ok(()) => found.push(certificate),
            // A system's bundle may hold one that rustls does not take; what the
            // caller named must all count.
            Err(error) if ca_pem.is_some() => {
                return Err(ClientError::Certificates(error.to_string()));
            }
            Err(_) => {}
        }
    }
    if found.is_empty() {
        return Err(ClientError::Certificates(
            "none found in the PEM text".to_owned(),
        ));
    }
    Ok(found)
}

fn system_bundle() -> Result<Vec<u8>, ClientError> {
    SYSTEM_BUNDLES
        .iter()
        .find_map(|path| std::fs::read(path).ok())
        .ok_or_else(|| {
            ClientError::Certificates(
                "this machine has no bundle of certificate authorities; name the server's own with --ca".to_owned(),
            )
        })
}

/// What is wrong, and what to do about it, when a connection did not come about
/// because of one of the mistakes that are commonly made with TLS.
pub(crate) fn refused(
    error: &(dyn std::error::Error + 'static),
) -> Option<(&'static str, &'static str)> {
    match broken_by(error)? {
        // The other is what an authority of the same name with another key gives.
        rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => Some((
            "the server's certificate is not of an authority that is trusted here",
            "give --ca FILE, with the certificate of the authority that issued the server's",
        )),
        rustls::Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => Some((
            "the server's certificate has expired",
            "give the server a new certificate; if it has one, look at this machine's clock",
        )),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => Some((
            "the server's certificate is not valid yet",
            "look at this machine's clock, and at the server's when it was made",
        )),
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Some((
            "the server's certificate is for another name",
            "use the name that the certificate is for, or give the server one with this name",
        )),
        // The word of rustls-webpki, whose errors are not re-exported.
        rustls::Error::InvalidCertificate(CertificateError::Other(other))
            if other.to_string() == "CaUsedAsEndEntity" =>
        {
            Some((
                "the server's certificate is a CA's own",
                "make one with basicConstraints=CA:FALSE",
            ))
        }
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some((
            "the server answers without TLS",
            "use http://, which is accepted on the server's own machine; elsewhere give the server a certificate",
        )),
        _ => None,
    }
}

/// The error of TLS among the causes of an error. Those of input and output are
/// boxes around others, which they do not name as their cause.
fn broken_by<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut causes = std::iter::successors(Some(error), |error| {
        match error.downcast_ref::<std::io::Error>() {
            Some(boxed) => {
                let inner: &(dyn std::error::Error + 'static) = boxed.get_ref()?;
                Some(inner)
            }
            None => error.source(),
        }
    });
    causes.find_map(|error| error.downcast_ref())
}

/// TLS that trusts nobody, for connections that will not use it.
pub(crate) fn untrusting() -> Result<ClientConfig, ClientError> {
    over(RootCertStore::empty())
}

fn over(roots: RootCertStore) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ClientError::Certificates(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
