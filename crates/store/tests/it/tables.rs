//! Typed tables on an honest file.

use crate::home::{
    AGENTS, BODIES, Doc, Home, LEDGER, NOTES, PROJECTS, commit, doc, large, project, try_commit,
};
use procura_store::{
    Blob, CommitError, CommitObserver, CommitView, Expected, KeyPrefix, Kind, LogId, MAX_BATCH,
    MAX_VALUE, Seq, StoreError, Table,
};
use std::sync::{Arc, Mutex};

#[test]
fn rows_come_back_typed_with_their_version() {
    let home = Home::new(1);
    let store = home.unsealed();
    assert_eq!(AGENTS.get(&store, &"a".into()).unwrap(), None);
    let seq = commit(&store, |b| AGENTS.put(b, &"a".into(), &doc("x"))).seq;
    let row = AGENTS.get(&store, &"a".into()).unwrap().unwrap();
    assert_eq!((row.version, row.value), (seq, doc("x")));
    drop(store);
    let store = home.unsealed();
    let row = AGENTS.get(&store, &"a".into()).unwrap().unwrap();
    assert_eq!((row.version, row.value), (seq, doc("x")));
    commit(&store, |b| AGENTS.delete(b, &"a".into()));
    assert_eq!(AGENTS.get(&store, &"a".into()).unwrap(), None);
}

#[test]
fn a_conflict_names_the_row() {
    let home = Home::new(1);
    let store = home.unsealed();
    let key = "a".to_owned();
    commit(&store, |b| AGENTS.put(b, &key, &doc("x")));
    let conflict = try_commit(&store, |b| {
        AGENTS.expect(b, &key, Expected::Absent);
        AGENTS.put(b, &key, &doc("y"));
    });
    let expected = CommitError::Conflict {
        key: AGENTS.row_key(&key),
    };
    assert_eq!(conflict, Err(expected));
}

#[test]
fn scans_follow_prefix_position_and_limit() {
    let home = Home::new(1);
    let store = home.unsealed();
    commit(&store, |b| {
        for (space, path) in [
            ("dev", "db/pass"),
            ("prod", "api"),
            ("prod", "db/pass"),
            ("prod", "db/user"),
            ("prod", "dbx"),
            ("prod2", "db/pass"),
        ] {
            PROJECTS.put(b, &(space.into(), path.into()), &doc(path));
        }
    });
    let snapshot = store.snapshot().unwrap();
    let paths = |prefix: KeyPrefix, after: Option<(&str, &str)>, limit| -> Vec<String> {
        let after = after.map(|(space, path)| (space.to_owned(), path.to_owned()));
        let rows = PROJECTS.scan(&snapshot, &prefix, after.as_ref(), limit);
        let rows = rows.unwrap().into_iter();
        rows.map(|((space, path), row)| {
            assert_eq!(row.value, doc(&path));
            format!("{space}:{path}")
        })
        .collect()
    };
    let prod = || KeyPrefix::all().part(&"prod".to_owned());
    assert_eq!(paths(KeyPrefix::all(), None, 99).len(), 6);
    assert_eq!(
        paths(prod(), None, 99),
        ["prod:api", "prod:db/pass", "prod:db/user", "prod:dbx"]
    );
    let below = || prod().text_start("db/");
    assert_eq!(paths(below(), None, 99), ["prod:db/pass", "prod:db/user"]);
    let after = Some(("prod", "db/pass"));
    assert_eq!(paths(below(), after, 99), ["prod:db/user"]);
    assert_eq!(paths(prod(), after, 1), ["prod:db/user"]);
}

#[test]
fn a_snapshot_does_not_move() {
    let home = Home::new(1);
    let store = home.unsealed();
    commit(&store, |b| {
        AGENTS.put(b, &"a".into(), &doc("old"));
        NOTES.put(b, &"n".into(), &large(1));
    });
    let snapshot = store.snapshot().unwrap();
    commit(&store, |b| {
        AGENTS.put(b, &"a".into(), &doc("new"));
        NOTES.delete(b, &"n".into());
    });
    let row = AGENTS.get_at(&snapshot, &"a".into()).unwrap().unwrap();
    assert_eq!(row.value, doc("old"));
    let note = NOTES.get_at(&snapshot, &"n".into()).unwrap().unwrap();
    assert_eq!(note.value, large(1));
    assert_eq!(AGENTS.load(&snapshot).unwrap().len(), 1);
    assert_eq!(snapshot.head().unwrap().seq, Seq::new(1));
    assert_eq!(store.head().unwrap().seq, Seq::new(2));
}

#[test]
fn large_values_come_and_go_with_their_chunks() {
    let home = Home::new(1);
    let store = home.unsealed();
    let key = ("s".to_owned(), 1);
    let sizes = [0, 1, MAX_VALUE - 1, MAX_VALUE, 3 * MAX_VALUE, 1 << 20, 5];
    for size in sizes {
        let body = Blob::new(vec![9; size]);
        commit(&store, |b| {
            BODIES.put(b, &key, &body);
            NOTES.put(b, &"n".into(), &body);
        });
        assert_eq!(BODIES.get(&store, &key).unwrap().unwrap().value, body);
        let note = NOTES.get(&store, &"n".into()).unwrap().unwrap();
        assert_eq!(note.value, body);
        let snapshot = store.snapshot().unwrap();
        let all = BODIES.scan(&snapshot, &KeyPrefix::all(), None, 9).unwrap();
        assert!(all.len() == 1 && all[0].1.value == body);
    }
    commit(&store, |b| {
        BODIES.put(b, &key, &large(1));
        BODIES.put(b, &("s".into(), 2), &large(2));
    });
    commit(&store, |b| {
        BODIES.delete(b, &key);
        NOTES.delete(b, &"n".into());
    });
    assert_eq!(BODIES.get(&store, &key).unwrap(), None);
    // The neighbour's chunks stayed.
    let other = BODIES.get(&store, &("s".into(), 2)).unwrap().unwrap();
    assert_eq!(other.value, large(2));
    assert_eq!(store.deep_check().unwrap(), [""; 0]);
    let zero = procura_store::SetDigest::default();
    let head = store.head().unwrap();
    assert!(head.table("notes") == zero && head.table("notes#") == zero);
    assert_ne!(head.table("bodies#"), zero);
    let too_large = try_commit(&store, |b| {
        BODIES.put(b, &key, &Blob::new(vec![0; MAX_BATCH + 1]));
    });
    assert_eq!(too_large, Err(CommitError::TooLarge));
}

#[test]
fn a_struct_beyond_a_row_is_too_large() {
    let home = Home::new(1);
    let store = home.unsealed();
    let big = doc(&"x".repeat(MAX_VALUE));
    let put = try_commit(&store, |b| AGENTS.put(b, &"a".into(), &big));
    assert_eq!(put, Err(CommitError::TooLarge));
}

#[test]
fn a_row_of_another_shape_says_so() {
    const NUMBERS: Table<String, u64> = Table::new("agents", Kind::Directory);
    let home = Home::new(1);
    let store = home.unsealed();
    commit(&store, |b| AGENTS.put(b, &"a".into(), &doc("x")));
    let shape = StoreError::Shape {
        table: "agents".into(),
    };
    assert_eq!(NUMBERS.get(&store, &"a".into()), Err(shape));
}

#[derive(Default)]
struct Watch(Mutex<Vec<(String, Option<Doc>)>>);

impl CommitObserver for Watch {
    fn committed(&self, commits: &[CommitView<'_>]) {
        for change in commits.iter().flat_map(CommitView::directory) {
            if let Some(change) = AGENTS.change(&change) {
                let (key, row) = change.unwrap();
                let value = row.map(|row| row.value);
                self.0.lock().unwrap().push((key, value));
            }
        }
    }
}

#[test]
fn observers_read_typed_changes() {
    const OTHERS: Table<String, Doc> = Table::new("others", Kind::Directory);
    let home = Home::new(1);
    let store = home.unsealed();
    let watch = Arc::new(Watch::default());
    store.observe(watch.clone());
    commit(&store, |b| {
        AGENTS.put(b, &"a".into(), &doc("x"));
        OTHERS.put(b, &"o".into(), &doc("x"));
        PROJECTS.put(b, &project("prod", 1), &doc("x"));
        AGENTS.delete(b, &"gone".into());
    });
    let expected = [("a".into(), Some(doc("x"))), ("gone".into(), None)];
    assert_eq!(*watch.0.lock().unwrap(), expected);
}

#[test]
fn the_fate_of_a_batch_is_known() {
    let home = Home::new(1);
    let store = home.unsealed();
    let mut batch = store.batch().unwrap();
    let id = batch.id();
    AGENTS.put(&mut batch, &"a".into(), &doc("x"));
    let seq = crate::home::wait(store.commit(batch)).unwrap().seq;
    assert_eq!(store.fate(id).unwrap(), Some(seq));
    assert_eq!(store.fate(store.batch().unwrap().id()).unwrap(), None);
    assert_eq!(store.changes(Seq::ZERO, 9).unwrap().changes.len(), 1);
}

#[test]
fn many_writers_of_one_row_lose_nothing() {
    const COUNT: Table<String, u64> = Table::new("count", Kind::Ordinary);
    let home = Home::new(1);
    let store = home.unsealed();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let add = |store: procura_store::Store| async move {
        for _ in 0..10 {
            loop {
                let row = COUNT.get(&store, &"n".into()).unwrap();
                let mut batch = store.batch().unwrap();
                let (expected, value) = match row {
                    Some(row) => (Expected::At(row.version), row.value),
                    None => (Expected::Absent, 0),
                };
                COUNT.expect(&mut batch, &"n".into(), expected);
                COUNT.put(&mut batch, &"n".into(), &(value + 1));
                batch.append(LEDGER, (value + 1).to_be_bytes().to_vec());
                match store.commit(batch).await {
                    Ok(_) => break,
                    Err(CommitError::Conflict { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        }
    };
    runtime.block_on(async {
        let tasks: Vec<_> = (0..8).map(|_| tokio::spawn(add(store.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(COUNT.get(&store, &"n".into()).unwrap().unwrap().value, 80);
    let log = store.log_read(LEDGER, 0, 99).unwrap();
    let counted = log.iter().map(|e| e.bytes.expose().clone());
    assert!(counted.eq((1..=80u64).map(|n| n.to_be_bytes().to_vec())));
}

#[test]
fn blind_indexes_tell_equality_only() {
    let (one, other) = (Home::new(1), Home::new(2));
    let (one, other) = (one.unsealed(), other.unsealed());
    let blind = one.blind("mail", b"a@example.org").unwrap();
    assert_eq!(one.blind("mail", b"a@example.org").unwrap(), blind);
    assert_ne!(one.blind("mail", b"b@example.org").unwrap(), blind);
    assert_ne!(one.blind("name", b"a@example.org").unwrap(), blind);
    assert_ne!(other.blind("mail", b"a@example.org").unwrap(), blind);
}

#[test]
fn nothing_in_the_file_is_readable() {
    let home = Home::new(1);
    let store = home.unsealed();
    let canary = "canary-5f1e0c";
    commit(&store, |b| {
        AGENTS.put(b, &"a".into(), &doc(canary));
        NOTES.put(b, &"n".into(), &Blob::new(canary.repeat(9000).into_bytes()));
        b.append(LogId::new("ledger"), canary.as_bytes().to_vec());
    });
    let folder = home.path.parent().unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(canary.len()).any(|w| w == canary.as_bytes());
        assert!(!found, "in {}", path.display());
    }
}
