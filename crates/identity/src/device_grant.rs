//! Device grants (RFC 8628, `protocol.md` §2.1): a host asks by itself, a person says whose
//! it is, and the host collects what a link code would have brought.
//!
//! Both codes are kept only as tags under a key of the vault, and the device code is of no
//! use without the key that asked. A row is written when a device asks, when somebody
//! answers, and when it collects; never when it asks whether somebody has.

mod answer;
mod ask;
mod collect;
mod legacy;
mod row;
mod show;
mod yes;

pub use answer::{DeviceGrantApprove, DeviceGrantDeny};
pub use ask::{DeviceGrantAsk, NewDeviceGrant};
pub use collect::DeviceGrantCollect;
pub use legacy::{FoundLegacyLogin, LegacyLogin, LegacyLoginAsk, legacy_id};
pub use row::{DeviceGrantStanding, FoundDeviceGrant};
pub use show::{DeviceGrantListing, DeviceGrantShow};
pub use yes::{DeviceGrantDraft, DeviceGrantYes};

use procura_crypto::{MacKey, sha256};
use procura_types::{Duration, FieldTuple, Thumbprint, UserCode};

/// How long a device may wait for an answer, and collect it.
pub const DEVICE_GRANT_LIFE: Duration = Duration::from_secs(600);

/// How long what is over is kept, so that who comes late is told that they are late.
const KEPT: Duration = Duration::from_secs(600);

/// The key of a row, and all that is stored of a device code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceCodeTag([u8; 32]);

impl DeviceCodeTag {
    /// The tag of a device code as it was sent, whether or not there is such a one.
    #[must_use]
    pub fn of(key: &MacKey, code: &str) -> Self {
        let of = FieldTuple::new("procura.device-grant.device-code.v1").text(code);
        Self(key.sign(&[of.as_bytes()]))
    }

    /// What stands in the place of a device for a client of CortexAuth, which shows no key:
    /// it only tells one login from another.
    fn keyless(&self) -> Thumbprint {
        let of = FieldTuple::new("procura.device-grant.keyless.v1").bytes(&self.0);
        Thumbprint::from_bytes(sha256(of.as_bytes()))
    }
}

/// All that is stored of a user code.
fn user_tag(key: &MacKey, code: &UserCode) -> [u8; 32] {
    let of = FieldTuple::new("procura.device-grant.user-code.v1").bytes(code.letters());
    key.sign(&[of.as_bytes()])
}

/// Why a device grant cannot be answered or collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeviceGrantRefusal {
    /// There is no such code.
    #[error("no device that asks shows this code; look at the host again")]
    Unknown,
    /// Its ten minutes are over.
    #[error("the code has expired; start over on the host")]
    Expired,
    /// Somebody answered it before.
    #[error("this device was answered already")]
    Answered,
    /// Another device than was looked at.
    #[error("the code is another device's than was looked at; look at it again")]
    OtherDevice,
    /// Nobody answered yet.
    #[error("nobody has answered yet")]
    Pending,
    /// Somebody said no.
    #[error("the device was not let in")]
    Denied,
    /// It was collected before.
    #[error("it was collected already")]
    Collected,
    /// Whoever said yes could not say it any more.
    #[error("whoever approved it may not do so any more; start over on the host")]
    ApproverGone,
    /// Whoever says yes has the role for the time of a web login.
    #[error(
        "what is let in outlives a web login, so a yes takes a role of one's own, and none that a group lends"
    )]
    LentRole,
    /// The agent has no id by which a client of CortexAuth would know it, or several.
    #[error(
        "a client of CortexAuth knows an agent by its one id there, and this agent has none or several: procura agent foreign list"
    )]
    NoOneId,
}

impl DeviceGrantRefusal {
    /// One word for the ledger and for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_code",
            Self::Expired => "code_expired",
            Self::Answered => "answered",
            Self::OtherDevice => "other_device",
            Self::Pending => "pending",
            Self::Denied => "denied",
            Self::Collected => "collected",
            Self::ApproverGone => "approver_gone",
            Self::LentRole => "lent_role",
            Self::NoOneId => "no_one_id",
        }
    }
}
