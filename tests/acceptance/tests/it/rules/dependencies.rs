//! Bans, licences and sources: the rules of `deny.toml` that matter most, held
//! without any tool but cargo.

use super::metadata;
use std::collections::BTreeSet;
use std::process::Command;

/// Every package that `name` is built from, without what only its tests use.
/// Asked of `cargo tree`, because the graph in `cargo metadata` also has
/// optional packages that no feature switches on.
fn built_from(name: &str) -> BTreeSet<String> {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--edges=normal,build",
            "--prefix=none",
            "--format={p}",
            "--package",
            name,
        ])
        .current_dir(super::root())
        .output()
        .unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    let lines = String::from_utf8(tree.stdout).unwrap();
    lines
        .lines()
        .filter_map(|line| line.split(' ').next())
        .map(str::to_owned)
        .collect()
}

fn assert_not_built_from(program: &str, banned: &[&str]) {
    let all = built_from(program);
    assert!(
        all.contains(program),
        "cargo tree says nothing of {program}"
    );
    let wrong: Vec<_> = banned.iter().filter(|name| all.contains(**name)).collect();
    assert!(wrong.is_empty(), "{program} is built from {wrong:?}");
}

#[test]
fn the_daemon_links_neither_store_nor_domain() {
    let domain = [
        "procura-store",
        "procura-record",
        "procura-vault",
        "procura-identity",
        "procura-authority",
    ];
    assert_not_built_from("procurad", &domain);
    assert_not_built_from("procurad", &["procura-server", "rusqlite", "axum"]);
}

#[test]
fn the_client_links_neither_store_nor_domain() {
    let domain = [
        "procura-store",
        "procura-record",
        "procura-vault",
        "procura-identity",
        "procura-authority",
    ];
    assert_not_built_from("procura-client", &domain);
}

#[test]
fn pure_crates_link_no_runtime_and_no_database() {
    for pure in [
        "types",
        "crypto",
        "directory",
        "proof",
        "token",
        "policy",
        "ledger",
    ] {
        assert_not_built_from(
            &format!("procura-{pure}"),
            &["tokio", "hyper", "rusqlite", "axum"],
        );
    }
}

#[test]
fn no_program_has_a_second_provider_of_cryptography() {
    for program in ["procura", "procurad"] {
        let others = [
            "ring",
            "openssl",
            "openssl-sys",
            "native-tls",
            "ed25519-dalek",
            "p256",
            "aes-gcm",
            "boring",
        ];
        assert_not_built_from(program, &others);
    }
}

/// Whether one of the alternatives of an SPDX expression is free of the GPL
/// and the AGPL. Only `OR` offers a choice.
fn acceptable(licence: &str) -> bool {
    let plain = licence.replace(['(', ')'], " ").replace('/', " OR ");
    plain.split(" OR ").any(|choice| !choice.contains("GPL"))
}

#[test]
fn licences_without_gpl() {
    assert!(
        acceptable("MIT OR GPL-2.0")
            && acceptable("Apache-2.0 AND MIT")
            && acceptable("MIT/Apache-2.0")
    );
    assert!(!acceptable("GPL-3.0-only") && !acceptable("AGPL-3.0 AND MIT"));
    let metadata = metadata();
    let wrong: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| {
            !package.license.as_deref().is_some_and(acceptable) && package.license_file.is_none()
        })
        .map(|package| format!("{} {:?}", package.name, package.license))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let own = metadata.workspace_packages();
    assert!(
        own.iter()
            .all(|package| package.license.as_deref() == Some("Apache-2.0 OR MIT"))
    );
}

#[test]
fn everything_comes_from_the_registry_or_from_here() {
    let metadata = metadata();
    let wrong: Vec<_> = metadata
        .packages
        .iter()
        .filter(|package| match &package.source {
            Some(source) => !source.repr.starts_with("registry+"),
            None => !package.manifest_path.starts_with(&metadata.workspace_root),
        })
        .map(|package| package.name.as_str())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_direct_dependency_is_explained() {
    let reasons = super::read("docs/adr/0001-initial-dependencies.md");
    let explained: BTreeSet<String> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .map(str::to_owned)
        .collect();
    // The one package beside the workspace: its lock file is its own.
    let fuzzer = cargo_metadata::MetadataCommand::new()
        .manifest_path(super::root().join("fuzz/libfuzzer/Cargo.toml"))
        .no_deps()
        .exec()
        .unwrap();
    let used: BTreeSet<String> = metadata()
        .workspace_packages()
        .iter()
        .chain(&fuzzer.workspace_packages())
        .flat_map(|package| package.dependencies.iter())
        .filter(|dependency| dependency.path.is_none())
        .map(|dependency| dependency.name.clone())
        .collect();
    let unexplained: Vec<_> = used.difference(&explained).collect();
    assert!(
        unexplained.is_empty(),
        "without a line in docs/adr: {unexplained:?}"
    );
}
