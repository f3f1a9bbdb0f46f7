//! The randomness of the programs.

use procura_types::{Entropy, EntropyError};
use std::cell::RefCell;
use zeroize::Zeroize as _;

/// Random bytes from the library's generator, which the operating system seeds
/// (NIST SP 800-90A CTR_DRBG).
///
/// Each call of the generator costs as much as some hundred bytes of it, so
/// nonces, salts and ids are taken from a store of bytes that was drawn ahead.
/// What was handed out is wiped there. Secret bytes
/// ([`fill_secret`](Entropy::fill_secret)) are never drawn ahead.
///
/// A process that forks and goes on would hand the same bytes out twice. None of
/// the programs does: a child of theirs executes another program at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

/// The longest nonce (XAES-256-GCM). What is longer gains little from being drawn
/// ahead.
const SHORT: usize = 24;
const AHEAD: usize = 768;

struct Ahead {
    bytes: [u8; AHEAD],
    left: usize,
}

thread_local! {
    static DRAWN: RefCell<Ahead> = const {
        RefCell::new(Ahead { bytes: [0; AHEAD], left: 0 })
    };
}

impl Ahead {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        if self.left < out.len() {
            draw(&mut self.bytes)?;
            self.left = AHEAD;
        }
        let rest = self.left.saturating_sub(out.len());
        let taken = self.bytes.get_mut(rest..self.left).ok_or(EntropyError)?;
        out.copy_from_slice(taken);
        taken.zeroize();
        self.left = rest;
        Ok(())
    }
}

fn draw(out: &mut [u8]) -> Result<(), EntropyError> {
    aws_lc_rs::rand::fill(out).map_err(|_| EntropyError)
}

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        if out.len() > SHORT {
            return draw(out);
        }
        // While a thread ends there is no store of bytes any more.
        DRAWN
            .try_with(|ahead| match ahead.try_borrow_mut() {
                Ok(mut ahead) => ahead.fill(out),
                Err(_) => Err(EntropyError),
            })
            .unwrap_or_else(|_| draw(out))
    }

    fn fill_secret(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        draw(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_bytes_are_handed_out_twice_and_none_stay_behind() {
        let mut seen = HashSet::new();
        let draw = |seen: &mut HashSet<Vec<u8>>| {
            for round in 0..2000usize {
                let mut out = vec![0; 12 + round % 13];
                SystemEntropy.fill(&mut out).unwrap();
                assert!(seen.insert(out));
            }
        };
        draw(&mut seen);
        std::thread::scope(|scope| scope.spawn(|| draw(&mut seen)).join().unwrap());
        assert!(seen.iter().all(|bytes| bytes.iter().any(|byte| *byte != 0)));
        DRAWN.with_borrow(|ahead| {
            assert!(ahead.bytes[ahead.left..].iter().all(|byte| *byte == 0));
        });
    }

    #[test]
    fn secret_bytes_of_any_length_are_not_drawn_ahead() {
        SystemEntropy.fill(&mut [0; 12]).unwrap();
        let ahead = || DRAWN.with_borrow(|ahead| (ahead.bytes, ahead.left));
        let before = ahead();
        assert!(before.1 > SHORT);
        for length in [1, 16, SHORT, 32] {
            let mut out = vec![0; length];
            SystemEntropy.fill_secret(&mut out).unwrap();
            assert!(length < 8 || out.iter().any(|byte| *byte != 0));
        }
        assert!(ahead() == before);
    }

    #[test]
    fn any_length_is_filled() {
        for length in [0, 1, SHORT, SHORT + 1, 32, AHEAD, 5000] {
            let mut out = vec![0; length];
            SystemEntropy.fill(&mut out).unwrap();
            assert!(length < 8 || out.iter().any(|byte| *byte != 0));
        }
    }
}
