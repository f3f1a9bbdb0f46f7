//! Rules of the repository that no compiler holds.

mod commands;
mod crate_table;
mod dependencies;
mod documents;
mod generated;
mod regressions;
mod sources;
mod vectors;

use std::path::{Path, PathBuf};

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The text of a file, named from the root.
pub(crate) fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// All documents that people read, by their paths.
fn documents() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root()).unwrap();
    let top = entries.map(|entry| entry.unwrap().path());
    let is_document = |path: &PathBuf| path.extension().is_some_and(|end| end == "md");
    let mut found: Vec<PathBuf> = top.filter(is_document).collect();
    let folders = ["docs", "spec", "skills", "deploy"];
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
        } else if is_document(&path) {
            found.push(path);
        }
    }
    found.sort();
    assert!(found.len() > 80, "{found:?}");
    found
}

/// The rows of the first Markdown table in `text` whose header begins with
/// `first`, as trimmed cells without back-quotes; the header is not among them.
fn table(text: &str, first: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        line.trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().replace('`', ""))
            .collect()
    };
    let mut lines = text.lines().skip_while(|line| {
        !(line.starts_with('|') && cells(line).first().is_some_and(|cell| cell == first))
    });
    assert!(
        lines.next().is_some(),
        "no table that begins with `{first}`"
    );
    lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect()
}

/// The rows of every Markdown table in `text` whose header begins with `first`.
pub(crate) fn tables(text: &str, first: &str) -> Vec<Vec<Vec<String>>> {
    let header = format!("| {first} |");
    let begins = text.match_indices(&header).map(|(at, _)| at);
    begins.map(|at| table(&text[at..], first)).collect()
}

/// What cargo knows of the workspace and all that it is built from on Linux.
fn metadata() -> cargo_metadata::Metadata {
    let platform = format!(
        "--filter-platform={}-unknown-linux-gnu",
        std::env::consts::ARCH
    );
    cargo_metadata::MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(vec!["--locked".into(), platform])
        .exec()
        .expect("cargo metadata reads the workspace")
}
