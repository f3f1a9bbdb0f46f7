//! Words of SLIP-0039 open the vault, each mistake with them is its own error, and they
//! are the private half of the source's key to anybody who combines them.

use crate::world::{Closed, PASSPHRASE, World, shop, typed};
use procura_crypto::OpeningKey;
use procura_crypto::SystemEntropy;
use procura_crypto::slip39::{self, Mnemonic, Slip39Error};
use procura_types::wire::{ShareScheme, ShareSet};
use procura_types::{Label, Secret};
use procura_vault::{Brought, Installation, NewSource, SealError, Share};

fn name(text: &str) -> Label {
    text.parse().unwrap()
}

fn made(threshold: u8, count: u8) -> (NewSource, Vec<Mnemonic>) {
    NewSource::slip39(name("words"), threshold, count, &SystemEntropy).unwrap()
}

/// The texts as their holders bring them.
fn brought(words: &[&Mnemonic]) -> Brought {
    let read = |words: &&Mnemonic| Share::parse(words.encode().expose()).unwrap();
    Brought::Shares(words.iter().map(read).collect())
}

async fn with_words() -> (World, Vec<Mnemonic>) {
    let world = World::new().await;
    world.put(&shop(), "a/key", b"value").await;
    let (source, words) = made(2, 3);
    world.add(&typed(PASSPHRASE), source).unwrap();
    (world, words)
}

async fn refused(place: &Closed, brought: &Brought) -> SealError {
    let store = place.store().await;
    let error = place.unseal_with(store.clone(), brought).err().unwrap();
    assert!(store.is_sealed());
    error
}

#[tokio::test]
async fn any_words_as_many_as_are_needed_open_the_vault() {
    let (world, words) = with_words().await;
    let installation = Installation::read(world.place.home.path()).unwrap();
    let source = &installation.sources[1];
    let (scheme, ShareSet { threshold, count }) = source.keeper.shares().unwrap();
    assert_eq!(
        (source.keeper.kind(), scheme, threshold, count),
        ("slip39", ShareScheme::Slip39, 2, 3)
    );
    let mut place = world.close();
    for which in [&[0, 1][..], &[2, 0], &[1, 2], &[2, 1, 0]] {
        let chosen: Vec<&Mnemonic> = which.iter().map(|at| &words[*at]).collect();
        let world = place.open_with(&brought(&chosen)).await.unwrap();
        let by = world.vault.opened_by().unwrap();
        assert_eq!((by.source.as_str(), by.kind), ("words", "slip39"));
        assert!(by.is_shares());
        let read = world.read(&shop(), "a/key", None).await.unwrap();
        assert_eq!(read, b"value");
        place = world.close();
    }
}

#[tokio::test]
async fn words_are_the_private_half_without_a_passphrase() {
    let (world, words) = with_words().await;
    let secret = slip39::combine(&words[1..], "").unwrap();
    let key = <[u8; 32]>::try_from(secret.expose().as_slice()).unwrap();
    let opening = OpeningKey::new(Secret::new(key)).unwrap();
    let installation = Installation::read(world.place.home.path()).unwrap();
    assert_eq!(installation.sources[1].key, opening.sealing_key().unwrap());
}

#[tokio::test]
async fn each_mistake_with_words_has_its_own_error() {
    let (world, words) = with_words().await;
    let place = world.close();
    // Another set, unless it has the same 15 bits.
    let others = loop {
        let (_, others) = made(2, 3);
        if others[0].identifier() != words[0].identifier() {
            break others;
        }
    };
    let error = refused(&place, &brought(&[&others[0], &others[1]])).await;
    assert!(matches!(error, SealError::OtherShare), "{error}");
    let error = refused(&place, &brought(&[&words[0], &others[1]])).await;
    assert!(matches!(error, SealError::OtherShare), "{error}");
    let error = refused(&place, &brought(&[&words[1]])).await;
    assert!(
        matches!(
            error,
            SealError::Mnemonics(Slip39Error::TooFewMembers {
                have: 1,
                need: 2,
                ..
            })
        ),
        "{error}"
    );
    for repeated in [&[1, 1][..], &[0, 1, 1]] {
        let chosen: Vec<&Mnemonic> = repeated.iter().map(|at| &words[*at]).collect();
        let error = refused(&place, &brought(&chosen)).await;
        assert!(
            matches!(
                error,
                SealError::Mnemonics(Slip39Error::Repeated { member: 1, .. })
            ),
            "{error}"
        );
    }
    // Somebody who saw a mnemonic makes others of the same set, with the right checksum.
    let forged = forged(&words[0]);
    let error = refused(&place, &brought(&[&words[0], &forged])).await;
    assert!(
        matches!(error, SealError::ForgedShare { index } if index == forged.member() + 1),
        "{error}"
    );
    let text = words[0].encode();
    let mut typed: Vec<&str> = text.expose().split(' ').collect();
    typed[7] = "procura";
    let error = Share::parse(&typed.join(" ")).err().unwrap();
    assert!(
        matches!(
            error,
            SealError::Mnemonics(Slip39Error::UnknownWord { position: 8 })
        ),
        "{error}"
    );
    typed[7] = if text.expose().split(' ').nth(7) == Some("academic") {
        "acid"
    } else {
        "academic"
    };
    let error = Share::parse(&typed.join(" ")).err().unwrap();
    assert!(
        matches!(error, SealError::Mnemonics(Slip39Error::Checksum)),
        "{error}"
    );
    for (threshold, count, what) in [
        (1, 3, Slip39Error::Threshold),
        (4, 3, Slip39Error::Count),
        (2, 17, Slip39Error::Count),
    ] {
        let tried = NewSource::slip39(name("words"), threshold, count, &SystemEntropy);
        let error = tried.err().unwrap();
        assert!(
            matches!(&error, SealError::Mnemonics(found) if *found == what),
            "{threshold} of {count}: {error}"
        );
    }
}

/// A mnemonic with the identifier of this one, of a set of somebody else.
fn forged(seen: &Mnemonic) -> Mnemonic {
    let entropy = Sets(seen.identifier());
    let secret = Secret::new([9; 32]);
    let mut forged = slip39::split(&secret, 2, 3, "", &entropy).unwrap();
    assert_eq!(forged[1].identifier(), seen.identifier());
    forged.swap_remove(1)
}

/// Randomness whose first two bytes are an identifier.
struct Sets(u16);

impl procura_types::Entropy for Sets {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), procura_types::EntropyError> {
        SystemEntropy.fill(bytes)?;
        if let [high, low] = bytes {
            [*high, *low] = self.0.to_be_bytes();
        }
        Ok(())
    }
}
