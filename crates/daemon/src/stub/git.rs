//! Which commit a directory is at, read from git's own files: no program of
//! the host is run before values are had. Advisory.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Larger files are not git's small ones.
const LIMIT: u64 = 1024 * 1024;

/// The commit that is checked out in `directory`, hexadecimal; nothing when it
/// is in no work tree, or git's files are not understood.
pub(super) fn commit(directory: &Path) -> Option<String> {
    let dir = directory.ancestors().find_map(git_dir)?;
    let head = small(&dir.join("HEAD"))?;
    let Some(reference) = head.trim().strip_prefix("ref:").map(str::trim) else {
        return hash(&head);
    };
    // Only names below `refs/`, as git writes them.
    if !reference.starts_with("refs/") || reference.split('/').any(|part| part == "..") {
        return None;
    }
    // A linked work tree keeps its HEAD apart and shares the branches.
    let common =
        small(&dir.join("commondir")).map_or_else(|| dir.clone(), |common| dir.join(common.trim()));
    small(&common.join(reference))
        .and_then(|text| hash(&text))
        .or_else(|| packed(&common, reference))
}

fn git_dir(directory: &Path) -> Option<PathBuf> {
    let dot_git = directory.join(".git");
    if dot_git.is_dir() {
        return Some(dot_git);
    }
    let link = small(&dot_git)?;
    let target = link.strip_prefix("gitdir:")?.trim();
    Some(directory.join(target))
}

fn packed(common: &Path, reference: &str) -> Option<String> {
    small(&common.join("packed-refs"))?
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(_, name)| *name == reference)
        .and_then(|(commit, _)| hash(commit))
}

fn hash(text: &str) -> Option<String> {
    let text = text.trim();
    let is_hash = matches!(text.len(), 40 | 64)
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hash.then(|| text.to_owned())
}

fn small(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path)
        .ok()?
        .take(LIMIT)
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    #[test]
    fn the_commit_is_found_as_git_keeps_it() {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("top");
        let git = top.join(".git");
        let inner = top.join("a/b");
        create_dir_all(git.join("refs/heads")).unwrap();
        create_dir_all(&inner).unwrap();
        let (one, two, three) = ("1".repeat(40), "2".repeat(40), "3".repeat(64));

        assert_eq!(commit(root.path()), None);
        write(git.join("HEAD"), format!("{one}\n")).unwrap();
        assert_eq!(commit(&inner), Some(one));
        write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        assert_eq!(commit(&inner), None);
        write(
            git.join("packed-refs"),
            format!("# pack-refs with: peeled\n{two} refs/heads/main\n^{three}\n"),
        )
        .unwrap();
        assert_eq!(commit(&inner), Some(two));
        write(git.join("refs/heads/main"), format!("{three}\n")).unwrap();
        assert_eq!(commit(&inner), Some(three.clone()));

        let linked = root.path().join("linked");
        let own = git.join("worktrees/linked");
        create_dir_all(&linked).unwrap();
        create_dir_all(&own).unwrap();
        write(linked.join(".git"), format!("gitdir: {}\n", own.display())).unwrap();
        write(own.join("HEAD"), "ref: refs/heads/main\n").unwrap();
        write(own.join("commondir"), "../..\n").unwrap();
        assert_eq!(commit(&linked), Some(three));

        write(git.join("HEAD"), "ref: refs/../../secret\n").unwrap();
        assert_eq!(commit(&inner), None);
    }
}
