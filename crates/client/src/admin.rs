//! The administration socket of a server on this machine (`protocol.md` §5):
//! only there do passphrases travel, so that no other process can pose as the
//! server and collect them.

use crate::call::{self, Ask};
use crate::transport::Transport;
use crate::{ClientError, Query};
use http::Method;
use procura_types::wire::{InitAnswer, PublicJwk, Status};
use procura_types::{Duration, Label, Secret};
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

    /// Unseals the vault.
    pub async fn unseal(&self, passphrase: &Secret<String>) -> Result<(), ClientError> {
        let body = Unseal {
            passphrase: passphrase.expose(),
        };
        self.post("/admin/unseal", &body).await
    }

    /// Changes the passphrase, which rotates the root key.
    pub async fn change_passphrase(
        &self,
        current: &Secret<String>,
        new: &Secret<String>,
    ) -> Result<(), ClientError> {
        let body = PassphraseChange {
            current: current.expose(),
            new: new.expose(),
        };
        self.post("/admin/passphrase", &body).await
    }
}
