//! One step of a set-up: whether it is done already, how it is done, and what a person
//! would type instead.

use crate::failure::Failure;
use rustix::fs::{Gid, Uid, chown};
use std::fmt::Display;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a step makes or runs.
#[derive(Debug)]
pub(super) enum Step {
    /// A file of root's, with this content and mode.
    File {
        path: PathBuf,
        content: Content,
        mode: u32,
    },
    /// A directory of a user and their own group.
    Directory {
        path: PathBuf,
        owner: &'static str,
        /// Their numbers; nothing while there is no such user.
        ids: Option<(u32, u32)>,
        mode: u32,
    },
    /// A program to be run; whether it is needed was looked at before.
    Run { words: Vec<String>, done: bool },
}

#[derive(Debug)]
pub(super) enum Content {
    Text(&'static str),
    CopyOf(PathBuf),
}

impl Content {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            Self::CopyOf(path) => std::fs::read(path),
        }
    }
}

impl Step {
    /// What it makes, if it is something in the file system.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::Directory { path, .. } => Some(path),
            Self::Run { .. } => None,
        }
    }

    /// What a person would type to have the same.
    pub(super) fn command(&self) -> String {
        match self {
            Self::File {
                path,
                content,
                mode,
            } => {
                let from = match content {
                    Content::Text(_) => PathBuf::from("deploy/systemd/procurad.service"),
                    Content::CopyOf(from) => from.clone(),
                };
                format!(
                    "install -m {mode:04o} {} {}",
                    quoted(&from.to_string_lossy()),
                    quoted(&path.to_string_lossy())
                )
            }
            Self::Directory {
                path, owner, mode, ..
            } => format!(
                "install -d -o {owner} -g {owner} -m {mode:04o} {}",
                quoted(&path.to_string_lossy())
            ),
            Self::Run { words, .. } => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                words.join(" ")
            }
        }
    }

    /// Whether all is there as it should be.
    pub(super) fn is_done(&self, owns: bool) -> Result<bool, Failure> {
        match self {
            Self::File {
                path,
                content,
                mode,
            } => {
                let Some(found) = found(path)? else {
                    return Ok(false);
                };
                if !found.is_file() {
                    return Ok(false);
                }
                let there = std::fs::read(path).map_err(|error| cannot("read", path, &error))?;
                let content = content
                    .bytes()
                    .map_err(|error| cannot("read what goes to", path, &error))?;
                let of_root = !owns || (found.uid(), found.gid()) == (0, 0);
                Ok(there == content && found.mode() & 0o7777 == *mode && of_root)
            }
            Self::Directory {
                path, ids, mode, ..
            } => {
                let Some(found) = found(path)? else {
                    return Ok(false);
                };
                if !found.is_dir() {
                    return Err(Failure::config(format!(
                        "{} is there and is no directory",
                        path.display()
                    ))
                    .next(format!(
                        "look at it, and move it away: mv {0} {0}.old",
                        path.display()
                    )));
                }
                let owned = !owns || *ids == Some((found.uid(), found.gid()));
                Ok(found.mode() & 0o7777 == *mode && owned)
            }
            Self::Run { done, .. } => Ok(*done),
        }
    }

    /// Does it. `owns` says whether files can be given to others: root can.
    pub(super) fn perform(&self, owns: bool) -> Result<(), Failure> {
        match self {
            Self::File {
                path,
                content,
                mode,
            } => {
                let bytes = content
                    .bytes()
                    .map_err(|error| cannot("read what goes to", path, &error))?;
                replace(path, &bytes, *mode).map_err(|error| cannot("write", path, &error))
            }
            Self::Directory {
                path, ids, mode, ..
            } => {
                make(path, *mode).map_err(|error| cannot("make", path, &error))?;
                if let (true, Some(ids)) = (owns, ids) {
                    give(path, *ids).map_err(|error| cannot("hand over", path, &error))?;
                }
                Ok(())
            }
            Self::Run { words, .. } => run(words),
        }
    }
}

fn cannot(what: &str, path: &Path, cause: &dyn Display) -> Failure {
    Failure::storage(format!("cannot {what} {}", path.display()), cause)
}

/// What is at a place, and not what a link there leads to.
fn found(path: &Path) -> Result<Option<std::fs::Metadata>, Failure> {
    match path.symlink_metadata() {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot("look at", path, &error)),
    }
}

/// Writes a file whole or not at all: a daemon that is started meanwhile finds the one of
/// before or the new one, and a link in its place goes.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let aside = folder.join(name);
    if let Err(error) = std::fs::remove_file(&aside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&aside)?;
    file.write_all(bytes)?;
    // The umask may have taken from the mode.
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()?;
    std::fs::rename(&aside, path)?;
    File::open(folder)?.sync_all()
}

/// Makes a directory, private from its first moment.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    if let Some(above) = path.parent() {
        std::fs::create_dir_all(above)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Gives a directory to a user and a group. Not what is in it: systemd does that for the
/// state of a service.
fn give(path: &Path, (user, group): (u32, u32)) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    Ok(chown(path, Some(user), Some(group))?)
}

fn run(words: &[String]) -> Result<(), Failure> {
    let Some((program, arguments)) = words.split_first() else {
        return Ok(());
    };
    let failed = |cause: &dyn Display| {
        Failure::config(format!("{program} did not do its part")).because(cause)
    };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(failed(&format_args!("{}: {}", output.status, said.trim())))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.symlink_metadata().unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_is_written_whole_with_its_mode_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/unit");
        let step = Step::File {
            path: path.clone(),
            content: Content::Text("a unit\n"),
            mode: 0o644,
        };
        assert!(!step.is_done(false).unwrap());
        step.perform(false).unwrap();
        assert!(step.is_done(false).unwrap());
        assert_eq!(mode(&path), 0o644);
        // Another mode, another text, and a link to elsewhere are mended.
        std::fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        assert!(!step.is_done(false).unwrap());
        step.perform(false).unwrap();
        assert_eq!(mode(&path), 0o644);
        let elsewhere = folder.path().join("elsewhere");
        std::fs::write(&elsewhere, "not ours").unwrap();
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(!step.is_done(false).unwrap());
        step.perform(false).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "a unit\n");
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "not ours");
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_directory_has_its_mode_and_is_no_other_thing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("var/lib/procurad");
        let step = Step::Directory {
            path: path.clone(),
            owner: "procurad",
            ids: None,
            mode: 0o700,
        };
        step.perform(false).unwrap();
        assert_eq!(mode(&path), 0o700);
        std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        assert!(!step.is_done(false).unwrap());
        step.perform(false).unwrap();
        assert!(step.is_done(false).unwrap());
        // For root, who can give it away, it is not done while nobody has it.
        assert!(!step.is_done(true).unwrap());
        std::fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/tmp", &path).unwrap();
        let error = step.is_done(false).unwrap_err();
        assert!(error.to_string().contains("is no directory"), "{error}");
    }

    #[test]
    fn what_is_typed_instead_can_be_typed() {
        for (word, typed) in [
            ("procurad", "procurad"),
            ("/a/b-c.d", "/a/b-c.d"),
            ("", "''"),
            ("u x - \"y\"", "'u x - \"y\"'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
        ] {
            assert_eq!(quoted(word), typed);
        }
    }

    #[test]
    fn a_program_that_fails_says_why() {
        let words = ["sh", "-c", "echo no such thing >&2; exit 3"].map(str::to_owned);
        let error = run(&words).unwrap_err();
        assert_eq!(error.exit(), procura_types::exit::CONFIG);
        let said = error.to_string();
        assert!(said.contains("exit status: 3: no such thing"), "{said}");
    }
}
