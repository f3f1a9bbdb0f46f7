//! Bech32 (BIP 173) of 32 bytes, as age writes keys. Keys are longer than the 90
//! characters that BIP 173 allows; age does not bound them.

use procura_types::Secret;

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// Symbols of the checksum.
const CHECKSUM: usize = 6;
const GENERATOR: [u32; 5] = [
    0x3b6a_57b2,
    0x2650_8e6d,
    0x1ea1_19fa,
    0x3d42_33dd,
    0x2a14_62b3,
];

fn polymod(values: impl Iterator<Item = u8>) -> u32 {
    values.fold(1u32, |sum, value| {
        let top = sum >> 25;
        let next = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        GENERATOR
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(next, |sum, (_, generator)| sum ^ generator)
    })
}

/// What the checksum covers of the part before the `1`.
fn expanded(prefix: &str) -> impl Iterator<Item = u8> {
    let high = prefix.bytes().map(|byte| byte >> 5);
    let low = prefix.bytes().map(|byte| byte & 31);
    high.chain(std::iter::once(0)).chain(low)
}

/// The 32 bytes behind `prefix` and `1`, in lower case; `None` for anything else.
pub(super) fn decode(prefix: &str, text: &str) -> Option<Secret<[u8; 32]>> {
    let data = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let mut symbols = Secret::new(Vec::with_capacity(data.len()));
    for byte in data.bytes() {
        let symbol = ALPHABET.iter().position(|symbol| *symbol == byte)?;
        symbols.expose_mut().push(u8::try_from(symbol).ok()?);
    }
    if polymod(expanded(prefix).chain(symbols.expose().iter().copied())) != 1 {
        return None;
    }
    let count = symbols.expose().len().checked_sub(CHECKSUM)?;
    // 32 bytes are 52 symbols, of which the last has four bits of nothing.
    if count != 52 {
        return None;
    }
    let mut out = Secret::new([0; 32]);
    let (mut bits, mut pending, mut filled) = (0u32, 0u32, 0usize);
    for symbol in symbols.expose().iter().take(count) {
        bits = (bits << 5 | u32::from(*symbol)) & 0xfff;
        pending += 5;
        if pending >= 8 {
            pending -= 8;
            let byte = u8::try_from(bits >> pending & 0xff).ok()?;
            *out.expose_mut().get_mut(filled)? = byte;
            filled += 1;
        }
    }
    (filled == 32 && bits & ((1 << pending) - 1) == 0).then_some(out)
}

/// The text of 32 bytes behind `prefix` and `1`, in lower case.
pub(super) fn encode(prefix: &str, bytes: &[u8; 32]) -> String {
    let mut symbols = Vec::with_capacity(58);
    let (mut bits, mut pending) = (0u32, 0u32);
    for byte in bytes {
        bits = (bits << 8 | u32::from(*byte)) & 0xfff;
        pending += 8;
        while pending >= 5 {
            pending -= 5;
            symbols.push(low(bits >> pending));
        }
    }
    if pending > 0 {
        symbols.push(low(bits << (5 - pending)));
    }
    let zeros = std::iter::repeat_n(0, CHECKSUM);
    let sum = polymod(expanded(prefix).chain(symbols.iter().copied()).chain(zeros)) ^ 1;
    for place in (0..CHECKSUM).rev() {
        symbols.push(low(sum >> (5 * place)));
    }
    let letters = symbols
        .iter()
        .filter_map(|symbol| ALPHABET.get(usize::from(*symbol)));
    let mut text = format!("{prefix}1");
    text.extend(letters.map(|letter| char::from(*letter)));
    text
}

fn low(bits: u32) -> u8 {
    u8::try_from(bits & 31).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_spelling() {
        let bytes: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 7 % 256).unwrap());
        for prefix in ["age", "age-secret-key-"] {
            let text = encode(prefix, &bytes);
            assert_eq!(*decode(prefix, &text).unwrap().expose(), bytes);
            for at in 0..text.len() {
                let mut other = text.clone().into_bytes();
                other[at] = if other[at] == b'q' { b'p' } else { b'q' };
                let other = String::from_utf8(other).unwrap();
                assert!(decode(prefix, &other).is_none(), "{other}");
            }
            assert!(decode(prefix, &text.to_ascii_uppercase()).is_none());
            assert!(decode(prefix, &text[..text.len() - 1]).is_none());
            assert!(decode("ag", &text).is_none());
        }
        // A recipient that the program made.
        let made = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        let bytes = decode("age", made).unwrap();
        assert_eq!(encode("age", bytes.expose()), made);
    }
}
