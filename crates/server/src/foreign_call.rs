//! Calls in the shapes of other systems (`protocol.md` §3.6). One description of each
//! is what it is served by and what the OpenAPI document says of it, so that neither
//! has a call that the other has not.

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForeignCall {
    /// As it is counted.
    pub(crate) label: &'static str,
    /// The method; one that reads by GET is not asked by HEAD unless it says so.
    pub(crate) method: &'static str,
    /// The path; at its end there may be one `{parameter}`.
    pub(crate) path: &'static str,
    /// The keys that its query may have.
    pub(crate) query: &'static [&'static str],
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// How the body of a success is written.
    pub(crate) content: &'static str,
    /// Whether callers have to prove who they are.
    pub(crate) proven: bool,
    /// The statuses that it refuses with, beside those of every such call.
    pub(crate) refuses: &'static [u16],
}

/// What [`ForeignCall::content`] is for most.
pub(crate) const JSON: &str = "application/json";

/// The statuses of every call: no place on the list, another server's name or none,
/// too slow, and nobody can tell now.
pub(crate) const ALWAYS: [u16; 5] = [400, 403, 408, 421, 503];

impl ForeignCall {
    /// What stands at the place of the parameter in `path`, byte for byte as sent; the
    /// empty text for a path without one. None when the path is another.
    pub(crate) fn matches<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self.path.split_once('{') {
            Some((before, _)) => path.strip_prefix(before),
            None => (path == self.path).then_some(""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ForeignCall, JSON};

    #[test]
    fn a_path_is_matched_byte_for_byte() {
        let call = |path| ForeignCall {
            label: "a",
            method: "GET",
            path,
            query: &[],
            summary: "",
            content: JSON,
            proven: true,
            refuses: &[],
        };
        let plain = call("/keys/list");
        assert_eq!(plain.matches("/keys/list"), Some(""));
        for other in ["/keys/list/", "/keys/List", "/keys/%6cist", "/keys", ""] {
            assert_eq!(plain.matches(other), None, "{other}");
        }
        let named = call("/keys/ssh/{name}");
        assert_eq!(named.matches("/keys/ssh/a"), Some("a"));
        assert_eq!(named.matches("/keys/ssh/a/b"), Some("a/b"));
        assert_eq!(named.matches("/keys/ssh/"), Some(""));
        assert_eq!(named.matches("/keys/ssh"), None);
        assert_eq!(named.matches("/keys//ssh/a"), None);
    }
}
