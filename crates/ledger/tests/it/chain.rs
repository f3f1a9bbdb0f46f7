//! The keyed chain.

use procura_crypto::MacKey;
use procura_ledger::{Chain, leaf_hash};

#[test]
fn a_link_is_over_index_leaf_and_previous() {
    let key = MacKey::from_bytes(&[9; 32]).unwrap();
    let (one, two) = (leaf_hash(b"one"), leaf_hash(b"two"));
    let mut chain = Chain::new();
    let first = chain.push(&key, &one);
    let second = chain.push(&key, &two);
    let by_hand = [&0u64.to_be_bytes()[..], one.as_bytes(), &[0; 32]].concat();
    assert_eq!(first, key.sign(&[&by_hand]));
    let by_hand = [&1u64.to_be_bytes()[..], two.as_bytes(), &first].concat();
    assert_eq!(second, key.sign(&[&by_hand]));
    assert_eq!((chain.size(), chain.head()), (2, &second));
    assert_eq!(Chain::resume(2, second), chain);
}

#[test]
fn another_order_key_or_link_is_refused_and_changes_nothing() {
    let key = MacKey::from_bytes(&[9; 32]).unwrap();
    let (one, two) = (leaf_hash(b"one"), leaf_hash(b"two"));
    let mut chain = Chain::new();
    let first = chain.push(&key, &one);
    let second = chain.push(&key, &two);

    let mut check = Chain::new();
    assert!(!check.check(&key, &two, &first));
    assert!(!check.check(&MacKey::from_bytes(&[8; 32]).unwrap(), &one, &first));
    assert!(!check.check(&key, &one, &second));
    assert_eq!(check, Chain::new());
    assert!(check.check(&key, &one, &first));
    assert!(!check.check(&key, &one, &first));
    assert!(check.check(&key, &two, &second));
    assert_eq!(check, chain);
}
