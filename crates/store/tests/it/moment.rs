//! What was read before something else was made durable, and is used after it.

use crate::home::{AGENTS, Home, LEDGER, NOTES, PROJECTS, commit, doc, large, project};
use procura_store::{Damage, StoreError};

#[test]
fn a_row_is_what_it_was_until_a_commit_changes_it() {
    let home = Home::filled(1);
    let store = home.unsealed();
    store.wait_verified().unwrap();
    let key = "agent-0".to_owned();
    let read = || {
        let moment = store.moment();
        (moment, AGENTS.get(&store, &key).unwrap().unwrap().version)
    };
    let (moment, version) = read();
    let is_still = || {
        AGENTS
            .is_still_since(&store, &key, version, moment)
            .unwrap()
    };
    assert!(is_still());
    // What only appends changes no row.
    commit(&store, |b| {
        b.append(LEDGER, b"x".to_vec());
    });
    assert!(is_still());
    // Other rows: it is looked up, and found as it was.
    commit(&store, |b| PROJECTS.put(b, &project("prod", 7), &doc("x")));
    commit(&store, |b| NOTES.put(b, &"note".into(), &large(7)));
    assert!(is_still());
    commit(&store, |b| AGENTS.put(b, &key, &doc("other")));
    assert!(!is_still());
    let (moment, version) = read();
    let is_still = || {
        AGENTS
            .is_still_since(&store, &key, version, moment)
            .unwrap()
    };
    assert!(is_still());
    commit(&store, |b| AGENTS.delete(b, &key));
    assert!(!is_still());
}

#[test]
fn an_older_version_is_not_still_there() {
    let home = Home::filled(1);
    let store = home.unsealed();
    let key = "agent-0".to_owned();
    let before = AGENTS.get(&store, &key).unwrap().unwrap().version;
    commit(&store, |b| AGENTS.put(b, &key, &doc("other")));
    assert!(!AGENTS.is_still(&store, &key, before).unwrap());
}

#[test]
fn a_sealed_store_and_a_damaged_table_have_nothing_that_is_still_so() {
    let home = Home::filled(1);
    home.sql(
        "DELETE FROM row WHERE key > CAST('projects' AS BLOB) AND key < CAST('projectt' AS BLOB)",
    );
    let store = home.unsealed();
    let moment = store.moment();
    let version = AGENTS
        .get(&store, &"agent-0".into())
        .unwrap()
        .unwrap()
        .version;
    let damaged = PROJECTS.is_still_since(&store, &project("prod", 0), version, moment);
    let what = Damage::Table("projects".into());
    assert_eq!(damaged, Err(StoreError::Corrupt { what }));
    store.seal();
    let sealed = AGENTS.is_still_since(&store, &"agent-0".into(), version, moment);
    assert_eq!(sealed, Err(StoreError::Sealed));
}
