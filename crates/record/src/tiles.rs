//! The ledger's files: C2SP tiles under `<home>/ledger/`. Hash tiles lie there as
//! they are; entry bundles are sealed (`protocol.md` §6) and leave plain only
//! through an export.

use procura_crypto::{Binding, Holder, Purpose, XaesKey, open, seal};
use procura_ledger::{BundleReader, Hash, HashTiles, LedgerError, TileFile, TileKind, TilePath};
use procura_types::{Entropy, InstallationId};
use std::fs::{self, DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// A bundle that could not be sealed.
    #[error(transparent)]
    Seal(#[from] procura_crypto::SealError),
}

/// The directory of the ledger.
#[derive(Clone)]
pub struct Tiles {
    directory: PathBuf,
    installation: InstallationId,
    key: Arc<XaesKey>,
    entropy: Arc<dyn Entropy>,
    /// Entries that the published files hold.
    size: Arc<AtomicU64>,
}

impl Tiles {
    /// The ledger's directory under a home, with the key of its bundles.
    #[must_use]
    pub fn new(
        home: &Path,
        installation: InstallationId,
        key: Arc<XaesKey>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            directory: home.join("ledger"),
            installation,
            key,
            entropy,
            size: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Entries that the published files hold.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    /// Says that the files of `size` entries are in place.
    pub fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
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

    /// The newest signed checkpoint, if one was ever published.
    pub fn checkpoint(&self) -> Result<Option<String>, TilesError> {
        let path = self.directory.join("checkpoint");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Self::error(&path)(error)),
        }
    }

    /// Puts a signed checkpoint in place, whole or not at all.
    pub fn put_checkpoint(&self, note: &str) -> Result<(), TilesError> {
        self.put(Path::new("checkpoint"), note.as_bytes())
    }

    /// Writes a tile or bundle. Not synced: what a crash tears is rebuilt from
    /// the store at the next start.
    pub fn write(&self, file: &TileFile) -> Result<(), TilesError> {
        let name = file.path.to_string();
        if file.path.kind() == TileKind::Entries {
            let sealed = seal(
                &self.key,
                1,
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

    fn put(&self, name: &Path, bytes: &[u8]) -> Result<(), TilesError> {
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
        open(
            |epoch| (epoch == 1).then_some(&*self.key),
            &self.binding(&name),
            &bytes,
        )
        .map(|plain| Some(plain.expose().clone()))
        .map_err(|_| TilesError::Refused(file))
    }

    /// The bytes that a client asks for: of exactly `path`'s width, cut from what
    /// is there by now.
    pub fn serve(&self, path: &TilePath) -> Result<Option<Vec<u8>>, TilesError> {
        let level = match path.kind() {
            TileKind::Hashes(level) => level,
            TileKind::Entries => 0,
        };
        // Between looking at the size and opening the file, a new checkpoint may
        // replace a partial file: look again, once.
        for _ in 0..2 {
            let width = TilePath::width_in(self.size(), level, path.index());
            if width < path.width() {
                return Ok(None);
            }
            let current = TilePath::new(path.kind(), path.index(), width)?;
            if let Some(bytes) = self.read(&current)? {
                return Ok(Some(cut(path, bytes)?));
            }
        }
        Ok(None)
    }
}

/// The first entries or hashes of a file, as many as `path` is wide.
fn cut(path: &TilePath, mut bytes: Vec<u8>) -> Result<Vec<u8>, TilesError> {
    let width = usize::from(path.width());
    let end = match path.kind() {
        TileKind::Hashes(_) => width * 32,
        TileKind::Entries => {
            let mut reader = BundleReader::new(&bytes);
            for _ in 0..width {
                if let Some(Err(error)) = reader.next() {
                    return Err(error.into());
                }
            }
            usize::try_from(reader.offset()).unwrap_or(usize::MAX)
        }
    };
    bytes.truncate(end);
    Ok(bytes)
}

impl HashTiles for Tiles {
    type Error = TilesError;

    fn hash_tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<Hash>, TilesError> {
        let path = TilePath::new(TileKind::Hashes(level), index, width)?;
        match self.serve(&path)? {
            Some(bytes) => Ok(Hash::from_tile(&bytes)?),
            None => Err(LedgerError::TileTooShort {
                path: path.to_string(),
            }
            .into()),
        }
    }
}
