//! Small files that must survive: private to their owner, whole or absent, and
//! on the disk before anything builds on them.

use crate::failure::Failure;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::storage(format!("cannot {what} {}", path.display()), error);
    match error.kind() {
        ErrorKind::PermissionDenied => {
            failure.next("the same as the user to whom it belongs, or with another --home")
        }
        ErrorKind::NotADirectory => failure.next("--home DIR, with a directory that can be made"),
        ErrorKind::ReadOnlyFilesystem => failure.next("--home DIR, on a disk that can be written"),
        ErrorKind::StorageFull => failure.next("make room on the disk"),
        _ => failure,
    }
}

/// The bytes of a file, or nothing when there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// Makes a directory, and those above it, for the owner alone.
pub(crate) fn private_dir(path: &Path) -> Result<(), Failure> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| failed("make", path, &error))
}

/// Writes a file that must not exist yet, 0600.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    // Written aside and linked into place: whoever finds the name finds all of
    // it, and an existing file is never touched.
    let aside = write_aside(path, bytes)?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside).map_err(|error| failed("remove", &aside, &error))?;
    match linked {
        Ok(()) => sync_dir(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Failure::config(format!(
            "{} exists already and is left as it is",
            path.display()
        ))
        .next("use another --home, or move the file away if you are sure")),
        Err(error) => Err(failed("write", path, &error)),
    }
}

/// Writes a file, replacing what was there, 0600.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let aside = write_aside(path, bytes)?;
    std::fs::rename(&aside, path).map_err(|error| failed("write", path, &error))?;
    sync_dir(path)
}

fn write_aside(path: &Path, bytes: &[u8]) -> Result<std::path::PathBuf, Failure> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let aside = path.with_file_name(name);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| failed("write", &aside, &error))?;
    Ok(aside)
}

fn sync_dir(path: &Path) -> Result<(), Failure> {
    let dir = path.parent().unwrap_or(Path::new("/"));
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| failed("sync", dir, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn create_never_overwrites_and_replace_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        create(&path, b"one").unwrap();
        let refused = create(&path, b"two").unwrap_err().to_string();
        assert!(
            refused.contains("exists already and is left as it is"),
            "{refused}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"three");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
