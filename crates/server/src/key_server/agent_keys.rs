//! The public keys of agents that other systems know: `<home>/keys/agents/ID.pub`,
//! one line of OpenSSH each. To put a file there enrols the agent, to remove it ends
//! that, from the next request on (`protocol.md` §3.6).

use super::watched::{FileId, Reading, look};
use procura_crypto::PublicKey;
use procura_crypto::ssh::SshPublicKey;
use procura_proof::foreign::KeysUnavailable;
use procura_types::{Clock, ForeignId, Timestamp};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// The folder, below the home.
const FOLDER: &str = "keys/agents";
/// How the name of each file ends, behind the id.
const ENDING: &str = ".pub";
/// Bytes of the longest file.
const LONGEST: u64 = 4096;
/// Files that are remembered at once; where there are more, all are read anew from
/// time to time.
const REMEMBERED: usize = 16_384;

/// A key in the directory.
#[derive(Debug)]
pub(crate) struct AgentKey {
    key: PublicKey,
    /// Type and key as in the file, without the comment, which is about who made it.
    pub(crate) line: String,
    /// As `ssh-keygen -l` shows it.
    pub(crate) fingerprint: String,
}

/// A file of the directory.
pub(crate) struct KeyFile {
    pub(crate) agent: Arc<AgentKey>,
    /// When it was written.
    pub(crate) written: Timestamp,
    /// What tells it from any other file, also from itself when it was away.
    pub(crate) identity: FileId,
}

impl KeyFile {
    pub(crate) fn key(&self) -> &PublicKey {
        &self.agent.key
    }
}

/// The directory of keys.
pub(crate) struct AgentKeys {
    folder: PathBuf,
    clock: Arc<dyn Clock>,
    known: RwLock<HashMap<ForeignId, Reading<Arc<AgentKey>>>>,
    /// Set while the directory cannot be looked at, so that the log says it once.
    unavailable: AtomicBool,
}

impl AgentKeys {
    /// The directory in a home.
    pub(crate) fn new(home: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            folder: home.join(FOLDER),
            clock,
            known: RwLock::default(),
            unavailable: AtomicBool::new(false),
        }
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of an agent; none for an agent without one that holds a key.
    ///
    /// # Errors
    /// When it cannot be told whether there is one.
    pub(crate) fn get(&self, agent: &ForeignId) -> Result<Option<KeyFile>, KeysUnavailable> {
        let reading = self.look(agent).map_err(|error| self.failed(&error))?;
        if self.unavailable.swap(false, Ordering::Relaxed) {
            tracing::info!("the keys of agents can be read again");
        }
        Ok(reading.and_then(|reading| {
            Some(KeyFile {
                identity: reading.identity(),
                written: reading.modified,
                agent: reading.value.ok()?,
            })
        }))
    }

    /// Whether anything has the place of an agent's file, also what is no key now: it
    /// may become one at any time.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn has_file(&self, agent: &ForeignId) -> Result<bool, KeysUnavailable> {
        let reading = self.look(agent).map_err(|error| self.failed(&error))?;
        Ok(reading.is_some())
    }

    /// The ids of all agents that have a file with a key, in no order.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(crate) fn list(&self) -> Result<Vec<ForeignId>, KeysUnavailable> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(&error)),
        };
        let mut agents = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| self.failed(&error))?.file_name();
            let agent = name
                .to_str()
                .and_then(|name| name.strip_suffix(ENDING))
                .and_then(|id| id.parse::<ForeignId>().ok());
            if let Some(agent) = agent
                && self.get(&agent)?.is_some()
            {
                agents.push(agent);
            }
        }
        Ok(agents)
    }

    fn look(&self, agent: &ForeignId) -> io::Result<Option<Reading<Arc<AgentKey>>>> {
        let path = self.folder.join(format!("{agent}{ENDING}"));
        let known = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(agent)
            .cloned();
        let reading = look(&path, LONGEST, known.as_ref(), self.clock.steady(), read)?;
        match (&known, &reading) {
            (None, None) => {}
            // A hundred thousand requests of one agent end here.
            (Some(known), Some(reading)) if known.same_file(reading) && known.is_settled() => {}
            (Some(_), None) => {
                self.remembered().remove(agent);
            }
            (_, Some(reading)) => {
                if let Err(unfit) = &reading.value
                    && !known.is_some_and(|known| known.same_file(reading))
                {
                    tracing::warn!(path = %path.display(), problem = %unfit, "the agent is unknown: its key cannot be used");
                }
                let mut remembered = self.remembered();
                if remembered.len() >= REMEMBERED {
                    remembered.clear();
                }
                remembered.insert(agent.clone(), reading.clone());
            }
        }
        Ok(reading)
    }

    fn remembered(
        &self,
    ) -> std::sync::RwLockWriteGuard<'_, HashMap<ForeignId, Reading<Arc<AgentKey>>>> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &io::Error) -> KeysUnavailable {
        if !self.unavailable.swap(true, Ordering::Relaxed) {
            tracing::error!(folder = %self.folder.display(), %error, "the keys of agents cannot be read: nothing is verified");
        }
        KeysUnavailable
    }
}

fn read(text: &[u8]) -> Result<Arc<AgentKey>, String> {
    let parsed = SshPublicKey::parse(text).map_err(|error| error.to_string())?;
    // What parses as a key is ASCII up to the comment.
    let text = String::from_utf8_lossy(text);
    let words: Vec<&str> = text.split_ascii_whitespace().take(2).collect();
    Ok(Arc::new(AgentKey {
        line: words.join(" "),
        fingerprint: parsed.fingerprint(),
        key: parsed.key().clone(),
    }))
}
