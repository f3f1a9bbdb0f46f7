//! The checksum of a mnemonic: three symbols of a Reed-Solomon code over the field
//! of 1024 elements, which finds every mistake in up to three words (SLIP-0039,
//! "Checksum").
//!
//! Symbols are parts of what is secret; they pick by masks, not by branches.

/// Words of a checksum.
pub(super) const WORDS: usize = 3;

/// The multiples of the code's generator polynomial that the ten bits of a symbol
/// which leaves at the top stand for.
const GENERATOR: [u32; 10] = [
    0x00e0_e040,
    0x01c1_c080,
    0x0383_8100,
    0x0707_0200,
    0x0e0e_0009,
    0x1c0c_2412,
    0x3808_6c24,
    0x3090_fc48,
    0x21b1_f890,
    0x03f3_f120,
];

/// What is before the first word, so that mnemonics of sets of two kinds never
/// pass for each other.
const fn customization(extendable: bool) -> &'static [u8] {
    if extendable {
        b"shamir_extendable"
    } else {
        b"shamir"
    }
}

/// The three words after `data`.
pub(super) fn checksum(data: &[u16], extendable: bool) -> [u16; WORDS] {
    let remainder = remainder(data, &[0; WORDS], extendable) ^ 1;
    [20, 10, 0].map(|shift| symbol(remainder >> shift))
}

/// Whether `checksum` follows from `data`.
pub(super) fn verify(data: &[u16], checksum: &[u16; WORDS], extendable: bool) -> bool {
    remainder(data, checksum, extendable) == 1
}

fn remainder(data: &[u16], checksum: &[u16; WORDS], extendable: bool) -> u32 {
    customization(extendable)
        .iter()
        .map(|letter| u32::from(*letter))
        .chain(data.iter().chain(checksum).map(|word| u32::from(*word)))
        .fold(1u32, |remainder, symbol| {
            let leaves = remainder >> 20;
            let moved = ((remainder & 0x000f_ffff) << 10) ^ symbol;
            (0u32..).zip(GENERATOR).fold(moved, |sum, (bit, multiple)| {
                sum ^ (multiple & 0u32.wrapping_sub((leaves >> bit) & 1))
            })
        })
}

/// The ten low bits.
const fn symbol(bits: u32) -> u16 {
    let [.., high, low] = bits.to_be_bytes();
    u16::from_be_bytes([high, low]) & 0x3ff
}
