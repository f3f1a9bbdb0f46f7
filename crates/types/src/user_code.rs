//! User codes of device grants (RFC 8628 §6.1): what a person reads on a host and types
//! where they say yes or no.

use crate::{Entropy, EntropyError, Malformed, Secret};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroize as _;

const FIELD: &str = "user_code";
const RULE: Malformed = Malformed::new(
    FIELD,
    "must be the 8 letters that the host shows, such as WDJB-MJHT",
);

/// Consonants, so that no code spells a word, without the one that is easily taken for a
/// vowel: the alphabet of RFC 8628 §6.1.
const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// The last multiple of 20 that a byte reaches.
const FAIR: u8 = 240;
/// Letters of a code: 34 bits.
const LETTERS: usize = 8;
/// The longest text that is looked at: letters with something between each two.
const LONGEST: usize = 32;

/// A user code. Whoever has it can find the device that asks and say no to it, so it is
/// shown where it is asked for and nowhere else.
pub struct UserCode(Secret<[u8; LETTERS]>);

impl UserCode {
    /// A fresh one.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut letters = Secret::new([0; LETTERS]);
        let mut random = Secret::new([0u8; 1]);
        for letter in letters.expose_mut() {
            loop {
                entropy.fill_secret(random.expose_mut())?;
                let [byte] = *random.expose();
                if let Some(found) = letter_at(byte) {
                    *letter = found;
                    break;
                }
            }
        }
        Ok(Self(letters))
    }

    /// The letters without what stands between them, as they are compared and hashed.
    #[must_use]
    pub const fn letters(&self) -> &[u8; LETTERS] {
        self.0.expose()
    }
}

/// The letter that a random byte stands for; none for one that would make some letters
/// likelier than others.
fn letter_at(byte: u8) -> Option<u8> {
    if byte >= FAIR {
        return None;
    }
    ALPHABET.get(usize::from(byte) % ALPHABET.len()).copied()
}

impl FromStr for UserCode {
    type Err = Malformed;

    /// Reads a code as typed: case, spaces and dashes do not count.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if text.len() > LONGEST {
            return Err(RULE);
        }
        let mut letters = Secret::new([0; LETTERS]);
        let mut places = letters.expose_mut().iter_mut();
        for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            let letter = byte.to_ascii_uppercase();
            if !ALPHABET.contains(&letter) {
                return Err(RULE);
            }
            *places.next().ok_or(RULE)? = letter;
        }
        if places.next().is_some() {
            return Err(RULE);
        }
        Ok(Self(letters))
    }
}

/// As it is shown: `WDJB-MJHT`.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, letter) in self.letters().iter().enumerate() {
            if place == LETTERS / 2 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(…)")
    }
}

impl Serialize for UserCode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UserCode {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(from)?;
        let code = text.parse().map_err(de::Error::custom);
        text.zeroize();
        code
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for UserCode {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        crate::openapi::text(
            "8 letters of BCDFGHJKLMNPQRSTVWXZ; case, spaces and dashes do not count",
        )
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for UserCode {
    fn name() -> std::borrow::Cow<'static, str> {
        "UserCode".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Gives the same bytes over and over.
    struct Fixed(Mutex<std::collections::VecDeque<u8>>);

    impl Fixed {
        fn of(bytes: &[u8]) -> Self {
            Self(Mutex::new(bytes.to_vec().into()))
        }
    }

    impl Entropy for Fixed {
        fn fill(&self, to: &mut [u8]) -> Result<(), EntropyError> {
            let mut bytes = self.0.lock().unwrap();
            for byte in to {
                *byte = bytes[0];
                bytes.rotate_left(1);
            }
            Ok(())
        }
    }

    #[test]
    fn what_is_typed_is_read_however_it_is_spelt() {
        for typed in [
            "WDJB-MJHT",
            "wdjb-mjht",
            "wdjbmjht",
            " WDJB MJHT ",
            "w-d-j-b-m-j-h-t",
        ] {
            let code: UserCode = typed.parse().unwrap();
            assert_eq!(code.to_string(), "WDJB-MJHT", "{typed}");
            assert_eq!(code.letters(), b"WDJBMJHT");
        }
    }

    #[test]
    fn what_is_no_code_is_refused_by_the_name_of_its_field() {
        for typed in [
            "",
            "WDJB",
            "WDJB-MJH",
            "WDJB-MJHTB",
            "WDJB-MJHA",
            "WDJB-MJHY",
            "WDJB_MJHT",
            "WDJB-MJH1",
            "WDJB\tMJHT",
            "ＷDJBMJHT",
            "----------------------------------------",
            "W D J B - - - - - - - - - M J H T",
        ] {
            assert_eq!(typed.parse::<UserCode>().unwrap_err(), RULE, "{typed}");
        }
    }

    #[test]
    fn every_letter_is_as_likely_as_every_other() {
        let mut found = std::collections::BTreeMap::new();
        for byte in 0..=u8::MAX {
            if let Some(letter) = letter_at(byte) {
                *found.entry(letter).or_insert(0) += 1;
            }
        }
        assert_eq!(found.len(), ALPHABET.len());
        assert!(found.values().all(|times| *times == 12));
    }

    #[test]
    fn bytes_that_would_not_be_fair_are_drawn_again() {
        let code = UserCode::generate(&Fixed::of(&[240, 255, 0, 19])).unwrap();
        assert_eq!(code.to_string(), "BZBZ-BZBZ");
    }

    #[test]
    fn nothing_that_shows_what_went_wrong_shows_the_code() {
        let code: UserCode = "WDJB-MJHT".parse().unwrap();
        assert_eq!(format!("{code:?}"), "UserCode(…)");
    }
}
