//! After a change of passphrase: the DEKs that older namespace keys wrap are
//! wrapped by the newest (`protocol.md` §5). A backup from before the change then
//! opens nothing of a later copy of the database but what it holds itself.
//!
//! The pass is a row that the change commits and the last batch removes; each
//! batch moves it on, so that a restart goes on where it stood.

use crate::error::{SealError, VaultError};
use crate::namespace::Vault;
use crate::secret_rows::{HEADS, VERSIONS, VersionRow};
use crate::write::binding;
use procura_crypto::{Purpose, envelope_epoch, open, seal};
use procura_ledger::{Entry, SUMMARY, Summary};
use procura_record::RecordError;
use procura_record::tables::LEDGER;
use procura_store::{Batch, CommitError, Expected, KeyPrefix, Kind, Table};
use procura_types::wire::VersionState;
use procura_types::{BatchId, Clock, Namespace, SecretPath, Timestamp, TraceId};
use serde::{Deserialize, Serialize};

/// Rows that one batch looks at.
const PAGE: usize = 128;

/// Root epoch → how far its pass is. There as long as the pass is under way.
pub(crate) const REWRAPS: Table<u64, Progress> = Table::new("rewrap", Kind::Ordinary);

/// How far a pass is. Newest versions come first: a write during the pass moves
/// one to the older versions, where it is still met.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// DEKs wrapped anew.
    done: u64,
    /// When the first of them was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    began: Option<Timestamp>,
    /// The last newest version that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<(String, String)>,
    /// All newest versions were looked at.
    #[serde(default)]
    heads_done: bool,
    /// The last older version that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<(String, String, u64)>,
}

impl Vault {
    /// Whether DEKs remain to be wrapped by the newest namespace keys.
    pub fn is_rewrapping(&self) -> Result<bool, SealError> {
        let epoch = u64::from(self.keys.load().installation.root_epoch);
        Ok(REWRAPS.get(&self.store, &epoch)?.is_some())
    }

    /// Wraps up to 128 DEKs anew, in the queue for bulk work; false when there is
    /// nothing left. The last step records how many there were.
    ///
    /// A DEK that does not open is left as it is: reading its secret says so.
    pub async fn rewrap_step(&self, clock: &dyn Clock) -> Result<bool, SealError> {
        let epoch = u64::from(self.keys.load().installation.root_epoch);
        let Some(row) = REWRAPS.get(&self.store, &epoch)? else {
            return Ok(false);
        };
        let now = clock.now();
        let mut batch = Batch::new(BatchId::generate(now, self.entropy())?).bulk();
        REWRAPS.expect(&mut batch, &epoch, Expected::At(row.version));
        let mut progress = row.value;
        let before = progress.done;
        let more = self.page(&mut batch, &mut progress)?;
        if progress.done > before && progress.began.is_none() {
            progress.began = Some(now);
        }
        if more {
            REWRAPS.put(&mut batch, &epoch, &progress);
        } else {
            REWRAPS.delete(&mut batch, &epoch);
            if let Some(began) = progress.began {
                let entry = self.entry(now, began, progress.done)?;
                batch.append(LEDGER, entry.to_bytes().map_err(RecordError::from)?);
            }
        }
        match self.store.commit(batch).await {
            Ok(_) => Ok(more),
            // A secret was written meanwhile: the same page once more.
            Err(CommitError::Conflict { .. }) => Ok(true),
            Err(error) => Err(RecordError::from(error).into()),
        }
    }

    fn entry(&self, now: Timestamp, began: Timestamp, count: u64) -> Result<Entry, SealError> {
        let trace = TraceId::generate(now, self.entropy())?;
        Ok(Entry {
            reason: Some(SUMMARY.into()),
            resource: Some("installation".to_owned()),
            summary: Some(Summary {
                count,
                from: began.min(now),
                until: now,
            }),
            ..Entry::new(now, self.entropy(), "installation.rewrap", trace)?
        })
    }

    /// Puts the next page; whether there is another.
    fn page(&self, batch: &mut Batch, progress: &mut Progress) -> Result<bool, SealError> {
        let snapshot = self.store.snapshot()?;
        if !progress.heads_done {
            let all = KeyPrefix::all();
            let rows = HEADS.scan(&snapshot, &all, progress.head.as_ref(), PAGE)?;
            progress.heads_done = rows.len() < PAGE;
            for (key, row) in rows {
                let mut head = row.value;
                if self.rewrap(&key.0, &key.1, &mut head.latest)? {
                    HEADS.expect(batch, &key, Expected::At(row.version));
                    HEADS.put(batch, &key, &head);
                    progress.done += 1;
                }
                progress.head = Some(key);
            }
            return Ok(true);
        }
        let all = KeyPrefix::all();
        let rows = VERSIONS.scan(&snapshot, &all, progress.version.as_ref(), PAGE)?;
        let more = rows.len() == PAGE;
        for (key, row) in rows {
            let mut version = row.value;
            if self.rewrap(&key.0, &key.1, &mut version)? {
                VERSIONS.expect(batch, &key, Expected::At(row.version));
                VERSIONS.put(batch, &key, &version);
                progress.done += 1;
            }
            progress.version = Some(key);
        }
        Ok(more)
    }

    /// Wraps the DEK of one version by the newest key of its namespace; false when
    /// it is already, or cannot be.
    fn rewrap(
        &self,
        namespace: &str,
        path: &str,
        version: &mut VersionRow,
    ) -> Result<bool, SealError> {
        let (Ok(namespace), Ok(path)) =
            (namespace.parse::<Namespace>(), path.parse::<SecretPath>())
        else {
            return Ok(false);
        };
        if version.state == VersionState::Destroyed {
            return Ok(false);
        }
        let keys = match self.namespace_keys(&namespace) {
            Ok(keys) => keys,
            Err(VaultError::Store(error)) => return Err(error.into()),
            Err(_) => return Ok(false),
        };
        let Some((newest, key)) = keys.last_key_value() else {
            return Ok(false);
        };
        if envelope_epoch(&version.dek).is_ok_and(|epoch| epoch == *newest) {
            return Ok(false);
        }
        let place = binding(&namespace, &path, version.version, Purpose::SecretDek);
        let Ok(dek) = open(|epoch| keys.get(&epoch), &place, &version.dek) else {
            return Ok(false);
        };
        version.dek = seal(key, *newest, &place, self.entropy(), dek.expose())?;
        Ok(true)
    }
}
