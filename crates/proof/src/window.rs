//! Which counters of a session were used: a sliding window (`protocol.md` §3.3).

/// How many counters back from the highest are told apart.
pub const WINDOW: u64 = 4096;

const WORDS: usize = 64;

/// The counters that one session has used. Any number ahead is taken once;
/// below the highest, each of the last [`WINDOW`] once; what is older never.
#[derive(Debug, Clone)]
pub struct Window {
    highest: u64,
    /// A ring: the bit of a counter is at its remainder by [`WINDOW`].
    bits: [u64; WORDS],
}

impl Default for Window {
    fn default() -> Self {
        Self {
            highest: 0,
            bits: [0; WORDS],
        }
    }
}

impl Window {
    /// Takes `counter`: true the first time, if it is not behind the window.
    pub fn claim(&mut self, counter: u64) -> bool {
        if counter > self.highest {
            self.advance(counter);
        } else if self.highest - counter >= WINDOW {
            return false;
        }
        let (word, bit) = place(counter);
        let Some(word) = self.bits.get_mut(word) else {
            return false;
        };
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// Forgets what falls behind when `counter` becomes the highest.
    fn advance(&mut self, counter: u64) {
        if counter - self.highest >= WINDOW {
            self.bits = [0; WORDS];
        } else {
            for passed in self.highest + 1..=counter {
                let (word, bit) = place(passed);
                if let Some(word) = self.bits.get_mut(word) {
                    *word &= !bit;
                }
            }
        }
        self.highest = counter;
    }
}

/// The word and the bit of a counter.
fn place(counter: u64) -> (usize, u64) {
    let position = counter % WINDOW;
    // Below 64, so it always fits.
    let word = usize::try_from(position / 64).unwrap_or(usize::MAX);
    (word, 1 << (position % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// The same rule, on a set of all that was ever taken.
    #[derive(Default)]
    struct Model {
        taken: HashSet<u64>,
        highest: u64,
    }

    impl Model {
        fn claim(&mut self, counter: u64) -> bool {
            if counter < self.highest && self.highest - counter >= WINDOW {
                return false;
            }
            self.highest = self.highest.max(counter);
            self.taken.insert(counter)
        }
    }

    fn step() -> impl Strategy<Value = u64> {
        prop_oneof![
            8 => 0..9000u64,
            1 => 0..200_000u64,
            1 => (u64::MAX - 9000)..=u64::MAX,
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn behaves_like_a_set(counters in prop::collection::vec(step(), 1..3000)) {
            let (mut window, mut model) = (Window::default(), Model::default());
            for counter in counters {
                prop_assert_eq!(window.claim(counter), model.claim(counter), "{}", counter);
            }
        }

        #[test]
        fn behaves_like_a_set_around_the_highest(
            moves in prop::collection::vec(-4200i64..4200, 1..2000),
            start in 0..u64::MAX / 2,
        ) {
            let (mut window, mut model) = (Window::default(), Model::default());
            let mut at = start;
            for step in moves {
                let counter = at.saturating_add_signed(step);
                prop_assert_eq!(window.claim(counter), model.claim(counter), "{}", counter);
                at = at.max(counter);
            }
        }
    }

    #[test]
    fn every_distance_is_taken_once_and_no_older_one() {
        // Every offset below the highest, at every alignment of the ring.
        for highest in 4096..4096 + 64 {
            let mut window = Window::default();
            assert!(window.claim(highest));
            for back in 0..=highest {
                let fresh = (1..WINDOW).contains(&back);
                assert_eq!(window.claim(highest - back), fresh, "{highest} - {back}");
                assert!(!window.claim(highest - back), "{highest} - {back} again");
            }
        }
    }

    #[test]
    fn the_ends_of_the_numbers_are_counters_too() {
        let mut window = Window::default();
        assert!(window.claim(0));
        assert!(!window.claim(0));
        assert!(window.claim(u64::MAX));
        assert!(!window.claim(u64::MAX));
        assert!(window.claim(u64::MAX - 4095));
        assert!(!window.claim(u64::MAX - 4096));
        assert!(!window.claim(0));
    }
}
