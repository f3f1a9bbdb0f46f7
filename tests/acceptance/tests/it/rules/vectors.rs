//! Test vectors are run, or are listed with the reason why not.

use super::{read, root};
use std::path::{Path, PathBuf};

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_string_lossy().to_uppercase();
    name.starts_with("LICEN") || name.starts_with("NOTICE") || name == "README.MD"
}

#[test]
fn every_vector_file_is_read_by_a_test_or_listed_with_a_reason() {
    let vectors = root().join("spec/vectors");
    let code: String = files(&root().join("crates"))
        .into_iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let list = read("spec/vectors/README.md");
    let data: Vec<_> = files(&vectors)
        .into_iter()
        .filter(|path| !is_licence(path))
        .collect();
    assert!(data.len() >= 10, "only {} files of vectors", data.len());
    let unread: Vec<_> = data
        .iter()
        .map(|path| path.strip_prefix(&vectors).unwrap().display().to_string())
        .filter(|name| {
            let file = name.rsplit('/').next().unwrap();
            let listed = list
                .lines()
                .any(|line| line.contains(file) && line.contains("not run:"));
            !code.contains(file) && !listed
        })
        .collect();
    assert!(
        unread.is_empty(),
        "neither read nor listed as `not run: reason`: {unread:?}"
    );
}

#[test]
fn every_folder_of_vectors_names_its_licence() {
    let list = read("spec/vectors/README.md");
    for entry in std::fs::read_dir(root().join("spec/vectors")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            assert!(
                list.contains(&format!("{name}/")),
                "spec/vectors/README.md has no licence for {name}/"
            );
        }
    }
}
