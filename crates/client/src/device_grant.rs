//! Device grants (RFC 8628, `protocol.md` §2.1): a host asks and collects, operators look
//! and answer.

use crate::call::read;
use crate::transport::Answer;
use crate::{Client, ClientError, Query, RequestSigner, SessionClient};
use http::{Method, header};
use procura_crypto::{PublicKey, sha256};
use procura_proof::{ask_message, collect_message, fingerprint};
use procura_types::wire::{
    DeviceAuthorization, DeviceGrant, DeviceGrantApprove, DeviceGrantCode, DeviceGrantList,
    DeviceToken, OauthError, OauthMetadata, Problem,
};
use procura_types::{
    DisplayName, Duration, FieldTuple, InstallationId, Label, Namespace, Secret, Thumbprint,
    UserCode,
};

/// The client that every host is.
const CLIENT: &str = "procura-daemon";
/// RFC 8628 §3.4.
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The longest address of a page, as of a server in a link code.
const URI_LIMIT: usize = 512;
/// Whatever a server says, it is waited for no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 60);
/// And it is looked no more often than this, and no less.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Who answers, as far as it can be known before anybody vouches for it.
#[derive(Debug, Clone)]
pub struct AskedServer {
    /// Thumbprint of the server's key; the `server_id` of what is signed.
    pub server: Thumbprint,
    /// The installation.
    pub installation: InstallationId,
}

/// A question that waits for a person.
pub struct AskedGrant {
    /// Who was asked.
    pub asked: AskedServer,
    /// What a person types.
    pub user_code: UserCode,
    /// Where.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: String,
    /// For how long.
    pub expires_in: Duration,
    /// How long to wait between two looks.
    pub interval: Duration,
    /// What the approver has to see as well. It is the same only if they look at this
    /// server and at this device.
    pub fingerprint: String,
    device_code: Secret<String>,
}

/// What came of a look.
pub enum Look {
    /// Nobody answered yet.
    Pending,
    /// Nobody answered yet, and the looks come too often.
    SlowDown,
    /// Somebody said no.
    Denied,
    /// The time is over.
    Expired,
    /// The device is one of an agent's.
    Joined(Box<DeviceToken>),
}

impl Client {
    /// Asks for `signer`'s key to become a device, under what the host is called.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ask_device_grant(
        &self,
        host: &DisplayName,
        signer: &dyn RequestSigner,
    ) -> Result<AskedGrant, ClientError> {
        let transport = &self.inner.transport;
        let nothing = Query::new();
        let path = "/.well-known/oauth-authorization-server";
        let ask = crate::call::Ask::new(Method::GET, path, &nothing, None::<&()>);
        let metadata: OauthMetadata = self.open(ask).await?;
        let key = PublicKey::from_jwk(&metadata.procura_server_key)
            .map_err(|_| transport.impostor("its key cannot be read"))?;
        let asked = AskedServer {
            server: key.thumbprint(),
            installation: metadata.procura_installation,
        };
        let device = signer.public().thumbprint();
        let signature = signer.sign(&ask_message(&asked.server, &device, host))?;
        let jwk = serde_json::to_string(&signer.public().to_jwk())
            .map_err(|_| ClientError::Address("a key could not be written as JSON"))?;
        let form = Query::new()
            .with("client_id", CLIENT)
            .with("device_jwk", jwk)
            .with("device_host", host)
            .with("device_signature", b64url(&signature));
        let answer = self.form("/oauth/device_authorization", &form).await?;
        let new: DeviceAuthorization = self.good(&answer)?;
        for shown in [&new.verification_uri, &new.verification_uri_complete] {
            if shown.len() > URI_LIMIT || !shown.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(transport.not_understood("it names no page that can be shown"));
            }
        }
        Ok(AskedGrant {
            fingerprint: fingerprint(&asked.server, &device, &new.user_code),
            asked,
            device_code: Secret::new(new.device_code.expose_text().to_owned()),
            user_code: new.user_code,
            verification_uri: new.verification_uri,
            verification_uri_complete: new.verification_uri_complete,
            expires_in: Duration::from_secs(new.expires_in).min(LONGEST_WAIT),
            interval: Duration::from_secs(new.interval).clamp(SHORTEST_PAUSE, LONGEST_PAUSE),
        })
    }

    /// Looks whether somebody has answered, and collects. The answer of a server is checked
    /// to come from the one that was asked, so its `server_key` and `ledger_vkey` may be
    /// pinned once the fingerprint was compared.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the word of OAuth as its code;
    /// [`ClientError::Impostor`] when another server answers.
    pub async fn collect_device_grant(
        &self,
        grant: &AskedGrant,
        signer: &dyn RequestSigner,
    ) -> Result<Look, ClientError> {
        let transport = &self.inner.transport;
        let server = &grant.asked.server;
        let device = signer.public().thumbprint();
        let code_sha256 = sha256(grant.device_code.expose().as_bytes());
        let signature = signer.sign(&collect_message(server, &code_sha256, &device))?;
        let form = Query::new()
            .with("grant_type", GRANT_TYPE)
            .with("client_id", CLIENT)
            .with("device_code", grant.device_code.expose())
            .with("device_signature", b64url(&signature));
        let answer = self.form("/oauth/token", &form).await?;
        let token: DeviceToken = match self.good(&answer) {
            Ok(token) => token,
            Err(ClientError::Refused(problem, wait)) => {
                return match problem.code.as_str() {
                    "authorization_pending" => Ok(Look::Pending),
                    "slow_down" => Ok(Look::SlowDown),
                    "access_denied" => Ok(Look::Denied),
                    "expired_token" => Ok(Look::Expired),
                    _ => Err(ClientError::Refused(problem, wait)),
                };
            }
            Err(error) => return Err(error),
        };
        let joined = &token.joined;
        let key = PublicKey::from_jwk(&joined.server_key)
            .map_err(|_| transport.impostor("its key cannot be read"))?;
        if key.thumbprint() != *server {
            return Err(transport.impostor("its key is not the one that was asked"));
        }
        let signed = FieldTuple::new("procura.join.answer.v1")
            .bytes(server.as_bytes())
            .bytes(&code_sha256)
            .bytes(joined.actor.as_bytes())
            .bytes(joined.device.as_bytes())
            .text(&joined.ledger_vkey);
        if !key.verify(signed.as_bytes(), &joined.server_signature) {
            return Err(transport.impostor("the answer is not signed by the server's key"));
        }
        if joined.device != device {
            return Err(transport.not_understood("it is about another device"));
        }
        Ok(Look::Joined(Box::new(token)))
    }

    /// Reads an answer of OAuth; a refusal becomes a problem whose code is its word.
    fn good<Ans: serde::de::DeserializeOwned>(&self, answer: &Answer) -> Result<Ans, ClientError> {
        let transport = &self.inner.transport;
        if answer.status.is_success() {
            return read(transport, answer);
        }
        let refused: OauthError = read(transport, answer)?;
        let id = answer.headers.get("x-request-id");
        let seconds = answer.headers.get(header::RETRY_AFTER);
        let seconds = seconds.and_then(|value| value.to_str().ok()?.parse().ok());
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: refused.error.clone(),
            status: answer.status.as_u16(),
            detail: refused.error_description.unwrap_or_default(),
            code: refused.error,
            reason: None,
            field: None,
            action: None,
            namespace: None,
            roles: Vec::new(),
            request_id: id
                .and_then(|id| id.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            trace_id: None,
        };
        let wait = seconds.map(Duration::from_secs);
        Err(ClientError::Refused(Box::new(problem), wait))
    }
}

fn b64url(bytes: &[u8]) -> String {
    procura_types::encoding::b64url(bytes)
}

impl SessionClient {
    /// The devices that ask to be let in and that nobody answered.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn device_grants(
        &self,
        namespace: &Namespace,
    ) -> Result<DeviceGrantList, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/device-grants");
        self.call(Method::GET, &path, &Query::new(), None::<&()>)
            .await
    }

    /// The device whose host shows this code.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn device_grant(
        &self,
        namespace: &Namespace,
        user_code: UserCode,
    ) -> Result<DeviceGrant, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/device-grants/show");
        let body = DeviceGrantCode { user_code };
        self.call(Method::POST, &path, &Query::new(), Some(&body))
            .await
    }

    /// Lets the device that was looked at become one of this agent's.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approve_device_grant(
        &self,
        namespace: &Namespace,
        user_code: UserCode,
        agent: Label,
        device: Thumbprint,
    ) -> Result<DeviceGrant, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/device-grants/approve");
        let body = DeviceGrantApprove {
            user_code,
            agent,
            device,
        };
        self.by_key(Method::POST, &path, &body).await
    }

    /// Says no to the device whose host shows this code.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn deny_device_grant(
        &self,
        namespace: &Namespace,
        user_code: UserCode,
    ) -> Result<DeviceGrant, ClientError> {
        let path = format!("/v1/namespaces/{namespace}/device-grants/deny");
        let body = DeviceGrantCode { user_code };
        self.call(Method::POST, &path, &Query::new(), Some(&body))
            .await
    }
}
