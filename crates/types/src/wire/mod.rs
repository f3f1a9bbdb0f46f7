//! The JSON shapes of the native API (`protocol.md` §9), shared by the server
//! and its clients so that they cannot drift apart. One file per resource.

mod account;
mod agent;
mod api_key;
mod approval_rule;
mod attestation;
mod backup;
mod break_glass;
mod device;
mod device_grant;
mod display_name;
mod event;
mod feed;
mod foreign;
mod grant;
mod honey;
mod installation_import;
mod join;
mod ledger;
mod namespace;
mod notify;
mod oidc;
mod operator;
mod passkey;
mod policy;
mod problem;
mod project;
mod project_token;
mod proposal;
mod request;
mod retention;
mod rotation;
mod run;
mod secret;
mod secret_import;
mod server;
mod service;
mod session;
mod signing_key;
mod status;
mod transit;
mod unseal_source;
mod verify;

pub use crate::link_code::{Joins, LinkCodeText};
pub use account::{
    Account, PasswordPut, RecoveryCodes, TotpConfirm, TotpSetUp, WebLogin, WebLoginList,
    WebLoginsEnded,
};
pub use agent::{Agent, AgentCreate, AgentList, AgentSources, LinkCode, RevokedActors};
pub use api_key::{ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyList, ApiKeyState};
pub use approval_rule::{ApprovalRule, ApprovalRuleList, ApprovalRulePut, GuardedAct};
pub use attestation::{
    Attestation, AttestationAsk, AttestationChallenge, AttestationGiven, AttestationList,
    AttestationPut, AttestationState, AttestationStatement, Baseline, BaselinePut, QuoteSeen,
    Release, ReleaseAdd, ReleaseKey, ReleaseKeyAdd, ReleaseKeyList, ReleaseList,
    SessionAttestation, TpmCredential, TpmKeys, TpmQuote,
};
pub use backup::{BACKUP_STREAM, BackupHead, BackupKind};
pub use break_glass::{
    BreakGlass, BreakGlassCreate, BreakGlassList, BreakGlassState, BreakGlassUse,
};
pub use device::{Device, PublicJwk};
pub use device_grant::{
    DeviceAuthorization, DeviceGrant, DeviceGrantApprove, DeviceGrantCode, DeviceGrantList,
    DeviceGrantState, DeviceToken, OauthError, OauthMetadata,
};
pub use display_name::DisplayNamePut;
pub use event::{EVENT_STREAM, Event, EventKind, RESET};
pub use feed::{
    Feed, FeedActor, FeedActorKind, FeedDevice, FeedForeign, FeedKey, FeedQuarantine, FeedTerms,
    SignedFeed,
};
pub use foreign::{
    AgentSecretAge, AgentSecretIssued, AgentSecretRotate, ForeignBind, ForeignIdList,
    ForeignIdentity,
};
pub use grant::{Grant, GrantItem, GrantList, Receipt, RunningChild, Withdrawn};
pub use honey::{
    Honey, HoneyFound, HoneyList, HoneyMatch, HoneyMatches, HoneyPlant, HoneyPlanted, HoneyTouch,
    QuarantineList, Quarantined,
};
pub use installation_import::{
    HoneyItem, HoneyPlace, InstallationImport, InstallationImported, NamespaceImport,
    NamespaceImported,
};
pub use join::{JoinAnswer, JoinRequest};
pub use ledger::{CallerReport, ConsistencyAnswer, EntryList, EntryQuery, EntryRow, ProofAnswer};
pub use namespace::{
    NamespaceCreate, NamespaceDelete, NamespaceDeleted, NamespaceDetail, NamespaceHolds,
    NamespaceInfo, NamespaceList, Quota, Used,
};
pub use notify::{
    Channel, ChannelKind, ChannelList, ChannelPut, ChannelQueue, MailServer, MailTls,
    NotifyDeadDone, NotifyDeadList, NotifyDeadPick, NotifyDelivery, NotifyEvent, NotifyQueue,
    NotifyRoute, NotifyRouteList, NotifyRoutePut, Severity,
};
pub use oidc::{IdentityLink, OperatorIdentity, OperatorIdentityList};
pub use operator::{
    Operator, OperatorInvite, OperatorList, OperatorRecover, RoleAssignment, RolesPut,
};
pub use passkey::{
    ApprovalAsk, ApprovalOptions, ApprovalTerms, AssertedCredential, AssertionResponse,
    AttestationResponse, AuthenticatorSelection, CreationOptions, CredentialDescriptor,
    CredentialParameter, NewCredential, Passkey, PasskeyAnswer, PasskeyApproval, PasskeyCode,
    PasskeyCreation, PasskeyEnrol, PasskeyEnrolStart, PasskeyList, PasskeyRename, PasskeyRequest,
    ReceiptAssertion, RelyingPartyEntity, RequestOptions, UserEntity,
};
pub use policy::{
    PolicyAnswer, PolicyCase, PolicyCaseResult, PolicyCases, PolicyCircumstances, PolicyExplained,
    PolicyExplanation, PolicyObservedLine, PolicyPut, PolicyQuestion, PolicyReport, PolicyState,
    PolicyStatePut, PolicyText, PolicyVersion, PolicyVersionList, PolicyWould,
};
pub use problem::Problem;
pub use project::{
    Project, ProjectDeleted, ProjectEnded, ProjectList, ProjectPut, ProjectRebind, ProjectRebound,
    ProjectRequireGrade,
};
pub use project_token::{
    ProjectToken, ProjectTokenIssue, ProjectTokenIssued, ProjectTokenKind, ProjectTokenList,
    ProjectTokenRotate, ProjectTokenState, ProjectTokensRevoked, ProjectValues, ValuesRequest,
};
pub use proposal::{
    NewProposal, PasskeyProposalSign, Proposal, ProposalList, ProposalOptions, ProposalRefuse,
    ProposalSign, ProposalSigner, ProposalState, ProposedAct, RootTurn,
};
pub use request::{AccessRequest, Approve, RequestList, RequestState};
pub use retention::{Retention, RetentionSet};
pub use rotation::{
    HandoverList, LedgerKeyState, NamespaceKeyState, NamespaceRotated, RewrapState, RootRotate,
    Rotation, SessionRootState,
};
pub use run::{
    RunAnswer, RunEnd, RunPending, RunRequest, RunValue, RunValues, Unmatched, UnmatchedReason,
};
pub use secret::{
    SecretField, SecretHistory, SecretList, SecretPut, SecretRow, SecretSet, SecretUndeleted,
    SecretValue, SecretVersion, SecretWritten, ValueB64, VersionState,
};
pub use secret_import::{
    ExportDocument, ImportItem, ImportState, ImportedSecret, PortableSecret, RollbackChange,
    RolledBack, SecretExport, SecretExported, SecretImport, SecretImported, SecretRollback,
    SecretRolledBack,
};
pub use server::{Server, ServerList, ServerState};
pub use service::{Service, ServiceList, ServicePut};
pub use session::{SessionAnswer, SessionRequest};
pub use signing_key::{SigningKey, SigningKeyList, SigningKeyState, TokenType};
pub use status::{InitAnswer, InitRequest, PassphraseChange, Status};
pub use transit::{
    TransitCredentials, TransitKey, TransitKeyList, TransitPut, TransitUnwrap, TransitUnwrapped,
    TransitWrap, TransitWrapped,
};
pub use unseal_source::{
    NewUnsealSource, NewWrapped, Opening, Pkcs11Mechanism, Recovery, RecoverySeen, ShareBrought,
    ShareProgress, ShareScheme, ShareSet, SourceOpening, UnsealSource, UnsealSourceAdd,
    UnsealSourceAdded, UnsealSourceList, UnsealSourceRemove, UnsealSourceTest, Wrapper,
};
pub use verify::{
    BodyRead, ProofField, ProvenAgent, RefusedProof, SentBody, VerifyAnswer, VerifyQuestion,
};
