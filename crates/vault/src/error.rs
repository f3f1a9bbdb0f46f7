//! What goes wrong in the vault, split by who is to blame.

use crate::quota::Bound;
use crate::unseal_source::WrapError;
use procura_crypto::OpenError;
use procura_store::StoreError;
use procura_types::{
    Delivery, EntropyError, EnvName, InstanceId, Label, Namespace, SecretKind, SecretPath,
};

/// Why a secret could not be written, read or removed.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// There is no such secret or version, or it was deleted.
    #[error("there is no readable secret at {0}")]
    NotFound(SecretPath),
    /// It was destroyed, and nothing brings it back.
    #[error("{}{path} was destroyed: nothing brings it back", of_version(*version))]
    Destroyed {
        /// Which secret.
        path: SecretPath,
        /// Which version, where it is one; all that was not only deleted without.
        version: Option<u64>,
    },
    /// There is nothing to undelete.
    #[error("{0} is not deleted")]
    NotDeleted(SecretPath),
    /// Its time is over.
    #[error("{0} has expired and is not handed over any more")]
    Expired(SecretPath),
    /// Its rule does not name the way in which it was to be handed over.
    #[error("{path} may not be delivered by {}", delivery.as_str())]
    DeliveryNotAllowed {
        /// Which secret.
        path: SecretPath,
        /// In which way.
        delivery: Delivery,
    },
    /// All versions of a path are of one kind.
    #[error(
        "{path} is of the kind {kind}, as long as a version of it is left that is not destroyed"
    )]
    OtherKind {
        /// Which secret.
        path: SecretPath,
        /// What it is.
        kind: SecretKind,
    },
    /// The value is not what its kind says.
    #[error("the value is not of the kind {kind}: {problem}")]
    NotOfKind {
        /// What it should be.
        kind: SecretKind,
        /// What is wrong; never the value itself.
        problem: String,
    },
    /// More secrets at once than one commit takes.
    #[error("1 to 10000 secrets are taken at once; take them in parts, by their paths")]
    TooMany,
    /// More bytes at once than one answer takes.
    #[error("the values are more than 6 MiB together; take them in parts, by --prefix")]
    TooMuch,
    /// One path stands twice.
    #[error("{0} stands there twice")]
    Twice(SecretPath),
    /// What one of several secrets is refused for.
    #[error("{path}: {source}")]
    At {
        /// Which secret.
        path: SecretPath,
        /// Why.
        source: Box<VaultError>,
    },
    /// What was to be done is not what was seen before.
    #[error("secrets were changed since it was looked at; look again, and decide anew")]
    ChangedMeanwhile,
    /// What leaves could not be encrypted.
    #[error(transparent)]
    Encrypt(#[from] procura_crypto::age::AgeError),
    /// There is no transit key of this name.
    #[error("there is no transit key {0}")]
    NoTransitKey(Label),
    /// An agent that should use a transit key is none of the namespace.
    #[error("there is no agent {0}")]
    NoAgent(Label),
    /// Too many agents of one transit key, or too many keys of one namespace.
    #[error("a transit key has at most 16 agents, and a namespace at most 256 transit keys")]
    TooManyTransit,
    /// A transit key did not wrap it, or not for this context.
    #[error("this key did not wrap it, or not for this context")]
    NotWrapped,
    /// A decoy is planted where no secret is or was.
    #[error("there is something at {0} already, or was; plant where nothing is")]
    PathTaken(SecretPath),
    /// A decoy is to declare a name that a secret declares.
    #[error("a secret declares {0}, and runs would find the name ambiguous; use another")]
    NameTaken(EnvName),
    /// Who may know of decoys writes where one lies.
    #[error("a honey secret lies at {0}; remove it first")]
    HoneyThere(SecretPath),
    /// A namespace full of decoys.
    #[error("a namespace has at most 256 honey secrets")]
    TooManyHoney,
    /// A decoy that is too short to be known again, or too long.
    #[error("a decoy of one's own is 1 byte to 32 KiB; what was found, at most that")]
    BadDecoy,
    /// There is no such server.
    #[error("there is no server {0}: procura server list")]
    NoServer(InstanceId),
    /// A server that is asked to remove itself.
    #[error(
        "this is the server that answers: ask another one (--server URL), or stop this one where it runs"
    )]
    OwnServer,
    /// There is no such namespace.
    #[error("there is no such namespace")]
    NoNamespace,
    /// The namespace exists already.
    #[error("the namespace exists already")]
    NamespaceExists,
    /// A namespace of this name ended; no other gets its name.
    #[error("the namespace {0} was deleted, and no other gets its name")]
    NamespaceEnded(Namespace),
    /// The quota of the namespace has no room for it.
    #[error(
        "the namespace {namespace} may hold {limit} {} and holds {used}", bound.words()
    )]
    QuotaExceeded {
        /// Whose.
        namespace: Namespace,
        /// What there would be too much of.
        bound: Bound,
        /// How much there may be.
        limit: u64,
        /// How much there is.
        used: u64,
    },
    /// A namespace was made or deleted while the root was being changed.
    #[error("a namespace was made or deleted meanwhile")]
    NamespacesChanged,
    /// The latest version is another than expected.
    #[error("the latest version is {latest}, not {expected}")]
    VersionMismatch {
        /// What the caller expected.
        expected: u64,
        /// What is there; 0 for none.
        latest: u64,
    },
    /// The value is longer than 1 MiB.
    #[error("a value is at most 1 MiB")]
    TooLarge,
    /// The description is longer than 1,000 characters or has control characters.
    #[error("a description is at most 1000 characters without control characters")]
    BadDescription,
    /// The key of a namespace does not open: it was moved, edited or rolled back.
    #[error("the key of namespace {0} does not open")]
    DamagedKey(Namespace),
    /// The value is there and does not open: it was moved, edited or rolled back.
    #[error("the stored value of {path} does not open: {cause}")]
    Damaged {
        /// Which secret.
        path: SecretPath,
        /// What the envelope said.
        cause: OpenError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Sealing failed.
    #[error(transparent)]
    Seal(#[from] procura_crypto::SealError),
    /// A key that cannot be made or held.
    #[error(transparent)]
    Key(#[from] procura_crypto::KeyError),
    /// No locked memory for a key.
    #[error(transparent)]
    Lock(#[from] procura_crypto::LockError),
    /// No random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Which version is meant, before the path.
fn of_version(version: Option<u64>) -> String {
    version.map_or_else(String::new, |version| format!("version {version} of "))
}

impl VaultError {
    /// The same, of one of several secrets.
    #[must_use]
    pub fn at(self, path: &SecretPath) -> Self {
        match self {
            Self::Store(_) => self,
            source => Self::At {
                path: path.clone(),
                source: Box::new(source),
            },
        }
    }

    /// Whether it is about what somebody wants to write, and not about what is there.
    pub(crate) const fn is_of_the_value(&self) -> bool {
        matches!(
            self,
            Self::TooLarge
                | Self::BadDescription
                | Self::NotOfKind { .. }
                | Self::OtherKind { .. }
                | Self::VersionMismatch { .. }
        )
    }
}

/// Why a vault could not be made, opened or re-keyed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The passphrase does not open it.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// A share of a set that opens nothing here, or does no more.
    #[error("the share is of no set that opens this vault")]
    OtherShare,
    /// A share that says that it is of a set, and is none of it.
    #[error("share {index} is not the one that was made: it was changed or forged")]
    ForgedShare {
        /// Which it says it is.
        index: u8,
    },
    /// What a wrapper gave back is not the key of the source.
    #[error(
        "what the wrapper of {0} gave back does not open the vault: installation.json was changed, or put back"
    )]
    WrongKey(Label),
    /// A wrapper did not wrap, or not give back what it wrapped.
    #[error("{source_name}: {cause}")]
    Wrapper {
        /// The source.
        source_name: Label,
        /// Why.
        cause: WrapError,
    },
    /// Shares that cannot be made, or not be combined.
    #[error(transparent)]
    Shares(#[from] procura_crypto::shamir::ShareError),
    /// The same of words.
    #[error(transparent)]
    Mnemonics(#[from] procura_crypto::slip39::Slip39Error),
    /// Without a source nobody opens the vault any more.
    #[error("the last unseal source cannot be removed")]
    LastSource,
    /// Without people and what they keep, a lost token or another kernel is the end of it.
    #[error(
        "only tokens, chips or services would open the vault then, and nothing at all when they are lost or the machine starts with another kernel or firmware: add a passphrase or shares first (`procura unseal-source add`), or remove it with --danger-wrappers-alone"
    )]
    WrappersAlone,
    /// What was brought shows nothing of the sources that stay.
    #[error(
        "what was brought is of {0}, which is to go: bring what opens the vault when it is gone, the passphrase of another source, --with shares or --with source:NAME"
    )]
    BroughtLeaves(Label),
    /// Each takes its time at unseal.
    #[error("an installation has at most 8 unseal sources")]
    TooManySources,
    /// There is none of this name.
    #[error("there is no unseal source {0}")]
    NoSource(Label),
    /// There is one of this name.
    #[error("there is an unseal source {0} already")]
    SourceExists(Label),
    /// A new passphrase is too short.
    #[error("a passphrase has at least 12 characters")]
    WeakPassphrase,
    /// The home holds an installation already.
    #[error("this home is initialised already")]
    Initialised,
    /// The home holds none.
    #[error("this home is not initialised; run `procura init`")]
    NotInitialised,
    /// `installation.json` cannot be read as one.
    #[error("installation.json is damaged: {0}")]
    Damaged(String),
    /// `installation.json` was written by a newer program.
    #[error("installation.json has format {found}; this program knows up to {known}")]
    NewerFormat {
        /// In the file.
        found: u32,
        /// Known here.
        known: u32,
    },
    /// The keys that the root should open do not open.
    #[error(
        "the keyring does not open under this root: the database and installation.json do not belong together"
    )]
    KeyringMismatch,
    /// The database, which several servers use, names an older root than the copy in
    /// the home: an older database was put in its place.
    #[error(
        "the database names root {stored}, and installation.json root {copy}: the database is an older one"
    )]
    OlderInstallation {
        /// In the home.
        copy: u32,
        /// In the database.
        stored: u32,
    },
    /// Another server changed what opens the vault, and did not know of this one.
    #[error(
        "another server changed what opens the vault, and the new keys were not handed over to this one; unseal it again"
    )]
    NotHandedOver,
    /// A steward removed the server that this home is of.
    #[error(
        "the server {0} was removed from the installation, and its home is let in no more; a server on this machine takes a new home"
    )]
    ServerRemoved(InstanceId),
    /// Files.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Opening the database.
    #[error(transparent)]
    Open(#[from] procura_store::OpenError),
    /// Key derivation.
    #[error(transparent)]
    Kdf(#[from] procura_crypto::KdfError),
    /// Signature keys.
    #[error(transparent)]
    Key(#[from] procura_crypto::KeyError),
    /// Sealing.
    #[error(transparent)]
    Seal(#[from] procura_crypto::SealError),
    /// The barrier.
    #[error(transparent)]
    Barrier(#[from] procura_store::BarrierError),
    /// The store does not open with these keys, or is not whole.
    #[error(transparent)]
    Unseal(#[from] procura_store::UnsealError),
    /// Locked memory.
    #[error(transparent)]
    Lock(#[from] procura_crypto::LockError),
    /// Recording.
    #[error(transparent)]
    Record(#[from] procura_record::RecordError),
    /// Random bytes.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}
