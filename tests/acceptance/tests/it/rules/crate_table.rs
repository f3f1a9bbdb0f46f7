//! The crate table of `ARCHITECTURE.md` is what the manifests say.

use super::{metadata, read, table};
use cargo_metadata::{DependencyKind, Metadata, Package};
use std::collections::BTreeMap;

/// A row: its place in the table, its layer, and the outside libraries that
/// the rows which list them have to themselves.
struct Row {
    place: usize,
    layer: u32,
    outside: Vec<String>,
}

fn rows() -> BTreeMap<String, Row> {
    let rows: BTreeMap<_, _> = table(&read("ARCHITECTURE.md"), "layer")
        .into_iter()
        .enumerate()
        .map(|(place, cells)| {
            let [layer, name, _holds, outside] = cells.as_slice() else {
                panic!("a row of the crate table has other than four cells: {cells:?}");
            };
            let outside = outside
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            let row = Row {
                place,
                layer: layer.parse().expect("a layer is a number"),
                outside: outside.map(str::to_owned).collect(),
            };
            (package_name(name), row)
        })
        .collect();
    assert!(
        rows.len() >= 16,
        "the crate table has only {} rows",
        rows.len()
    );
    rows
}

/// `bin/procurad` is the package `procurad`; `types` is `procura-types`.
fn package_name(cell: &str) -> String {
    cell.strip_prefix("bin/")
        .map_or_else(|| format!("procura-{cell}"), str::to_owned)
}

/// The packages of the product: those in `crates/` and `bin/`.
fn product(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    metadata.workspace_packages().into_iter().filter(|package| {
        let manifest = package
            .manifest_path
            .strip_prefix(&metadata.workspace_root)
            .unwrap();
        manifest.starts_with("crates") || manifest.starts_with("bin")
    })
}

#[test]
fn every_crate_has_one_row_and_every_row_is_a_crate() {
    let metadata = metadata();
    let mut found: Vec<_> = product(&metadata)
        .map(|package| package.name.to_string())
        .collect();
    found.sort();
    assert_eq!(found, rows().into_keys().collect::<Vec<_>>());
}

#[test]
fn layers_of_the_table_never_fall() {
    let mut rows: Vec<_> = rows().into_values().collect();
    rows.sort_by_key(|row| row.place);
    assert!(rows.is_sorted_by_key(|row| row.layer));
}

#[test]
fn a_crate_uses_only_those_above_it() {
    let (metadata, rows) = (metadata(), rows());
    let mut wrong = Vec::new();
    for package in product(&metadata) {
        let own = &rows[package.name.as_str()];
        let inner = package
            .dependencies
            .iter()
            .filter(|dep| dep.kind != DependencyKind::Development);
        for dependency in inner {
            if rows
                .get(&dependency.name)
                .is_some_and(|row| row.place >= own.place)
            {
                wrong.push(format!("{} uses {}", package.name, dependency.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "dependencies that do not point down: {wrong:?}"
    );
}

#[test]
fn listed_outside_libraries_are_used_only_where_they_are_listed() {
    let (metadata, rows) = (metadata(), rows());
    let restricted: Vec<&String> = rows.values().flat_map(|row| &row.outside).collect();
    let mut wrong = Vec::new();
    for package in product(&metadata) {
        let own = &rows[package.name.as_str()];
        let names: Vec<&String> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| &dependency.name)
            .collect();
        for name in &names {
            if restricted.contains(name) && !own.outside.contains(name) {
                wrong.push(format!(
                    "{} uses {name}, which the table gives to others",
                    package.name
                ));
            }
        }
        for name in &own.outside {
            if !names.contains(&name) {
                wrong.push(format!(
                    "{} does not use {name}, which the table gives to it",
                    package.name
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
