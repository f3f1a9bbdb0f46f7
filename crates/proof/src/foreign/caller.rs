//! Who made a request by the proof of another system.

use super::Foreign;
use crate::caller::{Caller, Profile};
use crate::reason::{Case, Refusal};
use procura_directory::{ActorRecord, Snapshot};
use procura_types::{ForeignId, Thumbprint, Timestamp};
use std::net::IpAddr;
use std::sync::Arc;

/// An agent of another system's words, proven. Only
/// [`super::ForeignVerifier::verify`] makes one, each is for one request, and it
/// cannot be copied.
#[derive(Debug)]
pub struct ForeignCaller {
    pub(super) agent: ForeignId,
    pub(super) profile: Foreign,
    pub(super) nonce: Option<String>,
    pub(super) session: Option<String>,
    pub(super) created: Timestamp,
    pub(super) peer: IpAddr,
}

impl ForeignCaller {
    /// The id of the agent.
    #[must_use]
    pub const fn agent(&self) -> &ForeignId {
        &self.agent
    }

    /// How the request was proven.
    #[must_use]
    pub const fn foreign(&self) -> Foreign {
        self.profile
    }

    /// The same, as it stands in the record.
    #[must_use]
    pub const fn profile(&self) -> Profile {
        Profile::Foreign(self.profile)
    }

    /// Whether the proof is so weak that it must open nothing that matters, and
    /// that the record has to say so: [`Foreign::is_weak`].
    #[must_use]
    pub const fn is_weak(&self) -> bool {
        self.profile.is_weak()
    }

    /// The nonce as sent; the profiles with a MAC may have none.
    #[must_use]
    pub fn nonce(&self) -> Option<&str> {
        self.nonce.as_deref()
    }

    /// The `X-Session-Id` as sent. Under a weak proof nothing vouches for it.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// When the proof says it was made. Under a weak proof nothing vouches for it.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// Where it came from.
    #[must_use]
    pub const fn peer(&self) -> IpAddr {
        self.peer
    }
}

impl Caller {
    /// The agent of ours whose id a foreign proof named, if it is bound to one: the
    /// one way from such a proof to a caller. What the caller may do is less than the
    /// agent may with a proof of its own device; policy has the list.
    ///
    /// # Errors
    /// [`Case::AgentUnbound`]; [`Case::ActorRevoked`] when the agent, or one above it,
    /// is not active any more, and [`Case::DeviceRevoked`] when the device is not that
    /// was enrolled under the id; [`Case::AddressRefused`] when it may not be where it
    /// is, and [`Case::AgentQuarantined`].
    pub fn foreign(proven: ForeignCaller, directory: &Snapshot) -> Result<Self, Refusal> {
        Self::of(&proven, directory)
    }

    /// The caller of a weak proof, to put into the record that there was one; policy
    /// lets it do nothing else. `None` for a proof that is not weak.
    ///
    /// # Errors
    /// As [`Self::foreign`].
    pub fn weak(proven: &ForeignCaller, directory: &Snapshot) -> Result<Option<Self>, Refusal> {
        if proven.is_weak() {
            Self::of(proven, directory).map(Some)
        } else {
            Ok(None)
        }
    }

    fn of(proven: &ForeignCaller, directory: &Snapshot) -> Result<Self, Refusal> {
        let (actor, device) = bound(&proven.agent, proven.peer, directory)?;
        let who = (actor.id, actor.owner);
        Ok(Self {
            device,
            peer: Some(proven.peer),
            nonce: proven.nonce.clone(),
            foreign: Some(proven.agent.clone()),
            ..Self::bare(who, proven.profile(), directory.seq(), proven.created)
        })
    }
}

/// The agent of ours that an id stands for, at this address and now, and the device that was
/// enrolled under the id.
///
/// # Errors
/// As [`Caller::foreign`].
pub(super) fn bound<'d>(
    id: &ForeignId,
    peer: IpAddr,
    directory: &'d Snapshot,
) -> Result<(&'d Arc<ActorRecord>, Option<Thumbprint>), Refusal> {
    let refuse = |case: Case, actor| Refusal {
        actor,
        agent: Some(id.clone()),
        ..case.into()
    };
    let Some(bound) = directory.foreign(id) else {
        return Err(refuse(Case::AgentUnbound, None));
    };
    let actor = directory
        .actor(&bound.actor)
        .filter(|actor| directory.is_active(&actor.id))
        .ok_or_else(|| refuse(Case::ActorRevoked, Some(bound.actor)))?;
    if let Some(device) = &bound.device {
        directory
            .device(device)
            .filter(|device| device.revoked.is_none() && device.actor == actor.id)
            .ok_or_else(|| refuse(Case::DeviceRevoked, Some(actor.id)))?;
    }
    if !directory.admits(&actor.id, peer) {
        return Err(refuse(Case::AddressRefused, Some(actor.id)));
    }
    if directory.is_quarantined(bound.device.as_ref(), Some(id)) {
        return Err(Refusal {
            device: bound.device,
            ..refuse(Case::AgentQuarantined, Some(actor.id))
        });
    }
    Ok((actor, bound.device))
}
