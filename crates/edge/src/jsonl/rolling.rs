//! A file that is begun anew when it is large or old, with a bounded number of
//! older ones beside it: `NAME`, `NAME.1` (the one before), `NAME.2` …

use procura_types::{Duration, Timestamp};
use rustix::fs::{Mode, OFlags};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// When a file is begun anew, and how many older ones stay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes that a file may have. One that gets more at a time has more.
    pub bytes: u64,
    /// From its first line on.
    pub age: Duration,
    /// How many files stay beside the newest.
    pub older: u32,
}

/// The file that is written to, opened with the first text.
pub(super) struct Rolling {
    folder: PathBuf,
    name: &'static str,
    limits: Limits,
    current: Option<Current>,
}

struct Current {
    file: File,
    device: u64,
    inode: u64,
    length: u64,
    begun: Timestamp,
}

impl Rolling {
    /// `name` in `folder`, which is made for its user alone when it is not there.
    pub(super) const fn new(folder: PathBuf, name: &'static str, limits: Limits) -> Self {
        Self {
            folder,
            name,
            limits,
            current: None,
        }
    }

    /// Adds whole lines, or none of them. Nothing is synced: what was written
    /// survives the process and not the machine.
    ///
    /// # Errors
    /// What the kernel says; also when what is in the file's place is a link or
    /// anything else but a file.
    pub(super) fn append(&mut self, text: &[u8], now: Timestamp) -> io::Result<()> {
        let more = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let (path, limits) = (self.path(0), self.limits);
        let mut current = match self.current.take() {
            Some(current) if current.is_at(&path) => current,
            // Somebody moved or removed it.
            _ => Current::open(&self.folder, &path, now)?,
        };
        // After the clock was set back, count anew from here.
        current.begun = current.begun.min(now);
        let full = current.length.saturating_add(more) > limits.bytes;
        let old = now.since(current.begun) >= limits.age;
        if current.length > 0 && (full || old) {
            drop(current);
            self.shift()?;
            current = Current::open(&self.folder, &path, now)?;
        }
        current.write(text, more)?;
        self.current = Some(current);
        Ok(())
    }

    /// Counts the number of each older file up; the oldest goes.
    fn shift(&self) -> io::Result<()> {
        for older in (0..self.limits.older).rev() {
            match fs::rename(self.path(older), self.path(older.saturating_add(1))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        // Of a time when more were kept.
        for beyond in self.limits.older.saturating_add(1).. {
            match fs::remove_file(self.path(beyond)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn path(&self, older: u32) -> PathBuf {
        match older {
            0 => self.folder.join(self.name),
            _ => self.folder.join(format!("{}.{older}", self.name)),
        }
    }
}

impl Current {
    fn open(folder: &Path, path: &Path, now: Timestamp) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        // Not waiting keeps a pipe in the file's place from stopping the writer.
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::APPEND
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?);
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::other("is not a file"));
        }
        let begun = first_moment(&file)?.unwrap_or(now);
        let mut current = Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            begun,
            file,
        };
        current.end_torn_line()?;
        Ok(current)
    }

    /// Whether this is the file that the path names.
    fn is_at(&self, path: &Path) -> bool {
        fs::symlink_metadata(path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode))
    }

    /// A line that a crash tore stays, and the next one is not added to it.
    fn end_torn_line(&mut self) -> io::Result<()> {
        if self.length == 0 {
            return Ok(());
        }
        let mut last = [0];
        self.file.seek(SeekFrom::End(-1))?;
        self.file.read_exact(&mut last)?;
        if last == *b"\n" {
            return Ok(());
        }
        self.write(b"\n", 1)
    }

    fn write(&mut self, text: &[u8], more: u64) -> io::Result<()> {
        let written = self.file.write_all(text);
        if written.is_ok() {
            self.length = self.length.saturating_add(more);
        } else {
            // Half a line must not become the beginning of the next one. When this
            // fails too, its end is mended when the file is opened again.
            let _ = self.file.set_len(self.length);
        }
        written
    }
}

/// When the first line was written, if it is one of ours.
fn first_moment(file: &File) -> io::Result<Option<Timestamp>> {
    let mut head = Vec::with_capacity(64);
    file.take(64).read_to_end(&mut head)?;
    let text = String::from_utf8_lossy(&head);
    Ok(text
        .strip_prefix(r#"{"ts":""#)
        .and_then(|rest| rest.split_once('"'))
        .and_then(|(moment, _)| moment.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonl::Line;
    use std::os::unix::fs::PermissionsExt as _;

    const NOON: Timestamp = Timestamp::from_millis(1_795_000_000_000);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    struct Log {
        home: tempfile::TempDir,
        rolling: Rolling,
    }

    impl Log {
        fn new(bytes: u64, older: u32) -> Self {
            let home = tempfile::tempdir().unwrap();
            let rolling = Self::at(home.path(), bytes, older);
            Self { home, rolling }
        }

        fn at(home: &Path, bytes: u64, older: u32) -> Rolling {
            let limits = Limits {
                bytes,
                age: DAY * 7,
                older,
            };
            Rolling::new(home.join("logs"), "test.jsonl", limits)
        }

        fn again(&mut self, bytes: u64, older: u32) {
            self.rolling = Self::at(self.home.path(), bytes, older);
        }

        /// A line with a number in it, at a moment.
        fn add(&mut self, number: u32, now: Timestamp) -> io::Result<()> {
            let line = Line::new(now, "test").field("n", number).end();
            self.rolling.append(&line, now)
        }

        /// The numbers in each file, the newest file first.
        fn numbers(&self) -> Vec<Vec<u64>> {
            (0..)
                .map_while(|older| fs::read_to_string(self.rolling.path(older)).ok())
                .map(|text| {
                    text.lines()
                        .map(|line| {
                            let line: serde_json::Value = serde_json::from_str(line).unwrap();
                            line["n"].as_u64().unwrap()
                        })
                        .collect()
                })
                .collect()
        }
    }

    /// The length of a line with one digit.
    fn line_length() -> u64 {
        let line = Line::new(NOON, "test").field("n", 1).end();
        line.len().try_into().unwrap()
    }

    #[test]
    fn a_full_file_is_begun_anew_and_the_oldest_goes() {
        let mut log = Log::new(line_length() * 2, 2);
        for number in 0..9 {
            log.add(number, NOON).unwrap();
        }
        assert_eq!(log.numbers(), [vec![8], vec![6, 7], vec![4, 5]]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&log.rolling.path(0)), 0o600);
        assert_eq!(mode(&log.rolling.path(2)), 0o600);
        assert_eq!(mode(&log.rolling.folder), 0o700);
        // Another process goes on where this one was, and keeps fewer.
        log.again(line_length() * 2, 1);
        log.add(9, NOON).unwrap();
        assert_eq!(log.numbers(), [vec![8, 9], vec![6, 7], vec![4, 5]]);
        log.add(0, NOON).unwrap();
        assert_eq!(log.numbers(), [vec![0], vec![8, 9]]);
    }

    #[test]
    fn an_old_file_is_begun_anew_also_by_another_process() {
        let mut log = Log::new(1 << 20, 3);
        log.add(1, NOON).unwrap();
        log.add(2, NOON.plus(DAY * 6)).unwrap();
        log.again(1 << 20, 3);
        log.add(3, NOON.plus(DAY * 7)).unwrap();
        log.add(4, NOON.plus(DAY * 13)).unwrap();
        assert_eq!(log.numbers(), [vec![3, 4], vec![1, 2]]);
        log.add(5, NOON.plus(DAY * 14)).unwrap();
        assert_eq!(log.numbers(), [vec![5], vec![3, 4], vec![1, 2]]);
        // The clock was a year ahead for a while: its file is as old as what came
        // after it, and not for ever young.
        let mut log = Log::new(1 << 20, 3);
        log.add(1, NOON.plus(DAY * 365)).unwrap();
        log.add(2, NOON).unwrap();
        log.add(3, NOON.plus(DAY * 7)).unwrap();
        assert_eq!(log.numbers(), [vec![3], vec![1, 2]]);
    }

    #[test]
    fn a_file_that_was_moved_or_torn_is_gone_on_with() {
        let mut log = Log::new(1 << 20, 3);
        log.add(1, NOON).unwrap();
        // As a tool for logs does it.
        fs::rename(log.rolling.path(0), log.home.path().join("moved")).unwrap();
        log.add(2, NOON).unwrap();
        assert_eq!(log.numbers(), [vec![2]]);
        fs::remove_dir_all(&log.rolling.folder).unwrap();
        log.add(3, NOON).unwrap();
        assert_eq!(log.numbers(), [vec![3]]);
        // The process was killed in the middle of a line.
        fs::write(log.rolling.path(0), "{\"ts\":\"20").unwrap();
        log.again(1 << 20, 3);
        log.add(4, NOON).unwrap();
        let text = fs::read_to_string(log.rolling.path(0)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "{\"ts\":\"20");
        assert!(lines[1].ends_with("\"n\":4}") && lines.len() == 2);
    }

    #[test]
    fn nothing_but_a_file_is_written_to() {
        let mut log = Log::new(1 << 20, 3);
        let folder = log.rolling.folder.clone();
        fs::create_dir(&folder).unwrap();
        let victim = log.home.path().join("victim");
        fs::write(&victim, "").unwrap();
        std::os::unix::fs::symlink(&victim, log.rolling.path(0)).unwrap();
        assert!(log.add(1, NOON).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"");
        fs::remove_file(log.rolling.path(0)).unwrap();
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, log.rolling.path(0), pipe, Mode::RUSR, 0).unwrap();
        assert!(log.add(2, NOON).is_err());
        fs::remove_file(log.rolling.path(0)).unwrap();
        fs::create_dir(log.rolling.path(0)).unwrap();
        assert!(log.add(3, NOON).is_err());
        // And when that is over it goes on.
        fs::remove_dir(log.rolling.path(0)).unwrap();
        log.add(4, NOON).unwrap();
        assert_eq!(log.numbers(), [vec![4]]);
    }
}
