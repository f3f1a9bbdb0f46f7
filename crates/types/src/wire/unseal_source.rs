use crate::{Label, Secret, Timestamp};
use serde::{Deserialize, Serialize};

/// What is brought to open the vault: `{"passphrase": …}` or `{"shares": […]}`.
/// `POST /admin/unseal` on the admin socket takes it as it is.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Opening {
    /// A passphrase.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    Passphrase(Secret<String>),
    /// As many shares of one set as it takes, in their text form.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    Shares(Vec<Secret<String>>),
}

/// `POST /admin/unseal-share` on the admin socket: one share of a ceremony.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShareBrought {
    /// The share, in its text form.
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

/// An unseal with shares, of which every operator is told once.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Recovery {
    /// When the vault was opened.
    pub time: Timestamp,
    /// By which unseal source.
    pub source: Label,
}

/// `POST /v1/recoveries/seen`: the operator knows of the unseals with shares until then.
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
    /// `passphrase` or `shares`.
    pub kind: String,
    /// When it was added, or changed last.
    pub added: Timestamp,
    /// How many shares open the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u8>,
    /// How many shares there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u8>,
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
}

/// What a new unseal source is.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NewUnsealSource {
    /// A passphrase.
    Passphrase(Secret<String>),
    /// Shares, which the answer holds and nothing else ever will.
    Shares(ShareSet),
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

/// What `POST /admin/unseal-sources` made.
#[derive(Deserialize)]
pub struct UnsealSourceAdded {
    /// The shares in their text form, of a source that is shares.
    #[serde(default)]
    pub shares: Vec<Secret<String>>,
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
    /// What opens the vault today; that of the source that goes does as well.
    pub open: Opening,
    /// The source that goes.
    pub name: Label,
}
