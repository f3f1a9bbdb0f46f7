//! What is wrong with a message, in one word for each answer.

use http::StatusCode;

/// What is wrong with a message; its word stands in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Not a method, a target and `HTTP/1.1` or `HTTP/1.0` with one space between, or
    /// with a control character.
    RequestLine,
    /// `CONNECT` or `TRACE`.
    Method,
    /// Neither a path nor an absolute URL of the same host; a fragment; bytes
    /// outside ASCII.
    Target,
    /// None where there has to be one, two, or not a host with or without a port.
    Host,
    /// A field without a colon, or with a name that is no token.
    FieldName,
    /// A control character in a value.
    FieldValue,
    /// A line that continues the one before.
    FoldedLine,
    /// CR or LF alone.
    LineEnd,
    /// `Content-Length` twice, or not a number.
    TwoLengths,
    /// `Content-Length` and `Transfer-Encoding`.
    LengthAndCoding,
    /// `Transfer-Encoding` twice, other than `chunked`, or in HTTP/1.0.
    Coding,
    /// A chunk, or trailers, of another form.
    Chunk,
    /// `Connection` names a field that is not of one connection alone.
    Connection,
    /// Too many bytes or fields.
    HeadTooLarge,
    /// Not whole in time.
    HeadTooSlow,
}

impl Flaw {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line",
            Self::Method => "method",
            Self::Target => "target",
            Self::Host => "host",
            Self::FieldName => "field_name",
            Self::FieldValue => "field_value",
            Self::FoldedLine => "folded_line",
            Self::LineEnd => "line_end",
            Self::TwoLengths => "two_lengths",
            Self::LengthAndCoding => "length_and_transfer_encoding",
            Self::Coding => "transfer_encoding",
            Self::Chunk => "chunk",
            Self::Connection => "connection",
            Self::HeadTooLarge => "head_too_large",
            Self::HeadTooSlow => "head_too_slow",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTooSlow => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
