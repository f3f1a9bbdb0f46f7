//! Shares of a secret, as their holders type them: in text of ours, and in words.

use crate::Verdict;
use crate::world::Counting;
use procura_crypto::sha256;
use procura_crypto::shamir::{Share, ShareError, combine, split};
use procura_crypto::slip39::{self, Mnemonic};
use procura_types::{FieldTuple, Secret};
use std::fmt::Write as _;

const SECRET: [u8; 32] = [9; 32];
const SET: [u8; 16] = [7; 16];

/// Mnemonics of the standard's vectors 1, 42 and 17, and of 2, 3, 10 and 40, which
/// are refused.
pub(crate) const VECTORS: [&str; 7] = [
    "duckling enlarge academic academic agency result length solution fridge kidney coal piece deal husband erode duke ajar critical decision keyboard",
    "testify swimming academic academic column loyalty smear include exotic bedroom exotic wrist lobe cover grief golden smart junior estimate learn",
    "eraser senior ceramic snake clay various huge numb argue hesitate auction category timber browser greatest hanger petition script leaf pickup",
    "duckling enlarge academic academic agency result length solution fridge kidney coal piece deal husband erode duke ajar critical decision kidney",
    "duckling enlarge academic academic email result length solution fridge kidney coal piece deal husband erode duke ajar music cargo fitness",
    "music husband acrobat acid artist finance center either graduate swimming object bike medical clothes station aspect spider maiden bulb welcome",
    "fraction necklace academic academic award teammate mouse regular testify coding building member verdict purchase blind camera duration email prepare spirit quarter",
];

/// A set of shares, as text.
pub(crate) fn texts(threshold: u8, count: u8) -> Vec<String> {
    let shares = split(
        &Secret::new(SECRET),
        threshold,
        count,
        SET,
        &Counting::new(),
    );
    let encoded = shares
        .unwrap()
        .iter()
        .map(Share::encode)
        .collect::<Vec<_>>();
    encoded.iter().map(|text| text.expose().clone()).collect()
}

/// A share with these numbers and the right checksum.
pub(crate) fn numbered(threshold: u8, index: u8) -> String {
    let value = [5; 32];
    let tuple = FieldTuple::new("procura.share.v1")
        .bytes(&SET)
        .u8(threshold)
        .u8(index)
        .bytes(&value);
    let checksum = &sha256(tuple.as_bytes())[..4];
    grouped(
        &[&SET[..], &[threshold, index], &value, checksum].concat(),
        "000",
    )
}

/// The bits of `bytes` and those that are over, five in a symbol.
pub(crate) fn grouped(bytes: &[u8], over: &str) -> String {
    let mut bits = bytes.iter().fold(String::new(), |mut bits, byte| {
        write!(bits, "{byte:08b}").unwrap();
        bits
    });
    bits.push_str(over);
    let symbols = bits.as_bytes().chunks(5).map(|bits| {
        let value = bits.iter().fold(0, |value, bit| value * 2 + (bit - b'0'));
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(value)]
    });
    let symbols: Vec<u8> = symbols.collect();
    let groups: Vec<_> = symbols
        .chunks(5)
        .map(|group| std::str::from_utf8(group).unwrap())
        .collect();
    format!("PROCURA-SHARE-1-{}", groups.join("-"))
}

/// A set of mnemonics, as text.
pub(crate) fn mnemonics(threshold: u8, count: u8) -> Vec<String> {
    let secret = Secret::new(SECRET);
    let made = slip39::split(&secret, threshold, count, "", &Counting::new()).unwrap();
    let encoded = made.iter().map(Mnemonic::encode).collect::<Vec<_>>();
    encoded.iter().map(|text| text.expose().clone()).collect()
}

/// Shares: one spelling but for case and white space, and alone they give nothing.
pub(crate) fn share(data: &[u8]) -> Verdict {
    let parsed = std::str::from_utf8(data)
        .ok()
        .and_then(|text| Some((text, Share::parse(text).ok()?)));
    let Some((text, share)) = parsed else {
        return Verdict::Refused;
    };
    let plain: String = text
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .map(|letter| letter.to_ascii_uppercase())
        .collect();
    let encoded = share.encode();
    assert_eq!(encoded.expose(), &plain);
    assert_eq!(plain.len(), 120);
    assert!(share.threshold() >= 2 && share.index() >= 1);
    let again = Share::parse(&plain).unwrap();
    assert_eq!(again.digest(), share.digest());
    let (have, need, index) = (1, share.threshold(), share.index());
    let alone = combine(std::slice::from_ref(&share)).err();
    assert_eq!(alone, Some(ShareError::TooFew { have, need }));
    let twice = combine(&[share, again]).err();
    assert_eq!(twice, Some(ShareError::Repeated { index }));
    Verdict::Accepted
}

/// Mnemonics of SLIP-0039: one spelling but for case and white space. They are not
/// combined: one may ask for a minute of work.
pub(crate) fn mnemonic(data: &[u8]) -> Verdict {
    let parsed = std::str::from_utf8(data)
        .ok()
        .and_then(|text| Some((text, Mnemonic::parse(text).ok()?)));
    let Some((text, mnemonic)) = parsed else {
        return Verdict::Refused;
    };
    let words: Vec<_> = text
        .split_whitespace()
        .map(str::to_ascii_lowercase)
        .collect();
    assert!((20..=1000).contains(&words.len()));
    let encoded = mnemonic.encode();
    assert_eq!(encoded.expose(), &words.join(" "));
    assert!(mnemonic.identifier() < 1 << 15);
    assert!(mnemonic.group() < mnemonic.group_count() && mnemonic.group_count() <= 16);
    assert!((1..=mnemonic.group_count()).contains(&mnemonic.group_threshold()));
    assert!(mnemonic.member() < 16 && (1..=16).contains(&mnemonic.member_threshold()));
    let again = Mnemonic::parse(encoded.expose()).unwrap();
    assert_eq!(again.digest(), mnemonic.digest());
    Verdict::Accepted
}
