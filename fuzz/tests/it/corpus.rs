//! The corpora in the repository.

use procura_fuzz::{TARGETS, Verdict, seed, target};
use std::fs;
use std::path::{Path, PathBuf};

/// An input of a corpus.
pub(crate) struct Input {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The corpus of a target, in the order of the names.
pub(crate) fn of(target: &str) -> Vec<Input> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder().join(target))
        .unwrap_or_else(|error| panic!("corpus/{target}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "corpus/{target} is empty");
    paths
        .into_iter()
        .map(|path| Input {
            bytes: fs::read(&path).unwrap(),
            path,
        })
        .collect()
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let mut found: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut targets: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    targets.sort_unstable();
    assert_eq!(found, targets);
}

#[test]
fn corpora_are_small() {
    let mut all = 0;
    for target in TARGETS {
        for input in of(target.name) {
            let size = input.bytes.len();
            assert!(size < 4096, "{} has {size} bytes", input.path.display());
            all += size;
        }
    }
    assert!(all < 1_000_000, "all corpora have {all} bytes");
}

/// What the name of a file says of it.
fn known(name: &str) -> Option<Verdict> {
    if name.starts_with("good-") {
        Some(Verdict::Accepted)
    } else if name.starts_with("near-") {
        Some(Verdict::Refused)
    } else {
        None
    }
}

/// A file `good-…` is accepted and one `near-…` is not: a corpus that has fallen
/// behind a format would otherwise test refusals only.
#[test]
fn every_input_is_replayed() {
    let mut wrong = Vec::new();
    for target in TARGETS {
        let mut accepted = 0;
        for input in of(target.name) {
            let name = input.path.file_name().unwrap().to_string_lossy();
            let ran = std::panic::catch_unwind(|| (target.run)(&input.bytes));
            match ran {
                Ok(verdict) if known(&name).is_some_and(|known| known != verdict) => {
                    wrong.push(format!("{}/{name} is {verdict:?}", target.name));
                }
                Ok(verdict) => accepted += usize::from(verdict == Verdict::Accepted),
                Err(_) => wrong.push(format!("{}/{name} breaks it", target.name)),
            }
        }
        if accepted == 0 {
            wrong.push(format!("{} accepts nothing of its corpus", target.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// With `X_GENERATE=1` (`./x generate`) writes those that are missing or are
/// no more what they were.
#[test]
fn made_inputs_are_in_the_corpora() {
    let generate = std::env::var_os("X_GENERATE").is_some();
    let mut missing = Vec::new();
    for seed in seed::all() {
        let run = target(seed.target).expect("a seed has a target").run;
        let name = format!("{}/{}", seed.target, seed.name);
        let verdict = known(&seed.name).expect("seeds are good or near");
        assert_eq!(run(&seed.bytes), verdict, "{name}");
        let path = folder().join(&name);
        let kept = fs::read(&path).is_ok_and(|bytes| run(&bytes) == verdict);
        if generate && !kept {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &seed.bytes).unwrap();
        } else if !path.exists() {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "run ./x generate for {missing:#?}");
}
