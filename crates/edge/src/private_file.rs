//! Files for one user alone. Those with a secret in them may lie outside the home (the
//! passphrase and the key of TLS), and are used only if nobody else can read them. Small
//! ones that must survive are written whole or not at all, and are on the disk before
//! anything builds on them.

use procura_types::SecretBytes;
use rustix::io::Errno;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Where the kernel keeps the access control list of a file (acl(5)).
const ACL: &str = "system.posix_acl_access";
/// Longer lists are taken for one that lets others in.
const LONGEST_ACL: usize = 4096;

/// Why a file with a secret is not used. Its text has what to type.
#[derive(Debug, thiserror::Error)]
pub enum NotPrivate {
    /// It cannot be looked at or read.
    #[error("{path}: {cause}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        cause: io::Error,
    },
    /// It belongs to another user, who can read and replace it.
    #[error(
        "{path} belongs to uid {owner}, who is neither root nor the user of this program; type: chown {own} {path}"
    )]
    Owner {
        /// Which file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// The server's user.
        own: u32,
    },
    /// Others may read or write it.
    #[error("{path} is open to others (mode {mode:04o}); type: chmod 600 {path}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

impl NotPrivate {
    /// The command that mends it; none for a file that cannot be read at all.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Owner { path, own, .. } => Some(format!("chown {own} {}", path.display())),
            Self::Open { path, .. } => Some(format!("chmod 600 {}", path.display())),
        }
    }
}

/// Checks that only root and user `own` can read or write a file.
///
/// # Errors
/// [`NotPrivate`] with what to do.
pub fn check_private_file(path: &Path, own: u32) -> Result<(), NotPrivate> {
    let found = std::fs::metadata(path).map_err(|cause| io_at(path, cause))?;
    judge(path, &found, own, |list| {
        rustix::fs::getxattr(path, ACL, list)
    })
}

/// Reads a file that only root and user `own` can read. What is checked is the file
/// that is read, whatever its name stands for a moment later.
///
/// # Errors
/// [`NotPrivate`] with what to do.
pub fn read_private_file(path: &Path, own: u32) -> Result<SecretBytes, NotPrivate> {
    let failed = |cause| io_at(path, cause);
    let mut file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    judge(path, &found, own, |list| {
        rustix::fs::fgetxattr(&file, ACL, list)
    })?;
    // One that grows while it is read would leave copies behind.
    let length = usize::try_from(found.len()).unwrap_or_default();
    let mut bytes = SecretBytes::new(Vec::with_capacity(length.saturating_add(1)));
    file.read_to_end(bytes.expose_mut()).map_err(failed)?;
    Ok(bytes)
}

fn io_at(path: &Path, cause: io::Error) -> NotPrivate {
    NotPrivate::Io {
        path: path.to_owned(),
        cause,
    }
}

fn judge(
    path: &Path,
    found: &Metadata,
    own: u32,
    acl: impl FnOnce(&mut [u8]) -> Result<usize, Errno>,
) -> Result<(), NotPrivate> {
    let owner = found.uid();
    if owner != 0 && owner != own {
        return Err(NotPrivate::Owner {
            path: path.to_owned(),
            owner,
            own,
        });
    }
    if found.mode() & 0o077 == 0 {
        return Ok(());
    }
    // Where a file has an access control list, the bits of the group are the most
    // that the list may give. systemd gives a service its credentials so: they are
    // root's, shown as 0440, and the list names the service's user.
    let mut list = [0; LONGEST_ACL];
    let list = acl(&mut list).ok().and_then(|length| list.get(..length));
    if list.and_then(|list| lets_others_in(list, own)) == Some(false) {
        return Ok(());
    }
    Err(NotPrivate::Open {
        path: path.to_owned(),
        mode: found.mode() & 0o7777,
    })
}

/// Whether a list gives anything to others than root, the owner and user `own`.
/// Nothing when it is none: version 2, then entries of tag, permissions and id, in
/// little endian (Linux, `linux/posix_acl_xattr.h`; the tags are acl(5)'s).
fn lets_others_in(list: &[u8], own: u32) -> Option<bool> {
    const USER: u16 = 0x02;
    const GROUP_OBJECT: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;
    const USER_OBJECT: u16 = 0x01;

    let (version, entries) = list.split_first_chunk::<4>()?;
    let (entries, rest) = entries.as_chunks::<8>();
    if u32::from_le_bytes(*version) != 2 || !rest.is_empty() {
        return None;
    }
    let entries: Vec<(u16, u16, u32)> = entries
        .iter()
        .map(|[t0, t1, p0, p1, id @ ..]| {
            (
                u16::from_le_bytes([*t0, *t1]),
                u16::from_le_bytes([*p0, *p1]),
                u32::from_le_bytes(*id),
            )
        })
        .collect();
    let mask = entries
        .iter()
        .find(|(tag, _, _)| *tag == MASK)
        .map_or(0o7, |(_, mask, _)| *mask);
    let mut others = false;
    for (tag, permissions, id) in entries {
        others |= match tag {
            USER_OBJECT | MASK => false,
            USER => id != 0 && id != own && permissions & mask != 0,
            GROUP_OBJECT | GROUP => permissions & mask != 0,
            OTHER => permissions != 0,
            _ => return None,
        };
    }
    Some(others)
}

/// Writes a file that must not exist yet, 0600: whoever finds the name finds all of it.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when there is one, which is left as it is; and what
/// the kernel says.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Written aside and linked into place: a link never replaces what is there.
    let aside = write_aside(path, bytes)?;
    let linked = std::fs::hard_link(&aside, path);
    std::fs::remove_file(&aside)?;
    linked?;
    sync_dir(path)
}

/// Writes a file, replacing what was there, 0600. After a power cut there is all of the
/// one or all of the other, and once this has returned the new one.
///
/// # Errors
/// What the kernel says; the former file is then still whole, unless it was only not
/// certain that the new one is on the disk.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = write_aside(path, bytes)?;
    std::fs::rename(&aside, path).inspect_err(|_| forget(&aside))?;
    sync_dir(path)
}

/// Writes the bytes to the disk beside `path`, under a name of this process.
fn write_aside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let aside = path.with_file_name(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .inspect_err(|_| forget(&aside))?;
    Ok(aside)
}

/// A piece of a file is of no use, and takes room on a disk that may be full.
fn forget(aside: &Path) {
    let _ = std::fs::remove_file(aside);
}

/// A name is on the disk when its directory is.
fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = match path.parent() {
        // A name alone lies where this process is.
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => Path::new("/"),
    };
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const OWN: u32 = 990;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(permissions.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    /// As systemd makes it for a credential: root may read, and one user.
    fn credential(user: u32) -> Vec<u8> {
        list(&[
            (0x01, 4, u32::MAX),
            (0x02, 4, user),
            (0x04, 0, u32::MAX),
            (0x10, 4, u32::MAX),
            (0x20, 0, u32::MAX),
        ])
    }

    #[test]
    fn a_list_is_read_for_whom_it_lets_in() {
        assert_eq!(lets_others_in(&credential(OWN), OWN), Some(false));
        assert_eq!(lets_others_in(&credential(0), OWN), Some(false));
        assert_eq!(lets_others_in(&credential(1000), OWN), Some(true));
        for (entries, expected) in [
            // What the mask takes away is not given.
            (&[(0x02, 4, 1000), (0x10, 0, 0)][..], false),
            (&[(0x04, 4, 0), (0x10, 2, 0)], false),
            (&[(0x04, 4, 0), (0x10, 4, 0)], true),
            (&[(0x04, 4, 0)], true),
            (&[(0x08, 4, 7), (0x10, 7, 0)], true),
            // Others are not under the mask.
            (&[(0x20, 4, 0), (0x10, 0, 0)], true),
            (&[(0x01, 7, 0)], false),
        ] {
            assert_eq!(lets_others_in(&list(entries), OWN), Some(expected));
        }
        let whole = credential(OWN);
        for broken in [&whole[..3], &whole[..9], &[], &[3, 0, 0, 0]] {
            assert_eq!(lets_others_in(broken, OWN), None);
        }
        assert_eq!(lets_others_in(&list(&[(0x40, 0, 0)]), OWN), None);
    }

    #[test]
    fn a_file_is_for_one_user_alone() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("secret");
        std::fs::write(&path, "secret").unwrap();
        let own = std::fs::metadata(&path).unwrap().uid();
        let with = |mode: u32| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for mode in [0o600, 0o400, 0o700] {
            with(mode);
            check_private_file(&path, own).unwrap();
            assert_eq!(read_private_file(&path, own).unwrap().expose(), b"secret");
        }
        for mode in [0o640, 0o604, 0o660, 0o620, 0o644, 0o610] {
            with(mode);
            let expected = format!(
                "{0} is open to others (mode {mode:04o}); type: chmod 600 {0}",
                path.display()
            );
            for error in [
                check_private_file(&path, own).unwrap_err(),
                read_private_file(&path, own).err().unwrap(),
            ] {
                assert_eq!(error.to_string(), expected);
            }
        }
        let missing = check_private_file(&home.path().join("missing"), own).unwrap_err();
        assert!(matches!(missing, NotPrivate::Io { .. }), "{missing}");
    }

    #[test]
    fn a_file_of_somebody_else_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("secret");
        std::fs::write(&path, "secret").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        // What is root's is never another's, so root gives the file away.
        if std::fs::metadata(&path).unwrap().uid() == 0 {
            std::os::unix::fs::chown(&path, Some(4321), None).unwrap();
        }
        let owner = std::fs::metadata(&path).unwrap().uid();
        let own = owner + 1;
        for error in [
            check_private_file(&path, own).unwrap_err(),
            read_private_file(&path, own).err().unwrap(),
        ] {
            assert_eq!(
                error.to_string(),
                format!(
                    "{0} belongs to uid {owner}, who is neither root nor the user of this program; type: chown {own} {0}",
                    path.display()
                )
            );
        }
        check_private_file(&path, owner).unwrap();
    }

    #[test]
    fn what_systemd_gives_a_service_is_private() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("credential");
        std::fs::write(&path, "secret").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        let own = std::fs::metadata(&path).unwrap().uid();
        for (user, private) in [(own, true), (own + 1, false)] {
            rustix::fs::setxattr(&path, ACL, &credential(user), flags).expect(
                "the directory for temporary files takes access control lists (acl(5)); \
                 if it does not, set TMPDIR to one on a file system that does",
            );
            let mode = std::fs::metadata(&path).unwrap().mode() & 0o777;
            assert_eq!(mode, 0o440);
            assert_eq!(check_private_file(&path, own).is_ok(), private);
            assert_eq!(read_private_file(&path, own).is_ok(), private);
        }
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    fn count(dir: &Path) -> usize {
        std::fs::read_dir(dir).unwrap().count()
    }

    #[test]
    fn a_file_is_created_once_and_replaced_often() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("seen");
        create(&path, b"one").unwrap();
        assert_eq!(mode(&path), 0o600);
        let refused = create(&path, b"two").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        for text in ["two", "", "a longer one"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        // What was open to others is not any more.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        replace(&path, b"three").unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(count(home.path()), 1);
    }

    #[test]
    fn what_cannot_take_its_place_is_not_left_behind() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("seen");
        // A file does not take the place of a directory.
        std::fs::create_dir(&path).unwrap();
        let refused = replace(&path, b"one").unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::IsADirectory);
        assert!(path.is_dir());
        assert_eq!(count(home.path()), 1);
        let nowhere = replace(&home.path().join("missing/seen"), b"one").unwrap_err();
        assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
    }
}
