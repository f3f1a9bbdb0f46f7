//! Small files that people put in place and replace while the server runs. Each is
//! looked at before it counts, and read again only when it may have changed, so
//! that a change counts from the next request on without a request waiting for a
//! disk.

use procura_types::{Duration, Timestamp};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

/// For so long after a file was first seen as it is, it is read each time: times of
/// files are coarse (some milliseconds, two seconds on the coarsest file systems), so
/// a second change soon after the first may leave no other trace.
const SETTLES: Duration = Duration::from_secs(3);

/// Why what is at a path counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    /// A link, a pipe, a directory.
    #[error("is not a regular file (links are not followed)")]
    NotAFile,
    /// Not for the server's user.
    #[error("cannot be read by the server's user")]
    Forbidden,
    /// Longer than what it should hold can be.
    #[error("is longer than {0} bytes")]
    TooLong(u64),
    /// Of another form.
    #[error("{0}")]
    Malformed(String),
}

/// A file as it was when it was read.
#[derive(Debug, Clone)]
pub(crate) struct Reading<T> {
    stamp: Stamp,
    first_seen: Instant,
    settled: bool,
    /// When the file was last written.
    pub(crate) modified: Timestamp,
    /// What it holds.
    pub(crate) value: Result<T, Unfit>,
}

impl<T> Reading<T> {
    /// Whether both are of the same file with the same times.
    pub(crate) fn same_file(&self, other: &Self) -> bool {
        self.stamp == other.stamp
    }

    /// Device, inode and time of change: a file that was away has another, even if it
    /// is the same one put back, since whatever moves it changes that time, which the
    /// kernel alone sets.
    pub(crate) const fn identity(&self) -> FileId {
        let (seconds, nanos) = self.stamp.changed;
        FileId([
            self.stamp.device.to_be_bytes(),
            self.stamp.inode.to_be_bytes(),
            seconds.to_be_bytes(),
            nanos.to_be_bytes(),
        ])
    }

    /// Whether the file need not be read again before its times change.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled
    }
}

/// Which file it is, and since when it is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId([[u8; 8]; 4]);

impl FileId {
    /// All of it.
    pub(crate) const fn as_bytes(&self) -> &[u8] {
        self.0.as_flattened()
    }
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    /// Set by the kernel alone, to the time of any change.
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

/// Looks at `path` and reads it when it is not as `known`. `None`: nothing is there.
/// `steady` is a reading of a clock that is not set, from before the call.
///
/// # Errors
/// What the kernel says when it cannot tell what is there; nothing is known then.
pub(crate) fn look<T: Clone>(
    path: &Path,
    longest: u64,
    known: Option<&Reading<T>>,
    steady: Instant,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> io::Result<Option<Reading<T>>> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let stamp = Stamp::of(&found);
    if let Some(known) = known
        && known.settled
        && known.stamp == stamp
    {
        return Ok(Some(known.clone()));
    }
    let (found, value) = match read(path, &found, longest)? {
        Opened::Gone => return Ok(None),
        Opened::Unfit(unfit) => (found, Err(unfit)),
        Opened::Read(found, text) => (found, parse(&text).map_err(Unfit::Malformed)),
    };
    let stamp = Stamp::of(&found);
    let first_seen = match known {
        Some(known) if known.stamp == stamp => known.first_seen,
        _ => steady,
    };
    Ok(Some(Reading {
        stamp,
        first_seen,
        settled: steady.saturating_duration_since(first_seen) >= SETTLES,
        modified: modified(&found),
        value,
    }))
}

enum Opened {
    Gone,
    Unfit(Unfit),
    Read(Metadata, Vec<u8>),
}

/// Reads what is there, if it is a regular file; never waits for the other end of a
/// pipe. What is judged is what was opened, whatever the path names meanwhile.
fn read(path: &Path, found: &Metadata, longest: u64) -> io::Result<Opened> {
    if !found.is_file() {
        return Ok(Opened::Unfit(Unfit::NotAFile));
    }
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(Opened::Gone),
        Err(Errno::LOOP | Errno::NXIO) => return Ok(Opened::Unfit(Unfit::NotAFile)),
        Err(Errno::ACCESS | Errno::PERM) => return Ok(Opened::Unfit(Unfit::Forbidden)),
        Err(error) => return Err(error.into()),
    };
    // From before the bytes: what is written meanwhile shows next time.
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(Opened::Unfit(Unfit::NotAFile));
    }
    let mut text = Vec::new();
    file.take(longest.saturating_add(1))
        .read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > longest {
        return Ok(Opened::Unfit(Unfit::TooLong(longest)));
    }
    Ok(Opened::Read(found, text))
}

fn modified(found: &Metadata) -> Timestamp {
    // Before 1970 is a clock that was not set, and is shown as 1970.
    let seconds = u64::try_from(found.mtime()).unwrap_or(0);
    let nanos = u64::try_from(found.mtime_nsec()).unwrap_or(0);
    Timestamp::from_millis(
        seconds
            .saturating_mul(1000)
            .saturating_add(nanos / 1_000_000),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct File {
        home: tempfile::TempDir,
        known: Option<Reading<String>>,
        begin: Instant,
    }

    impl File {
        fn path(&self) -> std::path::PathBuf {
            self.home.path().join("file")
        }

        /// Looks after so many seconds: what is there, and whether it was read.
        fn after(&mut self, seconds: u64) -> (Option<Result<String, Unfit>>, bool) {
            let mut was_read = false;
            let steady = self.begin + Duration::from_secs(seconds);
            let read = |text: &[u8]| {
                was_read = true;
                String::from_utf8(text.to_vec()).map_err(|_| "no text".to_owned())
            };
            self.known = look(&self.path(), 8, self.known.as_ref(), steady, read).unwrap();
            let value = self.known.as_ref().map(|reading| reading.value.clone());
            (value, was_read)
        }
    }

    fn file() -> File {
        File {
            home: tempfile::tempdir().unwrap(),
            known: None,
            begin: Instant::now(),
        }
    }

    #[test]
    fn a_file_is_read_for_a_while_after_it_changed_and_then_only_looked_at() {
        let mut file = file();
        assert_eq!(file.after(0), (None, false));
        let one = Some(Ok("one".to_owned()));
        let two = Some(Ok("two".to_owned()));
        fs::write(file.path(), "one").unwrap();
        for (seconds, was_read) in [
            (1, true),
            (1, true),
            (3, true),
            (4, true),
            (4, false),
            (900, false),
        ] {
            assert_eq!(file.after(seconds), (one.clone(), was_read), "{seconds}");
        }
        // From the change on it counts anew.
        fs::write(file.path(), "two").unwrap();
        for (seconds, was_read) in [(1000, true), (1002, true), (1003, true), (1003, false)] {
            assert_eq!(file.after(seconds), (two.clone(), was_read), "{seconds}");
        }
        fs::remove_file(file.path()).unwrap();
        assert_eq!(file.after(1004), (None, false));
    }

    #[test]
    fn what_does_not_fit_is_remembered_as_well() {
        let mut file = file();
        fs::write(file.path(), "123456789").unwrap();
        for seconds in [0, 3, 4] {
            assert_eq!(file.after(seconds), (Some(Err(Unfit::TooLong(8))), false));
        }
        fs::write(file.path(), [0xff]).unwrap();
        let malformed = Some(Err(Unfit::Malformed("no text".to_owned())));
        for (seconds, was_read) in [(10, true), (13, true), (14, false)] {
            assert_eq!(file.after(seconds), (malformed.clone(), was_read));
        }
        fs::remove_file(file.path()).unwrap();
        fs::create_dir(file.path()).unwrap();
        assert_eq!(file.after(20), (Some(Err(Unfit::NotAFile)), false));
        fs::remove_dir(file.path()).unwrap();
        fs::write(file.path(), "12345678").unwrap();
        assert_eq!(file.after(30), (Some(Ok("12345678".to_owned())), true));
    }

    #[test]
    fn a_place_that_cannot_be_looked_at_is_an_error() {
        let file = file();
        fs::write(file.path(), "").unwrap();
        let below = file.path().join("below");
        let looked = look(&below, 8, None, file.begin, |_| Ok(()));
        assert!(looked.is_err());
    }
}
