//! Names of logs: the first of an installation, and those that restored stores go on under.

use procura_ledger::{is_origin_of, later_origin, origin, origin_number};
use procura_types::InstallationId;

#[test]
fn later_origins_have_a_number_and_are_told_apart_by_what_follows_it() {
    let id = InstallationId::from_bytes([7; 16]);
    let first = origin(&id);
    assert_eq!(origin_number(&first, &id), Some(1));
    let one = later_origin(&id, 2, &[0, 1, 2, 3, 4, 5, 6, 0xff]);
    assert_eq!(one, format!("{first}/2-00010203040506ff"));
    assert_eq!(origin_number(&one, &id), Some(2));
    let other = later_origin(&id, 2, &[0; 8]);
    assert_ne!(one, other);
    // As they were named before.
    assert_eq!(origin_number(&format!("{first}/12"), &id), Some(12));
    for name in [
        format!("{first}/"),
        format!("{first}/1"),
        format!("{first}/02"),
        format!("{first}/0-00010203040506ff"),
        format!("{first}/1-00010203040506ff"),
        format!("{first}/-00010203040506ff"),
        format!("{first}/2-"),
        format!("{first}/2-00010203040506f"),
        format!("{first}/2-00010203040506FF"),
        format!("{first}/2-00010203040506ff00"),
        format!("{first}/2-00010203040506ff/3"),
        format!("{first}2"),
        format!("x{first}"),
        origin(&InstallationId::from_bytes([8; 16])),
        later_origin(&InstallationId::from_bytes([8; 16]), 2, &[0; 8]),
    ] {
        assert_eq!(origin_number(&name, &id), None, "{name}");
        assert!(!is_origin_of(&name, &id), "{name}");
    }
    for name in [first, one, other] {
        assert!(is_origin_of(&name, &id), "{name}");
    }
}
