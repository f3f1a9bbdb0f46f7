//! Joining without a link code (`protocol.md` §2.1): the daemon makes a key and asks, a
//! person answers elsewhere, and the daemon collects. It does so for as long as whoever
//! asked stays connected: who leaves wants it no more.
//!
//! The key is in memory alone until the server has said whose it is. A daemon that stops
//! before has nothing that is of use to anybody.

use crate::connection::Connection;
use crate::delivery::is_passing;
use crate::device::DeviceState;
use crate::join::{CA_LIMIT, for_user, membership};
use crate::member::Member;
use crate::server::ServerAt;
use crate::socket::{JoinDeviceAsk, Reply, WaitingDevice};
use crate::{DaemonError, Device, DeviceSummary, Peer, Service};
use procura_client::{AskedGrant, Look};
use procura_crypto::SigningKey;
use procura_types::wire::DeviceToken;
use procura_types::{DisplayName, Duration};
use std::sync::Arc;
use std::time::Instant;

/// So much longer it waits each time that the server asks it to (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// The longest wait while the server does not answer.
const RAREST: Duration = Duration::from_secs(60);
/// How this host is called, by the kernel's word.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";
/// What it is called when it says nothing that can be shown.
const NAMELESS: &str = "unnamed";

impl Service {
    /// Asks, tells the client what to show, and waits. Nothing is answered to a client that
    /// has gone.
    pub(crate) async fn join_device(
        &self,
        peer: &Peer,
        ask: JoinDeviceAsk,
        connection: &Connection,
    ) -> Result<Option<DeviceSummary>, DaemonError> {
        if ask.ca_pem.as_ref().is_some_and(|pem| pem.len() > CA_LIMIT) {
            return Err(DaemonError::Usage(
                "the file of certificate authorities is larger than 64 KiB; give only the server's own"
                    .to_owned(),
            ));
        }
        let uid = for_user(peer, ask.uid)?;
        let host = ask.host.map_or_else(host_name, Ok)?;
        let at = ServerAt {
            url: ask.url,
            ca_pem: ask.ca_pem,
        };
        let key = SigningKey::generate_ed25519(self.entropy.as_ref())
            .map_err(|error| DaemonError::Config(format!("cannot make a key: {error}")))?;
        let grant = self.connect.ask_device_grant(&at, &host, &key).await?;
        self.is_no_impostor(uid, &grant)?;
        let waiting = WaitingDevice {
            device: key.public().thumbprint(),
            user_code: grant.user_code.to_string(),
            verification_uri: grant.verification_uri.clone(),
            verification_uri_complete: grant.verification_uri_complete.clone(),
            fingerprint: grant.fingerprint.clone(),
            expires_in: grant.expires_in.as_secs(),
        };
        connection
            .say(&Reply::Waiting(waiting), None)
            .await
            .map_err(|source| DaemonError::io("answer the client", source))?;
        let Some(token) = self.answered(&at, &grant, &key, connection).await? else {
            return Ok(None);
        };
        let device = Device {
            created: self.clock.now(),
            uid,
            actor: token.joined.actor,
            installation: grant.asked.installation,
            state: DeviceState::Joined(Box::new(membership(
                &grant.asked.installation,
                token.joined,
            )?)),
            key: Arc::new(key),
            url: at.url,
            ca_pem: at.ca_pem,
        };
        let _one_at_a_time = self.joining.lock().await;
        self.store.save(&device)?;
        let member = Arc::new(Member::new(device, self.connect.as_ref(), self.attestor())?);
        self.admit(Arc::clone(&member));
        self.replaced_by(&member).await;
        Ok(Some(DeviceSummary::of(&member)))
    }

    /// Refuses a server that goes by the name of an installation which this user has joined
    /// here, and has another key: with a link code the code would say so.
    fn is_no_impostor(&self, uid: u32, grant: &AskedGrant) -> Result<(), DaemonError> {
        let (installation, server) = (&grant.asked.installation, &grant.asked.server);
        if !self.knows_another_server(uid, installation, server) {
            return Ok(());
        }
        Err(DaemonError::refused(
            "impostor",
            "what answers there is not the server of the installation that you have joined on this host; find out what listens there",
        ))
    }

    /// Looks as often as the server lets it until somebody has answered; nothing when the
    /// client has gone.
    async fn answered(
        &self,
        at: &ServerAt,
        grant: &AskedGrant,
        key: &SigningKey,
        connection: &Connection,
    ) -> Result<Option<Box<DeviceToken>>, DaemonError> {
        let (began, mut interval) = (Instant::now(), grant.interval);
        let mut pause = interval;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Ctrl-C. A look that has begun is not broken off: it may be the one that
                // lets the device in.
                () = connection.gone() => return Ok(None),
            }
            pause = match self.connect.collect_device_grant(at, grant, key).await {
                Ok(Look::Joined(token)) => return Ok(Some(token)),
                Ok(Look::Pending) => interval,
                Ok(Look::SlowDown) => {
                    interval = interval.saturating_add(SLOWER);
                    interval
                }
                Ok(Look::Denied) => {
                    return Err(DaemonError::refused(
                        "access_denied",
                        "somebody said no to this device, or its agent is revoked; ask them, and run it again",
                    ));
                }
                Ok(Look::Expired) => return Err(expired()),
                Err(error) if is_passing(&error) || error.is_refusal("temporarily_unavailable") => {
                    tracing::debug!(%error, "the server does not answer; looking again");
                    // RFC 8628 §3.5: twice as long after each try that came to nothing.
                    pause.saturating_mul(2).min(RAREST)
                }
                Err(error) if error.is_refusal("invalid_grant") => {
                    return Err(DaemonError::refused(
                        "invalid_grant",
                        format!(
                            "the server takes this code no more; an answer to it may have been lost. Run it again, and have the device {} revoked if the agent lists it",
                            key.public().thumbprint()
                        ),
                    ));
                }
                Err(error) => return Err(error.into()),
            };
            if began.elapsed() > grant.expires_in.saturating_add(RAREST) {
                return Err(expired());
            }
        }
    }
}

fn expired() -> DaemonError {
    DaemonError::refused(
        "expired_token",
        "nobody answered in time; run it again, and show the new code to an operator",
    )
}

/// How this host is called.
fn host_name() -> Result<DisplayName, DaemonError> {
    let name = std::fs::read_to_string(HOSTNAME)
        .ok()
        .and_then(|name| name.trim().parse().ok());
    Ok(match name {
        Some(name) => name,
        None => NAMELESS.parse()?,
    })
}
