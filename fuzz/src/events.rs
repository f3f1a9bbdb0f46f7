//! Streams of server-sent events, as a server sends them to our client.

use crate::Verdict;
use procura_client::sse::{Message, Messages};

/// Streams: it does not matter how the bytes are cut, and what a message says is in
/// them.
pub(crate) fn event_stream(data: &[u8]) -> Verdict {
    let Ok(whole) = Messages::default().read(data) else {
        return Verdict::Refused;
    };
    let mut by_bytes = Vec::new();
    let mut messages = Messages::default();
    for byte in data {
        by_bytes.extend(messages.read(std::slice::from_ref(byte)).unwrap());
    }
    assert_eq!(by_bytes, whole);
    for Message {
        event,
        id,
        data: text,
    } in &whole
    {
        assert!(!event.contains('\n'));
        assert!(id.as_ref().is_none_or(|id| !id.contains(['\n', '\0'])));
        assert!(event.len() + text.len() <= data.len());
    }
    Verdict::of(!whole.is_empty())
}
