//! Values that must not leak: never printed, cloned or serialized, wiped on
//! drop, compared in constant time.

use subtle::ConstantTimeEq;
use zeroize::optimization_barrier;

/// What nothing is left of where it was. The whole of it is overwritten at once, which the
/// compiler must not leave out: byte by byte, as `Zeroize` does it, took a twentieth of the
/// time of a read.
pub trait Wipe {
    /// Overwrites it with zeros, the room that it does not use included; of what has no
    /// fixed length nothing is left.
    fn wipe(&mut self);
}

impl<const N: usize> Wipe for [u8; N] {
    fn wipe(&mut self) {
        self.fill(0);
        optimization_barrier(self);
    }
}

impl Wipe for Vec<u8> {
    fn wipe(&mut self) {
        blank(self, 0);
        self.clear();
    }
}

impl Wipe for Vec<u16> {
    fn wipe(&mut self) {
        blank(self, 0);
        self.clear();
    }
}

impl<const N: usize> Wipe for Vec<[u8; N]> {
    fn wipe(&mut self) {
        blank(self, [0; N]);
        self.clear();
    }
}

impl Wipe for String {
    fn wipe(&mut self) {
        std::mem::take(self).into_bytes().wipe();
    }
}

/// Fills all the room that there is: a longer value may have been in it.
fn blank<T: Copy>(values: &mut Vec<T>, zero: T) {
    values.clear();
    values.resize(values.capacity(), zero);
    optimization_barrier(values.as_slice());
}

/// A value that is only seen through [`Secret::expose`], a name one can grep.
pub struct Secret<T: Wipe>(T);

/// Secret bytes of any length.
pub type SecretBytes = Secret<Vec<u8>>;

impl<T: Wipe> Secret<T> {
    /// Takes the value in. Copies that the caller keeps are the caller's to wipe.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, to be filled in place.
    pub const fn expose_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: Wipe> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

impl<T: Wipe + AsRef<[u8]>> PartialEq for Secret<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_ref().ct_eq(other.0.as_ref()).into()
    }
}
impl<T: Wipe + AsRef<[u8]>> Eq for Secret<T> {}

impl<'de> serde::Deserialize<'de> for Secret<String> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_value_had_room_for_is_overwritten() {
        let mut bytes: Vec<u8> = Vec::with_capacity(100);
        bytes.extend_from_slice(&[7; 100]);
        let (place, room) = (bytes.as_ptr(), bytes.capacity());
        // What is cut off is still there.
        bytes.truncate(3);
        blank(&mut bytes, 0);
        assert_eq!((bytes.as_ptr(), bytes.len()), (place, room));
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.wipe();
        assert!(bytes.is_empty() && bytes.capacity() == room);
    }

    #[test]
    fn every_form_of_a_secret_is_wiped() {
        let mut array = [7u8; 33];
        array.wipe();
        assert_eq!(array, [0; 33]);
        let mut text = "correct horse".to_owned();
        text.wipe();
        assert!(text.is_empty());
        let mut words = vec![7u16; 9];
        blank(&mut words, 0);
        assert!(words.iter().all(|word| *word == 0));
        words.wipe();
        let mut rows = vec![[7u8; 40]; 9];
        blank(&mut rows, [0; 40]);
        assert!(rows.iter().all(|row| *row == [0; 40]));
        rows.wipe();
        assert!(words.is_empty() && rows.is_empty());
        let mut nothing: Vec<u8> = Vec::new();
        nothing.wipe();
        assert_eq!(nothing.capacity(), 0);
    }
}
