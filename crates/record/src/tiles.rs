//! The ledger's files: C2SP tiles under `<home>/ledger/`. Hash tiles lie there as
//! they are; entry bundles are sealed (`protocol.md` §6) and leave plain only
//! through an export.

use arc_swap::ArcSwap;
use procura_crypto::{Binding, Holder, Purpose, XaesKey, open, seal};
use procura_ledger::{LedgerError, TileFile, TileKind, TilePath};
use procura_store::StoreError;
use procura_types::{Entropy, InstallationId};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A file of the ledger cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TilesError {
    /// The file system.
    #[error("{path}: {cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Its content.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A bundle that does not open.
    #[error("{0} does not open: it was moved or edited")]
    Refused(PathBuf),
    /// There is no key to seal a bundle with.
    #[error("there is no key for bundles")]
    NoKey,
    /// A bundle that could not be sealed.
    #[error(transparent)]
    Seal(#[from] procura_crypto::SealError),
    /// The store, which a file is made again from.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TilesError {
    /// Whether there is no room on the disk, or no more for this user.
    pub(crate) fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { cause, .. } if matches!(cause.kind(), StorageFull | QuotaExceeded))
    }
}

/// The keys of entry bundles by epoch: the newest seals, all open. They turn with
/// the root, while the files are in use.
pub struct BundleKeys(ArcSwap<BTreeMap<u32, XaesKey>>);

impl BundleKeys {
    /// These keys, of which there is at least one.
    #[must_use]
    pub fn new(keys: BTreeMap<u32, XaesKey>) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    /// Puts others in their place; bundles of an epoch that is gone do not open.
    pub fn replace(&self, keys: BTreeMap<u32, XaesKey>) {
        self.0.store(Arc::new(keys));
    }
}

/// The directory of the ledger.
#[derive(Clone)]
pub struct Tiles {
    directory: PathBuf,
    installation: InstallationId,
    keys: Arc<BundleKeys>,
    entropy: Arc<dyn Entropy>,
    edge: Arc<ArcSwap<Edge>>,
    /// Two writers of one file would meet in its temporary one.
    writing: Arc<Mutex<()>>,
}

/// Where the published tree ends. Under load its partial files would be made and
/// removed five times a second, so they are kept here, and are written when nothing
/// has come for a moment.
#[derive(Default)]
pub(crate) struct Edge {
    pub(crate) size: u64,
    pub(crate) partial: Vec<TileFile>,
}

impl Tiles {
    /// The ledger's directory under a home, with the keys of its bundles.
    #[must_use]
    pub fn new(
        home: &Path,
        installation: InstallationId,
        keys: Arc<BundleKeys>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            directory: home.join("ledger"),
            installation,
            keys,
            entropy,
            edge: Arc::default(),
            writing: Arc::default(),
        }
    }

    /// Entries that are published.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.load().size
    }

    /// Publishes `size` entries: the full files are in place, and these are the
    /// partial ones.
    pub fn publish(&self, size: u64, partial: Vec<TileFile>) {
        self.edge.store(Arc::new(Edge { size, partial }));
    }

    /// Where the published tree ends now.
    pub(crate) fn edge(&self) -> Arc<Edge> {
        self.edge.load_full()
    }

    fn binding<'a>(&'a self, path: &'a str) -> Binding<'a> {
        Binding {
            holder: Holder::Installation(&self.installation),
            class: "audit",
            path: path.as_bytes(),
            version: 1,
            purpose: Purpose::LedgerBundle,
        }
    }

    fn error(path: &Path) -> impl Fn(std::io::Error) -> TilesError {
        let path = path.to_owned();
        move |cause| TilesError::Io {
            path: path.clone(),
            cause,
        }
    }

    /// The newest signed checkpoint, if one was ever published. After a power cut
    /// it may be cut short; what is no text in it does not read as a note either.
    pub fn checkpoint(&self) -> Result<Option<String>, TilesError> {
        let path = self.directory.join("checkpoint");
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Self::error(&path)(error)),
        }
    }

    /// Puts a signed checkpoint in place. Not synced, as tiles are not: a killed
    /// process leaves it whole or not at all, a power cut may leave it empty.
    pub fn put_checkpoint(&self, note: &str) -> Result<(), TilesError> {
        self.put(Path::new("checkpoint"), note.as_bytes())
    }

    /// Writes a tile or bundle. Not synced: what a power cut tears is made again
    /// from the store, at the next start or when it is asked for.
    pub fn write(&self, file: &TileFile) -> Result<(), TilesError> {
        let name = file.path.to_string();
        if file.path.kind() == TileKind::Entries {
            let keys = self.keys.0.load();
            let (epoch, key) = keys.last_key_value().ok_or(TilesError::NoKey)?;
            let sealed = seal(
                key,
                *epoch,
                &self.binding(&name),
                self.entropy.as_ref(),
                &file.bytes,
            )?;
            self.put(Path::new(&name), &sealed)
        } else {
            self.put(Path::new(&name), &file.bytes)
        }
    }

    /// Removes partial files that wider ones replaced.
    pub fn remove(&self, path: &TilePath) {
        // A file that stays only wastes its space.
        let _ = fs::remove_file(self.directory.join(path.to_string()));
    }

    /// Removes the entry bundles before this one: their entries are forgotten.
    pub fn remove_bundles(&self, before: u64) -> Result<(), TilesError> {
        if before == 0 {
            return Ok(());
        }
        let mut folders = vec!["tile/entries".to_owned()];
        while let Some(folder) = folders.pop() {
            let place = self.directory.join(&folder);
            let inside = match fs::read_dir(&place) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                found => found.map_err(Self::error(&place))?,
            };
            for found in inside {
                let found = found.map_err(Self::error(&place))?;
                let name = format!("{folder}/{}", found.file_name().to_string_lossy());
                if found.file_type().map_err(Self::error(&place))?.is_dir() {
                    folders.push(name);
                } else if let Ok(path) = name.parse::<TilePath>()
                    && path.index() < before
                {
                    self.remove(&path);
                }
            }
        }
        Ok(())
    }

    fn put(&self, name: &Path, bytes: &[u8]) -> Result<(), TilesError> {
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.directory.join(name);
        let temporary = path.with_extension("new");
        let open = || {
            File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)
        };
        let opened = match (open(), path.parent()) {
            (Err(error), Some(parent)) if error.kind() == std::io::ErrorKind::NotFound => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(parent)
                    .map_err(Self::error(parent))?;
                open()
            }
            (opened, _) => opened,
        };
        let mut file = opened.map_err(Self::error(&temporary))?;
        file.write_all(bytes).map_err(Self::error(&temporary))?;
        fs::rename(&temporary, &path).map_err(Self::error(&path))
    }

    /// The plain bytes of a file of exactly this name.
    pub fn read(&self, path: &TilePath) -> Result<Option<Vec<u8>>, TilesError> {
        let name = path.to_string();
        let file = self.directory.join(&name);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Self::error(&file)(error)),
        };
        if path.kind() != TileKind::Entries {
            return Ok(Some(bytes));
        }
        let keys = self.keys.0.load();
        open(|epoch| keys.get(&epoch), &self.binding(&name), &bytes)
            .map(|plain| Some(plain.expose().clone()))
            .map_err(|_| TilesError::Refused(file))
    }
}
