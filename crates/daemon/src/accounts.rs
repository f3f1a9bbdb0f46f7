//! Users and groups of a host by name, from its own files (passwd(5), group(5));
//! those of a directory service are given by number.

use crate::DaemonError;
use std::path::{Path, PathBuf};

/// The users and groups that a host has in its files.
#[derive(Debug, Clone)]
pub struct Accounts {
    etc: PathBuf,
    users: String,
    groups: String,
}

/// A group of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub id: u32,
    /// The names of its members, but of those whose first group it is.
    pub members: Vec<String>,
}

impl Accounts {
    /// Reads `etc/passwd` and `etc/group` below `root`; one that is not there names
    /// nobody.
    ///
    /// # Errors
    /// [`DaemonError::Io`] when one cannot be read.
    pub fn of(root: &Path) -> Result<Self, DaemonError> {
        let etc = root.join("etc");
        let read = |name: &str| {
            let path = etc.join(name);
            match std::fs::read(&path) {
                // Names that anybody types are text; a line in another encoding is
                // of none of them.
                Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
                Err(source) => Err(DaemonError::io(format!("read {}", path.display()), source)),
            }
        };
        Ok(Self {
            users: read("passwd")?,
            groups: read("group")?,
            etc,
        })
    }

    /// The number of a user.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<u32> {
        number(&self.users, name)
    }

    /// The name of a user.
    #[must_use]
    pub fn user_name(&self, id: u32) -> Option<&str> {
        self.users.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(id)).then_some(name)
        })
    }

    /// A group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Group> {
        let line = self
            .groups
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let members = line.split(':').nth(3).unwrap_or_default();
        Some(Group {
            id: number(line, name)?,
            members: members
                .split(',')
                .filter(|member| !member.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }

    fn missing(&self, what: &str, name: &str, file: &str) -> DaemonError {
        DaemonError::Config(format!(
            "there is no {what} {name} in {}; give its number",
            self.etc.join(file).display()
        ))
    }
}

/// Both files begin their lines so: name, password, number.
fn number(text: &str, name: &str) -> Option<u32> {
    text.lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| {
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        })
}

/// The number of a group: given as such, or by its name in `/etc/group`.
///
/// # Errors
/// [`DaemonError::Config`] when there is none.
pub fn group_id(group: &str) -> Result<u32, DaemonError> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let accounts = Accounts::of(Path::new("/"))?;
    accounts
        .group(group)
        .map(|group| group.id)
        .ok_or_else(|| accounts.missing("group", group, "group"))
}

/// The number of a user: given as such, or by its name in `/etc/passwd`.
///
/// # Errors
/// [`DaemonError::Config`] when there is none.
pub fn user_id(user: &str) -> Result<u32, DaemonError> {
    if let Ok(number) = user.parse() {
        return Ok(number);
    }
    let accounts = Accounts::of(Path::new("/"))?;
    accounts
        .user(user)
        .ok_or_else(|| accounts.missing("user", user, "passwd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(user_id("root").unwrap(), 0);
        assert_eq!(group_id("root").unwrap(), 0);
        assert_eq!(group_id("4711").unwrap(), 4711);
        let error = user_id("no-such-user").unwrap_err();
        assert_eq!(error.exit(), procura_types::exit::CONFIG);
        assert_eq!(
            error.to_string(),
            "there is no user no-such-user in /etc/passwd; give its number"
        );
    }

    #[test]
    fn the_files_of_another_root() {
        let root = tempfile::tempdir().unwrap();
        let none = Accounts::of(root.path()).unwrap();
        assert_eq!((none.user("root"), none.group("root")), (None, None));
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let write = |name: &str, text: &[u8]| {
            std::fs::write(root.path().join("etc").join(name), text).unwrap();
        };
        write(
            "passwd",
            b"al\xffice:x:7:7::/:/bin/sh\nbob:x:8:8::/:/bin/sh\nbad:x\n",
        );
        write("group", b"empty:x:9:\nagents:x:10:bob,carol\nhalf:x\n");
        let accounts = Accounts::of(root.path()).unwrap();
        assert_eq!(accounts.user("bob"), Some(8));
        assert_eq!(accounts.user_name(8), Some("bob"));
        assert_eq!((accounts.user("bad"), accounts.user("x")), (None, None));
        let group = |id, members: &[&str]| Group {
            id,
            members: members.iter().map(|&name| name.to_owned()).collect(),
        };
        assert_eq!(accounts.group("empty"), Some(group(9, &[])));
        assert_eq!(accounts.group("agents"), Some(group(10, &["bob", "carol"])));
        assert_eq!(accounts.group("half"), None);
    }
}
