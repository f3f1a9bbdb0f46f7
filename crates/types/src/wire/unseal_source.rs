use crate::{Label, Namespace, ProposalId, Secret, Thumbprint, Timestamp};
use serde::{Deserialize, Serialize};

/// What is brought to open the vault: `{"passphrase": …}`, `{"shares": […]}` or
/// `{"source": {"name": …}}`. `POST /admin/unseal` on the admin socket takes it as it is.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Opening {
    /// A passphrase.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    Passphrase(Secret<String>),
    /// As many shares of one set as it takes, in their text form or as words.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    Shares(Vec<Secret<String>>),
    /// A source whose wrapper gives its key back, with what the wrapper asks for.
    Source(SourceOpening),
}

/// An unseal source that a token, a chip or a service opens.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceOpening {
    /// Its name.
    pub name: Label,
    /// What its wrapper asks for: the PIN of a token, the credentials of a service.
    /// Without it, what `unseal_credentials` of the configuration names for it.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub credentials: Option<Secret<String>>,
}

/// `POST /admin/unseal-share` on the admin socket: one share of a ceremony.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareBrought {
    /// The share, in its text form or as words.
    pub share: Secret<String>,
    /// The ceremony that it is for, as the first share's answer named it; the first
    /// share begins one.
    #[serde(default)]
    pub ceremony: Option<Secret<String>>,
}

/// How far a ceremony of shares is; told to those who bring them alone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ShareProgress {
    /// The ceremony, for the next share. Whoever knows it can add shares and see how
    /// many there are.
    pub ceremony: String,
    /// The unseal source.
    pub source: Label,
    /// Shares that were brought.
    pub have: u8,
    /// Shares that it takes.
    pub need: u8,
    /// The vault is open, and the ceremony over.
    pub opened: bool,
}

/// What each device of every operator is told of once: a use of what opens the vault (shares,
/// or a code for another key of an operator), or of a break-glass account.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recovery {
    /// When.
    pub time: Timestamp,
    /// By which unseal source; of the use of a break-glass account, which.
    pub source: Label,
    /// The operator for whom a code was made, if it was that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<Label>,
    /// Whether it is the use of a break-glass account, which `source` names then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub break_glass: bool,
}

/// `POST /v1/recoveries/seen`: the operator was told of the unseals with shares until then, at
/// the device that says so.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverySeen {
    /// The time of the last of them, as it was told.
    pub until: Timestamp,
}

/// An unseal source.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnsealSource {
    /// What people call it.
    pub name: Label,
    /// `passphrase`, `shares`, `slip39`, `pkcs11`, `tpm`, `kms` or `transit`.
    pub kind: String,
    /// When it was added, or changed last.
    pub added: Timestamp,
    /// How many shares open the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u8>,
    /// How many shares there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u8>,
    /// Where its wrapper is, of one that has a wrapper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrapper: Option<Wrapper>,
    /// What has to be brought to open the vault with it, in words.
    #[serde(default)]
    pub needs: String,
    /// The lines that the configuration lacks: without them the server does not know,
    /// after its next start, where the wrapper is. Said while the vault is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configure: Option<String>,
}

/// `GET /admin/unseal-sources` on the admin socket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnsealSourceList {
    /// All of them, as they were added.
    pub sources: Vec<UnsealSource>,
}

/// `POST /admin/unseal-sources` on the admin socket: one more.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsealSourceAdd {
    /// What opens the vault today.
    pub open: Opening,
    /// The name of the new source.
    pub name: Label,
    /// What it is.
    pub source: NewUnsealSource,
    /// What a quorum of stewards agreed to, where shares are made and there is more than
    /// one operator.
    #[serde(default)]
    pub proposal: Option<ProposalId>,
}

/// What a new unseal source is.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NewUnsealSource {
    /// A passphrase.
    Passphrase(Secret<String>),
    /// Shares, which the answer holds and nothing else ever will.
    Shares(ShareSet),
    /// The same as words of SLIP-0039: 16 of them at the most.
    Slip39(ShareSet),
    /// A wrapper, outside of the vault, wraps the source's key.
    Wrapped(NewWrapped),
}

/// A source whose key a wrapper is to wrap.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWrapped {
    /// Where the wrapper is.
    pub by: Wrapper,
    /// What the wrapper asks for; without it, what `unseal_credentials` of the
    /// configuration names for the source.
    #[serde(default)]
    pub credentials: Option<Secret<String>>,
}

/// What wraps the key of an unseal source: a token, a chip or a service. It gives the key
/// back to whoever may use it, and to nobody its own. Nothing here is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Wrapper {
    /// A PKCS#11 token.
    Pkcs11 {
        /// The absolute path of its module, a shared library.
        module: String,
        /// The token's serial number; when it is added, its label will do.
        token: String,
        /// What the key on it is called.
        key: String,
        /// How the key wraps; the first that the token can, unless one is named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mechanism: Option<Pkcs11Mechanism>,
    },
    /// A TPM 2.0.
    Tpm {
        /// The absolute path of its device, or of a socket at which one answers.
        device: String,
        /// The platform configuration registers (SHA-256) that have to be as they were
        /// when the source was added: 0 to 23, ascending, at least one.
        pcrs: Vec<u8>,
    },
    /// A key of the AWS Key Management Service, or of one that speaks as it does.
    Kms {
        /// The key: its ARN; when it is added, its id or `alias/…` will do.
        key: String,
        /// The region.
        region: String,
        /// Another address than the region's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint: Option<String>,
        /// The authorities to trust for that address, PEM; without them, the machine's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_pem: Option<String>,
    },
    /// A transit key of another Procura.
    Transit {
        /// The namespace that it is in.
        namespace: Namespace,
        /// Its name.
        key: Label,
        /// The thumbprint of the key that its server has to prove to hold; when it is
        /// added, that of the credentials.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<Thumbprint>,
    },
}

impl Wrapper {
    /// The word for its kind.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Pkcs11 { .. } => "pkcs11",
            Self::Tpm { .. } => "tpm",
            Self::Kms { .. } => "kms",
            Self::Transit { .. } => "transit",
        }
    }

    /// Whether it is a service: it knows by itself who asks, and nothing at it is locked
    /// by wrong tries, as the PIN of a token is.
    #[must_use]
    pub const fn is_service(&self) -> bool {
        matches!(self, Self::Kms { .. } | Self::Transit { .. })
    }
}

/// How a key on a PKCS#11 token wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pkcs11Mechanism {
    /// AES-256-GCM, by a secret key.
    AesGcm,
    /// RSA-OAEP with SHA-256, by a key pair of 3,072 bits.
    RsaOaepSha256,
    /// RSA-OAEP with SHA-1, for tokens that have no other.
    RsaOaepSha1,
}

/// How a key is split into shares, and what its shares look like.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShareScheme {
    /// Shamir's scheme over GF(2^8), as text of ours; up to 255 shares.
    #[default]
    Shamir,
    /// SLIP-0039, as words; up to 16 shares.
    Slip39,
}

impl ShareScheme {
    /// Whether it is the one that is meant where none is named.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The most shares of one set.
    #[must_use]
    pub const fn most(self) -> u8 {
        match self {
            Self::Shamir => 255,
            Self::Slip39 => 16,
        }
    }
}

/// How many shares, and how many of them open the vault.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareSet {
    /// So many open it; 2 at the least.
    pub threshold: u8,
    /// So many are made.
    pub count: u8,
}

impl ShareSet {
    /// Whether a set of this scheme can have these numbers.
    #[must_use]
    pub const fn fits(self, scheme: ShareScheme) -> bool {
        2 <= self.threshold && self.threshold <= self.count && self.count <= scheme.most()
    }
}

/// What `POST /admin/unseal-sources` made.
#[derive(Deserialize)]
pub struct UnsealSourceAdded {
    /// The shares, in their text form or as words, of a source that is shares.
    #[serde(default)]
    pub shares: Vec<Secret<String>>,
    /// Sources whose place it took, which open nothing any more.
    #[serde(default)]
    pub retired: Vec<Label>,
}

/// `POST /admin/unseal-sources/test` on the admin socket: whether something opens the
/// vault. Nothing is changed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsealSourceTest {
    /// What is tried.
    pub open: Opening,
}

/// `POST /admin/unseal-sources/remove` on the admin socket: rotates the root.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnsealSourceRemove {
    /// What opens the vault today and when the source is gone: of one that stays.
    pub open: Opening,
    /// The source that goes.
    pub name: Label,
    /// Whether what stays may all be sources with wrappers: when these are lost, nobody
    /// opens the vault.
    #[serde(default)]
    pub danger_wrappers_alone: bool,
    /// What the stewards agreed to, where it takes more than one.
    #[serde(default)]
    pub proposal: Option<ProposalId>,
}
