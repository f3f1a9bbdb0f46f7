//! Questions about the record.

use crate::world::{World, shop, tiles};
use procura_ledger::{Hash, verify_consistency};
use procura_record::{QueryError, RecordReader};
use procura_types::EntryId;
use procura_types::wire::EntryQuery;

#[tokio::test]
async fn lists_are_newest_first_filtered_and_paged() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    for key in ["a", "b", "c"] {
        world.put(key, 1).await.unwrap();
    }
    let reader = RecordReader::new(world.store().clone(), tiles(home.path()));
    let list = async |query: &EntryQuery| {
        let found = reader.list(query).await.unwrap();
        (
            found
                .entries
                .iter()
                .map(|row| row.index)
                .collect::<Vec<_>>(),
            found.next,
        )
    };
    let all = EntryQuery::default;
    assert_eq!(list(&all()).await, (vec![3, 2, 1, 0], None));
    let first = list(&EntryQuery {
        limit: Some(3),
        ..all()
    })
    .await;
    assert_eq!(first, (vec![3, 2, 1], Some(1)));
    assert_eq!(
        list(&EntryQuery {
            before: first.1,
            ..all()
        })
        .await,
        (vec![0], None)
    );
    assert_eq!(
        list(&EntryQuery {
            namespace: Some(shop()),
            ..all()
        })
        .await
        .0,
        [3, 2, 1]
    );
    assert_eq!(
        list(&EntryQuery {
            namespace: Some("bank".parse().unwrap()),
            ..all()
        })
        .await
        .0,
        [0u64; 0]
    );
    assert_eq!(
        list(&EntryQuery {
            action: Some("installation.init".into()),
            ..all()
        })
        .await
        .0,
        [0]
    );
    let now = crate::world::NOW;
    assert_eq!(
        list(&EntryQuery {
            since: Some(now),
            ..all()
        })
        .await
        .0
        .len(),
        4
    );
    assert_eq!(
        list(&EntryQuery {
            until: Some(now),
            ..all()
        })
        .await
        .0
        .len(),
        0
    );
    let actor = *world
        .permit(crate::world::Put("a"))
        .unwrap()
        .caller()
        .actor();
    assert_eq!(
        list(&EntryQuery {
            actor: Some(actor),
            ..all()
        })
        .await
        .0,
        [3, 2, 1]
    );
    assert_eq!(
        list(&EntryQuery {
            owner: Some(actor),
            ..all()
        })
        .await
        .0,
        [3, 2, 1]
    );
}

#[tokio::test]
async fn entries_are_found_by_id_and_proofs_hold() {
    let (world, home) = (World::new().await, tempfile::tempdir().unwrap());
    let publisher = world.publisher(home.path()).await.unwrap();
    for key in ["a", "b", "c"] {
        world.put(key, 1).await.unwrap();
    }
    let newest = publisher.covering(4).await.unwrap();
    let reader = RecordReader::new(world.store().clone(), publisher.tiles().clone());
    let entry = &world.entries()[2];
    let (index, text) = reader.find(entry.id).await.unwrap();
    assert_eq!((index, text.into_bytes()), (2, entry.to_bytes().unwrap()));
    let unknown = reader.find(EntryId::from_bytes([0; 16])).await.unwrap_err();
    assert!(matches!(unknown, QueryError::NotFound), "{unknown}");
    assert_eq!(reader.inclusion(2, 4).await.unwrap().len(), 2);
    for (index, size) in [(4, 4), (0, 5), (u64::MAX, 4)] {
        let error = reader.inclusion(index, size).await.unwrap_err();
        assert!(matches!(error, QueryError::OutOfRange), "{error}");
    }
    let old = reader.inclusion(0, 1).await.unwrap();
    assert!(old.is_empty());
    let answer = reader.consistency(1, 4).await.unwrap();
    let path: Vec<Hash> = answer
        .path
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
    let signed = procura_ledger::Checkpoint::open(&newest.note, &publisher.vkey()).unwrap();
    let first = procura_ledger::leaf_hash(&world.entries()[0].to_bytes().unwrap());
    verify_consistency(1, &first, 4, &signed.root, &path).unwrap();
    for (from, to) in [(4, 1), (1, 5)] {
        let error = reader.consistency(from, to).await.unwrap_err();
        assert!(matches!(error, QueryError::OutOfRange), "{error}");
    }
}
