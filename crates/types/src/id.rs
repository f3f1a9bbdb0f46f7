//! Random ids: UUID version 7 (RFC 9562 §5.7), so they sort by time.

use crate::{Entropy, EntropyError, Malformed, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

fn uuid_v7(now: Timestamp, entropy: &dyn Entropy) -> Result<[u8; 16], EntropyError> {
    let mut bytes = [0u8; 16];
    entropy.fill(&mut bytes)?;
    let millis = now.as_millis().to_be_bytes();
    // 48 bits of time, then version 7 and the variant of RFC 9562.
    if let (Some(head), Some(tail)) = (bytes.get_mut(..6), millis.get(2..)) {
        head.copy_from_slice(tail);
    }
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Ok(bytes)
}

/// The 36 characters of RFC 9562 §4.
fn show(bytes: &[u8; 16], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut text = [b'-'; 36];
    let mut places = text
        .iter_mut()
        .enumerate()
        .filter(|(place, _)| !matches!(place, 8 | 13 | 18 | 23))
        .map(|(_, character)| character);
    for byte in bytes {
        for (nibble, character) in [byte >> 4, byte & 0x0f].into_iter().zip(places.by_ref()) {
            *character = digit(nibble);
        }
    }
    f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
}

fn parse(field: &'static str, text: &str) -> Result<[u8; 16], Malformed> {
    let wrong = || Malformed::new(field, "is not a UUID in lower case");
    let raw = text.as_bytes();
    if raw.len() != 36 {
        return Err(wrong());
    }
    let mut out = [0u8; 16];
    let mut nibbles = raw.iter().enumerate().filter_map(|(position, byte)| {
        if matches!(position, 8 | 13 | 18 | 23) {
            (*byte != b'-').then_some(None)
        } else {
            Some(match byte {
                b'0'..=b'9' => Some(byte - b'0'),
                b'a'..=b'f' => Some(byte - b'a' + 10),
                _ => None,
            })
        }
    });
    for slot in &mut out {
        let (Some(Some(high)), Some(Some(low))) = (nibbles.next(), nibbles.next()) else {
            return Err(wrong());
        };
        *slot = high << 4 | low;
    }
    Ok(out)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// A fresh id for this moment.
            pub fn generate(now: Timestamp, entropy: &dyn Entropy) -> Result<Self, EntropyError> {
                uuid_v7(now, entropy).map(Self)
            }
            /// Wraps the 16 bytes of an id that was made elsewhere.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }
            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::openapi::text("a UUID version 7, lower case")
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(&self.0, f)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(&self.0, f)
            }
        }
        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                parse($field, text).map(Self)
            }
        }
        impl TryFrom<String> for $name {
            type Error = Malformed;
            fn try_from(text: String) -> Result<Self, Malformed> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

id!(
    /// One installation of Procura: its home, its database, its ledger.
    InstallationId,
    "installation"
);
id!(
    /// A request for authority. The grant that answers it bears the same id.
    RequestId,
    "request"
);
id!(
    /// A grant; equal to the id of the request that it answers.
    GrantId,
    "grant"
);
id!(
    /// One hand-over of values to one process.
    RunId,
    "run"
);
id!(
    /// A project token; of a signed one its `jti`.
    TokenId,
    "token"
);
id!(
    /// Something that a quorum of stewards has to agree to.
    ProposalId,
    "proposal"
);
id!(
    /// One ledger entry.
    EntryId,
    "entry"
);
id!(
    /// One HTTP request, in answers, logs and the ledger.
    TraceId,
    "request_id"
);
id!(
    /// One gate's home: of those that follow a service, each has another.
    InstanceId,
    "instance"
);
id!(
    /// One decoy, in the record: where it lies is said to few.
    CanaryId,
    "canary"
);
id!(
    /// One web login: what a browser holds after sign-in. No secret; the cookie is.
    WebLoginId,
    "web_login"
);
id!(
    /// What one process of a daemon attested of itself, however often it renews that. It
    /// follows from the key of the process, and so is no UUID of a time.
    AttestationId,
    "attestation"
);
id!(
    /// One batch of changes, by which its fate can be asked after a failure.
    BatchId,
    "batch"
);

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Entropy for Fixed {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            out.fill(0xff);
            Ok(())
        }
    }

    #[test]
    fn ids_are_uuid_version_7_and_read_back() {
        let id = RunId::generate(Timestamp::from_millis(0x0123_4567_89ab), &Fixed).unwrap();
        assert_eq!(id.to_string(), "01234567-89ab-7fff-bfff-ffffffffffff");
        assert_eq!(id.to_string().parse::<RunId>().unwrap(), id);
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "",
            "01234567-89ab-7fff-bfff-fffffffffff",
            "01234567-89AB-7fff-bfff-ffffffffffff",
            "0123456789ab-7fff-bfff-ffffffffffff-",
            "01234567_89ab-7fff-bfff-ffffffffffff",
            "01234567-89ab-7fff-bfff-ffffffffffffé",
        ] {
            assert_eq!(text.parse::<RunId>().unwrap_err().field, "run", "{text}");
        }
    }
}
