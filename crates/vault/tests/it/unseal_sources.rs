//! Several things that open one vault: each does alone, what is removed does no more,
//! and nobody can put one of their own beside them.

use crate::world::{Closed, PASSPHRASE, World, first_source, secret, shop, typed};
use procura_crypto::SystemEntropy;
use procura_crypto::shamir::{self, Share, ShareError};
use procura_types::Label;
use procura_vault::{Brought, Installation, MAX_SOURCES, NewSource, SealError};
use serde_json::{Value, json};

const SECOND: &str = "the second passphrase";

fn name(text: &str) -> Label {
    text.parse().unwrap()
}

fn second() -> NewSource {
    NewSource::passphrase(name("second"), &secret(SECOND), &SystemEntropy).unwrap()
}

fn recovery() -> (NewSource, Vec<Share>) {
    NewSource::shares(name("recovery"), 3, 5, &SystemEntropy).unwrap()
}

/// Some of the shares, as their holders bring them.
fn brought(shares: &[Share], which: &[usize]) -> Brought {
    let typed = |at: &usize| procura_vault::Share::parse(shares[*at].encode().expose()).unwrap();
    Brought::Shares(which.iter().map(typed).collect())
}

/// The world with one secret, and shares beside its passphrase.
async fn shared() -> (World, Vec<Share>) {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    let (source, shares) = recovery();
    world.add(&typed(PASSPHRASE), source).unwrap();
    (world, shares)
}

async fn refused(place: &Closed, brought: &Brought) -> SealError {
    let store = place.store().await;
    let error = place.unseal_with(store.clone(), brought).err().unwrap();
    assert!(store.is_sealed());
    error
}

async fn reads(world: &World) {
    assert_eq!(world.read(&shop(), "a/key", None).await.unwrap(), b"value");
}

#[tokio::test]
async fn each_source_opens_alone_and_says_which_it_was() {
    let (world, shares) = shared().await;
    world.add(&typed(PASSPHRASE), second()).unwrap();
    let mut place = world.close();
    for (brought, source, kind) in [
        (typed(PASSPHRASE), "passphrase", "passphrase"),
        (typed(SECOND), "second", "passphrase"),
        (brought(&shares, &[4, 0, 2]), "recovery", "shares"),
        (brought(&shares, &[0, 1, 2, 3, 4]), "recovery", "shares"),
    ] {
        let world = place.open_with(&brought).await.unwrap();
        let by = world.vault.opened_by().unwrap();
        assert_eq!((by.source.as_str(), by.kind), (source, kind));
        reads(&world).await;
        assert_eq!(world.vault.try_source(&brought).unwrap(), *by);
        place = world.close();
    }
}

#[tokio::test]
async fn each_mistake_with_shares_has_its_own_error() {
    let (world, shares) = shared().await;
    let (_, others) = recovery();
    let place = world.close();
    // Made by somebody who has seen a share, and so knows the set.
    let secret = procura_types::Secret::new([7; 32]);
    let forged = shamir::split(&secret, 3, 5, *shares[0].set(), &SystemEntropy).unwrap();
    let error = refused(&place, &brought(&forged, &[0, 1, 2])).await;
    assert!(
        matches!(error, SealError::ForgedShare { index: 1 }),
        "{error}"
    );
    let error = refused(&place, &brought(&others, &[0, 1, 2])).await;
    assert!(matches!(error, SealError::OtherShare), "{error}");
    let error = refused(&place, &brought(&shares, &[0, 1])).await;
    assert!(
        matches!(
            error,
            SealError::Shares(ShareError::TooFew { have: 2, need: 3 })
        ),
        "{error}"
    );
    let error = refused(&place, &brought(&shares, &[0, 1, 1])).await;
    assert!(
        matches!(error, SealError::Shares(ShareError::Repeated { index: 2 })),
        "{error}"
    );
    let read = |share: &Share| procura_vault::Share::parse(share.encode().expose()).unwrap();
    let mixed = vec![read(&shares[0]), read(&others[1]), read(&others[2])];
    let error = refused(&place, &Brought::Shares(mixed)).await;
    assert!(matches!(error, SealError::OtherShare), "{error}");
    let error = refused(&place, &Brought::Shares(Vec::new())).await;
    assert!(
        matches!(
            error,
            SealError::Shares(ShareError::TooFew { have: 0, need: 3 })
        ),
        "{error}"
    );
    let error = refused(&place, &typed("not the passphrase")).await;
    assert!(matches!(error, SealError::WrongPassphrase), "{error}");
}

#[tokio::test]
async fn what_is_removed_opens_no_more_and_the_rest_still_does() {
    let (world, shares) = shared().await;
    world.add(&typed(PASSPHRASE), second()).unwrap();
    let before = Installation::read(world.place.home.path()).unwrap();
    world
        .remove(&typed(PASSPHRASE), name("second"))
        .await
        .unwrap();
    let after = Installation::read(world.place.home.path()).unwrap();
    assert_eq!(after.root_epoch, before.root_epoch + 1);
    let keys = |installation: &Installation| -> Vec<_> {
        let staying = |source: &&procura_vault::Source| source.name.as_str() != "second";
        installation
            .sources
            .iter()
            .filter(staying)
            .map(|source| (source.name.clone(), source.key.clone(), source.added))
            .collect()
    };
    assert_eq!(keys(&after), keys(&before), "the others need not be there");
    reads(&world).await;
    let place = world.close();
    let error = refused(&place, &typed(SECOND)).await;
    assert!(matches!(error, SealError::WrongPassphrase), "{error}");
    let world = place
        .open_with(&brought(&shares, &[1, 2, 3]))
        .await
        .unwrap();
    reads(&world).await;
    let world = world.close().open(PASSPHRASE).await.unwrap();
    reads(&world).await;
    // The old file leads nowhere: the rows of its root are gone.
    let path = world.place.home.path().join("installation.json");
    std::fs::write(&path, serde_json::to_vec(&before).unwrap()).unwrap();
    let place = world.close();
    let error = refused(&place, &typed(SECOND)).await;
    assert!(matches!(error, SealError::KeyringMismatch), "{error}");
}

/// What is brought for a removal opens the vault when the source is gone: whoever lost the
/// shares keeps the passphrase.
#[tokio::test]
async fn what_goes_does_not_take_itself_away() {
    let (world, shares) = shared().await;
    let before = Installation::read(world.place.home.path()).unwrap();
    let leaves = world.remove(&typed(PASSPHRASE), first_source()).await;
    assert!(matches!(leaves, Err(SealError::BroughtLeaves(name)) if name == first_source()));
    let some = brought(&shares, &[0, 1, 2]);
    let leaves = world.remove(&some, name("recovery")).await;
    assert!(
        matches!(leaves, Err(SealError::BroughtLeaves(leaving)) if leaving == name("recovery"))
    );
    let after = Installation::read(world.place.home.path()).unwrap();
    assert_eq!(before, after, "nothing was changed");
    // The same passphrase may be that of one that stays.
    let same = NewSource::passphrase(name("same"), &secret(PASSPHRASE), &SystemEntropy).unwrap();
    world.add(&typed(PASSPHRASE), same).unwrap();
    world
        .remove(&typed(PASSPHRASE), first_source())
        .await
        .unwrap();
    let place = world.close();
    let world = place.open(PASSPHRASE).await.unwrap();
    assert_eq!(world.vault.opened_by().unwrap().source, name("same"));
    world.remove(&some, name("same")).await.unwrap();
    let world = world.close().open_with(&some).await.unwrap();
    reads(&world).await;
}

#[tokio::test]
async fn a_changed_passphrase_leaves_the_other_sources_as_they_are() {
    let (world, shares) = shared().await;
    world
        .change_passphrase(PASSPHRASE, SECOND, false)
        .await
        .unwrap();
    let place = world.close();
    let error = refused(&place, &typed(PASSPHRASE)).await;
    assert!(matches!(error, SealError::WrongPassphrase), "{error}");
    let place = place.open(SECOND).await.unwrap().close();
    let world = place
        .open_with(&brought(&shares, &[0, 1, 4]))
        .await
        .unwrap();
    reads(&world).await;
}

/// Who changes a passphrase because it was seen is not to be betrayed by a source beside it
/// that has the same.
#[tokio::test]
async fn a_changed_passphrase_opens_no_other_source_either() {
    let (world, _) = shared().await;
    let same = NewSource::passphrase(name("same"), &secret(PASSPHRASE), &SystemEntropy).unwrap();
    world.add(&typed(PASSPHRASE), same).unwrap();
    world
        .change_passphrase(PASSPHRASE, SECOND, false)
        .await
        .unwrap();
    let place = world.close();
    let error = refused(&place, &typed(PASSPHRASE)).await;
    assert!(matches!(error, SealError::WrongPassphrase), "{error}");
    // They are two still, and either opens with the new one when the other is gone.
    let world = place.open(SECOND).await.unwrap();
    world.remove(&typed(SECOND), first_source()).await.unwrap();
    let world = world.close().open(SECOND).await.unwrap();
    assert_eq!(world.vault.opened_by().unwrap().source, name("same"));
    reads(&world).await;
}

#[tokio::test]
async fn the_last_source_stays_and_names_are_taken_once() {
    let world = World::new().await;
    let first = first_source();
    let last = world.remove(&typed(PASSPHRASE), first.clone()).await;
    assert!(matches!(last, Err(SealError::LastSource)));
    let none = world.remove(&typed(PASSPHRASE), name("other")).await;
    assert!(matches!(none, Err(SealError::NoSource(missing)) if missing == name("other")));
    let again = NewSource::passphrase(first.clone(), &secret(SECOND), &SystemEntropy).unwrap();
    let taken = world.add(&typed(PASSPHRASE), again);
    assert!(matches!(taken, Err(SealError::SourceExists(there)) if there == first));
    let wrong = world.add(&typed(SECOND), second());
    assert!(matches!(wrong, Err(SealError::WrongPassphrase)));
    for at in 1..MAX_SOURCES {
        let (source, _) = NewSource::shares(name(&format!("s{at}")), 2, 2, &SystemEntropy).unwrap();
        world.add(&typed(PASSPHRASE), source).unwrap();
    }
    let (one_more, _) = recovery();
    let many = world.add(&typed(PASSPHRASE), one_more);
    assert!(matches!(many, Err(SealError::TooManySources)));
    assert!(world.place.open_after().await);
}

impl Closed {
    /// Whether its passphrase still opens the file.
    async fn open_after(&self) -> bool {
        Installation::read(self.home.path()).is_ok_and(|file| file.root_epoch == 1)
    }
}

fn edited(place: &Closed, edit: impl FnOnce(&mut Value)) {
    let path = place.home.path().join("installation.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    edit(&mut file);
    std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
}

/// Whoever can write the file would else have the next root sealed to a key of theirs.
#[tokio::test]
async fn a_source_that_somebody_put_into_the_file_is_found() {
    let edits: [fn(&mut Value); 5] = [
        |file| {
            let mut theirs = file["sources"][1].clone();
            theirs["name"] = json!("theirs");
            file["sources"].as_array_mut().unwrap().push(theirs);
        },
        |file| {
            let key = file["sources"][0]["key"].clone();
            file["sources"][1]["key"] = key;
        },
        |file| {
            file["sources"].as_array_mut().unwrap().pop();
        },
        |file| file["sources"][1]["keeper"]["threshold"] = json!(2),
        |file| file["sources_tag"] = json!(""),
    ];
    for edit in edits {
        let (world, _) = shared().await;
        let place = world.close();
        edited(&place, edit);
        let error = refused(&place, &typed(PASSPHRASE)).await;
        assert!(
            matches!(&error, SealError::Damaged(what)
                if what == "the list of unseal sources is not the vault's own"),
            "{error}"
        );
    }
}
