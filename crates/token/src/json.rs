//! JSON from strangers, read without leeway.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Reads an object. An array would pass for one whose members come in order.
pub(crate) fn object<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    if bytes.first() != Some(&b'{') {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

/// A member that may be left out, and is a text when it is there: `null` is neither.
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    String::deserialize(from).map(Some)
}
