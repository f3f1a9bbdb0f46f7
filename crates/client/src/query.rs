//! Query strings: what stands behind the `?`, as it is signed and sent.

use std::fmt::Write as _;

/// The parameters of a request, percent-encoded as they are added (RFC 3986
/// §2.1: everything but unreserved characters).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(String);

impl Query {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self(String::new())
    }

    /// Adds a parameter. Names are ours and need no encoding.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.to_string().bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                self.0.push(char::from(byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
        self
    }

    /// Adds a parameter if there is a value.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The query without its `?`; nothing when there are no parameters.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        (!self.0.is_empty()).then_some(self.0.as_str())
    }
}

/// Which part of a list: after the last one seen, and how many.
#[derive(Debug, Clone, Default)]
pub struct Page<T> {
    /// Begin after this one; without it, at the beginning.
    pub after: Option<T>,
    /// At most so many; without it, as many as the server likes.
    pub limit: Option<u32>,
}

impl<T> Page<T> {
    /// From the beginning, as many as the server likes.
    #[must_use]
    pub const fn first() -> Self {
        Self {
            after: None,
            limit: None,
        }
    }

    /// The page behind this one.
    #[must_use]
    pub const fn after(after: T) -> Self {
        Self {
            after: Some(after),
            limit: None,
        }
    }
}

impl<T: std::fmt::Display> Page<T> {
    pub(crate) fn query(&self) -> Query {
        Query::new()
            .with_some("after", self.after.as_ref())
            .with_some("limit", self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_and_absent_ones_left_out() {
        let query = Query::new()
            .with("prefix", "a/b c")
            .with_some("limit", None::<u32>)
            .with("since", "2026-11-21T09:12:37.123Z");
        assert_eq!(
            query.as_str(),
            Some("prefix=a%2Fb%20c&since=2026-11-21T09%3A12%3A37.123Z")
        );
        assert_eq!(Query::new().as_str(), None);
    }
}
