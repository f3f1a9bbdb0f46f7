//! A request, read whole within bounds and turned into types.

use crate::app::App;
use crate::problem::{Code, Failure};
use axum::RequestExt as _;
use axum::body::HttpBody as _;
use axum::extract::{RawPathParams, Request};
use bytes::Bytes;
use http::{HeaderMap, header, request};
use http_body_util::{BodyExt as _, Limited};
use procura_edge::rate::Left;
use procura_proof::Answering;
use procura_types::{Timestamp, TraceId};
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use tokio::sync::OwnedSemaphorePermit;

/// The largest body of most calls (`protocol.md` §9).
pub const SMALL_BODY: usize = 64 * 1024;

/// The largest body of all calls but imports: a value of 1 MiB as base64url in JSON, and
/// room for the rest.
pub const MAX_BODY: usize = 1_500_000;

/// Bodies larger than [`SMALL_BODY`] that are in memory at once. Anybody can send
/// one, since a proof is checked over the whole body: without a bound, strangers
/// could fill the memory.
pub const LARGE_BODIES: usize = 32;

/// The address that a request comes from, put on it by the listener: the peer's, or
/// what a trusted proxy said.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<IpAddr>);

/// A request as it came, not yet read.
pub struct Arrived {
    /// Head and body.
    pub request: Request,
    /// The id that it gets.
    pub trace: TraceId,
    /// Who connected.
    pub peer: Option<IpAddr>,
    /// When it came.
    pub now: Timestamp,
    /// How far it came.
    pub progress: Arc<Progress>,
}

/// How far a request came; asked when it is answered, also when its time ran out.
#[derive(Default)]
pub struct Progress {
    /// Set from when on it may have its effect.
    pub begun: AtomicBool,
    /// Set once it was proven by a session: what signs its answer.
    pub answering: OnceLock<Answering>,
    /// Set if something of what was asked for by names was not there, and the rest was.
    pub(crate) unfound: AtomicBool,
    /// Set if whoever asks nears the end of a rate.
    pub(crate) standing: OnceLock<Left>,
}

/// A request, read and not yet proven.
pub struct Input {
    /// Method, URI, headers.
    pub parts: request::Parts,
    /// The whole body.
    pub body: Bytes,
    /// Who connected.
    pub peer: Option<IpAddr>,
    /// The id of the request.
    pub trace: TraceId,
    /// When it came.
    pub now: Timestamp,
    /// How far it came.
    pub progress: Arc<Progress>,
    params: Vec<(String, String)>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Input {
    /// A parameter of the path, read as its type.
    pub fn param<T: FromStr<Err = procura_types::Malformed>>(
        &self,
        name: &'static str,
    ) -> Result<T, Failure> {
        let text = self
            .params
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str());
        Ok(text.parse::<T>()?)
    }

    /// The query, read as its type; unknown keys are refused by the type.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        axum::extract::Query::try_from_uri(&self.parts.uri)
            .map(|query| query.0)
            .map_err(|error| {
                let mut failure = Failure::new(
                    Code::Malformed,
                    format!("The query does not fit: {}", error.body_text()),
                );
                failure.field = Some("query");
                failure
            })
    }

    /// The body, read as its type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !self.body.is_empty() && !is_json(&self.parts.headers) {
            let mut failure = Failure::new(
                Code::Malformed,
                "There must be exactly one Content-Type field, which says application/json.",
            );
            failure.field = Some("content-type");
            return Err(failure);
        }
        self.object()
    }

    /// The same, whatever the request says that it is: clients of other systems often
    /// say nothing.
    pub(crate) fn object<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !is_object(&self.body) {
            return Err(Failure::new(
                Code::InvalidJson,
                "The body is not a JSON object.",
            ));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // serde_json quotes what it met; a value could stand there, so only
            // its position and the field are passed on.
            let text = error.to_string();
            let detail = missing_field(&text).map_or_else(
                || {
                    format!(
                        "The body does not fit at line {}, column {}.",
                        error.line(),
                        error.column()
                    )
                },
                |field| format!("`{field}` is missing."),
            );
            let mut failure = Failure::new(Code::InvalidJson, detail);
            failure.field = json_field(&text);
            failure
        })
    }
}

/// Fields of bodies and types in them that errors may name.
const JSON_FIELDS: &[&str] = &[
    "action",
    "actions",
    "actor_id",
    "address",
    "agent",
    "agent_id",
    "agents",
    "at",
    "attestation_pub",
    "audience",
    "auth_proof",
    "binary_sha256",
    "ca_pem",
    "channel",
    "chat",
    "code",
    "code_sha256",
    "context",
    "credential",
    "credential_b64",
    "current",
    "delivery",
    "description",
    "device",
    "device_code",
    "device_key",
    "display_name",
    "entries",
    "env",
    "events",
    "exceptions",
    "expect_version",
    "expires",
    "file_content",
    "from",
    "gates",
    "grade",
    "hmac_v1",
    "installation",
    "invalidate",
    "keep_days",
    "key",
    "kind",
    "label",
    "least",
    "life",
    "mail",
    "minutes",
    "mode",
    "name",
    "names",
    "namespace",
    "namespaces",
    "needs",
    "new",
    "nonce",
    "note",
    "only",
    "owner",
    "passphrase",
    "password",
    "path",
    "pcr_digest",
    "per_minute",
    "prefix",
    "principal",
    "project",
    "project_name",
    "proof",
    "rate",
    "reason",
    "recipients",
    "resource",
    "role",
    "roles",
    "root_key",
    "rotate_by",
    "route",
    "routes",
    "secrets",
    "sha256",
    "shape",
    "signature",
    "sources",
    "state",
    "statement",
    "tags",
    "templates",
    "terms",
    "text",
    "time",
    "tls",
    "ts",
    "until",
    "user_code",
    "value_b64",
    "vkey",
    "window_seconds",
];

/// The field of an error of ours (`label: must be …`) or of a missing one: never
/// a word of the body itself.
fn json_field(error: &str) -> Option<&'static str> {
    missing_field(error).or_else(|| known_field(error.split_once(": ")?.0))
}

fn missing_field(error: &str) -> Option<&'static str> {
    let rest = error.strip_prefix("missing field `")?;
    known_field(rest.split_once('`')?.0)
}

fn known_field(named: &str) -> Option<&'static str> {
    JSON_FIELDS.iter().copied().find(|field| *field == named)
}

/// Whether JSON is an object, if it is anything. An array would pass for one whose
/// fields come in order.
pub(crate) fn is_object(json: &[u8]) -> bool {
    json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// Whether the body is said to be JSON (RFC 8259), with or without parameters
/// (RFC 9110 section 8.3.1). Browsers send what forms can say, which this is not,
/// to other origins without asking.
fn is_json(headers: &HeaderMap) -> bool {
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return false;
    };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split_once(';').map_or(kind, |(essence, _)| essence);
    essence
        .trim_ascii()
        .eq_ignore_ascii_case("application/json")
}

fn too_large(limit: usize) -> Failure {
    Failure::new(
        Code::TooLarge,
        format!("The body is longer than the {limit} bytes that this call takes."),
    )
}

/// Reads a request whole, up to `limit`.
pub async fn read(app: &App, mut arrived: Arrived, limit: usize) -> Result<Input, Failure> {
    let params = arrived
        .request
        .extract_parts::<RawPathParams>()
        .await
        .map_err(|_| Failure::new(Code::Malformed, "The path is not UTF-8."))?;
    let params = params
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let (parts, body) = arrived.request.into_parts();
    let length = content_length(&parts.headers);
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    // Without a length a body may be as long as the limit. The place is kept for as
    // long as the body is.
    let large = length.map_or_else(|| !body.is_end_stream(), |length| length > SMALL_BODY);
    let place = if limit > SMALL_BODY && large {
        let places = Arc::clone(&app.large_bodies);
        // A call that takes more than the others takes the places of as many.
        let bytes = length.unwrap_or(limit).min(limit);
        let taken = u32::try_from(bytes.div_ceil(MAX_BODY)).unwrap_or(u32::MAX);
        let place = places.acquire_many_owned(taken).await;
        Some(place.map_err(Failure::internal)?)
    } else {
        None
    };
    let body = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                too_large(limit)
            } else {
                Failure::new(Code::Malformed, "The body broke off.").because(error)
            }
        })?
        .to_bytes();
    Ok(Input {
        parts,
        body,
        peer: arrived.peer,
        trace: arrived.trace,
        now: arrived.now,
        progress: arrived.progress,
        params,
        _place: place,
    })
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}
