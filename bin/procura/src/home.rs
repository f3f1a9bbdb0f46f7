//! Where things are in a home, and what the operator's side remembers of its
//! server.

use crate::failure::Failure;
use crate::files;
use procura_crypto::PublicKey;
use procura_ledger::Vkey;
use procura_types::wire::PublicJwk;
use procura_types::{ActorId, InstallationId, Label};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A home: the operator's directory, and the server's data where there is one.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The home in `dir`, or `~/.procura`.
    pub(crate) fn new(dir: Option<PathBuf>) -> Result<Self, Failure> {
        let dir = match dir {
            Some(dir) => dir,
            None => std::env::home_dir()
                .ok_or_else(|| {
                    Failure::config("this user has no home directory").next("--home DIR")
                })?
                .join(".procura"),
        };
        // The key agent leaves the working directory, so the path must not
        // depend on it.
        std::path::absolute(&dir)
            .map(Self)
            .map_err(|error| Failure::storage(format!("cannot use {}", dir.display()), &error))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    pub(crate) fn operator_dir(&self) -> PathBuf {
        self.0.join("operator")
    }

    /// The operator's own key, encrypted.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.operator_dir().join("key.json")
    }

    /// What is known of the server: [`Known`].
    pub(crate) fn server_file(&self) -> PathBuf {
        self.operator_dir().join("server.json")
    }

    /// The key agent's socket.
    pub(crate) fn key_agent_socket(&self) -> PathBuf {
        self.operator_dir().join("agent.sock")
    }

    /// Certificate authorities that were named when joining.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.operator_dir().join("ca.pem")
    }

    /// The highest checkpoint seen.
    pub(crate) fn checkpoint_file(&self) -> PathBuf {
        self.operator_dir().join("checkpoint")
    }

    /// What only the home of a server has: which installation it is.
    pub(crate) fn installation_file(&self) -> PathBuf {
        self.0.join("installation.json")
    }

    /// The server's administration socket.
    pub(crate) fn admin_socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
}

/// The server that this operator belongs to, as learned when they joined or
/// made the installation. All of it is public; `server_key` and `ledger_vkey`
/// are what everything that comes from the server is checked against.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// Where it answers; nothing where that is another place after each start.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) url: String,
    /// The key that it must prove to hold.
    pub(crate) server_key: PublicJwk,
    /// The verification key of its record (C2SP vkey).
    pub(crate) ledger_vkey: String,
    /// Those that it had before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) former_ledger_vkeys: Vec<String>,
    /// Which installation it is.
    pub(crate) installation: InstallationId,
    /// Who we are there.
    pub(crate) actor: ActorId,
    /// What we are called there.
    pub(crate) name: Label,
}

impl Known {
    /// Reads what is known; nothing when nothing was joined yet.
    pub(crate) fn find(home: &Home) -> Result<Option<Self>, Failure> {
        let path = home.server_file();
        let Some(bytes) = files::read(&path)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::config(format!("cannot use {}", path.display()))
                .because(error)
                .next("put it back from a backup, or join with another --home: procura operator join CODE")
        })
    }

    /// Remembers it, once: another server is another home.
    pub(crate) fn remember(&self, home: &Home) -> Result<(), Failure> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| {
            Failure::storage("cannot write what is known of the server", &error)
        })?;
        files::create(&home.server_file(), &bytes)
    }

    /// The key of the record, and those that it had before, the newest first.
    pub(crate) fn ledger_vkeys(&self) -> Result<Vec<Vkey>, Failure> {
        std::iter::once(&self.ledger_vkey)
            .chain(self.former_ledger_vkeys.iter().rev())
            .map(|vkey| {
                vkey.parse().map_err(|error| {
                    Failure::config("the ledger's key in server.json").because(error)
                })
            })
            .collect()
    }

    /// Remembers that the record is signed with another key from now on.
    pub(crate) fn follow(&self, home: &Home, vkey: &Vkey) -> Result<(), Failure> {
        let mut followed = self.clone();
        followed.former_ledger_vkeys.push(self.ledger_vkey.clone());
        followed.ledger_vkey = vkey.to_string();
        let bytes = serde_json::to_vec_pretty(&followed).map_err(|error| {
            Failure::storage("cannot write what is known of the server", &error)
        })?;
        files::replace(&home.server_file(), &bytes)
    }

    /// Remembers another key of the same server's record.
    pub(crate) fn replace(&self, home: &Home) -> Result<(), Failure> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| {
            Failure::storage("cannot write what is known of the server", &error)
        })?;
        files::replace(&home.server_file(), &bytes)
    }

    pub(crate) fn pinned(&self) -> Result<PublicKey, Failure> {
        PublicKey::from_jwk(&self.server_key)
            .map_err(|error| Failure::config("the server key in server.json").because(error))
    }
}
