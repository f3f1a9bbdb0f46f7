//! Shares that are brought one after the other, each by whoever holds it.

use crate::problem::{Code, Failure};
use procura_crypto::sha256;
use procura_types::wire::ShareProgress;
use procura_types::{Duration, Entropy, Label, Secret, encoding};
use procura_vault::Share;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How long a ceremony waits for its next share.
pub(super) const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// The ceremonies that are under way. Nobody sees one, adds to it or ends it who does not
/// know its name, which is random and told to those alone who bring a share.
///
/// Each is begun by a share that no other was begun by, so there are no more than there
/// are shares.
#[derive(Default)]
pub(crate) struct Gatherings(Mutex<HashMap<[u8; 32], Gathering>>);

struct Gathering {
    source: Label,
    /// The digest of the share that began it.
    begun_by: [u8; 32],
    shares: Vec<Share>,
    last: Instant,
}

/// What came of a share.
pub(super) struct Gathered {
    pub(super) progress: ShareProgress,
    /// As many as it takes; the ceremony is over then.
    pub(super) complete: Option<Vec<Share>>,
}

impl Gatherings {
    /// Adds a share of `source` that is genuine. Without a ceremony it begins one; the
    /// one that it began before, if there is, ends by that.
    pub(super) fn bring(
        &self,
        ceremony: Option<Secret<String>>,
        share: Share,
        source: &Label,
        now: Instant,
        entropy: &dyn Entropy,
    ) -> Result<Gathered, Failure> {
        self.expire(now);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = match ceremony {
            Some(name) => name,
            None => {
                let begun_by = share.digest();
                all.retain(|_, gathering| gathering.begun_by != begun_by);
                let name = new_name(entropy)?;
                all.insert(
                    key(&name),
                    Gathering {
                        source: source.clone(),
                        begun_by,
                        shares: Vec::new(),
                        last: now,
                    },
                );
                name
            }
        };
        let at = key(&name);
        let gathering = all
            .get_mut(&at)
            .filter(|gathering| gathering.source == *source)
            .ok_or_else(|| {
                Failure::new(
                    Code::NotFound,
                    "There is no such ceremony for this share: it is over, or waited for half an hour. Begin anew with the first share.",
                )
            })?;
        let index = share.index();
        let need = share.threshold();
        if gathering.shares.iter().any(|there| there.index() == index) {
            return Err(Failure::new(
                Code::ShareRepeated,
                format!("Share {index} was brought already; bring another."),
            ));
        }
        gathering.shares.push(share);
        gathering.last = now;
        let have = u8::try_from(gathering.shares.len()).unwrap_or(u8::MAX);
        let complete = (have >= need)
            .then(|| all.remove(&at))
            .flatten()
            .map(|gathering| gathering.shares);
        Ok(Gathered {
            progress: ShareProgress {
                ceremony: name.expose().clone(),
                source: source.clone(),
                have,
                need,
                opened: false,
            },
            complete,
        })
    }

    /// Ends those that waited too long.
    pub(super) fn expire(&self, now: Instant) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, gathering| now.duration_since(gathering.last) < PATIENCE);
    }

    /// The vault is open: what was gathered is of no use any more.
    pub(crate) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Looked up by its digest, so that how long that takes says nothing of names.
fn key(name: &Secret<String>) -> [u8; 32] {
    sha256(name.expose().as_bytes())
}

fn new_name(entropy: &dyn Entropy) -> Result<Secret<String>, Failure> {
    let mut bytes = Secret::new([0; 16]);
    entropy
        .fill_secret(bytes.expose_mut())
        .map_err(Failure::internal)?;
    Ok(Secret::new(encoding::b64url(bytes.expose())))
}
