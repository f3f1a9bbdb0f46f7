//! The administration socket of a server on this machine (`protocol.md` §5):
//! only there do passphrases travel, so that no other process can pose as the
//! server and collect them.

use crate::call::{self, Ask};
use crate::transport::Transport;
use crate::{ClientError, Query};
use http::Method;
use procura_types::wire::{
    InitAnswer, LinkCode, PublicJwk, ShareProgress, ShareSet, Status, UnsealSource,
    UnsealSourceAdded, UnsealSourceList, Wrapper,
};
use procura_types::{Duration, Label, ProposalId, Secret};
use serde::Serialize;
use std::path::PathBuf;

/// A server's administration socket.
pub struct AdminClient {
    transport: Transport,
}

#[derive(Serialize)]
struct Init<'a> {
    passphrase: &'a str,
    owner: &'a Label,
    root_key: &'a PublicJwk,
    #[serde(with = "procura_types::encoding::serde_b64url")]
    signature: &'a [u8],
}

#[derive(Serialize)]
struct Unseal<'a> {
    passphrase: &'a str,
}

#[derive(Serialize)]
struct PassphraseChange<'a> {
    current: &'a str,
    new: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<ProposalId>,
}

#[derive(Serialize)]
struct ShareBrought<'a> {
    share: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceremony: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum SentOpening<'a> {
    Passphrase(&'a str),
    Shares(Vec<&'a str>),
    Source {
        name: &'a Label,
        #[serde(skip_serializing_if = "Option::is_none")]
        credentials: Option<&'a str>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum SentSource<'a> {
    Passphrase(&'a str),
    Shares(ShareSet),
    Slip39(ShareSet),
    Wrapped {
        by: &'a Wrapper,
        #[serde(skip_serializing_if = "Option::is_none")]
        credentials: Option<&'a str>,
    },
}

#[derive(Serialize)]
struct SourceAdd<'a> {
    open: SentOpening<'a>,
    name: &'a Label,
    source: SentSource<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<ProposalId>,
}

#[derive(Serialize)]
struct OperatorRecover<'a> {
    open: SentOpening<'a>,
    name: &'a Label,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<ProposalId>,
}

#[derive(Serialize)]
struct SourceTest<'a> {
    open: SentOpening<'a>,
}

#[derive(Serialize)]
struct SourceRemove<'a> {
    open: SentOpening<'a>,
    name: &'a Label,
    danger_wrappers_alone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<ProposalId>,
}

#[derive(Serialize)]
struct RootRotate<'a> {
    open: SentOpening<'a>,
    sessions_go_on: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    proposal: Option<ProposalId>,
}

impl AdminClient {
    /// The server whose socket is `socket`. Its directory is the owner's alone,
    /// which is what proves the server here.
    #[must_use]
    pub fn new(socket: PathBuf, timeout: Duration) -> Self {
        Self {
            transport: Transport::unix(socket, timeout),
        }
    }

    async fn post<Req: Serialize, Ans: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: &Req,
    ) -> Result<Ans, ClientError> {
        let query = Query::new();
        call::plain(
            &self.transport,
            Ask::new(Method::POST, path, &query, Some(body)),
        )
        .await
    }

    /// Makes the installation. `signature` is the root key's, over
    /// `T("procura.init.v1", root key thumbprint)`.
    pub async fn init(
        &self,
        passphrase: &Secret<String>,
        owner: &Label,
        root_key: &PublicJwk,
        signature: &[u8],
    ) -> Result<InitAnswer, ClientError> {
        let body = Init {
            passphrase: passphrase.expose(),
            owner,
            root_key,
            signature,
        };
        self.post("/admin/init", &body).await
    }

    /// What the server says of itself.
    pub async fn status(&self) -> Result<Status, ClientError> {
        let query = Query::new();
        let ask = Ask::new(Method::GET, "/admin/status", &query, None::<&()>);
        call::plain(&self.transport, ask).await
    }

    /// Unseals the vault with whatever opens it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn unseal_with(&self, open: &Opening) -> Result<(), ClientError> {
        self.post("/admin/unseal", &open.as_sent()).await
    }

    /// Unseals the vault with a passphrase.
    pub async fn unseal(&self, passphrase: &Secret<String>) -> Result<(), ClientError> {
        let body = Unseal {
            passphrase: passphrase.expose(),
        };
        self.post("/admin/unseal", &body).await
    }

    /// Changes the passphrase, which rotates the root key; where that takes several
    /// stewards, as they agreed.
    pub async fn change_passphrase(
        &self,
        current: &Secret<String>,
        new: &Secret<String>,
        proposal: Option<ProposalId>,
    ) -> Result<(), ClientError> {
        let body = PassphraseChange {
            current: current.expose(),
            new: new.expose(),
            proposal,
        };
        self.post("/admin/passphrase", &body).await
    }

    /// Makes another root, with what opens the vault as it is. Sessions of before end,
    /// unless they are to go on until their end. Where it takes several stewards, as they
    /// agreed.
    pub async fn rotate_root(
        &self,
        open: &Opening,
        sessions_go_on: bool,
        proposal: Option<ProposalId>,
    ) -> Result<(), ClientError> {
        let body = RootRotate {
            open: open.as_sent(),
            sessions_go_on,
            proposal,
        };
        self.post("/admin/rotate", &body).await
    }

    /// Brings one share for a ceremony; without one it begins one.
    pub async fn bring_share(
        &self,
        share: &Secret<String>,
        ceremony: Option<&str>,
    ) -> Result<ShareProgress, ClientError> {
        let body = ShareBrought {
            share: share.expose(),
            ceremony,
        };
        self.post("/admin/unseal-share", &body).await
    }

    /// What opens the vault.
    pub async fn unseal_sources(&self) -> Result<UnsealSourceList, ClientError> {
        let query = Query::new();
        let ask = Ask::new(Method::GET, "/admin/unseal-sources", &query, None::<&()>);
        call::plain(&self.transport, ask).await
    }

    /// Adds something that opens the vault; the answer has the shares of one that is
    /// shares. Where there are several stewards, those are made as a quorum agreed.
    pub async fn add_unseal_source(
        &self,
        open: &Opening,
        name: &Label,
        source: &NewSource,
        proposal: Option<ProposalId>,
    ) -> Result<UnsealSourceAdded, ClientError> {
        let body = SourceAdd {
            open: open.as_sent(),
            name,
            source: match source {
                NewSource::Passphrase(passphrase) => SentSource::Passphrase(passphrase.expose()),
                NewSource::Shares(set) => SentSource::Shares(*set),
                NewSource::Slip39(set) => SentSource::Slip39(*set),
                NewSource::Wrapped { by, credentials } => SentSource::Wrapped {
                    by,
                    credentials: exposed(credentials.as_ref()),
                },
            },
            proposal,
        };
        self.post("/admin/unseal-sources", &body).await
    }

    /// A code with which another key of an operator joins whose own is lost. Where there are
    /// several stewards, it is made as a quorum agreed.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn recover_operator(
        &self,
        open: &Opening,
        name: &Label,
        proposal: Option<ProposalId>,
    ) -> Result<LinkCode, ClientError> {
        let body = OperatorRecover {
            open: open.as_sent(),
            name,
            proposal,
        };
        self.post("/admin/operators/recover", &body).await
    }

    /// Tries whether something opens the vault, and says by which source.
    pub async fn test_unseal_source(&self, open: &Opening) -> Result<UnsealSource, ClientError> {
        let body = SourceTest {
            open: open.as_sent(),
        };
        self.post("/admin/unseal-sources/test", &body).await
    }

    /// Removes something that opens the vault, which rotates the root key. `open` is of a
    /// source that stays; `danger_wrappers_alone` lets all that stay be sources with
    /// wrappers. Where it takes several stewards, as they agreed.
    pub async fn remove_unseal_source(
        &self,
        open: &Opening,
        name: &Label,
        danger_wrappers_alone: bool,
        proposal: Option<ProposalId>,
    ) -> Result<(), ClientError> {
        let body = SourceRemove {
            open: open.as_sent(),
            name,
            danger_wrappers_alone,
            proposal,
        };
        self.post("/admin/unseal-sources/remove", &body).await
    }
}

/// What is brought to open the vault.
pub enum Opening {
    /// A passphrase.
    Passphrase(Secret<String>),
    /// As many shares of one set as it takes.
    Shares(Vec<Secret<String>>),
    /// A source whose wrapper gives its key back.
    Source {
        /// Its name.
        name: Label,
        /// What the wrapper asks for; without it, what the server's configuration names.
        credentials: Option<Secret<String>>,
    },
}

fn exposed(secret: Option<&Secret<String>>) -> Option<&str> {
    secret.map(|secret| secret.expose().as_str())
}

impl Opening {
    fn as_sent(&self) -> SentOpening<'_> {
        match self {
            Self::Passphrase(passphrase) => SentOpening::Passphrase(passphrase.expose()),
            Self::Shares(shares) => {
                SentOpening::Shares(shares.iter().map(|share| share.expose().as_str()).collect())
            }
            Self::Source { name, credentials } => SentOpening::Source {
                name,
                credentials: exposed(credentials.as_ref()),
            },
        }
    }
}

/// What a new unseal source is.
pub enum NewSource {
    /// A passphrase.
    Passphrase(Secret<String>),
    /// Shares, which the server makes.
    Shares(ShareSet),
    /// The same as words of SLIP-0039.
    Slip39(ShareSet),
    /// A source whose key a wrapper is to wrap.
    Wrapped {
        /// Where the wrapper is.
        by: Wrapper,
        /// What it asks for; without it, what the server's configuration names.
        credentials: Option<Secret<String>>,
    },
}
