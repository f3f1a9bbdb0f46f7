//! What goes wrong with actors, split by who is to blame.

use crate::attestation::AttestationRefusal;
use crate::device_grant::DeviceGrantRefusal;
use crate::oidc::OidcRefusal;
use crate::passkey::{PasskeyRefusal, PasskeyRefused};
use procura_store::StoreError;
use procura_types::{EntropyError, ExeDigest, ForeignId, Label, Namespace};

/// Why an operation on owners, agents or devices was refused.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is nothing to let out of quarantine.
    #[error("this is not in quarantine")]
    NotQuarantined,
    /// What is revoked is let out of nothing.
    #[error("this device or its actor is revoked, for good; a new device joins in its place")]
    DeviceRevoked,
    /// There is no such operator, or they are revoked.
    #[error("there is no operator {0} who is not revoked")]
    NoOperator(Label),
    /// An operator of this name exists.
    #[error("there is an operator {0} already")]
    NameTaken(Label),
    /// There is no such agent in the namespace, or it is revoked.
    #[error("there is no agent {0} in this namespace that is not revoked")]
    NoAgent(Label),
    /// An agent of this label lives in the namespace.
    #[error("there is an agent {0} in this namespace already; a revoked label can be used again")]
    LabelTaken(Label),
    /// The id stands for another agent, of this namespace or of another one.
    #[error(
        "the id {0} stands for another agent already, perhaps in another namespace; release it there, or choose another id"
    )]
    ForeignBound(ForeignId),
    /// The id is the name of an operator.
    #[error("{0} is the name of an operator, so no agent can have it as its id; choose another id")]
    IdOfOperator(ForeignId),
    /// The name is the id of an agent.
    #[error(
        "{0} is the id of an agent in another system, so no operator can have it as their name; choose another name, or release the id"
    )]
    NameOfAgent(Label),
    /// The id stands for no agent of the namespace.
    #[error("there is no agent with the id {0} in this namespace")]
    NoForeign(ForeignId),
    /// The agent would stand too far below its owner.
    #[error("an agent stands at most 8 below its owner")]
    TooDeep,
    /// An agent has too many sources.
    #[error("an agent has at most 32 sources; name blocks of addresses that hold them")]
    TooManySources,
    /// A role does not fit its place.
    #[error("the role steward has no namespace, and every other role needs one")]
    BadRole,
    /// A role names a namespace that does not exist.
    #[error("there is no namespace {0}")]
    NoNamespace(Namespace),
    /// Nobody would be left who can make operators and namespaces.
    #[error(
        "this would leave the installation without a steward who has a device; make another one first"
    )]
    LastSteward,
    /// What a daemon attested is not taken.
    #[error(transparent)]
    Attestation(#[from] AttestationRefusal),
    /// There is no such attestation, or it has nothing to be accepted.
    #[error("there is no such attestation, or no TPM said anything in it")]
    NoAttestation,
    /// The digest that was looked at is not the one in the attestation.
    #[error("the TPM says another digest by now than the one that is to be accepted; look again")]
    OtherQuote,
    /// There is no baseline of the device.
    #[error("no baseline of this device is accepted")]
    NoBaseline,
    /// A key or its name was enrolled before.
    #[error(
        "this release key, or one of its name, was enrolled before; a name means one key for good"
    )]
    ReleaseKeyTaken,
    /// There is no release key of that name.
    #[error("there is no release key of that name")]
    NoReleaseKey,
    /// A release key that cannot be one.
    #[error("the release key cannot be used: {0}")]
    BadReleaseKey(procura_ledger::LedgerError),
    /// A list of programs that nobody signed who may, or of another form.
    #[error("the release is not accepted: {0}")]
    BadRelease(procura_ledger::LedgerError),
    /// A program that was withdrawn comes back.
    #[error("the program {0} was withdrawn, for good; nothing was added")]
    Withdrawn(ExeDigest),
    /// There is no such program.
    #[error("no release key vouches for that program")]
    NoRelease,
    /// Too many keys or programs.
    #[error("an installation has at most 64 release keys and 10000 programs")]
    TooManyReleases,
    /// A passkey is not accepted.
    #[error(transparent)]
    Passkey(#[from] PasskeyRefused),
    /// There is no such passkey, or it was removed.
    #[error("there is no such passkey that was not removed")]
    NoPasskey,
    /// An identity provider's word, or a link to one, is not accepted.
    #[error(transparent)]
    Oidc(#[from] OidcRefusal),
    /// The operator has no such identity.
    #[error("no such identity is linked to this operator")]
    NoIdentity,
    /// There is no locked memory for a key.
    #[error(transparent)]
    Locked(#[from] procura_crypto::LockError),
    /// A device did not get in.
    #[error(transparent)]
    Join(#[from] JoinRefusal),
    /// A device grant is not what it would have to be.
    #[error(transparent)]
    DeviceGrant(#[from] DeviceGrantRefusal),
    /// The root key of the first owner is not P-256.
    #[error("the owner's root key must be P-256")]
    RootKeyAlgorithm,
    /// The installation has its first owner already.
    #[error("this installation has its owner already")]
    Founded,
    /// The permit was authorized for another caller than the operation names.
    #[error("the operation and its caller name different devices")]
    OtherCaller,
    /// Shares that cannot be made.
    #[error(
        "of 2 to 255 shares, or 16 as words, at least 2 open the vault, and no more than there are"
    )]
    BadShares,
    /// Too many proposals wait.
    #[error(
        "16 proposals of yours wait already; they end a day after they were made, those of removals after 21 days"
    )]
    TooManyProposals,
    /// There is no such proposal.
    #[error("there is no such proposal")]
    NoProposal,
    /// It was carried out, or nobody did in time.
    #[error("the proposal was carried out already, or its time is over; propose it again")]
    ProposalOver,
    /// The signature is not the caller's device's over this proposal.
    #[error("the signature is not by the device that calls over this very proposal")]
    BadProposalSignature,
    /// Too few stewards have signed.
    #[error(
        "{have} of the {needs} stewards that it takes have signed, of those who are stewards now"
    )]
    NotAgreed {
        /// Signatures that count.
        have: usize,
        /// How many it takes.
        needs: usize,
    },
    /// Who is a steward changes by a quorum of them, and so does who has a steward's key.
    #[error(
        "there is another steward, so it takes a quorum: one proposes it, and more than half sign"
    )]
    TakesQuorum,
    /// An act takes so many stewards.
    #[error("it takes {0} stewards here: it is proposed, and so many sign it")]
    TakesApprovals(usize),
    /// A rule asks for nobody, or for more than there are.
    #[error("an act takes one steward at the least, and no more than there are")]
    BadApprovals,
    /// There is no such break-glass account, or it was revoked.
    #[error("there is no break-glass account {0} that was not revoked")]
    NoBreakGlass(Label),
    /// A break-glass account opens once.
    #[error("this break-glass account was used already; a steward makes another one")]
    BreakGlassUsed,
    /// Whoever made a break-glass account is no steward any more.
    #[error(
        "whoever made this break-glass account is no steward any more, and it ended with that; a steward makes another one"
    )]
    MakerGone,
    /// A device of whoever made a break-glass account is on hold.
    #[error(
        "a device of whoever made this break-glass account is on hold, and it does not open while that lasts; ask a steward"
    )]
    MakerOnHold,
    /// The role and the key of a break-glass account are what they were.
    #[error(
        "this is a break-glass account: its role and its key stay as they were when it was made"
    )]
    BreakGlassFixed,
    /// Somebody who is not one of the stewards has no say among them: a break-glass account,
    /// which leaves none of its kind behind either, or whoever is lent the role. Nor has
    /// whoever made such an account a yes to its use.
    #[error(
        "this takes one of the stewards: a break-glass account is none, nor is whoever has the role for the time of a web login; to the use of an account it takes one who did not make it"
    )]
    CountsNot,
    /// A time for which no account opens.
    #[error("a break-glass account opens for 5 to 1440 minutes")]
    BadMinutes,
    /// Too many wait.
    #[error("16 break-glass accounts wait already; revoke one first")]
    TooManyBreakGlass,
    /// A new key did not sign for itself.
    #[error("the new key did not sign for itself: the signature is not by it over these terms")]
    NotPossessed,
    /// A new key is somebody's, or was.
    #[error("this key is or was somebody's already; make a new one")]
    KeyTaken,
    /// A time for which no API key counts.
    #[error("an API key counts for 60 seconds to 365 days")]
    BadApiKeyLife,
    /// The operator has a key of this name that counts.
    #[error("you have an API key {0} already that counts; revoke it first, or choose another name")]
    ApiKeyNameTaken(Label),
    /// An operator has as many as there may be.
    #[error("an operator has at most 64 API keys that count; revoke one first")]
    TooManyApiKeys,
    /// Nobody is invited as a steward where there is one besides the caller.
    #[error(
        "there is another steward, so nobody is invited as one: whoever it is joins without that role, and then it is proposed to make them a steward"
    )]
    JoinFirst,
    /// The device of another steward is not one's to revoke.
    #[error(
        "it is the device of another steward, who alone may revoke it: put it on hold, which stops it at once"
    )]
    HoldInstead,
    /// A proposal about something else was brought.
    #[error("the proposal that was signed is about something or somebody else")]
    OtherProposal,
    /// The device is on hold.
    #[error(
        "this device is on hold: it agrees to nothing but the removal of the steward who put it there, and may say no to anything"
    )]
    OnHold,
    /// No key that signs tokens has this id.
    #[error(transparent)]
    NoSigningKey(#[from] procura_token::UnknownKey),
    /// Not every verifier knows the next key yet.
    #[error(transparent)]
    NotReady(#[from] procura_token::NotReady),
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] procura_crypto::KeyError),
    /// A password is too short, or too long to be one.
    #[error("a password has at least 12 characters, and at most 1024 bytes")]
    BadPassword,
    /// No authenticator app was begun with.
    #[error("no authenticator app waits for its first code; make a secret for one")]
    NoTotpWaits,
    /// The code is not one of the app.
    #[error(
        "this is not the code that the new app shows now; try the next one, and set the clocks"
    )]
    WrongTotp,
    /// The operator has no such web login.
    #[error("there is no such web login, or it is over")]
    NoWebLogin,
    /// What was right when somebody signed in is not any more.
    #[error("this sign-in was refused: {0}")]
    SignIn(crate::account::SignInRefusal),
    /// A password could not be hashed.
    #[error(transparent)]
    Password(#[from] procura_crypto::PasswordError),
    /// The same.
    #[error(transparent)]
    Kdf(#[from] procura_crypto::KdfError),
    /// Work of the server's own could not be recorded, so it was not done.
    #[error(transparent)]
    NotRecorded(procura_record::RecordError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Why a device that signed well did not get in. The word stands in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinRefusal {
    /// No such code: never made, used up, or made for another actor. A code that
    /// is tried with another actor stays good for its own.
    #[error(
        "the code is unknown, was used already, or belongs to another actor; ask for a new one"
    )]
    UnknownCode,
    /// The code is older than ten minutes.
    #[error("the code has expired; ask for a new one")]
    CodeExpired,
    /// The key is a device already, here or of another actor, or was one.
    #[error("this key is or was a device already; make a new one")]
    DeviceBound,
    /// The actor was revoked since the code was made.
    #[error("the actor is revoked")]
    ActorRevoked,
}

impl JoinRefusal {
    /// One word for the ledger and for machines.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownCode => "unknown_code",
            Self::CodeExpired => "code_expired",
            Self::DeviceBound => "device_bound",
            Self::ActorRevoked => "actor_revoked",
        }
    }
}

impl From<PasskeyRefusal> for IdentityError {
    fn from(refusal: PasskeyRefusal) -> Self {
        Self::Passkey(refusal.into())
    }
}
