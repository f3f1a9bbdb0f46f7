//! Typed tables: the one way in which other crates see rows.

use crate::chunk::{self, Stored};
use crate::engine::{RawRow, RawWrite, is_name};
use crate::key::{self, Key, KeyPrefix, KeyRange};
use crate::store::Unsealed;
use crate::{
    Barrier, Batch, CommitError, Damage, DirectoryChange, Expected, Kind, Moment, RowKey, Seq,
    Store, StoreError, StoreSnapshot, Value, head::SetDigest,
};
use procura_types::SecretBytes;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A row: its value and the commit that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<V> {
    /// The commit; what [`Expected::At`] names.
    pub version: Seq,
    /// The value.
    pub value: V,
}

/// A key and its new row, or `None` when the row was deleted.
pub type ChangedRow<K, V> = (K, Option<Row<V>>);

/// A table of rows from `K` to `V`.
///
/// ```
/// use procura_store::{Kind, Table};
/// use procura_types::{Namespace, ProjectName};
/// const AGENTS: Table<(Namespace, ProjectName), Vec<String>> =
///     Table::new("project-agents", Kind::Ordinary);
/// ```
pub struct Table<K, V> {
    name: &'static str,
    kind: Kind,
    types: PhantomData<fn(K) -> V>,
}

/// How often a row is read again whose keys another server has turned, and how long is
/// waited in between.
const KEY_TRIES: u32 = 50;
const KEY_PAUSE: Duration = Duration::from_millis(20);

/// How often a large value is read again when it was replaced meanwhile.
const REREADS: u32 = 5;

impl<K: Key, V: Value> Table<K, V> {
    /// Declares a table; its name is 1 to 32 of `a-z`, `0-9` and `-` and belongs
    /// to one declaration. Another name does not compile in a constant.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        assert!(is_name(name), "a table's name is 1 to 32 of a-z, 0-9 and -");
        Self {
            name,
            kind,
            types: PhantomData,
        }
    }

    /// The table's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The key of a row in the engine, as [`CommitError::Conflict`] names it.
    #[must_use]
    pub fn row_key(&self, key: &K) -> RowKey {
        RowKey::new(self.name, &key::encode(key))
    }

    /// Reads a row. In the first moments after unsealing this waits, blocking
    /// the thread, until the table's set of rows is verified.
    ///
    /// # Errors
    /// `Sealed`; `Corrupt` when the row, or the set of this table's rows, is not
    /// as it was committed; `Shape`; `Poisoned`; `Io`.
    pub fn get(&self, store: &Store, key: &K) -> Result<Option<Row<V>>, StoreError> {
        let unsealed = self.verified(store)?;
        for _ in 0..KEY_TRIES {
            let read = self.read(Some(&unsealed.barrier()), key, |key| {
                store.engine().get(key)
            });
            match read {
                // Another server has turned the keys; they are here in a moment.
                Err(error) if error.is_behind() => std::thread::sleep(KEY_PAUSE),
                read => return read,
            }
        }
        Err(StoreError::behind())
    }

    /// As [`Table::is_still`], of a row that was read after the moment `since`: it is not
    /// even looked up where no row has changed since then.
    ///
    /// # Errors
    /// As [`Table::is_still`].
    pub fn is_still_since(
        &self,
        store: &Store,
        key: &K,
        version: Seq,
        since: Moment,
    ) -> Result<bool, StoreError> {
        if store.has_rested_since(since) {
            self.verified(store)?;
            return Ok(true);
        }
        self.is_still(store, key, version)
    }

    /// Whether the row is still the one of this version. It is not opened again:
    /// versions are never reused, so one that was opened before stays good.
    ///
    /// # Errors
    /// `Sealed`, `Corrupt`, `Poisoned`, `Io`, as [`Table::get`].
    pub fn is_still(&self, store: &Store, key: &K, version: Seq) -> Result<bool, StoreError> {
        self.verified(store)?;
        let row = store.engine().get(&self.row_key(key))?;
        Ok(row.is_some_and(|row| row.version == version))
    }

    /// Reads a row of a [`Kind::Clear`] table, also while the store is sealed.
    /// Then nothing vouches for it but its own envelope.
    ///
    /// # Errors
    /// `Sealed` for a table of another kind; else as [`Table::get`].
    pub fn get_clear(&self, store: &Store, key: &K) -> Result<Option<Row<V>>, StoreError> {
        match self.kind {
            Kind::Clear => self.read(None, key, |key| store.engine().get(key)),
            Kind::Directory | Kind::Ordinary => Err(StoreError::Sealed),
        }
    }

    /// Reads a row as of a snapshot.
    ///
    /// # Errors
    /// As [`Table::get`], and `SnapshotExpired`.
    pub fn get_at(&self, snapshot: &StoreSnapshot, key: &K) -> Result<Option<Row<V>>, StoreError> {
        let unsealed = self.verified(snapshot.store())?;
        self.read(Some(&unsealed.barrier()), key, |key| {
            snapshot.raw().get(key)
        })
    }

    /// Up to `limit` rows whose keys begin with `prefix`, after the key `after`,
    /// in the order of keys. Scans protect nothing: an invariant over a set
    /// needs a guard row that each change of the set rewrites.
    ///
    /// # Errors
    /// As [`Table::get`], and `SnapshotExpired`.
    pub fn scan(
        &self,
        snapshot: &StoreSnapshot,
        prefix: &KeyPrefix,
        after: Option<&K>,
        limit: usize,
    ) -> Result<Vec<(K, Row<V>)>, StoreError> {
        let unsealed = self.verified(snapshot.store())?;
        let barrier = unsealed.barrier();
        let mut range = KeyRange::prefix(RowKey::new(self.name, prefix.as_bytes()).as_bytes());
        if let Some(after) = after {
            range = range.after(&self.row_key(after));
        }
        snapshot
            .raw()
            .scan(&range, limit)?
            .iter()
            .map(|(key, raw)| self.open_scanned(snapshot, &barrier, key, raw))
            .collect()
    }

    /// Reads the whole table and holds it against its set digest, without
    /// waiting for the verification of other tables.
    ///
    /// # Errors
    /// As [`Table::scan`]; `Corrupt` when a row was removed, added or rolled back.
    pub fn load(&self, snapshot: &StoreSnapshot) -> Result<Vec<(K, Row<V>)>, StoreError> {
        const PAGE: usize = 1024;
        let unsealed = snapshot.store().unsealed()?;
        let barrier = unsealed.barrier();
        let head = snapshot.head()?;
        let all = KeyRange::prefix(RowKey::new(self.name, b"").as_bytes());
        let (mut range, mut raw, mut digest) = (all.clone(), Vec::new(), SetDigest::default());
        loop {
            let page = snapshot.raw().scan(&range, PAGE)?;
            for (key, row) in &page {
                digest.add(barrier.element(head, key, row.version));
            }
            let full = page.len() == PAGE;
            raw.extend(page);
            match raw.last() {
                Some((last, _)) if full => range = all.clone().after(last),
                _ => break,
            }
        }
        // The set first: a row that was moved or rolled back is told as such.
        if digest != head.table(self.name) {
            return Err(Damage::Table(self.name.into()).into());
        }
        raw.iter()
            .map(|(key, row)| self.open_scanned(snapshot, &barrier, key, row))
            .collect()
    }

    /// The typed change when it is one of this table.
    ///
    /// # Errors
    /// `Shape` when key or value cannot be read.
    pub fn change(
        &self,
        change: &DirectoryChange<'_>,
    ) -> Option<Result<ChangedRow<K, V>, StoreError>> {
        if change.key.table() != self.name {
            return None;
        }
        Some(self.read_change(change).ok_or_else(|| self.shape()))
    }

    fn read_change(&self, change: &DirectoryChange<'_>) -> Option<ChangedRow<K, V>> {
        let key = key::decode(change.key.encoded())?;
        let Some(plain) = change.value else {
            return Some((key, None));
        };
        let plain = match V::CHUNKED {
            false => plain,
            true => match chunk::parse(plain)? {
                Stored::Inline(plain) => plain,
                Stored::Chunked(_) => return None,
            },
        };
        let value = V::decode(SecretBytes::new(plain.to_vec()))?;
        let version = change.seq;
        Some((key, Some(Row { version, value })))
    }

    /// Inserts or replaces a row when the batch is committed. What cannot be
    /// stored is told at commit.
    pub fn put(&self, batch: &mut Batch, key: &K, value: &V) {
        let kind = self.kind;
        let key = self.row_key(key);
        let Some(value) = value.encode() else {
            batch.refuse(CommitError::Unencodable { table: self.name });
            return;
        };
        if !V::CHUNKED {
            batch.write(RawWrite::Put { key, kind, value });
            return;
        }
        let Some((head, chunks)) = chunk::split(value.expose()) else {
            batch.refuse(CommitError::TooLarge);
            return;
        };
        // The former value may have had more chunks than this one.
        batch.write(RawWrite::DeletePrefix {
            prefix: chunk::chunk_prefix(&key),
        });
        for (index, part) in (0u32..).zip(chunks) {
            batch.write(RawWrite::Put {
                key: chunk::chunk_key(&key, index),
                kind,
                value: SecretBytes::new(part.to_vec()),
            });
        }
        let value = SecretBytes::new(head);
        batch.write(RawWrite::Put { key, kind, value });
    }

    /// Removes a row when the batch is committed; nothing happens when there is
    /// none.
    pub fn delete(&self, batch: &mut Batch, key: &K) {
        let key = self.row_key(key);
        if V::CHUNKED {
            batch.write(RawWrite::DeletePrefix {
                prefix: chunk::chunk_prefix(&key),
            });
        }
        let kind = self.kind;
        batch.write(RawWrite::Delete { key, kind });
    }

    /// Removes all rows whose keys begin with `prefix` at the moment of the commit, also
    /// those that nobody has read. For few rows: the writer does it in one go.
    pub fn delete_all(&self, batch: &mut Batch, prefix: &KeyPrefix) {
        let chunks = V::CHUNKED.then(|| chunk::chunk_table(self.name));
        for table in std::iter::once(self.name.to_owned()).chain(chunks) {
            batch.write(RawWrite::DeletePrefix {
                prefix: RowKey::new(&table, prefix.as_bytes()),
            });
        }
    }

    /// Puts the removal of up to `limit` rows whose keys begin with `prefix` into the
    /// batch, and gives how many. They are not opened, so that what is damaged goes too.
    ///
    /// # Errors
    /// As [`Table::scan`].
    pub fn sweep(
        &self,
        batch: &mut Batch,
        snapshot: &StoreSnapshot,
        prefix: &KeyPrefix,
        limit: usize,
    ) -> Result<usize, StoreError> {
        if limit == 0 {
            return Ok(0);
        }
        let range = KeyRange::prefix(RowKey::new(self.name, prefix.as_bytes()).as_bytes());
        let rows = snapshot.raw().scan(&range, limit)?;
        for (key, _) in &rows {
            if V::CHUNKED {
                batch.write(RawWrite::DeletePrefix {
                    prefix: chunk::chunk_prefix(key),
                });
            }
            let (key, kind) = (key.clone(), self.kind);
            batch.write(RawWrite::Delete { key, kind });
        }
        Ok(rows.len())
    }

    /// The batch applies only if the row is so at commit.
    pub fn expect(&self, batch: &mut Batch, key: &K, expected: Expected) {
        batch.expect(self.row_key(key), expected);
    }

    /// Waits until the rows of this table, and of its chunks, are verified.
    fn verified(&self, store: &Store) -> Result<Arc<Unsealed>, StoreError> {
        let unsealed = store.unsealed()?;
        unsealed.verification.wait(self.name)?;
        if V::CHUNKED {
            unsealed.verification.wait(&chunk::chunk_table(self.name))?;
        }
        Ok(unsealed)
    }

    fn shape(&self) -> StoreError {
        StoreError::Shape {
            table: self.name.into(),
        }
    }

    fn read(
        &self,
        barrier: Option<&Barrier>,
        key: &K,
        get: impl Fn(&RowKey) -> Result<Option<RawRow>, StoreError>,
    ) -> Result<Option<Row<V>>, StoreError> {
        let key = self.row_key(key);
        for _ in 0..REREADS {
            let Some(raw) = get(&key)? else {
                return Ok(None);
            };
            if let Some(value) = self.assemble(barrier, &key, &raw, &get)? {
                let version = raw.version;
                return Ok(Some(Row { version, value }));
            }
        }
        Err(Damage::Chunks(self.name.into()).into())
    }

    fn open_scanned(
        &self,
        snapshot: &StoreSnapshot,
        barrier: &Barrier,
        key: &RowKey,
        raw: &RawRow,
    ) -> Result<(K, Row<V>), StoreError> {
        let typed = key::decode(key.encoded()).ok_or_else(|| self.shape())?;
        let value = self
            .assemble(Some(barrier), key, raw, &|key| snapshot.raw().get(key))?
            .ok_or_else(|| Damage::Chunks(self.name.into()))?;
        let version = raw.version;
        Ok((typed, Row { version, value }))
    }

    /// Opens a row and collects its chunks; `None` when these are of another
    /// version, so the row was replaced between the reads.
    fn assemble(
        &self,
        barrier: Option<&Barrier>,
        key: &RowKey,
        raw: &RawRow,
        get: &impl Fn(&RowKey) -> Result<Option<RawRow>, StoreError>,
    ) -> Result<Option<V>, StoreError> {
        let plain = self.open(barrier, key, raw)?;
        if !V::CHUNKED {
            return V::decode(plain).ok_or_else(|| self.shape()).map(Some);
        }
        let whole = match chunk::parse(plain.expose()).ok_or_else(|| self.shape())? {
            Stored::Inline(bytes) => SecretBytes::new(bytes.to_vec()),
            Stored::Chunked(stored) => {
                let mut whole = SecretBytes::new(Vec::with_capacity(
                    usize::try_from(stored.len)
                        .unwrap_or_default()
                        .min(crate::MAX_BATCH),
                ));
                for index in 0..stored.chunks {
                    let key = chunk::chunk_key(key, index);
                    match get(&key)? {
                        Some(part) if part.version == raw.version => {
                            let part = self.open(barrier, &key, &part)?;
                            whole.expose_mut().extend_from_slice(part.expose());
                        }
                        _ => return Ok(None),
                    }
                }
                if !stored.is(whole.expose()) {
                    return Err(Damage::Chunks(self.name.into()).into());
                }
                whole
            }
        };
        V::decode(whole).ok_or_else(|| self.shape()).map(Some)
    }

    fn open(
        &self,
        barrier: Option<&Barrier>,
        key: &RowKey,
        raw: &RawRow,
    ) -> Result<SecretBytes, StoreError> {
        match (self.kind, barrier) {
            (Kind::Clear, _) => Ok(SecretBytes::new(raw.value.to_vec())),
            (_, Some(barrier)) if barrier.is_behind(&raw.value) => Err(StoreError::behind()),
            (_, Some(barrier)) => Ok(barrier.open_row(key, raw.version, &raw.value)?),
            (_, None) => Err(StoreError::Sealed),
        }
    }
}
