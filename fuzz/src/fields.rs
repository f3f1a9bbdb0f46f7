//! Inputs of several parts, read so that every input means something: what is
//! missing reads as zeros, and a length beyond the end as all that is left.

pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_at(self.0.len().min(N));
        self.0 = rest;
        let mut array = [0; N];
        array[..taken.len()].copy_from_slice(taken);
        array
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::from_be_bytes(self.array())
    }

    pub(crate) fn number(&mut self) -> u64 {
        u64::from_be_bytes(self.array())
    }

    /// `u16be length ‖ bytes`.
    pub(crate) fn field(&mut self) -> &'a [u8] {
        let len = usize::from(u16::from_be_bytes(self.array()));
        let (field, rest) = self.0.split_at(self.0.len().min(len));
        self.0 = rest;
        field
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Writes what [`Fields::field`] reads.
pub(crate) fn push(out: &mut Vec<u8>, field: &[u8]) {
    let len = u16::try_from(field.len()).expect("fields of inputs are short");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(field);
}
