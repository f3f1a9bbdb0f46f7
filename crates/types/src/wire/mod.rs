//! The JSON shapes of the native API (`protocol.md` §9), shared by the server
//! and its clients so that they cannot drift apart. One file per resource.

mod agent;
mod device;
mod event;
mod feed;
mod foreign;
mod grant;
mod join;
mod ledger;
mod namespace;
mod operator;
mod problem;
mod project;
mod request;
mod run;
mod secret;
mod service;
mod session;
mod signing_key;
mod status;
mod unseal_source;
mod verify;

pub use crate::link_code::{Joins, LinkCodeText};
pub use agent::{Agent, AgentCreate, AgentList, AgentSources, LinkCode, RevokedActors};
pub use device::{Device, PublicJwk};
pub use event::{EVENT_STREAM, Event, EventKind, RESET};
pub use feed::{
    Feed, FeedActor, FeedActorKind, FeedDevice, FeedForeign, FeedKey, FeedTerms, SignedFeed,
};
pub use foreign::{
    AgentSecretAge, AgentSecretIssued, AgentSecretRotate, ForeignBind, ForeignIdList,
    ForeignIdentity,
};
pub use grant::{Grant, GrantItem, GrantList, Receipt, RunningChild, Withdrawn};
pub use join::{JoinAnswer, JoinRequest};
pub use ledger::{CallerReport, ConsistencyAnswer, EntryList, EntryQuery, EntryRow, ProofAnswer};
pub use namespace::{NamespaceCreate, NamespaceInfo, NamespaceList};
pub use operator::{Operator, OperatorInvite, OperatorList, RoleAssignment, RolesPut};
pub use problem::Problem;
pub use project::{Project, ProjectList, ProjectPut};
pub use request::{AccessRequest, Approve, RequestList, RequestState};
pub use run::{
    RunAnswer, RunEnd, RunPending, RunRequest, RunValue, RunValues, Unmatched, UnmatchedReason,
};
pub use secret::{
    SecretField, SecretHistory, SecretList, SecretPut, SecretRow, SecretSet, SecretUndeleted,
    SecretValue, SecretVersion, SecretWritten, ValueB64, VersionState,
};
pub use service::{Service, ServiceList, ServicePut};
pub use session::{SessionAnswer, SessionRequest};
pub use signing_key::{SigningKey, SigningKeyList, SigningKeyState};
pub use status::{InitAnswer, InitRequest, PassphraseChange, Status};
pub use unseal_source::{
    NewUnsealSource, Opening, Recovery, RecoverySeen, ShareBrought, ShareProgress, ShareSet,
    UnsealSource, UnsealSourceAdd, UnsealSourceAdded, UnsealSourceList, UnsealSourceRemove,
    UnsealSourceTest,
};
pub use verify::{
    BodyRead, ProofField, ProvenAgent, RefusedProof, SentBody, VerifyAnswer, VerifyQuestion,
};
