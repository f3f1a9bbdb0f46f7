//! Programs as files: which one a name means, and its digest. Advisory.

use procura_crypto::Sha256;
use procura_types::encoding::hex;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Larger programs are not hashed.
const LIMIT: u64 = 256 * 1024 * 1024;

/// The file that exec(3) takes for `program`: a path as it is, a name from the
/// first directory of `path` that has it.
pub(crate) fn find(program: &OsStr, path: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(PathBuf::from(program));
    }
    std::env::split_paths(path)
        .map(|directory| directory.join(program))
        .find(|file| {
            file.metadata()
                .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        })
}

/// The SHA-256 of a program, hexadecimal; nothing when it cannot be read, is no
/// file or is larger than 256 MiB.
pub(crate) fn sha256(program: &Path) -> Option<String> {
    // Asked before it is opened, which a pipe might never be.
    let found = program.metadata().ok()?;
    if !found.is_file() || found.len() > LIMIT {
        return None;
    }
    let mut file = File::open(program).ok()?.take(LIMIT);
    let mut hash = Sha256::new();
    let mut part = vec![0; 64 * 1024];
    loop {
        match file.read(&mut part).ok()? {
            0 => return Some(hex(&hash.finish())),
            count => hash.update(part.get(..count)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_shell_would_start() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("a/tool", 0o644), ("b/tool", 0o755), ("c/tool", 0o755)] {
            let file = folder.path().join(name);
            std::fs::create_dir(file.parent().unwrap()).unwrap();
            std::fs::write(&file, name).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let directories = ["a", "b", "c"].map(|name| folder.path().join(name));
        let path = std::env::join_paths(directories).unwrap();
        let found = |program: &str| find(OsStr::new(program), &path);
        let tool = folder.path().join("b/tool");
        assert_eq!(found("tool"), Some(tool.clone()));
        assert_eq!(found("./tool"), Some(PathBuf::from("./tool")));
        assert_eq!(found("other"), None);
        assert_eq!(sha256(&tool), Some(hex(&procura_crypto::sha256(b"b/tool"))));
        assert_eq!(sha256(folder.path()), None, "a directory");
        assert_eq!(sha256(&folder.path().join("none")), None);
    }
}
