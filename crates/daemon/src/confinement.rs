//! What keeps a command away from the daemon whose user it shares: Landlock
//! (landlock(7)), which a process puts on itself for good.
//!
//! Landlock knows only what is allowed, so everything is but the daemon's
//! directory and what leads to it: of each directory on the way, the entries
//! that are there are allowed one by one. The price is that the command can make
//! nothing directly in those (such as `/home/me` above `/home/me/.procura`), nor
//! open what others make there later. That goes for what leads to a place that is not
//! there, too: otherwise a command could make it, and be taken for the daemon.
//!
//! Whoever is confined also cannot look into a process that is not, the daemon
//! among them: no ptrace, no `/proc/PID/mem`, no taking of its descriptors.

use crate::DaemonError;
use landlock::{
    ABI, Access as _, AccessFs, CompatLevel, Compatible as _, PathBeneath, Ruleset,
    RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The least that is needed, Linux 5.19: before it, nothing could be moved from
/// one directory to another.
const NEEDED: ABI = ABI::V2;
/// What is asked for where the kernel has it (Linux 6.10): truncating, and
/// commands to devices.
const WANTED: ABI = ABI::V5;

/// Says whether this kernel lets a process confine itself.
///
/// # Errors
/// [`DaemonError::Config`], with what to do.
pub fn landlock_available() -> Result<(), DaemonError> {
    empty().map(drop).map_err(|_| {
        DaemonError::Config(
            "danger_same_uid: commands would share their user with the daemon, and this kernel cannot keep them from its keys: Landlock is missing or off (Linux 5.19 and newer have it; see `lsm=` of the boot line). Give the daemon a user of its own: sudo procura setup agent-host. Or accept that each command can read the keys, with procurad --danger-no-landlock".to_owned(),
        )
    })
}

fn empty() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(NEEDED))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))?
        .create()
}

/// A confinement that is ready to be put on.
#[derive(Debug)]
pub struct Confinement(RulesetCreated);

impl Confinement {
    /// Everything that is there now, but `hidden`. Of a place that is not there, what
    /// leads to it is closed all the same, so that nobody makes it.
    ///
    /// # Errors
    /// See [`landlock_available`]; and [`DaemonError::Io`] when it cannot be told
    /// where `hidden` is.
    pub fn without(hidden: &[PathBuf]) -> Result<Self, DaemonError> {
        landlock_available()?;
        let mut closed = BTreeSet::new();
        for place in hidden {
            closed.extend(ways_to(place)?);
        }
        // What is in a closed one is closed, and nothing leads through it.
        let inner: Vec<PathBuf> = closed
            .iter()
            .filter(|place| {
                place
                    .ancestors()
                    .skip(1)
                    .any(|above| closed.contains(above))
            })
            .cloned()
            .collect();
        closed.retain(|place| !inner.contains(place));
        let mut way = BTreeSet::from([PathBuf::from("/")]);
        for place in &closed {
            way.extend(place.ancestors().skip(1).map(Path::to_owned));
        }
        let mut rules = empty().map_err(failed)?;
        for directory in &way {
            // Names may be seen, so that `ls` works: those of devices' files are
            // their thumbprints, which are no secrets.
            allow(&mut rules, directory, Some(AccessFs::ReadDir));
            // One that cannot be listed closes what is in it, not more.
            let Ok(entries) = std::fs::read_dir(directory) else {
                continue;
            };
            for entry in entries.filter_map(Result::ok) {
                let path = entry.path();
                if !closed.contains(&path) && !way.contains(&path) {
                    allow(&mut rules, &path, None);
                }
            }
        }
        Ok(Self(rules))
    }

    /// Puts it on this thread, and so on what it becomes and what that starts.
    /// There is no way back.
    ///
    /// # Errors
    /// [`DaemonError::Config`]; the command must then not be started.
    pub fn enforce(self) -> Result<(), DaemonError> {
        let status = self.0.restrict_self().map_err(failed)?;
        match status.ruleset {
            RulesetStatus::NotEnforced => Err(DaemonError::Config(
                "the kernel did not confine the command; see procura doctor".to_owned(),
            )),
            RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced => Ok(()),
        }
    }
}

fn failed(error: RulesetError) -> DaemonError {
    DaemonError::Config(format!(
        "cannot keep the command from the daemon's keys: {error}; see procura doctor"
    ))
}

/// Allows `access` of one place, all of it unless that is said. What cannot be
/// opened or takes no rule stays closed, which is the safe side.
fn allow(rules: &mut RulesetCreated, path: &Path, access: Option<AccessFs>) {
    // A link is followed when it is used, and what it leads to has its own rule.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(file) = open(path, flags, Mode::empty()) else {
        return;
    };
    let access = match (access, kind(&file)) {
        (_, None | Some(FileType::Symlink)) => return,
        (Some(access), _) => access.into(),
        (None, Some(FileType::Directory)) => AccessFs::from_all(WANTED),
        (None, Some(_)) => AccessFs::from_file(WANTED),
    };
    let _ = rules.add_rule(PathBeneath::new(file, access));
}

fn kind(file: &OwnedFd) -> Option<FileType> {
    let found = fstat(file).ok()?;
    Some(FileType::from_raw_mode(found.st_mode))
}

/// Every way to a place; of one that is not there, or where this user cannot go, to the
/// first part of it that is missing.
fn ways_to(place: &Path) -> Result<Vec<PathBuf>, DaemonError> {
    let mut missing: Option<OsString> = None;
    for part in place.ancestors() {
        match part.canonicalize() {
            Ok(there) => {
                let mut ways = elsewhere(&there)?;
                ways.push(there);
                if let Some(name) = missing {
                    ways.iter_mut().for_each(|way| way.push(&name));
                }
                return Ok(ways);
            }
            // What a link leads to could be made elsewhere, and is nowhere to be closed.
            Err(error)
                if !part.is_symlink()
                    && matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                    ) =>
            {
                missing = part.file_name().map(ToOwned::to_owned);
            }
            Err(source) => {
                let doing = format!("see where {} is", part.display());
                return Err(DaemonError::io(doing, source));
            }
        }
    }
    Ok(Vec::new())
}

/// Where else a directory is to be seen, through what is mounted a second time.
fn elsewhere(place: &Path) -> Result<Vec<PathBuf>, DaemonError> {
    let look = |source| DaemonError::io(format!("look at {}", place.display()), source);
    let own = std::fs::metadata(place).map_err(look)?;
    let list = |source| DaemonError::io("read /proc/self/mountinfo", source);
    let mounts = std::fs::read("/proc/self/mountinfo").map_err(list)?;
    let parts: Vec<_> = place.components().skip(1).collect();
    let mut found = Vec::new();
    for mount in mounts.split(|byte| *byte == b'\n').filter_map(mount_point) {
        for from in 0..=parts.len() {
            let candidate: PathBuf = [mount.as_path()]
                .into_iter()
                .chain(parts.iter().skip(from).map(AsRef::<Path>::as_ref))
                .collect();
            let is_it = std::fs::metadata(&candidate)
                .is_ok_and(|other| (other.dev(), other.ino()) == (own.dev(), own.ino()));
            // One by a symbolic link is no other way: links are not allowed anything.
            if is_it && candidate.canonicalize().is_ok_and(|path| path == candidate) {
                found.push(candidate);
            }
        }
    }
    Ok(found)
}

/// The fifth field of a line (proc(5)): blanks and backslashes in it are octal.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                path.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                path.push(*first);
                rest = after;
            }
        }
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;
    use std::fs;

    /// What `attempts` give on a thread that is confined; the process is not.
    fn confined<T: Send + 'static>(
        hidden: &[PathBuf],
        attempts: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let confinement = Confinement::without(hidden).unwrap();
        let thread = std::thread::spawn(move || {
            confinement.enforce().unwrap();
            attempts()
        });
        thread.join().unwrap()
    }

    fn errno<T>(result: io::Result<T>) -> Option<Errno> {
        result
            .err()
            .map(|error| Errno::from_io_error(&error).unwrap())
    }

    #[test]
    fn all_is_as_it_was_but_the_directory_and_what_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let daemon = root.join("home/daemon");
        fs::create_dir_all(daemon.join("deep")).unwrap();
        fs::create_dir_all(root.join("work")).unwrap();
        for file in [
            "home/daemon/key",
            "home/daemon/deep/key",
            "work/a",
            "beside",
        ] {
            fs::write(root.join(file), b"x").unwrap();
        }
        std::os::unix::fs::symlink(&daemon, root.join("link")).unwrap();
        std::os::unix::fs::symlink(&root, root.join("work/up")).unwrap();
        let seen = confined(&[root.join("link")], move || {
            let at = |path: &str| root.join(path);
            let read = |path: &str| errno(fs::read(at(path)));
            vec![
                ("read the key", read("home/daemon/key"), Some(Errno::ACCESS)),
                ("below", read("home/daemon/deep/key"), Some(Errno::ACCESS)),
                ("by a link", read("link/key"), Some(Errno::ACCESS)),
                (
                    "by a link above",
                    read("work/up/home/daemon/key"),
                    Some(Errno::ACCESS),
                ),
                (
                    "write it",
                    errno(
                        fs::OpenOptions::new()
                            .write(true)
                            .open(at("home/daemon/key")),
                    ),
                    Some(Errno::ACCESS),
                ),
                (
                    "truncate it",
                    errno(truncate(&at("home/daemon/key"))),
                    Some(Errno::ACCESS),
                ),
                (
                    "remove it",
                    errno(fs::remove_file(at("home/daemon/key"))),
                    Some(Errno::ACCESS),
                ),
                (
                    "take it elsewhere",
                    errno(fs::rename(at("home/daemon/key"), at("work/key"))),
                    Some(Errno::ACCESS),
                ),
                (
                    "name it elsewhere",
                    errno(fs::hard_link(at("home/daemon/key"), at("work/key"))),
                    Some(Errno::XDEV),
                ),
                (
                    "put another in its place",
                    errno(fs::write(at("home/daemon/new"), b"x")),
                    Some(Errno::ACCESS),
                ),
                (
                    "move the directory",
                    errno(fs::rename(at("home/daemon"), at("work/daemon"))),
                    Some(Errno::ACCESS),
                ),
                (
                    "move what it is in",
                    errno(fs::rename(at("home"), at("other"))),
                    Some(Errno::ACCESS),
                ),
                (
                    "make something on the way",
                    errno(fs::write(at("new"), b"x")),
                    Some(Errno::ACCESS),
                ),
                ("read beside", read("beside"), None),
                ("write beside", errno(fs::write(at("beside"), b"y")), None),
                ("list on the way", errno(fs::read_dir(at("home"))), None),
                (
                    "make elsewhere",
                    errno(fs::write(at("work/new"), b"x")),
                    None,
                ),
                (
                    "move elsewhere",
                    errno(fs::rename(at("work/new"), at("work/newer"))),
                    None,
                ),
                (
                    "remove elsewhere",
                    errno(fs::remove_file(at("work/newer"))),
                    None,
                ),
            ]
        });
        for (what, found, expected) in seen {
            assert_eq!(found, expected, "{what}");
        }
    }

    fn truncate(path: &Path) -> io::Result<()> {
        fs::OpenOptions::new()
            .append(true)
            .open(path)
            .and_then(|file| file.set_len(0))
    }

    #[test]
    fn a_place_that_is_not_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("home/work")).unwrap();
        fs::create_dir(root.join("beside")).unwrap();
        let hidden = [root.join("home/one"), root.join("home/two/deep/daemon")];
        let seen = confined(&hidden, move || {
            let make = |path: &str| errno(fs::create_dir_all(root.join(path)));
            vec![
                ("the place", make("home/one"), Some(Errno::ACCESS)),
                (
                    "what leads to it",
                    make("home/two/deep"),
                    Some(Errno::ACCESS),
                ),
                ("beside it", make("home/three"), Some(Errno::ACCESS)),
                (
                    "moved there",
                    errno(fs::rename(root.join("beside"), root.join("home/two"))),
                    Some(Errno::ACCESS),
                ),
                ("above it", make("four"), Some(Errno::ACCESS)),
                ("below another", make("home/work/made"), None),
                ("elsewhere", make("beside/made"), None),
            ]
        });
        for (what, found, expected) in seen {
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn a_link_to_nowhere_cannot_be_closed() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("home");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
        let error = Confinement::without(&[link.join("daemon")]).unwrap_err();
        assert_eq!(error.exit(), procura_types::exit::STORAGE);
        assert!(
            error.to_string().starts_with("cannot see where "),
            "{error}"
        );
    }

    #[test]
    fn another_process_of_the_user_is_not_looked_into() {
        let mut other = std::process::Command::new("sleep")
            .arg("300")
            .spawn()
            .unwrap();
        let mem = PathBuf::from(format!("/proc/{}/mem", other.id()));
        assert_eq!(errno(fs::File::open(&mem)), None, "outside of it one may");
        let looked = confined(&[], move || errno(fs::File::open(&mem)));
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(looked, Some(Errno::ACCESS));
    }

    #[test]
    fn places_of_mounts_are_read_as_they_are_written() {
        for (line, path) in [
            (
                "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw",
                Some("/mnt2"),
            ),
            (r"1 2 3:4 / /a\040b\134c rw - x y z", Some(r"/a b\c")),
            (r"1 2 3:4 / /a\04 rw - x y z", Some(r"/a\04")),
            ("1 2 3:4 /", None),
            ("", None),
        ] {
            assert_eq!(
                mount_point(line.as_bytes()),
                path.map(PathBuf::from),
                "{line}"
            );
        }
    }

    #[test]
    fn a_directory_in_a_hidden_one_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("daemon/run")).unwrap();
        fs::write(root.join("daemon/key"), b"x").unwrap();
        let hidden = [root.join("daemon/run"), root.join("daemon")];
        let read = confined(&hidden, move || errno(fs::read(root.join("daemon/key"))));
        assert_eq!(read, Some(Errno::ACCESS));
    }
}
