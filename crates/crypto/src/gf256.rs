//! The field of 256 elements, as bytes: polynomials over GF(2) modulo
//! x⁸ + x⁴ + x³ + x + 1, which is 0x11b (FIPS 197 §4).
//!
//! Without tables, and without a branch or an index that depends on an operand:
//! in a product the first operand goes through shifts and exclusive or alone, so
//! that is where what is secret stands. Sums and differences are `^`.

/// The product.
pub(crate) const fn multiply(mut of: u8, by: u8) -> u8 {
    let mut product = 0;
    let mut bit = 0;
    while bit < u8::BITS {
        let mask = 0u8.wrapping_sub((by >> bit) & 1);
        product ^= of & mask;
        // What leaves at the top comes back as 0x1b, whose bits are 4, 3, 1 and 0.
        let carry = of >> 7;
        of = (of << 1) ^ carry ^ (carry << 1) ^ (carry << 3) ^ (carry << 4);
        bit += 1;
    }
    product
}

/// What gives 1 when multiplied with `of`; 0 for 0, which has no inverse.
const fn inverse(of: u8) -> u8 {
    // The 255 elements but 0 are a group, so the power of 254 is the inverse:
    // the product of the powers of 2, 4, 8 … 128.
    let mut power = of;
    let mut product = 1;
    let mut doubled = 1;
    while doubled < u8::BITS {
        power = multiply(power, power);
        product = multiply(product, power);
        doubled += 1;
    }
    product
}

/// A place of a polynomial for each byte of `y`, all at the same `x`.
#[derive(Clone, Copy)]
pub(crate) struct Point<'a> {
    pub(crate) x: u8,
    pub(crate) y: &'a [u8],
}

/// Writes to `out` what the polynomials of the lowest degree through `points` are
/// at `x` (Lagrange), byte by byte.
///
/// Each `x` is public. No two points have the same one, and each `y` is as long as
/// `out`: callers have checked both, as only they can say which share is to blame.
pub(crate) fn interpolate(x: u8, points: &[Point<'_>], out: &mut [u8]) {
    out.fill(0);
    for point in points {
        let (mut above, mut below) = (1, 1);
        for other in points {
            if other.x != point.x {
                above = multiply(above, x ^ other.x);
                below = multiply(below, point.x ^ other.x);
            }
        }
        let weight = multiply(above, inverse(below));
        for (sum, y) in out.iter_mut().zip(point.y) {
            *sum ^= multiply(*y, weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The product by tables of logarithms to the base 3, another way to it.
    struct Tables {
        power: [u8; 255],
        logarithm: [usize; 256],
    }

    impl Tables {
        fn new() -> Self {
            let (mut power, mut logarithm) = ([0; 255], [0; 256]);
            let mut element = 1usize;
            for (exponent, entry) in power.iter_mut().enumerate() {
                *entry = u8::try_from(element).unwrap();
                logarithm[element] = exponent;
                element ^= element << 1;
                if element > 255 {
                    element ^= 0x11b;
                }
            }
            assert_eq!(element, 1, "3 generates the group");
            Self { power, logarithm }
        }

        fn multiply(&self, one: u8, two: u8) -> u8 {
            if one == 0 || two == 0 {
                return 0;
            }
            let [one, two] = [one, two].map(|byte| self.logarithm[usize::from(byte)]);
            self.power[(one + two) % 255]
        }
    }

    #[test]
    fn fips_197_examples() {
        // §4.2 and §4.2.1.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        assert_eq!(inverse(0x53), 0xca);
    }

    #[test]
    fn every_product_is_that_of_the_tables() {
        let tables = Tables::new();
        for one in 0..=255 {
            for two in 0..=255 {
                assert_eq!(multiply(one, two), tables.multiply(one, two));
            }
        }
    }

    #[test]
    fn every_element_but_zero_has_an_inverse() {
        assert_eq!(inverse(0), 0);
        for element in 1..=255 {
            assert_eq!(multiply(element, inverse(element)), 1, "{element}");
        }
    }

    proptest! {
        #[test]
        fn the_laws_of_a_field(a in any::<u8>(), b in any::<u8>(), c in any::<u8>()) {
            prop_assert_eq!(multiply(a, b), multiply(b, a));
            prop_assert_eq!(multiply(a, multiply(b, c)), multiply(multiply(a, b), c));
            prop_assert_eq!(multiply(a, b ^ c), multiply(a, b) ^ multiply(a, c));
            prop_assert_eq!(multiply(a, 1), a);
        }

        /// As many points as there are coefficients give the polynomial back, at
        /// every place, theirs included.
        #[test]
        fn interpolation_gives_the_polynomial(
            coefficients in prop::collection::vec(any::<[u8; 2]>(), 1..20),
            xs in prop::collection::hash_set(any::<u8>(), 20),
            at in any::<u8>(),
        ) {
            let value = |x: u8| {
                coefficients.iter().rev().fold([0; 2], |sum, coefficient| {
                    std::array::from_fn(|at| multiply(sum[at], x) ^ coefficient[at])
                })
            };
            let known: Vec<_> = xs
                .into_iter()
                .take(coefficients.len())
                .map(|x| (x, value(x)))
                .collect();
            let points: Vec<_> = known.iter().map(|(x, y)| Point { x: *x, y }).collect();
            for x in known.iter().map(|(x, _)| *x).chain([at]) {
                let mut out = [9; 2];
                interpolate(x, &points, &mut out);
                prop_assert_eq!(out, value(x), "at {}", x);
            }
        }
    }
}
