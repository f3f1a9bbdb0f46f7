//! What a gate keeps in its home of what it has seen, for the next process: without it a
//! server that was put back could not be told from the one that was followed.

use procura_edge::private_file;
use std::path::Path;

/// Writes what is remembered so that it is there whole after a power cut. When that does
/// not work, what was remembered before stays, and is as good as it was.
pub(crate) async fn remember(path: &Path, bytes: Vec<u8>, what: &str) {
    let place = path.to_owned();
    // The disk may take long, and this thread has requests to serve.
    let written = tokio::task::spawn_blocking(move || private_file::replace(&place, &bytes));
    if let Err(error) = written.await.unwrap_or_else(|error| Err(error.into())) {
        tracing::warn!(path = %path.display(), %error, "{what} could not be remembered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn the_last_that_could_be_written_is_there_whole() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("seen");
        for seq in ["12", "7"] {
            remember(&path, seq.into(), "a number").await;
            assert_eq!(std::fs::read_to_string(&path).unwrap(), seq);
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Nothing can be written aside under a name that is taken by a directory.
        let aside = format!("seen.{}.new", std::process::id());
        std::fs::create_dir(home.path().join(aside)).unwrap();
        remember(&path, b"13".to_vec(), "a number").await;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "7");
    }
}
