//! Which 32 bytes are acceptable as an encoded point of edwards25519 (RFC 8032
//! §5.1.3). The library takes any 32 bytes as a public key; these checks make
//! sure that a key has one spelling and that a signature binds its message.

use crate::KeyError;

/// The field's prime, 2^255 − 19, little-endian.
const PRIME: [u8; 32] = {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed;
    bytes[31] = 0x7f;
    bytes
};

/// The y coordinates of the eight points whose order divides 8, little-endian.
/// Points (x, y) and (−x, y) share one: order 1 has y = 1, order 2 has y = −1,
/// order 4 has y = 0, order 8 has the last two.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = PRIME;
        minus_one[0] -= 1;
        minus_one
    },
    [0; 32],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Refuses encodings with y not below the prime, and points of small order.
/// (x = 0 with the sign bit set, the other non-canonical spelling, has y = ±1
/// and is refused as of small order.)
///
/// That the point exists at all is not checked here: under a y without an x,
/// no signature verifies.
pub(crate) fn check_point(encoded: &[u8; 32]) -> Result<(), KeyError> {
    let mut y = *encoded;
    y[31] &= 0x7f;
    if y.iter().rev().ge(PRIME.iter().rev()) {
        return Err(KeyError::NotCanonical);
    }
    if SMALL_ORDER_Y.contains(&y) {
        return Err(KeyError::SmallOrder);
    }
    Ok(())
}
