//! Another Procura: the key of a source is wrapped with a transit key there, by a device
//! that was joined to an agent for it.

use procura_client::{Client, ClientError, ClientOptions, SessionClient};
use procura_crypto::{PublicKey, SigningKey};
use procura_types::wire::{TransitCredentials, Wrapper};
use procura_types::{Clock, Duration, Entropy, Label, Namespace, SecretBytes, Thumbprint};
use procura_vault::{Credentials, Payload, Place, WrapError, Wrapped, Wraps};
use std::sync::Arc;
use tokio::runtime::Handle;

/// The longest that one call may take; there are two, and the session's own.
const CALL: Duration = Duration::from_secs(10);

/// Wraps with transit keys of other servers.
pub(super) struct Transit {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// Where a key is.
struct At<'a> {
    namespace: &'a Namespace,
    key: &'a Label,
    server: Option<Thumbprint>,
}

fn at(by: &Wrapper) -> Result<At<'_>, WrapError> {
    let Wrapper::Transit {
        namespace,
        key,
        server,
    } = by
    else {
        return Err(WrapError::other_kind());
    };
    Ok(At {
        namespace,
        key,
        server: *server,
    })
}

fn told(error: ClientError) -> WrapError {
    match &error {
        ClientError::Refused(problem, _) => match problem.code.as_str() {
            "wrapped_key_refused" => WrapError::Refused,
            "unauthorized" if error.is_refusal("timestamp_out_of_window") => {
                WrapError::Unavailable(
                    "this machine's clock and the other server's differ (timestamp_out_of_window)"
                        .to_owned(),
                )
            }
            // Sessions end by themselves; the next try begins another.
            "unauthorized"
                if error.is_refusal("session_expired") || error.is_refusal("session_unknown") =>
            {
                WrapError::Unavailable("the session with the other server has ended".to_owned())
            }
            "unauthorized" | "forbidden" | "not_found" => WrapError::Denied(format!(
                "the other server does not let this device use the key ({})",
                problem.reason.as_deref().unwrap_or(&problem.code)
            )),
            "malformed" | "invalid_json" => WrapError::Unfit(error.to_string()),
            _ => WrapError::Unavailable(format!("the other server cannot now ({})", problem.code)),
        },
        ClientError::Unreachable { .. } => WrapError::Unavailable(error.to_string()),
        ClientError::Impostor { .. } => WrapError::Another(error.to_string()),
        _ => WrapError::Unfit(error.to_string()),
    }
}

impl Transit {
    pub(super) fn new(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    /// The other server, as the device of the credentials; and its key's thumbprint.
    fn server(
        &self,
        at: &At<'_>,
        credentials: &Credentials,
    ) -> Result<(SessionClient, Thumbprint), WrapError> {
        let text = credentials.need("the file that procura unseal-source join wrote")?;
        let bad = |what: &str| WrapError::BadCredentials(what.to_owned());
        let credentials: TransitCredentials = serde_json::from_str(text.expose())
            .map_err(|_| bad("they are not what procura unseal-source join wrote"))?;
        let server = PublicKey::from_jwk(&credentials.server_key)
            .map_err(|_| bad("the server's key is none"))?;
        let thumbprint = server.thumbprint();
        if at.server.is_some_and(|pinned| pinned != thumbprint) {
            return Err(WrapError::Another(
                "the credentials are for another server than the one that wrapped the key"
                    .to_owned(),
            ));
        }
        let device = credentials
            .device_key_b64
            .decode()
            .map_err(|_| bad("the device's key is none"))?;
        let device = SigningKey::from_secret_bytes(device.expose())
            .map_err(|_| bad("the device's key is none"))?;
        let options = ClientOptions {
            ca_pem: credentials.ca_pem.map(String::into_bytes),
            pinned_server_key: Some(server),
            timeout: CALL,
        };
        let (clock, entropy) = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
        let client = Client::new(&credentials.url, options, clock, entropy)
            .map_err(|error| WrapError::BadCredentials(error.to_string()))?;
        Ok((SessionClient::new(client, Arc::new(device)), thumbprint))
    }
}

impl Wraps for Transit {
    fn wrap(
        &self,
        by: &Wrapper,
        place: &Place<'_>,
        credentials: &Credentials,
        key: &Payload,
    ) -> Result<Wrapped, WrapError> {
        let at = at(by)?;
        let (server, thumbprint) = self.server(&at, credentials)?;
        let wrapping = server.transit_wrap(at.namespace, at.key, key.expose(), place.associated());
        let bytes = Handle::current().block_on(wrapping).map_err(told)?;
        Ok(Wrapped {
            by: Wrapper::Transit {
                namespace: at.namespace.clone(),
                key: at.key.clone(),
                server: Some(thumbprint),
            },
            bytes,
        })
    }

    fn unwrap(
        &self,
        by: &Wrapper,
        place: &Place<'_>,
        credentials: &Credentials,
        wrapped: &[u8],
    ) -> Result<SecretBytes, WrapError> {
        let at = at(by)?;
        let (server, _) = self.server(&at, credentials)?;
        let unwrapping =
            server.transit_unwrap(at.namespace, at.key, wrapped.to_vec(), place.associated());
        Handle::current().block_on(unwrapping).map_err(told)
    }
}
