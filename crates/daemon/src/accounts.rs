//! Users and groups of this host by name, from its own files (passwd(5),
//! group(5)); those of a directory service are given by number.

use crate::DaemonError;
use std::path::Path;

/// The number of a group: given as such, or by its name in `/etc/group`.
///
/// # Errors
/// [`DaemonError::Config`] when there is none.
pub fn group_id(group: &str) -> Result<u32, DaemonError> {
    id(group, "group", Path::new("/etc/group"))
}

/// The number of a user: given as such, or by its name in `/etc/passwd`.
///
/// # Errors
/// [`DaemonError::Config`] when there is none.
pub fn user_id(user: &str) -> Result<u32, DaemonError> {
    id(user, "user", Path::new("/etc/passwd"))
}

fn id(name: &str, what: &str, file: &Path) -> Result<u32, DaemonError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(file)
        .map_err(|source| DaemonError::io(format!("read {}", file.display()), source))?;
    // Both files: name, password, number.
    text.lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| {
            (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
        })
        .ok_or_else(|| {
            DaemonError::Config(format!(
                "there is no {what} {name} in {}; give its number",
                file.display()
            ))
        })
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
    }
}
