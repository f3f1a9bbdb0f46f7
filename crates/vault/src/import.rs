//! Many secrets at once: all of them in one commit, or none.
//!
//! One commit is what makes it all or nothing, also when the process ends in the
//! middle, and readers see either none of it or all. So the number is bounded, and what
//! one batch of the store takes bounds the bytes. Another import follows for more.

use crate::about::{SecretAbout, said};
use crate::error::VaultError;
use crate::honey::{seeming, stands_for};
use crate::quota::Charge;
use crate::secret_rows::{HEADS, HeadRow, VersionRow, head_key};
use crate::vault::Vault;
use crate::write::{NewVersion, put_version};
use procura_directory::{HoneyRecord, Snapshot};
use procura_policy::{Action, Op, Resource};
use procura_record::{Recorded, RecordedBatch, in_parts};
use procura_store::Store;
use procura_types::wire::{ImportState, ImportedSecret, SecretImported, VersionState};
use procura_types::{EnvName, Namespace, SecretBytes, SecretKind, SecretPath, Timestamp};
use std::sync::Arc;

/// Most secrets that are brought in, taken out or rolled back at once.
pub const MAX_AT_ONCE: usize = 10_000;

/// A secret that is to be written among others.
pub struct Incoming {
    /// Where.
    pub path: SecretPath,
    /// What.
    pub value: SecretBytes,
    /// The version that must be the newest; 0 for none at all.
    pub expect_version: Option<u64>,
    /// The environment name to declare; `None` keeps what is there.
    pub env: Option<EnvName>,
    /// What it is; `None` keeps what is there.
    pub kind: Option<SecretKind>,
    /// What is said of it.
    pub about: SecretAbout,
}

impl Incoming {
    fn version(&self) -> NewVersion<'_> {
        NewVersion {
            path: &self.path,
            value: self.value.expose(),
            expect_version: self.expect_version,
            env: self.env.as_ref(),
            kind: self.kind,
            about: &self.about,
        }
    }

    /// Whether nothing would be said otherwise of the secret than is said already.
    fn says_the_same(&self, before: &HeadRow) -> bool {
        let mut after = before.clone();
        self.about.apply(&mut after);
        said(before, &after).is_none()
            && self
                .env
                .as_ref()
                .is_none_or(|env| Some(env) == before.env.as_ref())
            && self.kind.is_none_or(|kind| kind == before.kind)
    }
}

/// Writes many secrets.
pub struct SecretImport {
    namespace: Namespace,
    secrets: Vec<Incoming>,
    dry_run: bool,
}

impl Op for SecretImport {
    const ACTION: Action = Action::SecretImport;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl SecretImport {
    /// An import of these secrets, or only the question what would become of them.
    ///
    /// # Errors
    /// [`VaultError::TooMany`] for none and for more than [`MAX_AT_ONCE`],
    /// [`VaultError::Twice`].
    pub fn new(
        namespace: Namespace,
        mut secrets: Vec<Incoming>,
        dry_run: bool,
    ) -> Result<Self, VaultError> {
        if secrets.is_empty() || secrets.len() > MAX_AT_ONCE {
            return Err(VaultError::TooMany);
        }
        secrets.sort_by(|one, two| one.path.cmp(&two.path));
        let twice = secrets
            .iter()
            .zip(secrets.iter().skip(1))
            .find(|(one, two)| one.path == two.path);
        if let Some((one, _)) = twice {
            return Err(VaultError::Twice(one.path.clone()));
        }
        Ok(Self {
            namespace,
            secrets,
            dry_run,
        })
    }

    /// Whether nothing is to be written.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// What is there at the paths now.
    ///
    /// # Errors
    /// The store's.
    pub fn look(&self, directory: &Snapshot, store: &Store) -> Result<Found, VaultError> {
        let heads = self.secrets.iter().map(|secret| {
            let head = HEADS.get(store, &head_key(&self.namespace, &secret.path))?;
            if let Some(row) = head {
                return Ok(Some(Before::Secret(Box::new(row.value))));
            }
            let decoy = directory.honey_at(&self.namespace, &secret.path);
            Ok(decoy.map(|decoy| Before::decoy(Arc::clone(decoy))))
        });
        heads.collect::<Result<_, VaultError>>().map(Found)
    }

    /// What would become of each. Values that are there are compared with those that
    /// come, which the record says.
    ///
    /// # Errors
    /// [`VaultError::Damaged`], the store's.
    pub fn preview(
        recorded: &Recorded<Self>,
        vault: &Vault,
        found: &Found,
    ) -> Result<SecretImported, VaultError> {
        let op = recorded.op();
        let mut secrets = Vec::with_capacity(op.secrets.len());
        for (secret, before) in op.secrets.iter().zip(&found.0) {
            let before = before.as_ref();
            let head = before.map(Before::head);
            let latest = head.map_or(0, |head| head.latest.version);
            let checked = secret.version().check(vault.store(), &op.namespace, head);
            let (state, reason) = match checked {
                Err(error) if error.is_of_the_value() => {
                    (ImportState::Refused, Some(error.to_string()))
                }
                Err(error) => return Err(error),
                Ok(_) => (op.state(vault, secret, before)?, None),
            };
            secrets.push(ImportedSecret {
                path: secret.path.clone(),
                state,
                latest,
                reason,
            });
        }
        Ok(SecretImported {
            secrets,
            written: 0,
        })
    }

    fn state(
        &self,
        vault: &Vault,
        secret: &Incoming,
        before: Option<&Before>,
    ) -> Result<ImportState, VaultError> {
        let live = |before: &&Before| before.head().latest.state == VersionState::Live;
        let Some(before) = before.filter(live) else {
            return Ok(ImportState::New);
        };
        let head = before.head();
        if compared(secret, head).is_none() || !secret.says_the_same(head) {
            return Ok(ImportState::Changed);
        }
        // A decoy is compared like a secret: it is what whoever sees it would expect.
        let value = match before {
            Before::Secret(head) => {
                vault.open_version(&self.namespace, &secret.path, &head.latest)?
            }
            Before::Decoy(decoy, _) => vault.bait(decoy)?,
        };
        Ok(if value == secret.value {
            ImportState::Same
        } else {
            ImportState::Changed
        })
    }

    /// Where.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Where in it.
    pub fn paths(&self) -> impl Iterator<Item = &SecretPath> {
        self.secrets.iter().map(|secret| &secret.path)
    }

    /// Puts all secrets of the permit.
    ///
    /// # Errors
    /// [`VaultError::At`] with what stands in the way of the first; the store refuses
    /// what is too large for one batch.
    pub fn run(
        vault: &Vault,
        batch: &mut RecordedBatch<'_, Self>,
        now: Timestamp,
    ) -> Result<SecretImported, VaultError> {
        let op = batch.op();
        let mut charge = Charge::open(batch, &op.namespace)?;
        let (imported, words) = op.put(vault, batch, &mut charge, now)?;
        charge.settle(batch)?;
        batch.say_in_parts(in_parts(words));
        Ok(imported)
    }

    /// Puts all secrets into a batch of an operation that this is a part of, and gives
    /// what its entries have to say of each, by path. It is counted in `charge`, which is
    /// to be settled behind all of the batch.
    pub(crate) fn put<O: Op>(
        &self,
        vault: &Vault,
        batch: &mut RecordedBatch<'_, O>,
        charge: &mut Charge,
        now: Timestamp,
    ) -> Result<(SecretImported, Vec<String>), VaultError> {
        let mut secrets = Vec::with_capacity(self.secrets.len());
        let mut words = Vec::with_capacity(self.secrets.len());
        for secret in &self.secrets {
            let before = HEADS.get(batch.store(), &head_key(&self.namespace, &secret.path))?;
            let decoy = match &before {
                Some(_) => None,
                None => stands_for(batch.directory(), &self.namespace, &secret.path),
            };
            let shown = before.as_ref().map(|row| &row.value).or(decoy.as_ref());
            let latest = shown.map_or(0, |head| head.latest.version);
            let was_there = shown.is_some_and(|head| head.latest.state == VersionState::Live);
            let put = put_version(vault, batch, charge, before, &secret.version(), now)
                .map_err(|error| error.at(&secret.path))?;
            let said = put.said.map_or_else(String::new, |said| format!(" {said}"));
            words.push(format!("{}@{}{said}", secret.path, put.version));
            secrets.push(ImportedSecret {
                path: secret.path.clone(),
                state: if was_there {
                    ImportState::Changed
                } else {
                    ImportState::New
                },
                latest,
                reason: None,
            });
        }
        let written = secrets.len();
        Ok((SecretImported { secrets, written }, words))
    }
}

/// What is at a path that an import writes to.
enum Before {
    Secret(Box<HeadRow>),
    /// With what it seems to be.
    Decoy(Arc<HoneyRecord>, Box<HeadRow>),
}

impl Before {
    fn decoy(decoy: Arc<HoneyRecord>) -> Self {
        let head = seeming(&decoy);
        Self::Decoy(decoy, Box::new(head))
    }

    const fn head(&self) -> &HeadRow {
        match self {
            Self::Secret(head) | Self::Decoy(_, head) => head,
        }
    }
}

/// What was there when an import was looked at, in its order.
pub struct Found(Vec<Option<Before>>);

impl Found {
    /// What the entries of a dry run say: which values were compared.
    #[must_use]
    pub fn words(&self, import: &SecretImport) -> Vec<String> {
        let compared = import
            .secrets
            .iter()
            .zip(&self.0)
            .filter_map(|(secret, head)| {
                let version = compared(secret, head.as_ref()?.head())?;
                Some(format!("{}@{}", secret.path, version.version))
            });
        in_parts(std::iter::once("dry_run".to_owned()).chain(compared))
    }
}

/// The version that a value is compared with: one of another length needs not be opened.
fn compared<'a>(secret: &Incoming, head: &'a HeadRow) -> Option<&'a VersionRow> {
    let length = u64::try_from(secret.value.expose().len()).ok()?;
    (head.latest.state == VersionState::Live && head.latest.size == length).then_some(&head.latest)
}
