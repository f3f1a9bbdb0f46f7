//! Where programs come from that root is about to install: nobody else may have put
//! something of theirs in their place.

use crate::failure::Failure;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Refuses a program that somebody else than root and `owners` could have replaced: it,
/// and each directory above it, by the way that was gone and by the one it leads to.
pub(super) fn check(program: &Path, owners: &[u32]) -> Result<(), Failure> {
    let cannot = |path: &Path, error: &io::Error| {
        Failure::storage(format!("cannot look at {}", path.display()), error)
    };
    let real = program
        .canonicalize()
        .map_err(|error| cannot(program, &error))?;
    let ways = [&real, program].map(|way| way.ancestors().enumerate());
    for (above, path) in ways.into_iter().flatten() {
        let found = path.metadata().map_err(|error| cannot(path, &error))?;
        if is_others(found.uid(), found.mode(), owners, above) {
            return Err(Failure::config(format!(
                "others than root and you can write {}, so {} may be theirs",
                path.display(),
                program.display()
            ))
            .next("unpack the release where only you or root can write, in each directory above it too, and run it from there"));
        }
    }
    Ok(())
}

/// Whether what has this owner and mode, and is so many steps `above` the program, is open
/// to others. In a sticky directory others move nothing that is not theirs: a folder of
/// root's or the invoker's stays what it is there, and only a program that lies there itself
/// is anybody's.
fn is_others(owner: u32, mode: u32, owners: &[u32], above: usize) -> bool {
    let is_kept = owner == 0 || owners.contains(&owner);
    let is_open = mode & 0o022 != 0;
    let is_sticky = mode & 0o1000 != 0 && above > 1;
    !is_kept || (is_open && !is_sticky)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_root_or_the_invoker_keeps_is_kept() {
        for (owner, mode, above, others) in [
            (0, 0o100_755, 0, false),
            (0, 0o040_755, 1, false),
            (1000, 0o040_700, 1, false),
            (1001, 0o040_700, 1, true),
            (0, 0o040_775, 2, true),
            (1000, 0o100_757, 0, true),
            (0, 0o041_777, 1, true),
            (0, 0o041_777, 2, false),
            (1001, 0o041_777, 2, true),
        ] {
            assert_eq!(
                is_others(owner, mode, &[1000], above),
                others,
                "{owner} {mode:o} {above}"
            );
        }
    }

    #[test]
    fn a_link_is_followed_to_what_it_is() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (open, link) = (folder.path().join("open"), folder.path().join("link"));
        std::fs::write(&open, "x").unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o666)).unwrap();
        std::os::unix::fs::symlink(&open, &link).unwrap();
        let own = rustix::process::geteuid().as_raw();
        let refused = check(&link, &[own]).unwrap_err();
        assert_eq!(refused.exit(), procura_types::exit::CONFIG);
        let real = open.canonicalize().unwrap();
        let said = format!("can write {}, so {}", real.display(), link.display());
        assert!(refused.to_string().contains(&said), "{refused}");
    }
}
