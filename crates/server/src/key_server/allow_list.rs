//! From which addresses the service is to be asked:
//! `<home>/auth/allowed-clients.json`, `{"allowed_ips": ["10.0.0.0/8", "::1"]}`.
//! Without the file, from this machine alone. With one that cannot be read, from
//! nowhere: whoever wrote it meant to keep somebody out.

use super::watched::{Reading, look};
use crate::input::is_object;
use procura_types::{Cidr, Clock};
use serde::Deserialize;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The file, below the home.
const FILE: &str = "auth/allowed-clients.json";
/// Bytes of the longest file: some 50,000 blocks.
const LONGEST: u64 = 1 << 20;

/// The file, as it is written. Other keys are let be: whoever brings the file from
/// another system may have notes in it.
#[derive(Deserialize)]
struct Written {
    allowed_ips: Vec<Cidr>,
}

enum Allowed {
    Loopback,
    These(Arc<[Cidr]>),
    /// And why.
    Nobody(String),
}

/// The list.
pub(crate) struct AllowList {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    known: RwLock<Option<Reading<Arc<[Cidr]>>>>,
    /// What the log said last, so that it says it once.
    said: Mutex<Option<String>>,
}

impl AllowList {
    /// The list of a home.
    pub(crate) fn new(home: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: home.join(FILE),
            clock,
            known: RwLock::default(),
            said: Mutex::default(),
        }
    }

    /// The folder that the file is in.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// Whether who connected from `peer` may ask.
    pub(crate) fn admits(&self, peer: IpAddr) -> bool {
        match self.now() {
            Allowed::Loopback => peer.to_canonical().is_loopback(),
            Allowed::These(blocks) => blocks.iter().any(|block| block.contains(peer)),
            Allowed::Nobody(_) => false,
        }
    }

    /// Why nobody may ask, if so.
    pub(crate) fn problem(&self) -> Option<String> {
        match self.now() {
            Allowed::Nobody(problem) => Some(problem),
            _ => None,
        }
    }

    fn now(&self) -> Allowed {
        let known = self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let allowed = match look(
            &self.path,
            LONGEST,
            known.as_ref(),
            self.clock.steady(),
            read,
        ) {
            Err(error) => self.nobody(&error),
            Ok(None) => {
                if known.is_some() {
                    self.remember(None);
                }
                Allowed::Loopback
            }
            Ok(Some(reading)) => {
                let allowed = match &reading.value {
                    Ok(blocks) => Allowed::These(Arc::clone(blocks)),
                    Err(unfit) => self.nobody(unfit),
                };
                if !known.is_some_and(|known| known.same_file(&reading) && known.is_settled()) {
                    self.remember(Some(reading));
                }
                allowed
            }
        };
        let problem = match &allowed {
            Allowed::Nobody(problem) => Some(problem.as_str()),
            _ => None,
        };
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() != problem {
            match problem {
                Some(problem) => {
                    tracing::error!(problem, "no address may ask the verification service");
                }
                None => tracing::info!("the list of addresses that may ask can be used again"),
            }
            *said = problem.map(str::to_owned);
        }
        allowed
    }

    fn remember(&self, reading: Option<Reading<Arc<[Cidr]>>>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = reading;
    }

    fn nobody(&self, problem: &dyn std::fmt::Display) -> Allowed {
        Allowed::Nobody(format!("{} {problem}", self.path.display()))
    }
}

fn read(text: &[u8]) -> Result<Arc<[Cidr]>, String> {
    let form = r#"is not {"allowed_ips": ["ADDRESS", …]}"#;
    if !is_object(text) {
        return Err(form.to_owned());
    }
    let written: Written =
        serde_json::from_slice(text).map_err(|error| format!("{form}: {error}"))?;
    Ok(written.allowed_ips.into())
}
