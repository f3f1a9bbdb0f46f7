//! Answers: their bytes, and the response around them.

use crate::problem::Failure;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version, header};
use procura_proof::{ANSWER_FIELD, AnswerView, Answering};
use procura_types::{SecretBytes, TraceId};
use serde::Serialize;

/// Counts what is written to it.
struct Length(usize);

impl std::io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the JSON around a value or two may take.
const REST: usize = 1024;

/// Text that does not grow beyond the room it was given.
struct Bounded(SecretBytes);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = self.0.expose_mut();
        if bytes.len() > text.capacity() - text.len() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// JSON that holds keys, in memory that does not grow and is wiped.
pub(crate) fn secret_json<T: Serialize>(value: &T) -> Result<SecretBytes, Failure> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value).map_err(Failure::internal)?;
    let mut text = Bounded(SecretBytes::new(Vec::with_capacity(length.0)));
    serde_json::to_writer(&mut text, value).map_err(Failure::internal)?;
    Ok(text.0)
}

/// A body that is wiped with its last holder.
struct Wiped(SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// A body that has no end yet.
struct Stream {
    body: Body,
    /// Whether the connection ends with it.
    closes: bool,
}

/// An answer.
pub struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    /// What follows behind `body` for as long as it likes; then `body` is empty.
    stream: Option<Stream>,
}

impl Reply {
    /// 200 with JSON.
    pub fn json<T: Serialize>(value: &T) -> Result<Self, Failure> {
        Self::with_status(StatusCode::OK, value)
    }

    /// Another status with JSON.
    pub fn with_status<T: Serialize>(status: StatusCode, value: &T) -> Result<Self, Failure> {
        let body = serde_json::to_vec(value).map_err(Failure::internal)?;
        Ok(Self {
            status,
            content_type: "application/json",
            body: body.into(),
            stream: None,
        })
    }

    /// 200 with JSON that holds values, `values` bytes of text in all. It is written
    /// into memory that is large enough, since one that grows leaves copies behind,
    /// and wiped once it is sent.
    pub fn secret<T: Serialize>(value: &T, values: usize) -> Result<Self, Failure> {
        Self::secret_with_status(StatusCode::OK, value, values)
    }

    /// Another status with JSON that holds values, as [`Self::secret`].
    pub fn secret_with_status<T: Serialize>(
        status: StatusCode,
        value: &T,
        values: usize,
    ) -> Result<Self, Failure> {
        let mut text = Bounded(SecretBytes::new(Vec::with_capacity(values + REST)));
        if serde_json::to_writer(&mut text, value).is_err() {
            text = Bounded(secret_json(value)?);
        }
        Ok(Self {
            status,
            content_type: "application/json",
            body: Bytes::from_owner(Wiped(text.0)),
            stream: None,
        })
    }

    /// 200 with a value as it is, wiped once it is sent.
    #[must_use]
    pub(crate) fn secret_raw(content_type: &'static str, value: SecretBytes) -> Self {
        Self::raw(content_type, Bytes::from_owner(Wiped(value)))
    }

    /// 204.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content_type: "",
            body: Bytes::new(),
            stream: None,
        }
    }

    /// 200 with text or bytes.
    #[must_use]
    pub const fn raw(content_type: &'static str, body: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            body,
            stream: None,
        }
    }

    /// 200 with a body that has no end yet, to a request of this version. With HTTP/1
    /// the connection ends with it: whoever may hear no more need not be kept.
    #[must_use]
    pub(crate) fn stream(content_type: &'static str, version: Version, body: Body) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            body: Bytes::new(),
            stream: Some(Stream {
                body,
                closes: version < Version::HTTP_2,
            }),
        }
    }

    /// The response, under the request's id, and signed if the request was proven by
    /// a session. Of a stream the signature covers the head and no body: it says that
    /// this server answers.
    #[must_use]
    pub fn into_response(self, trace: TraceId, answering: Option<&Answering>) -> Response {
        let tag = answering.map(|answering| {
            answering.sign(&AnswerView {
                status: self.status.as_u16(),
                content_type: self.content_type,
                body: &self.body,
            })
        });
        let closes = self.stream.as_ref().is_some_and(|stream| stream.closes);
        let body = self
            .stream
            .map_or_else(|| Body::from(self.body), |stream| stream.body);
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.content_type.is_empty() {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(self.content_type),
            );
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(id) = HeaderValue::from_str(&trace.to_string()) {
            headers.insert("x-request-id", id);
        }
        // base64url is the value of a field; without the tag the answer is not believed.
        if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(tag).ok()) {
            headers.insert(ANSWER_FIELD, tag);
        }
        response
    }
}
