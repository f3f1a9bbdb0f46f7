//! Names and versions, never values.

use crate::as_of::{self, AsOf};
use crate::error::VaultError;
use crate::honey::stands_for;
use crate::secret_rows::{BY_ENV, HEADS, HeadRow, all_rows, head_key, older_versions};
use crate::undelete::is_hidden;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Permit, Resource};
use procura_record::{Details, Recorded};
use procura_store::{KeyPrefix, Store, StoreError};
use procura_types::wire::{SecretHistory, SecretList, SecretRow, SecretVersion, VersionState};
use procura_types::{
    Delivery, DeliveryRules, EnvName, Namespace, SecretKind, SecretPath, Timestamp,
};

/// Most rows of one page.
const MAX_PAGE: usize = 1000;
/// Rows of a page when the caller does not say.
const PAGE: usize = 100;
/// Rows read at once where not all are wanted.
const SCANNED: usize = 512;

fn page(limit: Option<usize>) -> usize {
    limit.unwrap_or(PAGE).clamp(1, MAX_PAGE)
}

/// Lists secrets by the beginning of their path.
pub struct SecretListing {
    /// Where.
    pub namespace: Namespace,
    /// Beginning of the path, possibly empty; need not be a whole segment.
    pub prefix: String,
    /// Only paths after this one.
    pub after: Option<SecretPath>,
    /// At most so many.
    pub limit: Option<usize>,
    /// Only those that expire or should be replaced by then.
    pub due: Option<Timestamp>,
}

impl Op for SecretListing {
    const ACTION: Action = Action::SecretList;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

impl SecretListing {
    /// Secrets whose newest version can be read, and decoys among them: nothing tells
    /// one from the other.
    pub fn run(
        permit: &Permit<Self>,
        directory: &Snapshot,
        store: &Store,
    ) -> Result<SecretList, VaultError> {
        let op = permit.op();
        let decoys = op.decoys(directory, None).filter(|_| op.due.is_none());
        op.rows(store, decoys, |_, head| {
            let is_wanted = head.latest.state == VersionState::Live
                && op.due.is_none_or(|by| head.about.is_due(by));
            Ok(is_wanted.then_some(head))
        })
    }

    /// The decoys of the namespace as they are listed, or those that lay there at a time.
    fn decoys<'a>(
        &'a self,
        directory: &'a Snapshot,
        at: Option<Timestamp>,
    ) -> impl Iterator<Item = SecretRow> + 'a {
        directory
            .honey_of(&self.namespace)
            .filter(move |honey| at.is_none_or(|at| honey.planted <= at))
            .filter_map(|honey| {
                let mut head = stands_for(directory, &self.namespace, &honey.path)?;
                head.env.clone_from(&honey.env);
                Some(row(honey.path.clone(), head))
            })
    }

    /// The page of those of which `wanted` says what is shown, and of `more` that lie
    /// elsewhere.
    fn rows(
        &self,
        store: &Store,
        more: impl Iterator<Item = SecretRow>,
        wanted: impl Fn(&SecretPath, HeadRow) -> Result<Option<HeadRow>, VaultError>,
    ) -> Result<SecretList, VaultError> {
        let limit = page(self.limit);
        let snapshot = store.snapshot()?;
        let prefix = KeyPrefix::all()
            .part(&self.namespace.to_string())
            .text_start(&self.prefix);
        let mut after = self
            .after
            .as_ref()
            .map(|path| head_key(&self.namespace, path));
        let mut secrets: Vec<SecretRow> = Vec::new();
        let mut size = limit + 1;
        loop {
            let rows = HEADS.scan(&snapshot, &prefix, after.as_ref(), size)?;
            let whole = rows.len() < size;
            after = rows.last().map(|(key, _)| key.clone());
            for (key, found) in rows {
                if secrets.len() > limit {
                    break;
                }
                let path = stored_path(&key.1)?;
                if let Some(head) = wanted(&path, found.value)? {
                    secrets.push(row(path, head));
                }
            }
            if whole || secrets.len() > limit {
                break;
            }
            // However few the caller wants: of many there may be few that are wanted.
            size = SCANNED;
        }
        secrets.extend(more.filter(|row| {
            row.path.as_str().starts_with(&self.prefix)
                && self.after.as_ref().is_none_or(|after| *after < row.path)
        }));
        secrets.sort_by(|one, other| one.path.cmp(&other.path));
        let next = (secrets.len() > limit).then(|| {
            secrets.truncate(limit);
            secrets.last().map(|row| row.path.clone())
        });
        Ok(SecretList {
            secrets,
            next: next.flatten(),
        })
    }
}

/// Lists what was deleted and can be undeleted, for those who may do it.
pub struct DeletedListing(pub SecretListing);

impl Op for DeletedListing {
    const ACTION: Action = Action::SecretListDeleted;
    fn resource(&self) -> Resource {
        self.0.resource()
    }
}

impl DeletedListing {
    /// Secrets whose newest version is deleted.
    pub fn run(permit: &Permit<Self>, store: &Store) -> Result<SecretList, VaultError> {
        let op = &permit.op().0;
        op.rows(store, std::iter::empty(), |_, head| {
            Ok((head.latest.state == VersionState::Deleted).then_some(head))
        })
    }
}

/// Lists what was there at a time. As reads of then it is for those who may undelete what
/// is gone since, and it is recorded.
pub struct ListingAt {
    /// What of.
    pub listing: SecretListing,
    /// When; not after now.
    pub at: Timestamp,
}

impl Op for ListingAt {
    const ACTION: Action = Action::SecretListAt;
    fn resource(&self) -> Resource {
        self.listing.resource()
    }
}

impl ListingAt {
    /// What its entry says: the time.
    #[must_use]
    pub fn details(&self) -> Details {
        Details {
            with: Some(format!("at:{}", self.at)),
            ..Details::default()
        }
    }

    /// Secrets that could be read then, with the version that was the newest then, and
    /// decoys that lay among them. What was destroyed since is gone for every time, and
    /// what is said of a secret is that of now.
    ///
    /// # Errors
    /// The store's.
    pub fn run(
        recorded: &Recorded<Self>,
        directory: &Snapshot,
        store: &Store,
    ) -> Result<SecretList, VaultError> {
        let Self { listing, at } = recorded.op();
        let decoys = listing.decoys(directory, Some(*at));
        listing.rows(store, decoys, |path, head| {
            let found = as_of::version(store, &listing.namespace, path, head.clone(), *at)?;
            Ok(match found {
                Some(AsOf::There(latest)) => Some(HeadRow { latest, ..head }),
                Some(AsOf::Destroyed(_)) | None => None,
            })
        })
    }
}

/// What is shown of a secret.
pub(crate) fn row(path: SecretPath, head: HeadRow) -> SecretRow {
    let HeadRow { about, .. } = head;
    SecretRow {
        path,
        version: head.latest.version,
        env: head.env.or(head.deleted_env),
        description: head.description,
        kind: head.kind,
        expires: about.expires(),
        rotate_by: about.rotate_by.map(|date| date.at),
        tags: about.tags,
        owner: about.owner,
        delivery: about.delivery,
    }
}

/// Lists the versions of one secret.
pub struct SecretHistoryQuery {
    /// Where.
    pub namespace: Namespace,
    /// Where in it.
    pub path: SecretPath,
    /// Only versions below this one.
    pub before: Option<u64>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl Op for SecretHistoryQuery {
    const ACTION: Action = Action::SecretHistory;
    fn resource(&self) -> Resource {
        Resource::Secret(self.namespace.clone(), self.path.clone())
    }
}

impl SecretHistoryQuery {
    /// The versions, newest first. A secret whose newest version is deleted is there
    /// only for those who may undelete it.
    pub fn run(permit: &Permit<Self>, store: &Store) -> Result<SecretHistory, VaultError> {
        let op = permit.op();
        let head = HEADS
            .get(store, &head_key(&op.namespace, &op.path))?
            .filter(|row| !is_hidden(&row.value, permit.basis()))
            .ok_or_else(|| VaultError::NotFound(op.path.clone()))?;
        let mut rows: Vec<_> = older_versions(store, &op.namespace, &op.path)?
            .into_iter()
            .map(|row| row.value)
            .collect();
        rows.push(head.value.latest);
        rows.reverse();
        let limit = page(op.limit);
        let mut versions: Vec<SecretVersion> = rows
            .into_iter()
            .filter(|row| op.before.is_none_or(|before| row.version < before))
            .take(limit + 1)
            .map(|row| SecretVersion {
                version: row.version,
                created: row.created,
                size: row.size,
                state: row.state,
            })
            .collect();
        let next = (versions.len() > limit).then(|| {
            versions.truncate(limit);
            versions.last().map_or(0, |row| row.version)
        });
        Ok(SecretHistory {
            path: op.path.clone(),
            kind: head.value.kind,
            versions,
            next,
        })
    }
}

/// The readable secrets that declare an environment name.
pub fn candidates_for_env(
    store: &Store,
    namespace: &Namespace,
    name: &EnvName,
) -> Result<Vec<SecretPath>, VaultError> {
    let prefix = KeyPrefix::all()
        .part(&namespace.to_string())
        .part(&name.to_string());
    all_rows(&BY_ENV, store, &prefix)?
        .into_iter()
        .map(|((_, _, path), _)| stored_path(&path))
        .collect()
}

/// The newest version of a secret that can be read, and what stands in its way.
#[derive(Debug, Clone)]
pub struct Newest {
    /// Its number.
    pub version: u64,
    /// What it is.
    pub kind: SecretKind,
    /// The variables of a template, ascending.
    pub variables: Vec<EnvName>,
    expires: Option<Timestamp>,
    rules: DeliveryRules,
}

impl Newest {
    /// Whether its time is over.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether it may be handed over in this way.
    #[must_use]
    pub fn allows(&self, delivery: Delivery) -> bool {
        self.rules.allow(delivery)
    }
}

/// The newest version of a secret; none when there is no such secret or that
/// version was deleted.
pub fn newest_version(
    store: &Store,
    namespace: &Namespace,
    path: &SecretPath,
) -> Result<Option<Newest>, VaultError> {
    let head = HEADS.get(store, &head_key(namespace, path))?;
    Ok(head
        .map(|row| row.value)
        .filter(|head| head.latest.state == VersionState::Live)
        .map(|head| Newest {
            version: head.latest.version,
            kind: head.kind,
            expires: head.about.expires(),
            rules: head.about.delivery,
            variables: head.latest.variables,
        }))
}

/// A path as this program once stored it.
pub(crate) fn stored_path(text: &str) -> Result<SecretPath, VaultError> {
    text.parse().map_err(|_| {
        StoreError::Shape {
            table: HEADS.name().into(),
        }
        .into()
    })
}
