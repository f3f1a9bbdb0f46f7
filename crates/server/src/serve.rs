//! The one adapter that carries every endpoint: read, prove, decide, run, render.
//!
//! An [`Endpoint`] declares its operation and a few lines; authentication,
//! authorization, the record of refusals, limits and errors are here and nowhere
//! else.

use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use crate::proving;
use axum::body::{Body, HttpBody as _};
use axum::extract::{RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use axum::{RequestExt as _, Router};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header, request};
use http_body_util::{BodyExt as _, Limited};
use procura_policy::{Denied, Op, Permit, authorize};
use procura_proof::Caller;
use procura_record::{Origin, Refusal};
use procura_types::{SecretBytes, Timestamp, TraceId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

/// The largest body of most calls (`protocol.md` §9).
pub const SMALL_BODY: usize = 64 * 1024;

/// The largest body at all: a value of 1 MiB as base64url in JSON, and room for the rest.
pub const MAX_BODY: usize = 1_500_000;

/// Bodies larger than [`SMALL_BODY`] that are in memory at once. Anybody can send
/// one, since a proof is checked over the whole body: without a bound, strangers
/// could fill the memory.
pub const LARGE_BODIES: usize = 32;

/// The peer's address, put on each request by the listener.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<IpAddr>);

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
        // An array would pass for an object whose fields come in order.
        let first = self.body.iter().find(|byte| !byte.is_ascii_whitespace());
        if first != Some(&b'{') {
            return Err(Failure::new(
                Code::InvalidJson,
                "The body is not a JSON object.",
            ));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            // serde_json quotes what it met; a value could stand there, so only
            // its position and the field are passed on.
            let mut failure = Failure::new(
                Code::InvalidJson,
                format!(
                    "The body does not fit at line {}, column {}.",
                    error.line(),
                    error.column()
                ),
            );
            failure.field = json_field(&error.to_string());
            failure
        })
    }
}

/// Fields of bodies and types in them that errors may name.
const JSON_FIELDS: &[&str] = &[
    "actor_id",
    "audience",
    "code_sha256",
    "current",
    "delivery",
    "device",
    "device_key",
    "env",
    "from",
    "label",
    "name",
    "namespace",
    "new",
    "owner",
    "passphrase",
    "path",
    "project",
    "role",
    "roles",
    "root_key",
    "signature",
    "time",
    "until",
    "value_b64",
];

/// The field of an error of ours (`label: must be …`) or of a missing one: never
/// a word of the body itself.
fn json_field(error: &str) -> Option<&'static str> {
    let missing = error
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split_once('`'));
    let (named, _) = missing.or_else(|| error.split_once(": "))?;
    JSON_FIELDS.iter().copied().find(|field| *field == named)
}

/// What an endpoint knows besides the permit.
pub struct Context<'a> {
    /// The application.
    pub app: &'a App,
    /// The open vault.
    pub open: &'a Open,
    /// The request.
    pub input: &'a Input,
}

impl Context<'_> {
    /// Where the request came from, for the record.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        Origin::new(self.input.trace)
    }
}

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

/// A body that is wiped with its last holder.
struct Wiped(SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

/// An answer.
pub struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
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
        })
    }

    /// 200 with JSON that holds values. It is written into memory of its exact size,
    /// since one that grows leaves copies behind, and wiped once it is sent.
    pub fn secret<T: Serialize>(value: &T) -> Result<Self, Failure> {
        let mut length = Length(0);
        serde_json::to_writer(&mut length, value).map_err(Failure::internal)?;
        let mut text = SecretBytes::new(Vec::with_capacity(length.0));
        serde_json::to_writer(text.expose_mut(), value).map_err(Failure::internal)?;
        Ok(Self {
            status: StatusCode::OK,
            content_type: "application/json",
            body: Bytes::from_owner(Wiped(text)),
        })
    }

    /// 204.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            content_type: "",
            body: Bytes::new(),
        }
    }

    /// 200 with text or bytes.
    #[must_use]
    pub const fn raw(content_type: &'static str, body: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            content_type,
            body,
        }
    }

    /// The response, under the request's id.
    #[must_use]
    pub fn into_response(self, trace: TraceId) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.content_type.is_empty() {
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static(self.content_type),
            );
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Ok(id) = HeaderValue::from_str(&trace.to_string()) {
            headers.insert("x-request-id", id);
        }
        response
    }
}

/// One call of the native API.
pub trait Endpoint: Send + Sync + 'static {
    /// What it does, as data.
    type Op: Op;
    /// The method.
    const METHOD_NAME: &'static str;
    /// The path, with `{parameters}`.
    const PATH: &'static str;
    /// What the body is read as; `()` for none.
    type Body: ToSchema;
    /// What it answers in JSON; `()` for nothing or for another form.
    type Answer: ToSchema;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// The status of success.
    const STATUS: u16 = 200;
    /// The keys that its query may have.
    const QUERY: &'static [&'static str] = &[];
    /// The longest body that it takes.
    const BODY: usize = SMALL_BODY;

    /// From the request to the operation: untyped input becomes types here. May
    /// read the directory or the store to learn whom the operation concerns.
    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure>;

    /// Runs what was permitted.
    fn run(
        context: Context<'_>,
        permit: Permit<Self::Op>,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send;

    /// What follows a no; by default the refusal.
    fn denied(
        context: Context<'_>,
        denied: Denied,
        caller: Caller,
        op: Self::Op,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send {
        async move {
            refuse(&context, &caller, &op, denied);
            Err(denial(denied))
        }
    }
}

/// The refusal of policy, for the caller.
#[must_use]
pub fn denial(denied: Denied) -> Failure {
    if denied.reason == procura_policy::DenyReason::Revoked {
        return Failure::new(Code::Unauthorized, "The device or its actor is revoked.")
            .with_reason("revoked");
    }
    if denied.visible {
        Failure::new(Code::Forbidden, "Your roles and grants do not allow this.").because(denied)
    } else {
        Failure::new(
            Code::NotFound,
            "There is no such thing here, or it is not for you to know.",
        )
        .because(denied)
    }
}

/// Puts a refusal of policy into the record.
pub fn refuse<O: Op>(context: &Context<'_>, caller: &Caller, op: &O, denied: Denied) {
    let resource = op.resource();
    context.open.recorder.refuse(Refusal {
        action: O::ACTION.as_str().to_owned(),
        reason: denied.reason.to_string(),
        time: context.input.now,
        actor: Some(*caller.actor()),
        owner: Some(*caller.owner()),
        device: caller.device().copied(),
        namespace: resource.namespace().cloned(),
        resource: Some(resource.to_string()),
        profile: caller.profile().as_str(),
        ip: context.input.peer,
        trace: context.input.trace,
    });
}

fn refuse_unfound(open: &Open, input: &Input, caller: &Caller, action: &str) {
    open.recorder.refuse(Refusal {
        action: action.to_owned(),
        reason: Code::NotFound.as_str().to_owned(),
        time: input.now,
        actor: Some(*caller.actor()),
        owner: Some(*caller.owner()),
        device: caller.device().copied(),
        namespace: input.param("ns").ok(),
        resource: Some(format!(
            "http/{}",
            crate::problem::printable(input.parts.uri.path())
        )),
        profile: caller.profile().as_str(),
        ip: input.peer,
        trace: input.trace,
    });
}

const fn filter<E: Endpoint>() -> MethodFilter {
    match E::METHOD_NAME.as_bytes() {
        b"PUT" => MethodFilter::PUT,
        b"POST" => MethodFilter::POST,
        b"DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

/// Mounts an endpoint.
pub fn mount<E: Endpoint>(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let handler =
        async |State(app): State<Arc<App>>, request: Request| serve::<E>(&app, request).await;
    router.route(E::PATH, on(filter::<E>(), handler))
}

/// Mounts two operations that share method and path: `Special` where the query
/// names `key` (with another value than `false`), `Plain` elsewhere. Which one it
/// is decides what is authorized, so only one of them ever sees the request.
pub fn mount_either<Plain: Endpoint, Special: Endpoint>(
    router: Router<Arc<App>>,
    key: &'static str,
) -> Router<Arc<App>> {
    let handler = async move |State(app): State<Arc<App>>, request: Request| {
        let special = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .any(|pair| {
                pair.split_once('=')
                    .is_some_and(|(name, value)| name == key && value != "false")
            });
        if special {
            serve::<Special>(&app, request).await
        } else {
            serve::<Plain>(&app, request).await
        }
    };
    router.route(Plain::PATH, on(filter::<Plain>(), handler))
}

/// Serves one request by its endpoint.
pub async fn serve<E: Endpoint>(app: &App, request: Request) -> Response {
    let began = std::time::Instant::now();
    let now = app.clock.now();
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    let Ok(trace) = TraceId::generate(now, app.entropy.as_ref()) else {
        return Failure::internal("no random bytes")
            .into_response_for(TraceId::from_bytes([0; 16]));
    };
    let answer = tokio::time::timeout(
        app.config.request_time(),
        handle::<E>(app, request, trace, peer, now),
    )
    .await;
    let response = match answer {
        Ok(Ok(reply)) => reply.into_response(trace),
        Ok(Err(failure)) => failure.into_response_for(trace),
        Err(_) => Failure::new(
            Code::Timeout,
            "The request took longer than the server waits.",
        )
        .into_response_for(trace),
    };
    app.metrics
        .request(E::Op::ACTION.as_str(), response.status(), began.elapsed());
    response
}

async fn handle<E: Endpoint>(
    app: &App,
    request: Request,
    trace: TraceId,
    peer: Option<IpAddr>,
    now: Timestamp,
) -> Result<Reply, Failure> {
    let open = app.open()?;
    let input = read(app, request, trace, peer, now, E::BODY).await?;
    let snapshot = open.directory.snapshot();
    let caller = proving::prove(app, &open, &snapshot, &input)?;
    let op = E::parse(&open, &input, &caller).inspect_err(|failure| {
        // Looking for what is not there is refused like looking for what is not
        // for the caller, so it stands in the record as well.
        if failure.code == Code::NotFound {
            refuse_unfound(&open, &input, &caller, E::Op::ACTION.as_str());
        }
    })?;
    let context = Context {
        app,
        open: &open,
        input: &input,
    };
    match authorize(open.recorder.decider(), &snapshot, caller, op, now) {
        Ok(permit) => E::run(context, permit).await,
        Err((denied, caller, op)) => E::denied(context, denied, caller, op).await,
    }
}

/// Reads a request whole, up to `limit`.
pub async fn read(
    app: &App,
    mut request: Request,
    trace: TraceId,
    peer: Option<IpAddr>,
    now: Timestamp,
    limit: usize,
) -> Result<Input, Failure> {
    let params = request
        .extract_parts::<RawPathParams>()
        .await
        .map_err(|_| Failure::new(Code::Malformed, "The path is not UTF-8."))?;
    let params = params
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let (parts, body) = request.into_parts();
    let length = content_length(&parts.headers);
    if length.is_some_and(|length| length > limit) {
        return Err(Failure::new(
            Code::TooLarge,
            "The body is longer than the server takes.",
        ));
    }
    // Without a length a body may be as long as the limit. The place is kept for as
    // long as the body is.
    let large = length.map_or_else(|| !body.is_end_stream(), |length| length > SMALL_BODY);
    let place = if limit > SMALL_BODY && large {
        let places = Arc::clone(&app.large_bodies);
        Some(places.acquire_owned().await.map_err(Failure::internal)?)
    } else {
        None
    };
    let body = Limited::new(body, limit)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                Failure::new(Code::TooLarge, "The body is longer than the server takes.")
            } else {
                Failure::new(Code::Malformed, "The body broke off.").because(error)
            }
        })?
        .to_bytes();
    Ok(Input {
        parts,
        body,
        peer,
        trace,
        now,
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
