//! What goes wrong, without a word of what the server said: it may repeat what it was told.

use rustls::CertificateError;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Nothing listens.
    #[error("the mail server takes no connection")]
    NoConnection,
    /// Certificates, or no TLS at all.
    #[error("TLS with the mail server failed: {0}")]
    Tls(&'static str),
    /// The connection would stay in clear.
    #[error("the mail server offers no STARTTLS")]
    NoStarttls,
    /// No way to log in that is known.
    #[error("the mail server takes no login by PLAIN or LOGIN")]
    NoLogin,
    /// The name or the password.
    #[error("the mail server refused the login ({0})")]
    Login(u16),
    /// The server says that it never will.
    #[error("the mail server refused the message ({0})")]
    Refused(u16),
    /// The server says that it may later.
    #[error("the mail server cannot take the message now ({0})")]
    NotNow(u16),
    /// Nothing in time.
    #[error("the mail server gave no answer in time")]
    Late,
    /// What it said cannot be understood, or the connection broke.
    #[error("the mail server's answer broke off or is not SMTP")]
    Broken,
    /// The authorities to trust.
    #[error("the authorities to trust cannot be read")]
    Authorities,
}

impl MailError {
    /// Whether trying again cannot help as long as nobody changes anything.
    #[must_use]
    pub const fn lasts(&self) -> bool {
        matches!(self, Self::Login(_) | Self::Refused(_) | Self::Authorities)
    }

    /// What the library says, of a step that is no login.
    pub(crate) fn of(error: &lettre::transport::smtp::Error) -> Self {
        match error.status().map(u16::from) {
            Some(code) if error.is_permanent() => Self::Refused(code),
            Some(code) => Self::NotNow(code),
            None if error.is_timeout() => Self::Late,
            None => Self::Broken,
        }
    }

    /// Of the login.
    pub(crate) fn of_login(error: &lettre::transport::smtp::Error) -> Self {
        match Self::of(error) {
            Self::Refused(code) => Self::Login(code),
            _ if error.is_client() => Self::NoLogin,
            other => other,
        }
    }

    /// Of making a connection, encrypted from its first byte on or later.
    pub(crate) fn of_connecting(error: &(dyn std::error::Error + 'static)) -> Self {
        let Some(broken) = broken_by(error) else {
            return Self::NoConnection;
        };
        Self::Tls(match broken {
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => "its certificate is for another name",
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => "its certificate is not of an authority that is trusted here",
            rustls::Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => "its certificate has expired",
            rustls::Error::InvalidCertificate(_) => "its certificate is not accepted",
            _ => "it does not speak TLS as it should",
        })
    }
}

/// The error of TLS among the causes. Those of input and output are boxes around others.
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
