//! From a point of edwards25519 to the same point of curve25519 (RFC 7748 §4.1):
//! `u = (1 + y) / (1 − y)` modulo 2^255 − 19. Of public keys only, so nothing here need
//! take the same time for all.

/// A number below 2^255 in five limbs of 51 bits, the lowest first.
#[derive(Clone, Copy)]
struct Field([u64; 5]);

const MASK: u64 = (1 << 51) - 1;

impl Field {
    const ONE: Self = Self([1, 0, 0, 0, 0]);

    /// From 32 bytes, little-endian; the highest bit does not count.
    fn from_bytes(bytes: &[u8; 32]) -> Self {
        let mut limbs = [0u64; 5];
        for (bit, value) in bytes
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1))
            .take(255)
            .enumerate()
        {
            if let Some(limb) = limbs.get_mut(bit / 51) {
                *limb |= u64::from(value) << (bit % 51);
            }
        }
        Self(limbs)
    }

    /// The one spelling below the prime, little-endian.
    fn to_bytes(self) -> [u8; 32] {
        let Self(limbs) = self.carried().carried();
        // What is left of 2^255 − 19 or more is found by adding 19.
        let mut over = 19;
        for limb in limbs {
            over = (limb + over) >> 51;
        }
        let mut reduced = [0u64; 5];
        let mut carry = over * 19;
        for (to, limb) in reduced.iter_mut().zip(limbs) {
            let sum = limb + carry;
            *to = sum & MASK;
            carry = sum >> 51;
        }
        let mut bytes = [0u8; 32];
        for bit in 0..255 {
            let value = reduced
                .get(bit / 51)
                .map_or(0, |limb| limb >> (bit % 51) & 1);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte |= u8::try_from(value).unwrap_or_default() << (bit % 8);
            }
        }
        bytes
    }

    /// With limbs of 51 bits, but for what the lowest has more.
    fn carried(self) -> Self {
        let mut carry = 0;
        let mut limbs = self.0;
        for limb in &mut limbs {
            let sum = *limb + carry;
            *limb = sum & MASK;
            carry = sum >> 51;
        }
        let [lowest, ..] = &mut limbs;
        *lowest += carry * 19;
        Self(limbs)
    }

    fn plus(self, other: Self) -> Self {
        let mut sum = self.0;
        for (to, more) in sum.iter_mut().zip(other.0) {
            *to += more;
        }
        Self(sum).carried()
    }

    fn minus(self, other: Self) -> Self {
        // Twice the prime first, so that no limb falls below zero.
        let mut difference = self.0;
        let twice = [2 * (MASK - 18), 2 * MASK, 2 * MASK, 2 * MASK, 2 * MASK];
        for ((to, less), more) in difference.iter_mut().zip(other.carried().0).zip(twice) {
            *to = *to + more - less;
        }
        Self(difference).carried()
    }

    fn times(self, other: Self) -> Self {
        let mut wide = [0u128; 5];
        for (i, one) in self.carried().0.into_iter().enumerate() {
            for (j, two) in other.carried().0.into_iter().enumerate() {
                let product = u128::from(one) * u128::from(two);
                // 2^255 is 19.
                let (place, factor) = if i + j < 5 {
                    (i + j, 1)
                } else {
                    (i + j - 5, 19)
                };
                if let Some(to) = wide.get_mut(place) {
                    *to += product * factor;
                }
            }
        }
        let mut limbs = [0u64; 5];
        let mut carry = 0u128;
        for (to, sum) in limbs.iter_mut().zip(wide) {
            let sum = sum + carry;
            *to = u64::try_from(sum & u128::from(MASK)).unwrap_or_default();
            carry = sum >> 51;
        }
        let [lowest, second, ..] = &mut limbs;
        let sum = u128::from(*lowest) + carry * 19;
        *lowest = u64::try_from(sum & u128::from(MASK)).unwrap_or_default();
        *second += u64::try_from(sum >> 51).unwrap_or_default();
        Self(limbs)
    }

    /// One through it: its power of p − 2 (Fermat). Of zero it is zero.
    fn inverse(self) -> Self {
        // p − 2 = 2^255 − 21 has ones everywhere but at the bits 2 and 4.
        (0..255).rev().fold(Self::ONE, |power, bit| {
            let squared = power.times(power);
            if bit == 2 || bit == 4 {
                squared
            } else {
                squared.times(self)
            }
        })
    }
}

/// The u coordinate of a point whose encoding (RFC 8032 §5.1.2) this is.
pub(super) fn to_montgomery(point: &[u8; 32]) -> [u8; 32] {
    let y = Field::from_bytes(point);
    let above = Field::ONE.plus(y);
    let below = Field::ONE.minus(y);
    above.times(below.inverse()).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::x25519_public;
    use crate::{SigningKey, SystemEntropy};

    #[test]
    fn the_point_of_a_key_is_the_same_on_both_curves() {
        for _ in 0..32 {
            let key = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
            let seed = key.to_secret_bytes();
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, &seed.expose()[1..]);
            let scalar: [u8; 32] = digest.as_ref()[..32].try_into().unwrap();
            let point: [u8; 32] = key.public().as_bytes().try_into().unwrap();
            assert_eq!(to_montgomery(&point), x25519_public(&scalar).unwrap());
        }
    }

    #[test]
    fn the_base_point_is_nine() {
        // y = 4/5 (RFC 8032 §5.1), u = 9 (RFC 7748 §4.1).
        let mut base = [0x66; 32];
        base[0] = 0x58;
        let mut nine = [0; 32];
        nine[0] = 9;
        assert_eq!(to_montgomery(&base), nine);
    }
}
