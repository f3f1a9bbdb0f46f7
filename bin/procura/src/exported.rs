//! A directory with an exported record, as it is on disk: what lies below
//! `tile/`, and which of it a longer export made superfluous.

use crate::failure::Failure;
use procura_ledger::{
    Checkpoint, FORGOTTEN, FULL_TILE, LedgerError, ReadError, ReadFile, TileKind, TilePath, Vkey,
};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::PathBuf;

/// An exported record on disk.
pub(crate) struct Exported(pub(crate) PathBuf);

impl ReadFile for Exported {
    fn read(&self, name: &str) -> Result<Vec<u8>, ReadError> {
        std::fs::read(self.0.join(name)).map_err(|error| match error.kind() {
            ErrorKind::NotFound => ReadError::Missing,
            _ => ReadError::Failed(error.to_string()),
        })
    }
}

impl Exported {
    /// Everything below `tile/` that is no directory, by its name in the export.
    pub(crate) fn files(&self) -> Result<BTreeSet<String>, Failure> {
        let mut files = BTreeSet::new();
        let mut folders = vec!["tile".to_owned()];
        while let Some(folder) = folders.pop() {
            let path = self.0.join(&folder);
            let failed = |error: std::io::Error| {
                Failure::storage(format!("cannot list {}", path.display()), &error)
            };
            let entries = match std::fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if folder == "tile" && error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(failed(error)),
            };
            for entry in entries {
                let entry = entry.map_err(failed)?;
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                // A link is no directory here, wherever it leads.
                if entry.file_type().map_err(failed)?.is_dir() {
                    folders.push(name);
                } else {
                    files.insert(name);
                }
            }
        }
        Ok(files)
    }

    /// Refuses a directory that holds anything but an earlier export, whole or
    /// broken off, of the log of these keys, which has `size` entries now.
    pub(crate) fn check(&self, vkeys: &[Vkey], size: u64) -> Result<(), Failure> {
        let elsewhere = |why: String| {
            Failure::usage(format!("nothing was written to {}", self.0.display()))
                .because(why)
                .next("procura audit export DIR, with a directory that is empty or holds an earlier export of this record")
        };
        let failed = |error: std::io::Error| {
            Failure::storage(format!("cannot list {}", self.0.display()), &error)
        };
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let folder = entry.file_type().map_err(failed)?.is_dir();
            let ours = (folder && (name == "tile" || name == "handover"))
                || (!folder
                    && matches!(broken_off(&name).unwrap_or(&name), "checkpoint" | FORGOTTEN));
            if !ours {
                return Err(elsewhere(format!(
                    "{name} in it is not of an export of the record"
                )));
            }
        }
        for name in self.files()? {
            if tile(broken_off(&name).unwrap_or(&name)).is_none() {
                return Err(elsewhere(format!(
                    "{name} in it is not of an export of the record"
                )));
            }
        }
        let bytes = match self.read("checkpoint") {
            Ok(bytes) => bytes,
            // The checkpoint comes last: the export before was broken off.
            Err(ReadError::Missing) => return Ok(()),
            Err(ReadError::Failed(why)) => return Err(elsewhere(why)),
        };
        let earlier = std::str::from_utf8(&bytes)
            .map_err(|error| elsewhere(format!("its checkpoint is no text: {error}")))
            .and_then(|text| {
                opened(text, vkeys).map_err(|error| {
                    elsewhere(format!("its checkpoint is not of this record: {error}"))
                })
            })?;
        if earlier.size > size {
            return Err(elsewhere(format!(
                "it holds {} entries already, and the server has {size}",
                earlier.size
            )));
        }
        Ok(())
    }

    /// The first whole bundle from this one on that is not there.
    pub(crate) fn bundles_from(&self, mut index: u64) -> u64 {
        while let Ok(path) = TilePath::new(TileKind::Entries, index, FULL_TILE)
            && self.0.join(path.to_string()).exists()
        {
            index += 1;
        }
        index
    }

    /// Removes what an export of `size` entries replaced: narrower forms of its
    /// tiles, and files that an export before left half written. Says how many.
    pub(crate) fn remove_superseded(&self, size: u64) -> Result<u64, Failure> {
        let mut removed = 0;
        for name in self.files()? {
            let superseded = match broken_off(&name) {
                Some(of) => tile(of).is_some(),
                None => tile(&name).is_some_and(|path| path.width() < width_now(size, &path)),
            };
            if !superseded {
                continue;
            }
            let file = self.0.join(&name);
            std::fs::remove_file(&file).map_err(|error| {
                Failure::storage(format!("cannot remove {}", file.display()), &error)
            })?;
            removed += 1;
            // Only the folder of narrower forms can be empty now; any other
            // refuses to go.
            if let Some(folder) = file.parent() {
                let _ = std::fs::remove_dir(folder);
            }
        }
        Ok(removed)
    }
}

/// A checkpoint, by any of the keys that the record had.
fn opened(note: &str, vkeys: &[Vkey]) -> Result<Checkpoint, LedgerError> {
    let mut error = None;
    for vkey in vkeys {
        match Checkpoint::open(note, vkey) {
            Err(unsigned @ LedgerError::Unsigned { .. }) => error = Some(unsigned),
            other => return other,
        }
    }
    Err(error.unwrap_or_else(|| LedgerError::Unsigned {
        name: "any key that is known".to_owned(),
    }))
}

fn tile(name: &str) -> Option<TilePath> {
    name.parse().ok()
}

/// The width of this tile in a log of `size` entries.
fn width_now(size: u64, path: &TilePath) -> u16 {
    let level = match path.kind() {
        TileKind::Hashes(level) => level,
        TileKind::Entries => 0,
    };
    TilePath::width_in(size, level, path.index())
}

/// Of a file that was being written aside when its export ended, the name that
/// it was to get ([`crate::files::replace`]).
fn broken_off(name: &str) -> Option<&str> {
    let (of, process) = name.strip_suffix(".new")?.rsplit_once('.')?;
    let digits = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn write(dir: &Path, name: &str) {
        let file = dir.join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, "x").unwrap();
    }

    #[test]
    fn what_a_longer_export_replaced_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "tile/entries/000.p/121",
            "tile/entries/000",
            "tile/entries/001.p/4",
            "tile/entries/001.p/9",
            "tile/entries/001.p/9.77.new",
            "tile/0/000.p/121",
            "tile/0/002.p/1",
            "tile/notes.txt",
        ] {
            write(dir.path(), name);
        }
        let exported = Exported(dir.path().to_owned());
        assert_eq!(exported.remove_superseded(256 + 9).unwrap(), 4);
        let left: Vec<_> = exported.files().unwrap().into_iter().collect();
        assert_eq!(
            left,
            [
                "tile/0/002.p/1",
                "tile/entries/000",
                "tile/entries/001.p/9",
                "tile/notes.txt"
            ]
        );
        assert!(!dir.path().join("tile/entries/000.p").exists());
    }

    #[test]
    fn names_of_files_that_were_being_written() {
        assert_eq!(broken_off("checkpoint.12.new"), Some("checkpoint"));
        for name in ["checkpoint", "a.new", "a.x.new", "a..new", "a.12"] {
            assert_eq!(broken_off(name), None, "{name}");
        }
    }
}
