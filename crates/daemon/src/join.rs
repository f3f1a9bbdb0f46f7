//! Joining: a key that is on disk before the server hears of it
//! (`protocol.md` §2).

use crate::device::DeviceState;
use crate::member::Member;
use crate::socket::JoinAsk;
use crate::{
    AttestedSummary, Connect, DaemonError, Device, DeviceStore, Membership, Peer, Service,
};
use procura_crypto::{SigningKey, sha256};
use procura_ledger::{Vkey, is_origin_of};
use procura_types::encoding::hex;
use procura_types::wire::JoinAnswer;
use procura_types::{
    ActorId, Entropy, InstallationId, Joins, Label, LinkCodeText, Namespace, Secret, Thumbprint,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Certificate authorities are a few KiB each.
pub(crate) const CA_LIMIT: usize = 64 * 1024;

/// A device that has joined, without its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSummary {
    /// RFC 7638 thumbprint of its key.
    pub device: Thumbprint,
    /// The agent that it is bound to.
    pub actor: ActorId,
    /// The agent's way from its owner: `alice//scribe`.
    pub lineage: String,
    /// The agent's own label.
    pub label: Label,
    /// The agent's namespace.
    pub namespace: Namespace,
    /// The installation.
    pub installation: InstallationId,
    /// Where its server answers.
    pub url: String,
    /// The user of this host who may use it.
    pub uid: u32,
    /// When the key was made.
    pub created: Timestamp,
    /// The verification key of the ledger (C2SP vkey).
    pub ledger_vkey: String,
    /// When the server was heard to call it revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// What the daemon attested for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<AttestedSummary>,
}

impl DeviceSummary {
    pub(crate) fn of(member: &Member) -> Self {
        let (device, membership) = (&member.device, &member.membership);
        Self {
            device: device.thumbprint(),
            actor: device.actor,
            lineage: membership.lineage.clone(),
            label: membership.label.clone(),
            namespace: membership.namespace.clone(),
            installation: device.installation,
            url: device.url.clone(),
            uid: device.uid,
            created: device.created,
            ledger_vkey: membership.ledger_vkey.clone(),
            revoked: member.revoked(),
            attested: Some(member.attestor.summary()),
        }
    }
}

impl Service {
    /// Makes a key, stores it, joins with it, stores what the server said. A
    /// crash between leaves a key that the same code finds again.
    pub(crate) async fn join(
        &self,
        peer: &Peer,
        ask: JoinAsk,
    ) -> Result<DeviceSummary, DaemonError> {
        let code = read_code(&ask)?;
        let Joins::Agent(actor) = code.joins else {
            return Err(DaemonError::Usage(
                "this code is an operator's; it is for `procura operator join`. A daemon joins agents".to_owned(),
            ));
        };
        let uid = for_user(peer, ask.uid)?;
        let url = ask.url.unwrap_or_else(|| code.url.clone());
        let code_sha256 = hex(&sha256(code.code.expose()));

        // Two joins with one code at a time would make two keys for it.
        let _one_at_a_time = self.joining.lock().await;
        let (device, tried_before) =
            self.pending_device(&code, &code_sha256, actor, uid, url, ask.ca_pem)?;
        self.remember_pending(&device);
        let joined = self
            .store
            .join(self.connect.as_ref(), &code, device, tried_before)
            .await?;
        let member = Arc::new(Member::new(joined, self.connect.as_ref(), self.attestor())?);
        self.admit(Arc::clone(&member));
        self.replaced_by(&member).await;
        Ok(DeviceSummary::of(&member))
    }

    /// The key of an unfinished try with this code, or a fresh one.
    fn pending_device(
        &self,
        code: &LinkCodeText,
        code_sha256: &str,
        actor: ActorId,
        uid: u32,
        url: String,
        ca_pem: Option<String>,
    ) -> Result<(Device, bool), DaemonError> {
        if let Some(device) = self.pending_for(code_sha256, &actor, uid) {
            return Ok((
                Device {
                    url,
                    ca_pem,
                    ..device
                },
                true,
            ));
        }
        let device = Device {
            url,
            ca_pem,
            ..Device::fresh(code, actor, uid, self.clock.now(), self.entropy.as_ref())?
        };
        Ok((device, false))
    }
}

impl Device {
    /// A fresh key for a join by `code`, at the server that the code names.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn fresh(
        code: &LinkCodeText,
        actor: ActorId,
        uid: u32,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, DaemonError> {
        let key = SigningKey::generate_ed25519(entropy)
            .map_err(|error| DaemonError::Config(format!("cannot make a key: {error}")))?;
        Ok(Self {
            key: Arc::new(key),
            uid,
            created: now,
            actor,
            installation: code.installation,
            url: code.url.clone(),
            ca_pem: None,
            state: DeviceState::Pending {
                code_sha256: hex(&sha256(code.code.expose())),
            },
        })
    }

    /// Whether its key was made for a try with `code` that did not finish.
    #[must_use]
    pub fn waits_for(&self, code: &LinkCodeText) -> bool {
        let hash = hex(&sha256(code.code.expose()));
        matches!(&self.state, DeviceState::Pending { code_sha256 } if *code_sha256 == hash)
    }
}

impl DeviceStore {
    /// Joins a device by a code: its key is on disk before the server hears of it, and
    /// what the server says is when this returns. `tried_before` says that an earlier
    /// try with this code and key did not finish.
    ///
    /// # Errors
    /// What the server or the disk says.
    pub async fn join(
        &self,
        connect: &dyn Connect,
        code: &LinkCodeText,
        device: Device,
        tried_before: bool,
    ) -> Result<Device, DaemonError> {
        self.save(&device)?;
        let answer = match connect.join(code, &device).await {
            Ok(answer) => answer,
            Err(error) if tried_before && error.problem().is_some() => {
                return Err(DaemonError::Reported {
                    exit: DaemonError::from(error).exit(),
                    code: "join_refused".to_owned(),
                    message: "the server refuses this code now. An earlier try with it did not finish here and may have used it up: ask for a new code, and revoke the device that never answered, if the agent lists one".to_owned(),
                });
            }
            Err(error) => return Err(error.into()),
        };
        let joined = Device {
            state: DeviceState::Joined(Box::new(membership(&code.installation, answer)?)),
            ..device
        };
        self.save(&joined)?;
        Ok(joined)
    }
}

/// The user who may use a device that `peer` joins.
pub(crate) fn for_user(peer: &Peer, asked: Option<u32>) -> Result<u32, DaemonError> {
    match asked {
        Some(other) if other != peer.uid() && peer.uid() != 0 => Err(DaemonError::refused(
            "not_root",
            "only root may join a device for another user",
        )),
        Some(uid) => Ok(uid),
        None => Ok(peer.uid()),
    }
}

fn read_code(ask: &JoinAsk) -> Result<LinkCodeText, DaemonError> {
    if ask.ca_pem.as_ref().is_some_and(|pem| pem.len() > CA_LIMIT) {
        return Err(DaemonError::Usage(
            "the file of certificate authorities is larger than 64 KiB; give only the server's own"
                .to_owned(),
        ));
    }
    let bytes = ask.code.decode()?;
    let text = String::from_utf8(bytes.expose().clone())
        .map(Secret::new)
        .map_err(|_| DaemonError::Usage("code: is not UTF-8".to_owned()))?;
    Ok(LinkCodeText::parse(text.expose())?)
}

/// What is kept of the server's answer, which has been found to be its own.
pub(crate) fn membership(
    installation: &InstallationId,
    answer: JoinAnswer,
) -> Result<Membership, DaemonError> {
    let odd = |why: &str| {
        DaemonError::refused(
            "bad_answer",
            format!("the server's answer to the join cannot be used: {why}"),
        )
    };
    let vkey: Vkey = answer
        .ledger_vkey
        .parse()
        .map_err(|_| odd("the key of its ledger cannot be read"))?;
    if !is_origin_of(vkey.name(), installation) {
        return Err(odd("the key of its ledger belongs to another installation"));
    }
    let namespace = answer
        .namespace
        .ok_or_else(|| odd("the agent has no namespace"))?;
    Ok(Membership {
        lineage: answer.name,
        label: answer.label,
        namespace,
        owner: answer.owner,
        server_key: answer.server_key,
        ledger_vkey: answer.ledger_vkey,
        seen: None,
        revoked: None,
    })
}
