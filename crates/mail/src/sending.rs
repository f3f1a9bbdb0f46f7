//! One message over one connection.

use crate::{MailAddress, MailError, Message};
use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::extension::ClientId;
use procura_types::wire::MailTls;
use procura_types::{Duration, Secret};
use rustls_pki_types::CertificateDer;
use std::net::SocketAddr;

/// How long one address may take to be connected to.
const CONNECT: Duration = Duration::from_secs(5);
/// What a server says to a farewell (RFC 5321 §4.2.3).
const CLOSING: u16 = 221;

/// Who takes the message.
pub struct Server<'a> {
    /// Where it is; the first that takes a connection.
    pub addresses: &'a [SocketAddr],
    /// The name that its certificate is for.
    pub host: &'a str,
    /// How it is encrypted.
    pub tls: MailTls,
    /// Who may have signed its certificate.
    pub authorities: Vec<CertificateDer<'static>>,
    /// How this machine names itself.
    pub hello: &'a str,
    /// How it logs in, if it does.
    pub login: Option<Login<'a>>,
}

/// What it logs in with.
pub struct Login<'a> {
    /// The name.
    pub user: &'a str,
    /// The password. The library keeps a copy until the connection ends.
    pub password: &'a Secret<String>,
}

/// Hands a message over, within `time`.
///
/// # Errors
/// All of [`MailError`]. After [`MailError::Late`] and [`MailError::Broken`] it is not
/// known whether the server took it.
pub async fn send(
    server: &Server<'_>,
    message: &Message<'_>,
    time: Duration,
) -> Result<(), MailError> {
    tokio::time::timeout(time, hand_over(server, message))
        .await
        .map_err(|_| MailError::Late)?
}

async fn hand_over(server: &Server<'_>, message: &Message<'_>) -> Result<(), MailError> {
    let to = message.to.iter().map(MailAddress::envelope).collect();
    let envelope =
        Envelope::new(Some(message.from.envelope()), to).map_err(|_| MailError::Broken)?;
    let mut connection = connect(server).await?;
    if let Some(login) = &server.login {
        let password = login.password.expose().clone();
        let credentials = Credentials::new(login.user.to_owned(), password);
        let logged_in = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
        if let Err(error) = logged_in {
            connection.abort().await;
            return Err(MailError::of_login(&error));
        }
    }
    connection
        .send(&envelope, &message.to_bytes())
        .await
        .map_err(|error| MailError::of(&error))?;
    match connection.quit().await {
        // Somebody on the way put an answer before the first encrypted one, so what was
        // taken for a yes to the message was none (CVE-2011-0411 turned round).
        Ok(farewell) if u16::from(farewell.code()) != CLOSING => Err(MailError::Broken),
        // It was taken; whoever hangs up then is only impolite.
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn connect(server: &Server<'_>) -> Result<AsyncSmtpConnection, MailError> {
    let tls = trusting(server)?;
    let hello = ClientId::Domain(server.hello.to_owned());
    let at_once = matches!(server.tls, MailTls::Tls).then(|| tls.clone());
    let mut refused = MailError::NoConnection;
    for address in server.addresses {
        let connecting = AsyncSmtpConnection::connect_tokio1(
            *address,
            Some(CONNECT),
            &hello,
            at_once.clone(),
            None,
        );
        let mut connection = match connecting.await {
            Ok(connection) => connection,
            Err(error) if error.status().is_some() => return Err(MailError::of(&error)),
            Err(error) => {
                refused = MailError::of_connecting(&error);
                continue;
            }
        };
        if at_once.is_none() {
            if !connection.can_starttls() {
                connection.abort().await;
                return Err(MailError::NoStarttls);
            }
            if let Err(error) = connection.starttls(tls, &hello).await {
                return Err(match error.status() {
                    Some(_) => MailError::of(&error),
                    None => MailError::of_connecting(&error),
                });
            }
        }
        return Ok(connection);
    }
    Err(refused)
}

fn trusting(server: &Server<'_>) -> Result<TlsParameters, MailError> {
    // Those of the library's choice are not asked: what is trusted was said.
    let builder =
        TlsParameters::builder(server.host.to_owned()).certificate_store(CertificateStore::None);
    let builder = server.authorities.iter().try_fold(builder, |builder, der| {
        let certificate = Certificate::from_der(der.to_vec());
        certificate.map(|certificate| builder.add_root_certificate(certificate))
    });
    builder
        .and_then(|builder| builder.build_rustls())
        .map_err(|_| MailError::Authorities)
}
