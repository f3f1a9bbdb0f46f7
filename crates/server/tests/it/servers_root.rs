//! The root and the unseal sources of several servers: what one of them turns or adds, all
//! of them have.

use crate::servers::{PATIENCE, PROMISED, SECRET, Shared, change_passphrase, put, sees, soon};
use crate::servers::{soon_told, unavailable, value, with_status};
use crate::sessions::{list, started};
use crate::world::{CANARY, PASSPHRASE, World};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whoever turns the root hears of that as all others do, at any moment of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hears_of_its_own_turn_is_not_in_its_own_way() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    let vault = Arc::clone(&one.app.open().unwrap().vault);
    let ended = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&ended);
    let hears = tokio::task::spawn_blocking(move || {
        let mut taken = 0;
        while !until.load(Ordering::Relaxed) {
            taken += u32::from(vault.take_over().unwrap_or(false));
        }
        taken
    });
    let words = ["first passphrase 1", "second passphrase 2"];
    let (mut current, mut new) = (PASSPHRASE, words[0]);
    for turn in 0..6 {
        // It is answered for what it did.
        change_passphrase(&one, current, new).await;
        let epoch = one.app.open().unwrap().vault.installation().root_epoch;
        assert_eq!(epoch, turn + 2);
        (current, new) = (new, words[usize::try_from(turn + 1).unwrap() % 2]);
    }
    ended.store(true, Ordering::Relaxed);
    let taken = hears.await.unwrap();
    assert!(taken <= 6, "{taken}");
    for world in [&one, &two] {
        soon_told("the value", PATIENCE, async || {
            with_status(world.call(&root, "GET", SECRET, None).await, 200)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_one_server_turns_is_turned_at_all() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    let (session, _) = started(&two, &root, None).await;
    let epoch = |world: &World| world.app.open().unwrap().vault.installation().root_epoch;
    for (round, turns) in [&one, &two, &one].into_iter().enumerate() {
        let words = [
            PASSPHRASE,
            "second passphrase 2",
            "third passphrase 33",
            "fourth passphrase 4",
        ];
        change_passphrase(turns, words[round], words[round + 1]).await;
        // Both write and read on, whoever is asked first.
        for world in [&two, &one] {
            let wanted = format!("{CANARY} {round}");
            // For a moment a server may not have the new keys yet, and says so.
            soon_told("the write", PROMISED, async || {
                let body = put(&wanted);
                let wrote = world.call(&root, "PUT", SECRET, Some(&body)).await;
                let code = wrote.json()["code"].as_str().map(str::to_owned);
                let later = matches!(code.as_deref(), Some("contended" | "store_unavailable"));
                assert!(later || wrote.status == 200, "{}", wrote.text());
                with_status(wrote, 200)
            })
            .await;
            let wanted = procura_types::encoding::b64url(wanted.as_bytes());
            for reader in [&one, &two] {
                soon_told("the value", PROMISED, async || {
                    let read = with_status(reader.call(&root, "GET", SECRET, None).await, 200)?;
                    let found = &read.json()["value_b64"];
                    if *found == wanted.as_str() {
                        Ok(())
                    } else {
                        Err(found.to_string())
                    }
                })
                .await;
            }
            let name = format!("made-{round}-{}", epoch(world));
            let body = json!({"name": name});
            let made = world
                .call(&root, "POST", "/v1/namespaces", Some(&body))
                .await;
            assert!(
                made.status == 200 || made.status == 201 || made.status == 409,
                "{}",
                made.text()
            );
        }
        assert_eq!(
            (epoch(&one), epoch(&two)),
            (round as u32 + 2, round as u32 + 2)
        );
    }
    // Sessions of before ended at both.
    soon_told("the end of the session", PROMISED, async || {
        with_status(list(&two, &session, 9).await, 401)
    })
    .await;
    // Nothing is left under a root of before, and only the newest passphrase opens.
    two.seal().await;
    let refused = two
        .admin("POST", "/admin/unseal", &json!({"passphrase": PASSPHRASE}))
        .await;
    refused.expect("wrong_passphrase", None, None, "the first passphrase");
    let opened = json!({"passphrase": "fourth passphrase 4"});
    let opened = two.admin("POST", "/admin/unseal", &opened).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    assert_eq!(value(&two, &root).await, format!("{CANARY} 2"));
    let file = |world: &World| std::fs::read(world.home.path().join("installation.json")).unwrap();
    assert_eq!(file(&one), file(&two));
    for world in [&one, &two] {
        let store = world.app.open().unwrap().vault.store().clone();
        tokio::task::spawn_blocking(move || store.wait_verified())
            .await
            .unwrap()
            .unwrap();
    }
}

/// As one that is opened in the very moment in which another turns the root.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_not_told_of_a_new_root_writes_nothing_and_is_unsealed_again() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    one.ok(&root, "PUT", SECRET, put(CANARY)).await;
    let open = two.app.open().unwrap();
    open.vault.leave_servers(two.clock.as_ref()).await.unwrap();
    drop(open);
    change_passphrase(&one, PASSPHRASE, "second passphrase 2").await;
    let refused = two.call(&root, "PUT", SECRET, Some(&put("old keys"))).await;
    unavailable(&refused, None, "a write with the keys of before");
    assert_eq!(value(&one, &root).await, CANARY);
    two.seal().await;
    let old = json!({"passphrase": PASSPHRASE});
    let refused = two.admin("POST", "/admin/unseal", &old).await;
    refused.expect("wrong_passphrase", None, None, "the passphrase of before");
    let opened = json!({"passphrase": "second passphrase 2"});
    let opened = two.admin("POST", "/admin/unseal", &opened).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    two.ok(&root, "PUT", SECRET, put("new keys")).await;
    sees(&one, &root, "new keys").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unseal_source_of_one_server_opens_the_other() {
    let shared = Shared::new();
    let (one, two, root) = shared.two().await;
    let add = json!({
        "name": "second",
        "open": {"passphrase": PASSPHRASE},
        "source": {"passphrase": "another passphrase 22"},
    });
    let added = one.admin("POST", "/admin/unseal-sources", &add).await;
    assert_eq!(added.status, 200, "{}", added.text());
    soon("the source at the other", PROMISED, async || {
        let listed = two.app.open().unwrap().vault.installation().sources.len();
        (listed == 2).then_some(())
    })
    .await;
    two.ok(&root, "PUT", SECRET, put(CANARY)).await;
    two.seal().await;
    let open = json!({"passphrase": "another passphrase 22"});
    let opened = two.admin("POST", "/admin/unseal", &open).await;
    assert_eq!(opened.status, 204, "{}", opened.text());
    assert_eq!(value(&two, &root).await, CANARY);
}
