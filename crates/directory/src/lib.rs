//! Who exists and what was granted: immutable records, and snapshots of all of
//! them with a sequence number. No I/O: `record` feeds it from the store.
//!
//! Authenticating and authorizing read a [`Snapshot`] and nothing else, so a
//! decision touches no database. A revoked record stays: it is its own
//! tombstone, and nothing brings it back.

mod api_key;
mod approval_rule;
mod attestation;
mod break_glass;
mod ending;
mod honey;
mod passkey;
mod policies;
mod quarantine;
mod record;
mod shard;
mod snapshot;
mod token;

pub use api_key::{ApiKeyRecord, ApiKeyRefusal};
pub use approval_rule::ApprovalRuleRecord;
pub use attestation::{
    AttestationOver, AttestationRecord, BaselineRecord, ReleaseKeyRecord, ReleaseRecord,
};
pub use break_glass::{BreakGlassClosed, BreakGlassRecord};
pub use honey::{HoneyRecord, Mark};
pub use passkey::PasskeyRecord;
pub use policies::{Made, Policies, PolicyInForce, PolicyRecord, PolicyVersion};
pub use quarantine::{QuarantineRecord, Suspect};
pub use record::{
    ActorKind, ActorRecord, Change, DeviceRecord, ForeignRecord, GrantRecord, GrantsEndedRecord,
    NamespaceRecord, RolesRecord,
};
pub use snapshot::Snapshot;
pub use token::{TokenHash, TokenRecord, TokenRefusal, TokensEndedRecord};
