//! A directory: its files are values, their places in it paths. Whoever can write to it
//! decides what becomes a secret, so nothing in it is followed: each step goes from the
//! open directory above it, and a link, a device or a pipe is an error.

use super::{MOST, Plan, not_in_order, path};
use crate::failure::Failure;
use procura_types::wire::{PortableSecret, ValueB64};
use procura_types::{Secret, SecretBytes};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The largest value, in bytes.
const LARGEST: usize = 1024 * 1024;
/// How many directories may stand in each other.
const DEEPEST: usize = 16;
/// Most names of all directories together.
const MOST_NAMES: usize = 2 * MOST;

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Never waits for the other end of a pipe.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// What the directory has, or everything that is wrong with it.
pub(super) fn plan(dir: &Path, prefix: &str) -> Result<Plan, Failure> {
    let name = dir.display().to_string();
    let top = openat(CWD, dir, FOLDER, Mode::empty()).map_err(|error| {
        let why = if error == Errno::LOOP || error == Errno::NOTDIR {
            "it is a link or no directory".to_owned()
        } else {
            std::io::Error::from(error).to_string()
        };
        Failure::usage(format!("nothing was written: cannot read {name}")).because(why)
    })?;
    let mut reading = Reading {
        prefix,
        names: 0,
        open_to_others: 0,
        secrets: Vec::new(),
        wrong: Vec::new(),
    };
    reading.folder(top, "", 1);
    if !reading.wrong.is_empty() {
        return Err(not_in_order(&name, &reading.wrong));
    }
    let notes = match reading.open_to_others {
        0 => Vec::new(),
        count => vec![format!(
            "note: {count} of these files can be read by other users of this machine; consider them known"
        )],
    };
    Ok(Plan {
        secrets: reading.secrets,
        notes,
    })
}

struct Reading<'a> {
    prefix: &'a str,
    names: usize,
    open_to_others: usize,
    secrets: Vec<PortableSecret>,
    wrong: Vec<String>,
}

impl Reading<'_> {
    fn folder(&mut self, folder: OwnedFd, below: &str, depth: usize) {
        let names = match self.names(&folder) {
            Ok(names) => names,
            Err(problem) => return self.wrong.push(format!("{below}: {problem}")),
        };
        for name in names {
            let at = format!("{below}{name}");
            if let Err(problem) = self.entry(&folder, &name, &at, depth) {
                self.wrong.push(format!("{at}: {problem}"));
            }
        }
    }

    fn names(&mut self, folder: &OwnedFd) -> Result<Vec<String>, String> {
        let failed = |error: Errno| format!("cannot be read: {}", std::io::Error::from(error));
        let mut names = Vec::new();
        for entry in Dir::read_from(folder.as_fd()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            self.names += 1;
            if self.names > MOST_NAMES {
                return Err(format!("more than {MOST_NAMES} files and directories"));
            }
            let name = std::str::from_utf8(name).map_err(|_| "a name is not UTF-8")?;
            names.push(name.to_owned());
        }
        names.sort();
        Ok(names)
    }

    fn entry(
        &mut self,
        folder: &OwnedFd,
        name: &str,
        at: &str,
        depth: usize,
    ) -> Result<(), String> {
        let failed = |error: Errno| format!("cannot be read: {}", std::io::Error::from(error));
        let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory if depth == DEEPEST => {
                Err(format!("more than {DEEPEST} directories in each other"))
            }
            FileType::Directory => {
                let below = openat(folder, name, FOLDER, Mode::empty()).map_err(failed)?;
                self.folder(below, &format!("{at}/"), depth + 1);
                Ok(())
            }
            FileType::RegularFile => {
                let path = path(self.prefix, at).map_err(|error| error.to_string())?;
                let file = File::from(openat(folder, name, FILE, Mode::empty()).map_err(failed)?);
                let value = self.value(file)?;
                let value = ValueB64::encode(value.expose());
                self.secrets.push(PortableSecret::new(path, value));
                Ok(())
            }
            FileType::Symlink => Err("is a link; put the file itself there".to_owned()),
            _ => Err("is not a regular file".to_owned()),
        }
    }

    /// The bytes of what was opened, whatever its name leads to meanwhile.
    fn value(&mut self, file: File) -> Result<SecretBytes, String> {
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |error: std::io::Error| format!("cannot be read: {error}");
        let found = file.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err("is not a regular file".to_owned());
        }
        if found.permissions().mode() & 0o077 != 0 {
            self.open_to_others += 1;
        }
        let length = usize::try_from(found.len()).unwrap_or(usize::MAX);
        // Room for all of it at once: nothing is left behind by growing.
        let mut value = Secret::new(Vec::with_capacity(length.min(LARGEST) + 1));
        let limit = u64::try_from(LARGEST + 1).unwrap_or(u64::MAX);
        file.take(limit)
            .read_to_end(value.expose_mut())
            .map_err(failed)?;
        if value.expose().len() > LARGEST {
            return Err("is larger than 1 MiB, the most that a secret can hold".to_owned());
        }
        Ok(value)
    }
}
