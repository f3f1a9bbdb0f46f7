//! Rows and the head row, changed with plain SQL on the closed file.

use crate::home::{AGENTS, BODIES, Home, KEYRING, NOTES, PROJECTS, commit, corrupt, doc, project};
use procura_store::{CommitError, Damage, Store, StoreError, UnsealError};

fn table(name: &str) -> StoreError {
    corrupt(Damage::Table(name.into()))
}

fn row(name: &str) -> StoreError {
    corrupt(Damage::Row(name.into()))
}

/// The condition that names one row of the table `projects` or `agents`.
fn project_row(n: usize) -> String {
    format!("key = CAST('projects' || x'00' || 'prod' || x'00' || 'p{n}' || x'00' AS BLOB)")
}

fn agent_row(n: usize) -> String {
    format!("key = CAST('agents' || x'00' || 'agent-{n}' || x'00' AS BLOB)")
}

fn get_project(store: &Store, n: usize) -> Result<String, StoreError> {
    let row = PROJECTS.get(store, &project("prod", n))?;
    Ok(row.unwrap().value.text)
}

/// A store with damage in `projects` only: that table fails in this way, reads
/// and writes alike; others work; the deep check says it.
fn only_projects_fail(home: &Home, expected: &StoreError) {
    let store = home.unsealed();
    assert_eq!(get_project(&store, 0).as_ref(), Err(expected));
    let snapshot = store.snapshot().unwrap();
    assert_eq!(PROJECTS.load(&snapshot).as_ref().err(), Some(expected));
    let all = procura_store::KeyPrefix::all();
    let scan = PROJECTS.scan(&snapshot, &all, None, 9);
    assert_eq!(scan.as_ref().err(), Some(expected));
    assert_eq!(AGENTS.load(&snapshot).unwrap().len(), 4);
    assert!(AGENTS.get(&store, &"agent-0".into()).unwrap().is_some());
    let StoreError::Corrupt { what } = expected else {
        panic!("not damage: {expected}");
    };
    let findings = store.deep_check().unwrap();
    assert!(findings.contains(&what.to_string()), "{findings:?}");
    if let Damage::Table(_) = what {
        let mut batch = store.batch().unwrap();
        PROJECTS.put(&mut batch, &project("prod", 9), &doc("x"));
        let refused = crate::home::wait(store.commit(batch));
        assert_eq!(refused, Err(CommitError::Corrupt { what: what.clone() }));
        assert_eq!(store.wait_verified().as_ref(), Err(expected));
    }
}

#[test]
fn values_of_two_rows_swapped() {
    let home = Home::filled(1);
    home.sql(&format!(
        "CREATE TEMP TABLE t AS SELECT key, value FROM row WHERE {0} OR {1};
         UPDATE row SET value = (SELECT value FROM t WHERE t.key != row.key) WHERE {0} OR {1};",
        project_row(0),
        project_row(1)
    ));
    only_projects_fail(&home, &row("projects"));
}

#[test]
fn two_rows_swapped_whole() {
    let home = Home::filled(1);
    home.sql(&format!(
        "CREATE TEMP TABLE t AS SELECT * FROM row WHERE {0} OR {1};
         UPDATE row SET (version, value) =
             (SELECT version, value FROM t WHERE t.key != row.key) WHERE {0} OR {1};",
        project_row(0),
        project_row(1)
    ));
    only_projects_fail(&home, &table("projects"));
}

#[test]
fn a_row_rolled_back() {
    let home = Home::filled(1);
    home.sql(&format!(
        "CREATE TABLE kept AS SELECT * FROM row WHERE {}",
        project_row(0)
    ));
    let store = home.unsealed();
    commit(&store, |b| {
        PROJECTS.put(b, &project("prod", 0), &doc("two"))
    });
    assert_eq!(get_project(&store, 0).unwrap(), "two");
    drop(store);
    home.sql("REPLACE INTO row SELECT * FROM kept");
    only_projects_fail(&home, &table("projects"));
    // The old value under the new version does not open.
    let home = Home::filled(1);
    home.sql(&format!(
        "CREATE TABLE kept AS SELECT * FROM row WHERE {}",
        project_row(0)
    ));
    commit(&home.unsealed(), |b| {
        PROJECTS.put(b, &project("prod", 0), &doc("two"))
    });
    home.sql(&format!(
        "UPDATE row SET value = (SELECT value FROM kept) WHERE {}",
        project_row(0)
    ));
    only_projects_fail(&home, &row("projects"));
}

#[test]
fn a_deleted_row_put_back() {
    let home = Home::filled(1);
    home.sql(&format!(
        "CREATE TABLE kept AS SELECT * FROM row WHERE {}",
        project_row(3)
    ));
    commit(&home.unsealed(), |b| {
        PROJECTS.delete(b, &project("prod", 3))
    });
    home.sql("INSERT INTO row SELECT * FROM kept");
    only_projects_fail(&home, &table("projects"));
}

#[test]
fn rows_removed() {
    let home = Home::filled(1);
    home.sql(&format!("DELETE FROM row WHERE {}", project_row(2)));
    only_projects_fail(&home, &table("projects"));
    let home = Home::filled(1);
    home.sql("DELETE FROM row WHERE key >= CAST('projects' AS BLOB)");
    only_projects_fail(&home, &table("projects"));
}

#[test]
fn rows_added() {
    let home = Home::filled(1);
    let copy = "CAST('projects' || x'00' || 'prod' || x'00' || 'p7' || x'00' AS BLOB)";
    home.sql(&format!(
        "INSERT INTO row SELECT {copy}, version, value FROM row WHERE {}",
        project_row(0)
    ));
    only_projects_fail(&home, &table("projects"));
    // A table of which the head knows nothing.
    let home = Home::filled(1);
    let key = "CAST('count' || x'00' || 'n' || x'00' AS BLOB)";
    home.sql(&format!("INSERT INTO row VALUES ({key}, 1, x'31')"));
    let store = home.unsealed();
    assert_eq!(store.wait_verified(), Err(table("count")));
    assert_eq!(get_project(&store, 0).unwrap(), "one");
}

#[test]
fn a_row_of_another_database() {
    let (home, other) = (Home::filled(1), Home::filled(2));
    // Same key, same version.
    home.sql(&format!(
        "ATTACH '{}' AS other;
         UPDATE row SET value = (SELECT value FROM other.row o WHERE o.key = row.key)
         WHERE {};",
        other.path.display(),
        project_row(0)
    ));
    only_projects_fail(&home, &row("projects"));
}

#[test]
fn the_same_keys_in_another_installation_open_nothing() {
    // Only the id in the associated data differs.
    let (home, mut other) = (Home::filled(1), Home::new(2));
    other.seed = 1;
    commit(&other.unsealed(), |b| {
        PROJECTS.put(b, &project("prod", 0), &doc("theirs"));
    });
    home.sql(&format!(
        "ATTACH '{}' AS other;
         UPDATE row SET value = (SELECT value FROM other.row o WHERE o.key = row.key)
         WHERE {};",
        other.path.display(),
        project_row(0)
    ));
    only_projects_fail(&home, &row("projects"));
}

#[test]
fn a_byte_of_a_value() {
    let home = Home::filled(1);
    home.sql(&format!(
        "UPDATE row SET value =
             CAST(substr(value, 1, 40) || x'00' || substr(value, 42) AS BLOB) WHERE {}",
        project_row(0)
    ));
    only_projects_fail(&home, &row("projects"));
}

#[test]
fn directory_rows() {
    for sql in [
        format!("DELETE FROM row WHERE {}", agent_row(1)),
        format!(
            "UPDATE row SET version = version - 1 WHERE {}",
            agent_row(1)
        ),
        format!(
            "INSERT INTO row SELECT key || x'00', version, value FROM row WHERE {}",
            agent_row(1)
        ),
    ] {
        let home = Home::filled(1);
        home.sql(&sql.replace(
            "key || x'00'",
            "CAST('agents' || x'00' || 'z' || x'00' AS BLOB)",
        ));
        let store = home.unsealed();
        let snapshot = store.snapshot().unwrap();
        assert_eq!(AGENTS.load(&snapshot).err(), Some(table("agents")), "{sql}");
        assert_eq!(AGENTS.get(&store, &"agent-0".into()), Err(table("agents")));
        assert_eq!(get_project(&store, 0).unwrap(), "one");
    }
}

#[test]
fn clear_rows_removed_or_rolled_back() {
    let home = Home::filled(1);
    home.sql("DELETE FROM row WHERE key = CAST('keyring' || x'00' AS BLOB)");
    assert_eq!(KEYRING.get(&home.unsealed(), &()), Err(table("keyring")));
    let home = Home::filled(1);
    home.sql("UPDATE row SET version = 1 WHERE key = CAST('keyring' || x'00' AS BLOB)");
    assert_eq!(KEYRING.get(&home.unsealed(), &()), Err(table("keyring")));
}

#[test]
fn chunks() {
    let note = |home: &Home| NOTES.get(&home.unsealed(), &"large".into());
    let home = Home::filled(1);
    home.sql(
        "DELETE FROM row WHERE key > CAST('notes#' AS BLOB) AND version > 0
              AND key < CAST('notes$' AS BLOB)",
    );
    assert_eq!(note(&home), Err(table("notes#")));
    let home = Home::filled(1);
    home.sql(
        "UPDATE row SET value = (SELECT value FROM row r WHERE r.key > row.key LIMIT 1)
              WHERE key = (SELECT min(key) FROM row WHERE key > CAST('notes#' AS BLOB))",
    );
    assert_eq!(note(&home), Err(row("notes#")));
    // Chunks of a clear table are held together by the digest in their head.
    let home = Home::filled(1);
    home.sql(
        "UPDATE row SET value = (SELECT value FROM row r WHERE r.key > row.key LIMIT 1)
              WHERE key = (SELECT min(key) FROM row WHERE key > CAST('bodies#' AS BLOB))",
    );
    let chunks = Damage::Chunks("bodies".into());
    let store = home.unsealed();
    let body = BODIES.get(&store, &("s".into(), 1));
    assert_eq!(body, Err(corrupt(chunks.clone())));
    assert_eq!(store.deep_check().unwrap(), [chunks.to_string()]);
}

fn head_is_refused(home: &Home) {
    let refused = home.try_unseal().err();
    let what = Damage::Head;
    assert_eq!(refused, Some(UnsealError::Corrupt { what }));
}

#[test]
fn the_head_rolled_back() {
    let home = Home::filled(1);
    home.sql("CREATE TABLE kept AS SELECT * FROM head");
    commit(&home.unsealed(), |b| {
        PROJECTS.put(b, &project("prod", 0), &doc("two"))
    });
    home.sql("REPLACE INTO head SELECT * FROM kept");
    head_is_refused(&home);
    // Together with the record of the last group: the rows are too new then.
    home.sql("DELETE FROM journal WHERE last > (SELECT seq FROM head)");
    let store = home.unsealed();
    assert_eq!(get_project(&store, 0), Err(corrupt(Damage::Head)));
    assert_eq!(store.wait_verified(), Err(corrupt(Damage::Head)));
    // After a deletion no row is too new; the set is too small.
    let home = Home::filled(1);
    home.sql("CREATE TABLE kept AS SELECT * FROM head");
    commit(&home.unsealed(), |b| {
        PROJECTS.delete(b, &project("prod", 0))
    });
    home.sql(
        "REPLACE INTO head SELECT * FROM kept;
              DELETE FROM journal WHERE last > (SELECT seq FROM head)",
    );
    assert_eq!(get_project(&home.unsealed(), 1), Err(table("projects")));
}

#[test]
fn the_head_altered() {
    for sql in [
        "UPDATE head SET sealed = NULL",
        "DELETE FROM head",
        "UPDATE head SET seq = seq + 1",
        "UPDATE head SET seq = seq - 1",
        "UPDATE head SET sealed = CAST(substr(sealed, 1, 60) || x'00' || substr(sealed, 62) AS BLOB)",
        "UPDATE head SET sealed = x'01'",
        "DELETE FROM journal",
    ] {
        let home = Home::filled(1);
        home.sql(sql);
        head_is_refused(&home);
    }
}

#[test]
fn the_head_of_another_database() {
    let (home, other) = (Home::filled(1), Home::filled(2));
    home.sql(&format!(
        "ATTACH '{}' AS other;
         UPDATE head SET sealed = (SELECT sealed FROM other.head);",
        other.path.display()
    ));
    head_is_refused(&home);
}

#[test]
fn an_emptied_store_is_not_a_new_one() {
    let home = Home::filled(1);
    home.sql(
        "DELETE FROM row; DELETE FROM entry; DELETE FROM log; DELETE FROM journal;
              UPDATE head SET seq = 0, sealed = NULL",
    );
    head_is_refused(&home);
    // Whatever is left over betrays it.
    let home = Home::filled(1);
    home.sql(
        "DELETE FROM entry; DELETE FROM log; DELETE FROM journal;
              UPDATE meta SET sentinel = NULL; UPDATE head SET seq = 0, sealed = NULL",
    );
    head_is_refused(&home);
}
