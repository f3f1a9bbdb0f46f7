//! A backup becomes a home: the file is read twice, once to know that it is whole, and
//! once to fill a database. The home appears as a whole or not at all.

use super::error::RestoreError;
use super::marker::Marker;
use crate::admin::DATABASE;
use procura_edge::private_file;
use procura_record::tables::LEDGER;
use procura_store::SqliteLoader;
use procura_store::backup::{BackupEnd, BackupReader, Item};
use procura_types::wire::{BackupHead, BackupKind};
use procura_types::{InstallationId, Timestamp};
use procura_vault::Installation;
use std::fs::{self, DirBuilder, File};
use std::io::{BufReader, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Bytes that are read of the file at once.
const BUFFER: usize = 1024 * 1024;

/// A backup whose bytes are whole.
#[derive(Debug, Clone)]
pub struct BackupFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says of itself.
    pub head: BackupHead,
    /// How it ends.
    pub end: BackupEnd,
}

fn open(path: &Path) -> Result<BackupReader<BufReader<File>>, RestoreError> {
    let what = || RestoreError::io(format!("opening {}", path.display()));
    let file = File::open(path).map_err(what())?;
    if !file.metadata().map_err(what())?.is_file() {
        return Err(RestoreError::Home {
            path: path.to_owned(),
            problem: "is no file".to_owned(),
        });
    }
    BackupReader::new(BufReader::with_capacity(BUFFER, file)).map_err(|fault| RestoreError::File {
        path: path.to_owned(),
        fault,
    })
}

/// Reads a whole backup, item by item.
pub(super) fn read(
    path: &Path,
    mut each: impl FnMut(Item) -> Result<(), RestoreError>,
) -> Result<BackupFile, RestoreError> {
    let mut reader = open(path)?;
    let mut head = None;
    loop {
        let item = reader.next_item().map_err(|fault| RestoreError::File {
            path: path.to_owned(),
            fault,
        })?;
        match item {
            Some(Item::Head(text)) => {
                head = Some(text.clone());
                each(Item::Head(text))?;
            }
            Some(Item::End(end)) => {
                // Only here is it known that the head is as it was written.
                let head: BackupHead =
                    serde_json::from_slice(&head.unwrap_or_default()).map_err(|error| {
                        RestoreError::Home {
                            path: path.to_owned(),
                            problem: format!("what it says of itself cannot be read: {error}"),
                        }
                    })?;
                let path = path.to_owned();
                return Ok(BackupFile { path, head, end });
            }
            Some(other) => each(other)?,
            None => return Err(RestoreError::internal("a backup without an end")),
        }
    }
}

/// Looks whether the bytes of a file are those of a whole backup. Needs no key.
///
/// # Errors
/// [`RestoreError::File`] with what is wrong; `Io`.
pub fn look(path: &Path) -> Result<BackupFile, RestoreError> {
    read(path, |_| Ok(()))
}

/// Makes a home from a backup, which no server starts on before it is activated. Whoever
/// belongs to an installation takes the backups of no other.
///
/// # Errors
/// Why the file cannot be used, or the place; nothing is left of it then.
pub fn load(
    path: &Path,
    home: &Path,
    of: Option<&InstallationId>,
    now: Timestamp,
) -> Result<Marker, RestoreError> {
    let place = Place::of(home)?;
    let file = look(path)?;
    if let Some(expected) = of.filter(|of| **of != file.head.id) {
        return Err(RestoreError::OtherInstallation {
            path: path.to_owned(),
            expected: *expected,
            found: file.head.id,
        });
    }
    if file.head.kind != BackupKind::Full {
        return Err(RestoreError::OtherKind {
            path: path.to_owned(),
            is: "a copy of the ledger alone",
            wanted: "a backup",
        });
    }
    let text = file.head.installation.clone().into_bytes();
    let installation = Installation::parse(&text)?;
    if installation.id != file.head.id {
        return Err(RestoreError::OtherInstallation {
            path: path.to_owned(),
            expected: file.head.id,
            found: installation.id,
        });
    }
    let made = place.begin()?;
    let filled = fill(&file, &text, &made.0, now)?;
    made.finish(home)?;
    Ok(filled)
}

fn fill(
    file: &BackupFile,
    installation: &[u8],
    home: &Path,
    now: Timestamp,
) -> Result<Marker, RestoreError> {
    let mut marker = Marker {
        installation: file.head.id,
        restored: now,
        taken: file.head.created,
        seq: 0,
        length: 0,
        rows: file.end.rows,
        entries: file.end.entries,
        checkpoint: file.head.checkpoint.clone(),
        digest: file.end.inner().to_vec(),
        tag: file.end.tag().to_vec(),
        verified: false,
        begun: None,
    };
    marker.write(home)?;
    private_file::create(&home.join("installation.json"), installation)
        .map_err(RestoreError::io("writing installation.json"))?;
    let mut loader = SqliteLoader::create(&home.join(DATABASE), &file.head.id)?;
    let mut anchor = None;
    let again = read(&file.path, |item| {
        match item {
            Item::Row(key, row) => loader.row(&key, row.as_ref())?,
            Item::Entry(log, entry) => loader.entry(&log, &entry)?,
            Item::Anchor(found) => anchor = Some(found),
            Item::Head(_) | Item::End(_) => {}
        }
        Ok(())
    })?;
    if again.end != file.end {
        return Err(RestoreError::Home {
            path: file.path.clone(),
            problem: "was changed while it was read".to_owned(),
        });
    }
    let anchor = anchor.ok_or_else(|| RestoreError::OtherKind {
        path: file.path.clone(),
        is: "without the row that vouches for all others",
        wanted: "a whole backup",
    })?;
    loader.finish(&anchor)?;
    marker.seq = anchor.seq.get();
    marker.length = anchor
        .logs
        .iter()
        .find(|(log, _)| **log == *LEDGER.as_str())
        .map_or(0, |(_, length)| *length);
    marker.write(home)?;
    Ok(marker)
}

/// The place of a home that is to be.
struct Place {
    /// Where it is made: beside where it will be.
    aside: PathBuf,
}

impl Place {
    /// Looks whether there is room for a home: nothing, or an empty directory of ours.
    fn of(home: &Path) -> Result<Self, RestoreError> {
        let problem = |problem: String| RestoreError::Home {
            path: home.to_owned(),
            problem,
        };
        match fs::symlink_metadata(home) {
            Ok(found) if !found.is_dir() => return Err(problem("is no directory".to_owned())),
            Ok(found) if found.uid() != rustix::process::getuid().as_raw() => {
                return Err(problem("belongs to another user".to_owned()));
            }
            Ok(_) => {
                if let Ok(there) = Installation::read(home) {
                    return Err(problem(format!(
                        "installation {} is there already; restore to an empty directory",
                        there.id
                    )));
                }
                let mut inside = fs::read_dir(home).map_err(|error| problem(error.to_string()))?;
                if inside.next().is_some() {
                    return Err(problem(
                        "is not empty; restore to an empty directory".to_owned(),
                    ));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(problem(error.to_string())),
        }
        let name = home
            .file_name()
            .ok_or_else(|| problem("has no name".to_owned()))?;
        let mut aside = name.to_owned();
        aside.push(".restoring");
        Ok(Self {
            aside: home.with_file_name(aside),
        })
    }

    /// Makes the directory; what a restore that was killed left in its place goes.
    fn begin(self) -> Result<Made, RestoreError> {
        let Self { aside } = self;
        let failed = |error: std::io::Error| RestoreError::Home {
            path: aside.clone(),
            problem: error.to_string(),
        };
        if super::marker::find(&aside).is_ok_and(|marker| marker.is_some()) {
            fs::remove_dir_all(&aside).map_err(failed)?;
        }
        if let Some(parent) = aside.parent().filter(|parent| *parent != Path::new("")) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .map_err(failed)?;
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&aside)
            .map_err(failed)?;
        Ok(Made(aside))
    }
}

/// A home that is being made; it goes with this when it is not finished.
struct Made(PathBuf);

impl Made {
    fn finish(mut self, home: &Path) -> Result<(), RestoreError> {
        let failed = || RestoreError::io(format!("making {}", home.display()));
        // What the database left for a next opening.
        for beside in [".lock", "-wal", "-shm"] {
            let left = self.0.join(format!("{DATABASE}{beside}"));
            match fs::remove_file(left) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed()(error)),
                _ => {}
            }
        }
        File::open(&self.0)
            .and_then(|made| made.sync_all())
            .map_err(failed())?;
        fs::rename(&self.0, home).map_err(failed())?;
        self.0 = PathBuf::new();
        let parent = home.parent().filter(|parent| *parent != Path::new(""));
        File::open(parent.unwrap_or(Path::new(".")))
            .and_then(|parent| parent.sync_all())
            .map_err(failed())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if self.0 != Path::new("") {
            // What stays wastes its space, and is replaced by the next.
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}
