//! Shares: what they are to others, that any of them as many as are needed give the
//! secret, and what is refused.

use crate::entropies::{Broken, Constant};
use crate::vectors::unhex;
use procura_crypto::shamir::{Share, ShareError, combine, split};
use procura_crypto::{SystemEntropy, sha256};
use procura_types::{EntropyError, FieldTuple, Secret};
use proptest::prelude::*;

const PREFIX: &str = "PROCURA-SHARE-1-";
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SET: [u8; 16] = *b"0123456789abcdef";

/// A share as the specification has it, read, written and combined in another way
/// than by the code under test.
#[derive(Debug, Clone, PartialEq)]
struct Independent {
    set: Vec<u8>,
    threshold: u8,
    index: u8,
    value: Vec<u8>,
}

impl Independent {
    fn read(text: &str) -> Self {
        let bits: String = text
            .strip_prefix(PREFIX)
            .unwrap()
            .replace('-', "")
            .chars()
            .map(|symbol| format!("{:05b}", ALPHABET.find(symbol).unwrap()))
            .collect();
        let bytes: Vec<u8> = (0..bits.len() / 8)
            .map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap())
            .collect();
        let share = Self {
            set: bytes[..16].to_vec(),
            threshold: bytes[16],
            index: bytes[17],
            value: bytes[18..50].to_vec(),
        };
        assert_eq!(share.checksum(), bytes[50..]);
        share
    }

    fn hash(&self, domain: &str) -> [u8; 32] {
        let mut tuple = vec![u8::try_from(domain.len()).unwrap()];
        tuple.extend(domain.bytes());
        let numbers = [self.threshold, self.index];
        for field in [&self.set[..], &numbers[..1], &numbers[1..], &self.value] {
            tuple.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            tuple.extend(field);
        }
        sha256(&tuple)
    }

    fn checksum(&self) -> Vec<u8> {
        self.hash("procura.share.v1")[..4].to_vec()
    }

    /// With the right checksum, whatever the numbers are.
    fn write(&self) -> String {
        let bytes = [
            &self.set[..],
            &[self.threshold, self.index],
            &self.value,
            &self.checksum(),
        ]
        .concat();
        let mut bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        bits.push_str("000");
        let mut symbols = String::new();
        for at in (0..bits.len()).step_by(5) {
            if at > 0 && at % 25 == 0 {
                symbols.push('-');
            }
            let value = usize::from_str_radix(&bits[at..at + 5], 2).unwrap();
            symbols.push_str(&ALPHABET[value..=value]);
        }
        [PREFIX, &symbols].concat()
    }

    fn share(&self) -> Share {
        Share::parse(&self.write()).unwrap()
    }

    /// The secret, by logarithms to the base 3.
    fn combine(shares: &[Self]) -> Vec<u8> {
        let (mut powers, mut logarithms) = (Vec::new(), [0; 256]);
        let mut element = 1usize;
        for exponent in 0..255usize {
            powers.push(u8::try_from(element).unwrap());
            logarithms[element] = exponent;
            element = (element << 1) ^ element;
            element ^= if element >= 256 { 0x11b } else { 0 };
        }
        let logarithm = |byte: u8| logarithms[usize::from(byte)];
        let mut secret = vec![0; 32];
        for share in shares {
            let weight: usize = shares
                .iter()
                .filter(|other| other.index != share.index)
                .map(|other| 255 + logarithm(other.index) - logarithm(other.index ^ share.index))
                .sum();
            for (sum, byte) in secret.iter_mut().zip(&share.value) {
                if *byte != 0 {
                    *sum ^= powers[(logarithm(*byte) + weight) % 255];
                }
            }
        }
        secret
    }
}

fn made(secret: [u8; 32], threshold: u8, count: u8) -> Vec<Share> {
    split(&Secret::new(secret), threshold, count, SET, &SystemEntropy).unwrap()
}

/// The same shares again, in the order of `chosen`.
fn chosen(shares: &[Share], chosen: &[usize]) -> Vec<Share> {
    chosen
        .iter()
        .map(|at| Share::parse(shares[*at].encode().expose()).unwrap())
        .collect()
}

fn refusal(shares: &[Share]) -> ShareError {
    combine(shares).err().expect("shares that do not combine")
}

fn unread(text: &str) -> ShareError {
    Share::parse(text).err().expect("a text that is no share")
}

/// Computed from `protocol.md` §5 with another implementation, in another language.
#[test]
fn known_shares() {
    let secret = Secret::new(std::array::from_fn(|at| u8::try_from(at).unwrap()));
    let set = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let shares = split(&secret, 3, 5, set, &Constant(0xab)).unwrap();
    assert_eq!(shares.len(), 5);
    for (at, text, digest) in [
        (
            1,
            "PROCURA-SHARE-1-AAAQE-AYEAU-DAOCA-JBIFQ-YDIOB-4BQFV-6W2XK-NHUWR-2DP55-XO43P-NNTWG-HY3C4-JQ6CY-HAM7T-WNZTF-4VSOI-R4W6M-GY",
            "fde050ef4f32b78f245aab11bc237e71826c6451812d413df31dd05441e600f9",
        ),
        (
            4,
            "PROCURA-SHARE-1-AAAQE-AYEAU-DAOCA-JBIFQ-YDIOB-4BQLR-GFY3D-4BQOC-YPGM3-TWPZD-E4VS6-U2XLN-PUGR2-LJ5ZX-O637M-NTWW3-QX733-LI",
            "e3bccf7feb29409c371ec6e668f478aba5ad409cee4dd1ca4c79c80f2dc3d753",
        ),
    ] {
        let share: &Share = &shares[at];
        assert_eq!(share.encode().expose(), text);
        assert_eq!(share.digest()[..], unhex(digest));
        assert_eq!(share.set(), &set);
        assert_eq!((share.threshold(), usize::from(share.index())), (3, at + 1));
        let read = Share::parse(text).unwrap();
        assert_eq!(read.digest(), share.digest());
    }
}

fn sizes() -> impl Strategy<Value = (u8, u8)> {
    (2u8..=12).prop_flat_map(|threshold| (Just(threshold), threshold..=threshold + 8))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn as_many_shares_as_are_needed_give_the_secret_and_fewer_do_not(
        secret in any::<[u8; 32]>(),
        (threshold, count) in sizes(),
        order in Just((0..20usize).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let shares = made(secret, threshold, count);
        prop_assert_eq!(shares.len(), usize::from(count));
        let order: Vec<_> = order.into_iter().filter(|at| *at < shares.len()).collect();
        for have in 1..=shares.len() {
            let combined = combine(&chosen(&shares, &order[..have]));
            if have < usize::from(threshold) {
                prop_assert_eq!(
                    combined.err(),
                    Some(ShareError::TooFew { have, need: threshold })
                );
            } else {
                let combined = combined.unwrap();
                prop_assert_eq!(combined.expose(), &secret, "with {}", have);
            }
        }
        // Others give the same, from the text alone.
        let needed: Vec<_> = order[..usize::from(threshold)]
            .iter()
            .map(|at| Independent::read(shares[*at].encode().expose()))
            .collect();
        prop_assert_eq!(&Independent::combine(&needed)[..], &secret[..]);
        for share in needed {
            prop_assert_eq!(share.share().digest(), share.hash("procura.share.digest.v1"));
        }
    }

    /// Of what others split, too.
    #[test]
    fn shares_of_another_implementation_combine(
        secret in any::<[u8; 32]>(),
        slope in any::<[u8; 32]>(),
        indices in prop::collection::hash_set(1u8.., 2..6),
    ) {
        let times = |byte: u8, by: u8| {
            (0..8).filter(|bit| (by >> bit) & 1 == 1).fold(0, |sum, bit| {
                (0..bit).fold(byte, |byte, _| {
                    (byte << 1) ^ if byte > 127 { 0x1b } else { 0 }
                }) ^ sum
            })
        };
        let shares: Vec<_> = indices
            .into_iter()
            .map(|index| {
                let value = secret.iter().zip(slope).map(|(at0, slope)| at0 ^ times(slope, index));
                let (set, value) = (SET.to_vec(), value.collect());
                Independent { set, threshold: 2, index, value }.share()
            })
            .collect();
        let combined = combine(&shares).unwrap();
        prop_assert_eq!(combined.expose(), &secret);
    }

    /// More shares than are needed have to agree, wherever the wrong one stands.
    #[test]
    fn a_forged_share_beside_enough_is_noticed(
        secret in any::<[u8; 32]>(),
        (threshold, count) in sizes(),
        forged in any::<prop::sample::Index>(),
        byte in 0usize..32,
        flip in 1u8..,
    ) {
        prop_assume!(count > threshold);
        let mut shares = made(secret, threshold, count);
        let at = forged.index(shares.len());
        let mut other = Independent::read(shares[at].encode().expose());
        other.value[byte] ^= flip;
        let known = shares[at].digest();
        shares[at] = other.share();
        prop_assert_ne!(shares[at].digest(), known);
        prop_assert_eq!(refusal(&shares), ShareError::Inconsistent);
        // Among exactly as many as are needed it makes another secret: that is
        // what digests are for.
        let others: Vec<_> = (0..shares.len()).filter(|other| *other != at).collect();
        let mut needed = others[..usize::from(threshold) - 1].to_vec();
        needed.push(at);
        let combined = combine(&chosen(&shares, &needed)).unwrap();
        prop_assert_ne!(combined.expose(), &secret);
    }

    #[test]
    fn strangers_text_never_is_a_share(text in "PROCURA-SHARE-1-([A-Z2-7]{5}-){17}[A-Z2-7]{2}") {
        // Three bits of the last symbol are over and have to be zero.
        let last = ALPHABET.find(text.chars().last().unwrap()).unwrap();
        let expected = if last % 8 == 0 { ShareError::Checksum } else { ShareError::Malformed };
        prop_assert_eq!(unread(&text), expected);
    }
}

#[test]
fn the_largest_sets() {
    let secret = [7; 32];
    for threshold in [2, 255] {
        let shares = made(secret, threshold, 255);
        let indices: Vec<_> = shares.iter().map(Share::index).collect();
        assert_eq!(indices, (1..=255).collect::<Vec<_>>());
        assert_eq!(combine(&shares).unwrap().expose(), &secret);
        let needed = &shares[255 - usize::from(threshold)..];
        assert_eq!(combine(needed).unwrap().expose(), &secret);
        let have = usize::from(threshold) - 1;
        let (few, need) = (&shares[..have], threshold);
        assert_eq!(refusal(few), ShareError::TooFew { have, need });
    }
}

/// One share of two fits every secret: what the other would be depends on the
/// randomness alone.
#[test]
fn fewer_shares_than_are_needed_say_nothing() {
    let [one, two] = [(0x11, 0x5a), (0xc4, 0x5a ^ 0x11 ^ 0xc4)].map(|(secret, random)| {
        split(&Secret::new([secret; 32]), 2, 2, SET, &Constant(random)).unwrap()
    });
    assert_eq!(one[0].digest(), two[0].digest());
    assert_ne!(one[1].digest(), two[1].digest());
}

#[test]
fn one_secret_never_gives_the_same_shares() {
    let [one, two] = [(), ()].map(|()| made([3; 32], 2, 2));
    for (one, two) in one.iter().zip(&two) {
        assert_ne!(one.digest(), two.digest());
    }
}

#[test]
fn numbers_out_of_range_are_refused_before_anything_is_random() {
    let split = |threshold, count| split(&Secret::new([7; 32]), threshold, count, SET, &Broken);
    for (threshold, count, expected) in [
        (0, 3, ShareError::Threshold),
        (1, 3, ShareError::Threshold),
        (1, 0, ShareError::Threshold),
        (2, 0, ShareError::Count),
        (2, 1, ShareError::Count),
        (255, 254, ShareError::Count),
        (2, 2, ShareError::Entropy(EntropyError)),
        (255, 255, ShareError::Entropy(EntropyError)),
    ] {
        let refused = split(threshold, count).err();
        assert_eq!(refused, Some(expected), "{threshold} of {count}");
    }
}

#[test]
fn a_share_reads_however_it_was_copied() {
    let share = &made([3; 32], 2, 3)[1];
    let encoded = share.encode();
    let text = encoded.expose();
    assert_eq!(text.len(), 120);
    let alphanumeric =
        |byte: u8| byte == b'-' || byte.is_ascii_digit() || byte.is_ascii_uppercase();
    assert!(text.bytes().all(alphanumeric), "fits the mode of QR codes");
    let spaced: String = text.chars().flat_map(|letter| [letter, ' ']).collect();
    for copied in [
        text.to_ascii_lowercase(),
        format!("\r\n\t{text} \n"),
        text.replace('-', " - "),
        text.replace('-', "-\r\n"),
        spaced,
    ] {
        let read = Share::parse(&copied).unwrap();
        assert_eq!(read.digest(), share.digest());
        assert_eq!(read.encode().expose(), text);
    }
}

/// Every byte with every other one in its place, but for what only copies it in
/// another way.
#[test]
fn a_share_with_any_byte_changed_is_refused_for_what_it_is() {
    let share = &made([3; 32], 2, 3)[2];
    let encoded = share.encode();
    let text = encoded.expose();
    for at in 0..text.len() {
        for byte in (0u8..128).filter(|byte| !byte.eq_ignore_ascii_case(&text.as_bytes()[at])) {
            let mut changed = text.clone().into_bytes();
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let symbol = char::from(byte).to_ascii_uppercase();
            let expected = match ALPHABET.find(symbol) {
                // The last symbol has bits that are over.
                Some(value) if at == 119 && value % 8 != 0 => ShareError::Malformed,
                Some(_) if at >= PREFIX.len() && text.as_bytes()[at] != b'-' => {
                    ShareError::Checksum
                }
                _ => ShareError::Malformed,
            };
            assert_eq!(unread(&changed), expected, "byte {at}: {changed}");
        }
    }
}

#[test]
fn what_has_not_the_form_of_a_share_is_refused() {
    let share = &made([3; 32], 2, 3)[0];
    let encoded = share.encode();
    let text = encoded.expose();
    let bare = text.strip_prefix(PREFIX).unwrap();
    for wrong in [
        String::new(),
        bare.to_owned(),
        format!("PROCURA-SHARE-2-{bare}"),
        text.replace('-', ""),
        text.replace('-', "\u{2010}"),
        text[..119].to_owned(),
        format!("{text}A"),
        format!("{text}-"),
        format!("{text}="),
        format!("{text}\u{a0}"),
        format!("{text}{text}"),
        // The first of the symbols' dashes one place too early.
        [&text[..20], "-", &text[20..21], &text[22..]].concat(),
    ] {
        assert_eq!(unread(&wrong), ShareError::Malformed, "{wrong}");
    }
}

#[test]
fn shares_with_numbers_that_none_has_are_refused() {
    let share = Independent::read(made([3; 32], 2, 3)[0].encode().expose());
    assert_eq!(share.share().index(), 1);
    for (threshold, index, expected) in [
        (0, 1, ShareError::Threshold),
        (1, 1, ShareError::Threshold),
        (1, 0, ShareError::Threshold),
        (2, 0, ShareError::Index),
    ] {
        let share = Independent {
            threshold,
            index,
            ..share.clone()
        };
        assert_eq!(unread(&share.write()), expected, "{threshold}, {index}");
    }
}

#[test]
fn shares_that_do_not_go_together_are_refused_for_the_reason() {
    let secret = [3; 32];
    let shares = made(secret, 3, 5);
    let mut other_set = Independent::read(shares[1].encode().expose());
    other_set.set[15] ^= 1;
    let mut other_threshold = Independent::read(shares[1].encode().expose());
    other_threshold.threshold = 2;
    let mut other_value = Independent::read(shares[1].encode().expose());
    other_value.value[0] ^= 1;
    let with = |more: &Independent, has: &[usize]| {
        let mut all = chosen(&shares, has);
        all.push(more.share());
        refusal(&all)
    };
    assert_eq!(refusal(&[]), ShareError::TooFew { have: 0, need: 2 });
    assert_eq!(
        refusal(&chosen(&shares, &[4])),
        ShareError::TooFew { have: 1, need: 3 }
    );
    assert_eq!(with(&other_set, &[0, 2]), ShareError::OtherSet);
    assert_eq!(with(&other_set, &[1]), ShareError::OtherSet);
    assert_eq!(with(&other_threshold, &[0, 2]), ShareError::Disagree);
    assert_eq!(with(&other_threshold, &[0]), ShareError::Disagree);
    let twice = ShareError::Repeated { index: 2 };
    assert_eq!(refusal(&chosen(&shares, &[1, 1])), twice);
    assert_eq!(refusal(&chosen(&shares, &[0, 1, 2, 1])), twice);
    assert_eq!(with(&other_value, &[0, 1, 2]), twice);
    assert_eq!(with(&other_value, &[0, 2, 3]), ShareError::Inconsistent);
}

/// The domains keep a digest, which is kept, from saying anything of a checksum.
#[test]
fn digests_are_over_all_fields() {
    let share = Independent::read(made([3; 32], 2, 3)[0].encode().expose());
    let tuple = FieldTuple::new("procura.share.digest.v1")
        .bytes(&share.set)
        .u8(share.threshold)
        .u8(share.index)
        .bytes(&share.value);
    let digest = share.share().digest();
    assert_eq!(digest, sha256(tuple.as_bytes()));
    for change in [
        |share: &mut Independent| share.set[0] ^= 1,
        |share: &mut Independent| share.threshold += 1,
        |share: &mut Independent| share.index += 1,
        |share: &mut Independent| share.value[31] ^= 1,
    ] {
        let mut other = share.clone();
        change(&mut other);
        assert_ne!(other.share().digest(), digest);
    }
}
