//! What an envelope is bound to (`protocol.md` §5): whose value it is, of what
//! class, where it lies, in which version and for what purpose.

use procura_types::{ActorId, FieldTuple, InstallationId, Namespace};

/// Whose the value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A namespace's.
    Namespace(&'a Namespace),
    /// An owner's.
    Owner(&'a ActorId),
    /// The installation's.
    Installation(&'a InstallationId),
}

impl Holder<'_> {
    /// `u8 kind ‖ id`: the kind tells apart ids that have the same bytes.
    fn field(&self) -> Vec<u8> {
        let (kind, id): (u8, &[u8]) = match self {
            Self::Namespace(name) => (1, name.as_str().as_bytes()),
            Self::Owner(id) => (2, id.as_bytes()),
            Self::Installation(id) => (3, id.as_bytes()),
        };
        [&[kind], id].concat()
    }
}

/// What the value is for. A value sealed for one purpose opens for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A row of a table behind the barrier.
    Row,
    /// A version of a secret, under its DEK.
    SecretBody,
    /// The DEK of a version of a secret, under the namespace key.
    SecretDek,
    /// A namespace key, under the barrier.
    NamespaceKey,
    /// The keys of all epochs, under the root key.
    Keyring,
    /// The root key, under what an unseal source gives.
    RootWrap,
    /// The constant that shows at unseal that the root key is the right one.
    Sentinel,
    /// An operator's private key in its file.
    OperatorKey,
    /// A device's private key in its file.
    DeviceKey,
    /// An event that was recorded while sealed.
    Spool,
    /// A bundle of ledger entries at rest.
    LedgerBundle,
    /// What a client keeps of its session.
    Session,
    /// Something that a transit key wraps for somebody else.
    Transit,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 13] = [
        Self::Row,
        Self::SecretBody,
        Self::SecretDek,
        Self::NamespaceKey,
        Self::Keyring,
        Self::RootWrap,
        Self::Sentinel,
        Self::OperatorKey,
        Self::DeviceKey,
        Self::Spool,
        Self::LedgerBundle,
        Self::Session,
        Self::Transit,
    ];

    /// The word that stands for the purpose in associated data. Words never
    /// change: what was sealed under one would not open any more.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::SecretBody => "secret-body",
            Self::SecretDek => "secret-dek",
            Self::NamespaceKey => "namespace-key",
            Self::Keyring => "keyring",
            Self::RootWrap => "root-wrap",
            Self::Sentinel => "sentinel",
            Self::OperatorKey => "operator-key",
            Self::DeviceKey => "device-key",
            Self::Spool => "spool",
            Self::LedgerBundle => "ledger-bundle",
            Self::Session => "session",
            Self::Transit => "transit",
        }
    }
}

/// The place and meaning of a sealed value. An envelope opens only under a
/// binding that is equal in every field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// Whose the value is.
    pub holder: Holder<'a>,
    /// The data class, or the table of a row.
    pub class: &'a str,
    /// The path or key within the class.
    pub path: &'a [u8],
    /// The version of the value, or of the row that it was written in.
    pub version: u64,
    /// What the value is for.
    pub purpose: Purpose,
}

impl Binding<'_> {
    /// `T("procura.env.v1", version ‖ epoch, u8 kind ‖ id, class, path, u64be
    /// version, purpose)`, with the first five bytes of the envelope as `header`.
    pub(crate) fn associated_data(&self, header: &[u8; 5]) -> FieldTuple {
        FieldTuple::new("procura.env.v1")
            .bytes(header)
            .bytes(&self.holder.field())
            .text(self.class)
            .bytes(self.path)
            .u64(self.version)
            .text(self.purpose.as_str())
    }
}
