//! After the root or the key of a namespace turned: the DEKs that older namespace keys
//! wrap are wrapped by the newest, and then the older keys go (`protocol.md` §5). A
//! backup from before opens nothing of a later copy of the database but what it holds
//! itself.
//!
//! The pass is a row that the change commits and the last batch removes; each
//! batch moves it on, so that a restart goes on where it stood. It takes the namespaces
//! one by one. Within each the newest versions come first: a write during the pass moves
//! one to the older versions, where it is still met. What is written meanwhile is wrapped
//! by the newest key ([`Vault::sealing_key`]), so when the pass has met everything once
//! nothing can be left by an older one.

use crate::error::{SealError, VaultError};
use crate::installation::KEYRINGS;
use crate::namespace::{NAMESPACE_KEYS, NamespaceKeys};
use crate::rotation_step::RotationStep;
use crate::secret_rows::{HEADS, HeadRow, VERSIONS, VersionRow, all_rows};
use crate::vault::Vault;
use crate::write::binding;
use procura_crypto::{Purpose, envelope_epoch, open, seal};
use procura_ledger::{Entry, SUMMARY, Summary};
use procura_policy::Resource;
use procura_record::RecordError;
use procura_record::tables::LEDGER;
use procura_store::{Batch, CommitError, Expected, KeyPrefix, Kind, Row, StoreSnapshot, Table};
use procura_types::wire::{RewrapState, VersionState};
use procura_types::{BatchId, Clock, Namespace, SecretPath, Timestamp, TraceId};
use serde::{Deserialize, Serialize};
use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Poll;

/// Rows that one batch looks at. Reads that are recorded wait for the batch before
/// theirs, so it is what a few milliseconds suffice for.
pub(crate) const PAGE: usize = 256;

/// Root epoch → how far its pass is. There as long as the pass is under way.
pub(crate) const REWRAPS: Table<u64, Progress> = Table::new("rewrap", Kind::Ordinary);

/// (root epoch, namespace) → nothing: namespaces whose key turned, which the pass has not
/// heard of yet. Rows of their own, so that who turns a key does not have to wait for a
/// moment in which the pass stands still.
pub(crate) const ASKED: Table<(u64, String), ()> = Table::new("rewrap-asked", Kind::Ordinary);

/// How far a pass is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The namespaces that are left, the first being under way; nothing when they are
    /// still to be listed, which is all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<Vec<String>>,
    /// DEKs wrapped anew since the pass began.
    #[serde(default)]
    wrapped: u64,
    /// Of the namespace that is under way.
    #[serde(default)]
    at: Place,
}

/// How far a pass is in one namespace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Place {
    /// DEKs wrapped anew.
    done: u64,
    /// DEKs that did not open, and are left as they are.
    damaged: u64,
    /// When the first was wrapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<Timestamp>,
    /// The last newest version that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<(String, String)>,
    /// All newest versions were looked at.
    heads_done: bool,
    /// The last older version that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<(String, String, u64)>,
    /// All versions were looked at: the older keys can go.
    met_all: bool,
}

impl Progress {
    /// A pass over no namespace.
    fn over_none() -> Self {
        Self {
            left: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Has this namespace before it too, from its beginning.
    fn also(&mut self, name: String) {
        // One that has not listed them yet has all of them before it.
        let Some(left) = &mut self.left else {
            return;
        };
        if left.first() == Some(&name) {
            self.at = Place {
                done: self.at.done,
                began: self.at.began,
                ..Place::default()
            };
        } else if !left.contains(&name) {
            left.push(name);
        }
    }
}

/// A namespace that the pass has not heard of yet.
type AskedRow = ((u64, String), Row<()>);

/// The key that DEKs of a namespace are wrapped by, and those before it.
struct Newest<'a> {
    namespace: &'a Namespace,
    epoch: u32,
    keys: Arc<NamespaceKeys>,
}

/// Rows whose DEKs were wrapped anew, as they stood when they were read: the next batch
/// of a pass, made while the one before is on its way to the disk. Nothing in it is
/// more secret than what the rows hold, and it counts only if everything is as it was.
pub(crate) struct Page {
    namespace: Namespace,
    /// Of the key that wraps them now.
    epoch: u32,
    from: Place,
    until: Place,
    heads: Vec<((String, String), Row<HeadRow>)>,
    versions: Vec<((String, String, u64), Row<VersionRow>)>,
}

/// What became of a DEK.
enum Rewrapped {
    Anew,
    AsItWas,
    Damaged,
}

impl Vault {
    /// Whether DEKs remain to be wrapped by the newest namespace keys.
    pub fn is_rewrapping(&self) -> Result<bool, SealError> {
        let epoch = u64::from(self.keys.load().installation.root_epoch);
        Ok(REWRAPS.get(&self.store, &epoch)?.is_some() || !self.asked(epoch)?.is_empty())
    }

    /// Namespaces that the pass has not heard of yet.
    fn asked(&self, epoch: u64) -> Result<Vec<AskedRow>, SealError> {
        let asked = KeyPrefix::all().part(&epoch);
        Ok(all_rows(&ASKED, &self.store, &asked)?)
    }

    /// How far the pass is that is under way, if one is.
    pub(crate) fn rewrap_state(&self) -> Result<Option<RewrapState>, SealError> {
        let epoch = u64::from(self.keys.load().installation.root_epoch);
        let row = REWRAPS.get(&self.store, &epoch)?;
        let asked = self.asked(epoch)?;
        if row.is_none() && asked.is_empty() {
            return Ok(None);
        }
        let mut pass = row.map_or_else(Progress::over_none, |row| row.value);
        asked.into_iter().for_each(|((_, name), _)| pass.also(name));
        let left = match pass.left {
            Some(left) => left,
            None => self.namespaces_with_keys()?,
        };
        Ok(Some(RewrapState {
            wrapped: pass.wrapped,
            namespaces: left.iter().filter_map(|name| name.parse().ok()).collect(),
        }))
    }

    fn namespaces_with_keys(&self) -> Result<Vec<String>, SealError> {
        let epoch = u64::from(self.keys.load().installation.root_epoch);
        let rows = self.namespace_rows(&KeyPrefix::all().part(&epoch))?;
        let mut names: Vec<String> = rows.into_iter().map(|((_, name, _), _)| name).collect();
        names.dedup();
        Ok(names)
    }

    /// Wraps up to 256 DEKs anew, in the queue for bulk work, or takes away the older
    /// keys of a namespace by which nothing is wrapped any more; false when there is
    /// nothing left. What was done in a namespace is recorded with the end of its keys.
    ///
    /// A DEK that does not open is left as it is: reading its secret says so. The keys
    /// of its namespace stay then, since nobody knows which of them it is for.
    pub async fn rewrap_step(&self, clock: &dyn Clock) -> Result<bool, SealError> {
        let epoch = u64::from(self.keys.load().installation.root_epoch);
        let row = REWRAPS.get(&self.store, &epoch)?;
        let asked = self.asked(epoch)?;
        if row.is_none() && asked.is_empty() {
            return Ok(false);
        }
        // As long as the rows of the root before are there, a write may be under way that
        // was begun under it.
        if KEYRINGS
            .get(&self.store, &epoch.saturating_sub(1))?
            .is_some()
        {
            return Ok(false);
        }
        let now = clock.now();
        let mut batch = Batch::new(BatchId::generate(now, self.entropy())?).bulk();
        let expected = row
            .as_ref()
            .map_or(Expected::Absent, |row| Expected::At(row.version));
        REWRAPS.expect(&mut batch, &epoch, expected);
        let mut progress = row.map_or_else(Progress::over_none, |row| row.value);
        for (key, row) in asked {
            ASKED.expect(&mut batch, &key, Expected::At(row.version));
            ASKED.delete(&mut batch, &key);
            progress.also(key.1);
        }
        let mut left = match progress.left.take() {
            Some(left) => left,
            None => self.namespaces_with_keys()?,
        };
        let namespace = left.first().and_then(|name| name.parse::<Namespace>().ok());
        let mut newest = None;
        let step = match &namespace {
            Some(namespace) if progress.at.met_all => {
                // A key that was made since the pass looked is asked for in the commit that
                // makes it: then the one that everything is wrapped by is none of the older.
                let key = (epoch, namespace.to_string());
                ASKED.expect(&mut batch, &key, Expected::Absent);
                let ended = self.end_older_keys(&mut batch, epoch, namespace, &progress.at, now)?;
                progress.at = Place::default();
                left.remove(0);
                ended.then_some(RotationStep::OldNamespaceKeysGone)
            }
            Some(namespace) => {
                let before = progress.at.done;
                newest = self.newest(&mut batch, namespace)?;
                match &newest {
                    Some(by) => progress.at = self.page(&mut batch, by, &progress.at)?,
                    // With it everything ended that is wrapped by its keys.
                    None => progress.at.met_all = true,
                }
                progress.wrapped += progress.at.done - before;
                if progress.at.done > 0 && progress.at.began.is_none() {
                    progress.at.began = Some(now);
                }
                Some(match progress.at.met_all {
                    true => RotationStep::NamespaceWrapped,
                    false => RotationStep::PageWrapped,
                })
            }
            // There is none left, or one whose name is none.
            None => {
                left.drain(..left.len().min(1));
                None
            }
        };
        let more = !left.is_empty();
        progress.left = Some(left);
        match more {
            true => REWRAPS.put(&mut batch, &epoch, &progress),
            false => REWRAPS.delete(&mut batch, &epoch),
        }
        let mut commit = self.store.commit(batch);
        // On its way now; what comes after it is read and wrapped meanwhile.
        let early = poll_fn(|cx| Poll::Ready(commit.as_mut().poll(cx))).await;
        let ahead = match &newest {
            // What goes wrong here goes wrong again in the next step, which says so.
            Some(by) if early.is_pending() && !progress.at.met_all => {
                self.prepare(by, &progress.at).ok()
            }
            _ => None,
        };
        let committed = match early {
            Poll::Ready(committed) => committed,
            Poll::Pending => commit.await,
        };
        match committed {
            Ok(_) => {
                self.room.store(PAGE, Ordering::Relaxed);
                *self.ahead.lock().unwrap_or_else(PoisonError::into_inner) = ahead;
            }
            // A secret was written meanwhile: the same page once more, and fewer at once,
            // so that it comes to its end beside any number of writes.
            Err(CommitError::Conflict { .. }) => {
                let room = self.room.load(Ordering::Relaxed);
                self.room.store((room / 2).max(1), Ordering::Relaxed);
                return Ok(true);
            }
            Err(error) => return Err(RecordError::from(error).into()),
        }
        if let (Some(RotationStep::OldNamespaceKeysGone), Some(namespace)) = (step, &namespace) {
            self.forget_namespace(namespace);
        }
        if let Some(step) = step {
            self.reached(step);
        }
        Ok(more)
    }

    /// Takes the older keys of a namespace away, and says so; whether there were any.
    fn end_older_keys(
        &self,
        batch: &mut Batch,
        root: u64,
        namespace: &Namespace,
        place: &Place,
        now: Timestamp,
    ) -> Result<bool, SealError> {
        let prefix = KeyPrefix::all().part(&root).part(&namespace.to_string());
        let mut rows = self.namespace_rows(&prefix)?;
        let Some((newest, row)) = rows.pop() else {
            // It ended meanwhile.
            return Ok(false);
        };
        NAMESPACE_KEYS.expect(batch, &newest, Expected::At(row.version));
        let later = (newest.0, newest.1.clone(), newest.2.saturating_add(1));
        NAMESPACE_KEYS.expect(batch, &later, Expected::Absent);
        let ends = place.damaged == 0 && !rows.is_empty();
        if ends {
            for (key, _) in &rows {
                NAMESPACE_KEYS.delete(batch, key);
            }
        }
        if ends || place.done > 0 {
            let entry = self.entry(namespace, place, now)?;
            batch.append(LEDGER, entry.to_bytes().map_err(RecordError::from)?);
        }
        Ok(ends)
    }

    fn entry(
        &self,
        namespace: &Namespace,
        place: &Place,
        now: Timestamp,
    ) -> Result<Entry, SealError> {
        let trace = TraceId::generate(now, self.entropy())?;
        let summary = place.began.map(|began| Summary {
            count: place.done,
            from: began.min(now),
            until: now,
        });
        Ok(Entry {
            reason: summary.is_some().then(|| SUMMARY.into()),
            namespace: Some(namespace.clone()),
            resource: Some(Resource::Namespace(namespace.clone()).to_string()),
            summary,
            ..Entry::new(now, self.entropy(), "installation.rewrap", trace)?
        })
    }

    /// What a namespace's DEKs are wrapped by; nothing when it ended.
    fn newest<'a>(
        &self,
        batch: &mut Batch,
        namespace: &'a Namespace,
    ) -> Result<Option<Newest<'a>>, SealError> {
        match self.sealing_key(batch, namespace) {
            Ok((epoch, keys)) => Ok(Some(Newest {
                namespace,
                epoch,
                keys,
            })),
            Err(VaultError::NoNamespace) => Ok(None),
            Err(VaultError::Store(error)) => Err(error.into()),
            Err(error) => Err(SealError::Damaged(error.to_string())),
        }
    }

    /// Puts the next page of a namespace; where the pass is after it.
    fn page(&self, batch: &mut Batch, by: &Newest<'_>, at: &Place) -> Result<Place, SealError> {
        let ahead = self
            .ahead
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            .filter(|page| {
                page.namespace == *by.namespace && page.epoch == by.epoch && page.from == *at
            });
        let page = match ahead {
            Some(page) => page,
            None => self.prepare(by, at)?,
        };
        for (key, row) in page.heads {
            HEADS.expect(batch, &key, Expected::At(row.version));
            HEADS.put(batch, &key, &row.value);
        }
        for (key, row) in page.versions {
            VERSIONS.expect(batch, &key, Expected::At(row.version));
            VERSIONS.put(batch, &key, &row.value);
        }
        Ok(page.until)
    }

    /// Reads the page after this place and wraps its DEKs anew.
    fn prepare(&self, by: &Newest<'_>, at: &Place) -> Result<Page, SealError> {
        let mut page = Page {
            namespace: by.namespace.clone(),
            epoch: by.epoch,
            from: at.clone(),
            until: at.clone(),
            heads: Vec::new(),
            versions: Vec::new(),
        };
        let snapshot = self.store.snapshot()?;
        let mut room = self.room.load(Ordering::Relaxed);
        if !at.heads_done {
            room = self.heads(&mut page, &snapshot, by, room)?;
        }
        if page.until.heads_done && room > 0 {
            self.versions(&mut page, &snapshot, by, room)?;
        }
        Ok(page)
    }

    /// Newest versions; how much room is left in the page.
    fn heads(
        &self,
        page: &mut Page,
        snapshot: &StoreSnapshot,
        by: &Newest<'_>,
        room: usize,
    ) -> Result<usize, SealError> {
        let prefix = KeyPrefix::all().part(&by.namespace.to_string());
        let at = &mut page.until;
        let rows = HEADS.scan(snapshot, &prefix, at.head.as_ref(), room)?;
        at.heads_done = rows.len() < room;
        let room = room - rows.len();
        for (key, mut row) in rows {
            at.head = Some(key.clone());
            match self.rewrap(by, &key.1, &mut row.value.latest)? {
                Rewrapped::Anew => {
                    page.heads.push((key, row));
                    at.done += 1;
                }
                Rewrapped::Damaged => at.damaged += 1,
                Rewrapped::AsItWas => {}
            }
        }
        Ok(room)
    }

    /// Older versions.
    fn versions(
        &self,
        page: &mut Page,
        snapshot: &StoreSnapshot,
        by: &Newest<'_>,
        room: usize,
    ) -> Result<(), SealError> {
        let prefix = KeyPrefix::all().part(&by.namespace.to_string());
        let at = &mut page.until;
        let rows = VERSIONS.scan(snapshot, &prefix, at.version.as_ref(), room)?;
        at.met_all = rows.len() < room;
        for (key, mut row) in rows {
            at.version = Some(key.clone());
            match self.rewrap(by, &key.1, &mut row.value)? {
                Rewrapped::Anew => {
                    page.versions.push((key, row));
                    at.done += 1;
                }
                Rewrapped::Damaged => at.damaged += 1,
                Rewrapped::AsItWas => {}
            }
        }
        Ok(())
    }

    /// Wraps the DEK of one version by the newest key of its namespace.
    fn rewrap(
        &self,
        by: &Newest<'_>,
        path: &str,
        version: &mut VersionRow,
    ) -> Result<Rewrapped, SealError> {
        let is_newest = envelope_epoch(&version.dek).is_ok_and(|epoch| epoch == by.epoch);
        if version.state == VersionState::Destroyed || is_newest {
            return Ok(Rewrapped::AsItWas);
        }
        let (Ok(path), Some(key)) = (path.parse::<SecretPath>(), by.keys.get(&by.epoch)) else {
            return Ok(Rewrapped::Damaged);
        };
        let place = binding(by.namespace, &path, version.version, Purpose::SecretDek);
        let Ok(dek) = open(|epoch| by.keys.get(&epoch), &place, &version.dek) else {
            return Ok(Rewrapped::Damaged);
        };
        version.dek = seal(key, by.epoch, &place, self.entropy(), dek.expose())?;
        Ok(Rewrapped::Anew)
    }
}
