//! The JSON shapes of the native API (`protocol.md` §9), shared by the server
//! and its clients so that they cannot drift apart. One file per resource.

mod agent;
mod device;
mod feed;
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
mod status;

pub use crate::link_code::{Joins, LinkCodeText};
pub use agent::{Agent, AgentCreate, AgentList, LinkCode, RevokedActors};
pub use device::{Device, PublicJwk};
pub use feed::{Feed, FeedActor, FeedActorKind, FeedDevice, FeedKey, FeedTerms, SignedFeed};
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
    SecretHistory, SecretList, SecretPut, SecretRow, SecretValue, SecretVersion, SecretWritten,
    ValueB64, VersionState,
};
pub use service::{Service, ServiceList, ServicePut};
pub use session::{SessionAnswer, SessionRequest};
pub use status::{InitAnswer, InitRequest, PassphraseChange, Status, UnsealRequest};
