//! Base32 (RFC 4648 §6), upper case and without padding, for what is secret: no
//! table is read and no branch is taken by the bytes or their symbols, as libraries
//! for text do.

use procura_types::{Secret, SecretBytes};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _, ConstantTimeGreater as _};

/// Bits of a symbol.
const BITS: usize = 5;

/// How many symbols `bytes` bytes have.
pub(crate) const fn symbols(bytes: usize) -> usize {
    (bytes * 8).div_ceil(BITS)
}

/// The symbols of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> SecretBytes {
    let mut out = Secret::new(Vec::with_capacity(symbols(bytes.len())));
    let (mut bits, mut pending) = (0u32, 0);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        pending += 8;
        while pending >= BITS {
            pending -= BITS;
            out.expose_mut().push(symbol(low_byte(bits >> pending)));
        }
    }
    if pending > 0 {
        let last = low_byte(bits << (BITS - pending));
        out.expose_mut().push(symbol(last));
    }
    out
}

/// The bytes of `symbols`; `None` unless they are as many as `N` bytes have, all of
/// the alphabet, and the bits that are left over are zero: bytes have one spelling.
pub(crate) fn decode<const N: usize>(encoded: &[u8]) -> Option<Secret<[u8; N]>> {
    if encoded.len() != symbols(N) {
        return None;
    }
    let mut out = Secret::new([0; N]);
    let mut free = out.expose_mut().iter_mut();
    let (mut bits, mut pending) = (0u32, 0);
    let mut good = Choice::from(1);
    for symbol in encoded {
        let (value, known) = value(*symbol);
        good &= known;
        bits = (bits << BITS) | u32::from(value);
        pending += BITS;
        if pending >= 8
            && let Some(byte) = free.next()
        {
            pending -= 8;
            *byte = low_byte(bits >> pending);
        }
    }
    let left_over = bits & !(u32::MAX << pending);
    good &= left_over.ct_eq(&0);
    bool::from(good).then_some(out)
}

/// The symbol of the five low bits.
fn symbol(value: u8) -> u8 {
    let value = value & 31;
    let letter = b'A' + value;
    let digit = b'2'.wrapping_add(value).wrapping_sub(26);
    u8::conditional_select(&letter, &digit, value.ct_gt(&25))
}

/// What a symbol stands for, and whether it is one.
fn value(symbol: u8) -> (u8, Choice) {
    let letter = symbol.wrapping_sub(b'A');
    let digit = symbol.wrapping_sub(b'2');
    let is_letter = !letter.ct_gt(&25);
    let is_digit = !digit.ct_gt(&5);
    let value = u8::conditional_select(&digit.wrapping_add(26), &letter, is_letter);
    (value & 31, is_letter | is_digit)
}

const fn low_byte(bits: u32) -> u8 {
    let [.., low] = bits.to_be_bytes();
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<const N: usize>(bytes: &[u8; N]) -> String {
        let encoded = encode(bytes);
        assert_eq!(encoded.expose().len(), symbols(N));
        assert_eq!(decode::<N>(encoded.expose()).unwrap().expose(), bytes);
        String::from_utf8(encoded.expose().clone()).unwrap()
    }

    #[test]
    fn rfc_4648_section_10() {
        assert_eq!(text(b""), "");
        assert_eq!(text(b"f"), "MY");
        assert_eq!(text(b"fo"), "MZXQ");
        assert_eq!(text(b"foo"), "MZXW6");
        assert_eq!(text(b"foob"), "MZXW6YQ");
        assert_eq!(text(b"fooba"), "MZXW6YTB");
        assert_eq!(text(b"foobar"), "MZXW6YTBOI");
    }

    #[test]
    fn every_value_has_its_symbol_and_nothing_else_is_one() {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        for (at, letter) in (0u8..).zip(alphabet) {
            assert_eq!(symbol(at), *letter);
            assert_eq!(value(*letter).0, at);
        }
        for byte in 0..=255 {
            assert_eq!(
                bool::from(value(byte).1),
                alphabet.contains(&byte),
                "{byte}"
            );
        }
    }

    #[test]
    fn what_is_not_the_one_spelling_is_refused() {
        for wrong in ["MZ", "mY", "M1", "M", "MYA", "M=", "MY======"] {
            assert!(decode::<1>(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
