//! `docs/regressions.md`: every failure in it is shown by tests that are there and run.

use super::{read, root, table};

/// Failures that the page has at least; rows are added, and not taken away.
const FAILURES: usize = 22;

/// The links of a cell: what is shown, and where it leads.
fn links(cell: &str) -> Vec<(&str, &str)> {
    cell.split("](")
        .zip(cell.split("](").skip(1))
        .map(|(before, behind)| {
            let name = before.rsplit_once('[').map_or("", |(_, name)| name);
            let place = behind.split_once(')').map_or("", |(place, _)| place);
            (name, place)
        })
        .collect()
}

/// Whether the source has a test of this name that is not left out of any run.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    lines.iter().enumerate().any(|(at, line)| {
        let attributes = || {
            lines[..at]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#["))
        };
        begins.iter().any(|begin| line.starts_with(begin))
            && attributes()
                .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
            && !attributes().any(|line| line.contains("ignore") || line.contains("cfg"))
    })
}

#[test]
fn every_failure_has_tests_that_are_there() {
    let rows = table(&read("docs/regressions.md"), "failure");
    assert!(rows.len() >= FAILURES, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let [failure, stopped, shown] = row.as_slice() else {
            panic!("a row of {} cells: {row:?}", row.len());
        };
        let tests = links(shown);
        if tests.is_empty() || stopped.is_empty() {
            wrong.push(format!("{failure}: nothing stops or shows it"));
        }
        for (name, place) in tests {
            let file = place.trim_start_matches("../");
            let there = root().join(file).is_file() && has_test(&read(file), name);
            if !there {
                wrong.push(format!("{failure}: no test {name} in {file}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    // In two halves, so that this file does not contain it.
    let off = ["#[ig", "nore]"].concat();
    let source = format!(
        "fn plain() {{}}\n#[test]\nfn one() {{}}\n#[tokio::test(flavor = \"x\")]\nasync fn two() {{}}\n#[test]\n{off}\nfn three() {{}}\n// #[test]\nfn four() {{}}"
    );
    let found =
        ["plain", "one", "two", "three", "four", "on", "five"].map(|name| has_test(&source, name));
    assert_eq!(found, [false, true, true, false, false, false, false]);
}
