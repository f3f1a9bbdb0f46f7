//! Field tuples: the one way to put fields together before they are hashed,
//! signed or bound (`protocol.md` §1). Never bare concatenation.

/// `u8 len(domain) ‖ domain ‖ (u32be len ‖ bytes)*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldTuple(Vec<u8>);

impl FieldTuple {
    /// Begins a tuple in its domain.
    ///
    /// A domain is a constant of ours; one beyond 255 bytes does not compile
    /// when this is evaluated in a constant, and is cut otherwise.
    #[must_use]
    pub fn new(domain: &'static str) -> Self {
        debug_assert!(domain.len() <= 255, "domains are short constants");
        let mut bytes = Vec::with_capacity(128);
        bytes.push(u8::try_from(domain.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(domain.as_bytes());
        Self(bytes)
    }

    /// Adds a field of any bytes.
    #[must_use]
    pub fn bytes(mut self, field: &[u8]) -> Self {
        // Fields come from bounded inputs (1 MiB at most), far below 4 GiB.
        let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(field);
        self
    }

    /// Adds a field of text.
    #[must_use]
    pub fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    /// Adds a one-byte field.
    #[must_use]
    pub fn u8(self, field: u8) -> Self {
        self.bytes(&[field])
    }

    /// Adds a 32-bit field, big-endian.
    #[must_use]
    pub fn u32(self, field: u32) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// Adds a 64-bit field, big-endian.
    #[must_use]
    pub fn u64(self, field: u64) -> Self {
        self.bytes(&field.to_be_bytes())
    }

    /// The bytes to hash, sign or bind.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, taken out.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl AsRef<[u8]> for FieldTuple {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_exact() {
        let tuple = FieldTuple::new("ab")
            .text("x")
            .u8(7)
            .u32(1)
            .u64(2)
            .bytes(b"");
        let expected = [
            &b"\x02ab"[..],
            b"\0\0\0\x01x",
            b"\0\0\0\x01\x07",
            b"\0\0\0\x04\0\0\0\x01",
            b"\0\0\0\x08\0\0\0\0\0\0\0\x02",
            b"\0\0\0\0",
        ]
        .concat();
        assert_eq!(tuple.as_bytes(), expected);
    }

    #[test]
    fn moving_a_boundary_changes_the_bytes() {
        let one = FieldTuple::new("d").text("ab").text("c");
        let two = FieldTuple::new("d").text("a").text("bc");
        assert_ne!(one, two);
    }
}
