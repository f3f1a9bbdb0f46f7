//! The deep check, and the check after unsealing at size.

use crate::home::{AGENTS, Home, LEDGER, PROJECTS, commit, doc, keys, project};
use procura_crypto::SystemEntropy;
use procura_store::{Barrier, Damage};
use procura_types::Secret;
use std::sync::Arc;

#[test]
fn a_sound_store_has_no_findings() {
    let home = Home::filled(1);
    assert_eq!(home.unsealed().deep_check().unwrap(), [""; 0]);
    let empty = Home::new(1);
    assert_eq!(empty.unsealed().deep_check().unwrap(), [""; 0]);
}

#[test]
fn all_damage_is_listed() {
    let home = Home::filled(1);
    home.sql(
        "DELETE FROM row WHERE key = CAST('agents' || x'00' || 'agent-1' || x'00' AS BLOB);
              UPDATE row SET value = x'01' WHERE key =
                  CAST('projects' || x'00' || 'prod' || x'00' || 'p1' || x'00' AS BLOB);
              UPDATE entry SET value = x'01' WHERE version = 2;",
    );
    let findings = home.unsealed().deep_check().unwrap();
    let expected = [
        Damage::Table("agents".into()).to_string(),
        Damage::Row("projects".into()).to_string(),
        Damage::LogEntry {
            log: "ledger".into(),
            index: 1,
        }
        .to_string(),
    ];
    assert_eq!(findings, expected);
}

#[test]
fn a_chain_made_with_another_key_does_not_end_where_it_should() {
    let home = Home::filled(1);
    let store = home.open().unwrap();
    let mut other = keys(home.id, 1, &[1]);
    other.chain_key = Secret::new([0; 32]);
    let barrier = Barrier::new(other, Arc::new(SystemEntropy)).unwrap();
    store.install_barrier(barrier).unwrap();
    let chain = Damage::Chain("ledger".into());
    assert_eq!(store.deep_check().unwrap(), [chain.to_string()]);
}

#[test]
fn reads_and_writes_go_on_while_thousands_of_rows_are_verified() {
    let home = Home::new(1);
    let store = home.unsealed();
    for part in 0..20 {
        commit(&store, |b| {
            for n in 0..500 {
                PROJECTS.put(b, &project("prod", part * 500 + n), &doc("x"));
            }
            b.append(LEDGER, b"x".to_vec());
        });
    }
    drop(store);
    let store = home.unsealed();
    // At once, while the pass has hardly begun.
    commit(&store, |b| {
        AGENTS.put(b, &"a".into(), &doc("x"));
        PROJECTS.delete(b, &project("prod", 9999));
    });
    assert!(PROJECTS.get(&store, &project("prod", 0)).unwrap().is_some());
    assert!(
        PROJECTS
            .get(&store, &project("prod", 9999))
            .unwrap()
            .is_none()
    );
    store.wait_verified().unwrap();
    // Sealing in the middle of a pass ends it.
    drop(store);
    let store = home.unsealed();
    store.seal();
    store.install_barrier(home.barrier()).unwrap();
    store.wait_verified().unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(PROJECTS.load(&snapshot).unwrap().len(), 9999);
}
