//! The words of the standard, each for ten bits.
//!
//! A word of a mnemonic is a part of what is secret, and so is its index: both ways
//! the whole list is gone through, whatever is looked for. That words have four to
//! eight letters shows in the length of a text, which no look-up could hide.

use procura_types::Secret;
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// The list of the standard, in the order of the alphabet.
const LIST: &str = include_str!("../../../../spec/vectors/shamir/slip39_wordlist.txt");
const COUNT: usize = 1024;
/// Letters of the longest word.
const LONGEST: usize = 8;

/// The words, each as the number that its letters are with zeros before them.
static WORDS: [u64; COUNT] = packed(LIST.as_bytes());

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time, where an index that is out of range does not compile"
)]
const fn packed(mut list: &[u8]) -> [u64; COUNT] {
    let mut words = [0; COUNT];
    let mut at = 0;
    while let [letter, rest @ ..] = list {
        if *letter == b'\n' {
            at += 1;
        } else {
            words[at] = (words[at] << 8) | u64::from_be_bytes([0, 0, 0, 0, 0, 0, 0, *letter]);
        }
        list = rest;
    }
    assert!(at == COUNT, "the list has 1024 lines");
    words
}

/// The ten bits of a word of either case; `None` when it is not in the list.
pub(super) fn index(word: &str) -> Option<u16> {
    if word.len() > LONGEST || !word.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let word = word.bytes().fold(0u64, |word, letter| {
        (word << 8) | u64::from(letter.to_ascii_lowercase())
    });
    let mut found = 0u16;
    let mut known = Choice::from(0);
    for (at, listed) in (0u16..).zip(&WORDS) {
        let same = word.ct_eq(listed);
        found.conditional_assign(&at, same);
        known |= same;
    }
    bool::from(known).then_some(found)
}

/// The words of these indices, with a space between them. An index has ten bits;
/// one that has more has no word.
pub(super) fn text(indices: &[u16]) -> Secret<String> {
    // Room for all of it at once: growing would leave the words behind.
    let mut text = Secret::new(String::with_capacity(indices.len() * (LONGEST + 1)));
    let to = text.expose_mut();
    for (number, index) in indices.iter().enumerate() {
        if number > 0 {
            to.push(' ');
        }
        let mut word = 0u64;
        for (at, listed) in (0u16..).zip(&WORDS) {
            word.conditional_assign(listed, at.ct_eq(index));
        }
        let letters = word.to_be_bytes().into_iter().filter(|letter| *letter != 0);
        to.extend(letters.map(char::from));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256;
    use procura_types::encoding::hex;

    #[test]
    fn the_list_is_that_of_the_standard() {
        assert_eq!(
            hex(&sha256(LIST.as_bytes())),
            "bcc4555340332d169718aed8bf31dd9d5248cb7da6e5d355140ef4f1e601eec3"
        );
        for word in LIST.lines() {
            assert!((4..=LONGEST).contains(&word.len()), "{word}");
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
        }
    }

    #[test]
    fn every_word_has_its_index_and_every_index_its_word() {
        for (at, word) in (0..).zip(LIST.lines()) {
            assert_eq!(index(word), Some(at), "{word}");
            assert_eq!(index(&word.to_ascii_uppercase()), Some(at), "{word}");
            assert_eq!(text(&[at]).expose(), word);
        }
        assert_eq!(text(&[0, 1023, 9]).expose(), "academic zero adjust");
    }

    #[test]
    fn other_words_have_none() {
        for word in [
            "",
            "acad",
            "academics",
            "academi\0",
            "\0acid",
            "acíd",
            "zzzz",
        ] {
            assert_eq!(index(word), None, "{word:?}");
        }
    }
}
