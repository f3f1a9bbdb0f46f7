//! Answers within a session (`protocol.md` §3.4): the server shows that it knows the
//! session's key, and that this is its answer to this request.
//!
//! One key makes two kinds of tags: over the signature base of a request, and over
//! the tuple of an answer. Neither passes for the other. A base begins with the `"`
//! (0x22) of its first component, a tuple with the length of its domain (0x11).

use crate::session::Session;
use procura_crypto::MacKey;
use procura_types::{FieldTuple, Timestamp, encoding};
use std::fmt;
use std::sync::Arc;

/// The header field with the tag, in lower case.
pub const ANSWER_FIELD: &str = "procura-answer";

const DOMAIN: &str = "procura.answer.v1";

/// What of an answer its tag covers.
#[derive(Clone, Copy)]
pub struct AnswerView<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The `Content-Type` field as sent; empty without one.
    pub content_type: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

impl AnswerView<'_> {
    /// The value of [`ANSWER_FIELD`] for the answer to the request that bore `counter`
    /// in the session of `mac_key`:
    /// `base64url(HMAC-SHA256(mac_key, T("procura.answer.v1", u64 counter, u64 status, content type, body)))`.
    /// The key is of one session and the counter of one request in it, so the tag
    /// fits no other answer.
    #[must_use]
    pub fn sign(&self, mac_key: &MacKey, counter: u64) -> String {
        let (head, length) = self.head(counter);
        encoding::b64url(&mac_key.sign(&[head.as_bytes(), &length, self.body]))
    }

    /// Whether `field` is the tag of this answer; compared in constant time.
    #[must_use]
    pub fn is_signed(&self, mac_key: &MacKey, counter: u64, field: &str) -> bool {
        let (head, length) = self.head(counter);
        encoding::from_b64url(ANSWER_FIELD, field)
            .is_ok_and(|tag| mac_key.verify(&[head.as_bytes(), &length, self.body], &tag))
    }

    /// The tuple up to the bytes of its last field: a body may be a secret, and is
    /// not copied.
    fn head(&self, counter: u64) -> (FieldTuple, [u8; 4]) {
        let head = FieldTuple::new(DOMAIN)
            .u64(counter)
            .u64(u64::from(self.status))
            .text(self.content_type);
        // Answers are far below 4 GiB.
        let length = u32::try_from(self.body.len()).unwrap_or(u32::MAX);
        (head, length.to_be_bytes())
    }
}

/// Signs the answer to one request that was proven by a session.
#[derive(Clone)]
pub struct Answering {
    pub(crate) session: Arc<Session>,
    pub(crate) counter: u64,
}

impl Answering {
    /// The value of [`ANSWER_FIELD`] for this answer.
    #[must_use]
    pub fn sign(&self, answer: &AnswerView<'_>) -> String {
        answer.sign(&self.session.mac_key, self.counter)
    }

    /// When the session ends.
    #[must_use]
    pub fn session_ends(&self) -> Timestamp {
        self.session.expires()
    }

    /// The epoch of the session's root: it ends before its time when that is not
    /// accepted any more.
    #[must_use]
    pub fn session_epoch(&self) -> u32 {
        self.session.epoch
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering")
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: AnswerView<'_> = AnswerView {
        status: 200,
        content_type: "application/json",
        body: b"{\"a\":1}",
    };
    const NOTHING: AnswerView<'_> = AnswerView {
        status: 204,
        content_type: "",
        body: b"",
    };

    fn key() -> MacKey {
        let bytes: Vec<u8> = (0..32).collect();
        MacKey::from_bytes(&bytes).unwrap()
    }

    #[test]
    fn known_answers() {
        // Computed apart from this program, with the HMAC of Python's library.
        for (answer, counter, tag) in [
            (ANSWER, 7, "vSqDg5FE6XKXDr4-wkVeVIOYrA8voLjzZ05mBsUH9gQ"),
            (NOTHING, 8, "BPV-CHIhRXZLctxtWjVamRvCljXKrsPI3AtinaqRhK8"),
        ] {
            assert_eq!(answer.sign(&key(), counter), tag);
            assert!(answer.is_signed(&key(), counter, tag));
        }
    }

    #[test]
    fn the_tag_is_over_a_field_tuple() {
        let tuple = FieldTuple::new("procura.answer.v1")
            .u64(7)
            .u64(200)
            .text("application/json")
            .bytes(b"{\"a\":1}");
        let tag = encoding::b64url(&key().sign(&[tuple.as_bytes()]));
        assert_eq!(ANSWER.sign(&key(), 7), tag);
        assert_eq!(tuple.as_bytes()[0], 0x11, "no signature base begins so");
    }

    #[test]
    fn it_fits_no_other_answer() {
        let tag = ANSWER.sign(&key(), 7);
        assert!(!ANSWER.is_signed(&key(), 6, &tag));
        assert!(!ANSWER.is_signed(&MacKey::from_bytes(&[1; 32]).unwrap(), 7, &tag));
        let others = [
            AnswerView {
                status: 201,
                ..ANSWER
            },
            AnswerView {
                content_type: "text/plain",
                ..ANSWER
            },
            AnswerView {
                body: b"{\"a\":2}",
                ..ANSWER
            },
            AnswerView {
                body: b"",
                ..ANSWER
            },
            // The same bytes with the boundary moved.
            AnswerView {
                content_type: "application/json{",
                body: b"\"a\":1}",
                ..ANSWER
            },
            NOTHING,
        ];
        for other in others {
            assert!(!other.is_signed(&key(), 7, &tag));
        }
        for wrong in ["", "AAAA", "not base64!", &tag[1..], &format!("{tag}AA")] {
            assert!(!ANSWER.is_signed(&key(), 7, wrong), "{wrong}");
        }
    }
}
