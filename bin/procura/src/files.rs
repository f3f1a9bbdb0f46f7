//! Small files that must survive: private to their owner, whole or absent, and
//! on the disk before anything builds on them.

use crate::failure::Failure;
use procura_edge::private_file;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
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
    private_file::create(path, bytes).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::config(format!(
            "{} exists already and is left as it is",
            path.display()
        ))
        .next("use another --home or --out, or move the file away if you are sure"),
        _ => failed("write", path, &error),
    })
}

/// Takes a file away that was made a moment ago.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    std::fs::remove_file(path).map_err(|error| failed("remove", path, &error))
}

/// Writes a file, replacing what was there, 0600.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    private_file::replace(path, bytes).map_err(|error| failed("write", path, &error))
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
