//! Who acts: owners who are operators, agents below them, and their devices.
//!
//! An operation is a struct whose `run` puts the change of its permit into a
//! batch; a device comes in by a link code or a device grant and in no other way. What
//! is revoked stays in the directory as its own tombstone, and nothing here takes one
//! away.

pub mod account;
mod agent;
mod agent_secret;
mod api_key;
mod approval_rule;
mod attestation;
mod break_glass;
mod code;
mod device;
mod device_grant;
mod enrolment;
mod error;
mod foreign;
mod founding;
mod join;
mod link;
pub mod oidc;
mod operator;
pub mod passkey;
mod proposal;
mod quarantine;
mod roles;
mod signing_key;
mod stewards;
mod tree;
pub mod web_login;

pub use agent::{
    AgentCreate, AgentDisplayName, AgentListing, AgentRevoke, AgentSources, MAX_SOURCES,
};
pub use agent_secret::{
    AgentSecretRevoke, AgentSecretRotate, AgentSecrets, NewSecret, SecretTerms, agent_secrets,
    count_agent_secrets,
};
pub use api_key::{ApiKeyCreate, ApiKeyListing, ApiKeyRevoke, ApiKeyScope, NewApiKey};
pub use approval_rule::{ApprovalRuleListing, ApprovalRuleSet};
pub use attestation::{
    ATTESTATION_LIFE, AttestChallenge, AttestMake, AttestationListing, AttestationRefusal,
    AttestationRevoke, BaselineRemove, BaselineSet, CHALLENGE_LIFE, ReleaseAdd, ReleaseKeyAdd,
    ReleaseKeyListing, ReleaseKeyRemove, ReleaseListing, ReleaseWithdraw,
};
pub use break_glass::{BreakGlassCreate, BreakGlassListing, BreakGlassUse};
pub use code::{CODE_LIFE, IssuedCode};
pub use device::{DeviceRevocation, DeviceRevoke, OperatorDeviceRevoke};
pub use device_grant::{
    DEVICE_GRANT_LIFE, DeviceCodeTag, DeviceGrantApprove, DeviceGrantAsk, DeviceGrantCollect,
    DeviceGrantDeny, DeviceGrantDraft, DeviceGrantListing, DeviceGrantRefusal, DeviceGrantShow,
    DeviceGrantStanding, DeviceGrantYes, FoundDeviceGrant, FoundLegacyLogin, LegacyLogin,
    LegacyLoginAsk, NewDeviceGrant, legacy_id,
};
pub use enrolment::{EnrolComplete, EnrolStart, Enrolment, EnrolmentCode};
pub use error::{IdentityError, JoinRefusal};
pub use foreign::{ForeignBind, ForeignListing, ForeignRelease};
pub use founding::InstallationInit;
pub use join::{DeviceJoin, Join, Joined, OperatorJoin};
pub use link::{AgentLink, OperatorLink, OperatorRecover};
pub use operator::{OperatorInvite, OperatorListing, OperatorRevoke, OperatorRoles};
pub use proposal::end_all as end_all_proposals;
pub use proposal::{
    ByQuorum, ProposalCreate, ProposalDraft, ProposalListing, ProposalRefuse, ProposalSign,
    ProposalSignByPasskey, agreed, carry_out, stewards_needed, takes_a_quorum,
};
pub use quarantine::{QuarantineLift, QuarantineListing};
pub use signing_key::{
    CurrentKeys, SigningKeyListing, SigningKeyRetire, SigningKeyRoll, SigningKeys,
};
pub use stewards::{OperatorDeviceHold, approved};
pub use web_login::WebLogin;

/// How many actors may stand between an agent and its owner, itself included.
pub const MAX_DEPTH: usize = 8;
