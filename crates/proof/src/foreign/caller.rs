//! Who made a request by the proof of another system.

use super::Foreign;
use crate::caller::Profile;
use procura_types::{ForeignId, Timestamp};
use std::net::IpAddr;

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
