//! `/oauth/*` and its metadata: the device grant of RFC 8628 in the words of OAuth, for
//! hosts that join without a link code (`protocol.md` §2.1).
//!
//! A device has no account and no secret here. What it has is its key: it signs what it
//! asks, and it signs the device code when it collects, so that the codes are of no use to
//! anybody else. Operators answer by the native API ([`crate::device_grants`]).

mod ask;
mod collect;
mod form;
mod metadata;
mod polls;
mod refused;

use crate::app::App;
use crate::config::Config;
use crate::framed::{Frame, framed};
use crate::input::{Arrived, SMALL_BODY, read};
use crate::openapi::Document;
use crate::proving::addressed;
use crate::rates::retry_after;
use crate::serve::{Context, Input, Reply};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use form::Form;
pub use form::oauth_form;
use http::header;
use polls::{Full, Network, Polls};
use procura_edge::rate::Limiter;
use procura_edge::source::network;
use procura_identity::DeviceCodeTag;
use procura_types::wire::{DeviceAuthorization, DeviceToken, OauthError, OauthMetadata};
use procura_types::{Rate, RateLimit, Timestamp, TraceId, encoding};
use refused::{Refused, Word};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

const ASK_PATH: &str = "/oauth/device_authorization";
const COLLECT_PATH: &str = "/oauth/token";
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";
const GUIDE_PATH: &str = "/oauth/device-grant.md";

/// What whoever writes a client has to know beside the standard: a server says it itself,
/// so that it is of the same version, and can be read where nothing else is reached.
const GUIDE: &str = include_str!("../../../docs/guides/device-grant.md");

/// The client that every host is. Clients have no secrets: whoever can read the program
/// has them (RFC 8628 §5.6).
const CLIENT: &str = "procura-daemon";

/// How often an address may ask, unless it is configured: a rack of hosts that are set up
/// together, and no more than one pair of eyes can look at.
const ASKS: Rate = Rate::per_minute(2, 30);

/// Addresses that are remembered for how often they ask.
const ADDRESSES: usize = 8192;

/// What the endpoints keep in memory. Nothing of it says who may do what.
pub(crate) struct Oauth {
    polls: Polls,
    asks: Limiter,
    rate: Option<Rate>,
    /// Whether addresses of this machine are counted like others.
    loopback: bool,
}

impl Oauth {
    /// Of a server that starts.
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let configured = config.rate_device_grants;
        Self {
            polls: Polls::default(),
            asks: Limiter::new("device_grants", ADDRESSES, now),
            rate: configured.unwrap_or(RateLimit::To(ASKS)).rate(),
            loopback: configured.is_some(),
        }
    }

    /// Whether an address may ask for one more device, or else for how many seconds it has
    /// to wait.
    pub(crate) fn admit(&self, app: &App, peer: Option<IpAddr>) -> Result<(), u64> {
        let (Some(rate), Some(peer)) = (&self.rate, peer) else {
            return Ok(());
        };
        if !self.loopback && peer.to_canonical().is_loopback() {
            return Ok(());
        }
        let key = self.asks.key(&network(peer));
        match self.asks.take(key, rate, app.clock.steady()) {
            Ok(_) => Ok(()),
            Err(over) => {
                app.metrics.limited("device_grants");
                Err(retry_after(over.retry_after))
            }
        }
    }

    /// Whether one more from there may wait for an answer.
    pub(crate) fn room(&self, peer: Option<IpAddr>, now: Timestamp) -> Result<(), Full> {
        self.polls.has_room(Network::of(peer), now)
    }

    /// Somebody begins to wait for an answer, who asked from there, until then.
    pub(crate) fn waits(
        &self,
        tag: DeviceCodeTag,
        (peer, expires): (Option<IpAddr>, Timestamp),
        now: Timestamp,
    ) {
        let of = (Network::of(peer), expires);
        self.polls.begin(tag, of, now);
    }

    /// Somebody waits no more.
    pub(crate) fn answered(&self, tag: &DeviceCodeTag) {
        self.polls.end(tag);
    }
}

/// Mounts the endpoints.
pub(crate) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let counted_as = |label: &'static str| {
        move |State(app): State<Arc<App>>, request: Request| {
            framed(app, label, request, answered, worded)
        }
    };
    router
        .route(ASK_PATH, post(counted_as("oauth.device_authorization")))
        .route(COLLECT_PATH, post(counted_as("oauth.token")))
        .route(METADATA_PATH, get(counted_as("oauth.metadata")))
        .route(GUIDE_PATH, get(counted_as("oauth.guide")))
}

/// Describes the endpoints.
pub(crate) fn document(document: Document) -> Document {
    document
        .form::<DeviceAuthorization, OauthError>(
            ASK_PATH,
            "Asks, as a device that is nobody's yet, to become one of an agent's (RFC 8628 §3.1)",
            &["client_id", "device_jwk", "device_host", "device_signature"],
        )
        .form::<DeviceToken, OauthError>(
            COLLECT_PATH,
            "Asks whether somebody has answered, and collects what was said (RFC 8628 §3.4)",
            &["grant_type", "client_id", "device_code", "device_signature"],
        )
        .open_call::<(), OauthMetadata>(
            "GET",
            METADATA_PATH,
            "Where the endpoints of OAuth are (RFC 8414), and whom a device signs for",
        )
        .open_call::<(), ()>(
            "GET",
            GUIDE_PATH,
            "What a client does beside the standard, and one that is complete (Markdown)",
        )
}

/// The answer to an address that asks more often than it may.
pub(crate) fn turned_away(seconds: u64, trace: TraceId) -> Response {
    let detail = "Requests come more often from this address than they may; ask again later.";
    Refused::later(detail, seconds).into_response(trace)
}

/// The answer to a proxy that does not say whom it stands for.
pub(crate) fn unclear(trace: TraceId) -> Response {
    let detail = "The proxy's fields Forwarded and X-Forwarded-For name no address, or two.";
    Refused::new(Word::InvalidRequest, detail).into_response(trace)
}

/// The answer in the words of OAuth.
fn worded(result: Result<Response, Refused>, frame: &Frame<'_>) -> Response {
    result.unwrap_or_else(|refused| refused.into_response(frame.trace))
}

async fn answered(app: Arc<App>, arrived: Arrived) -> Result<Response, Refused> {
    let open = app.open()?;
    let input = read(&app, arrived, SMALL_BODY).await?;
    addressed(&app, &open, &input)?;
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    match input.parts.uri.path() {
        ASK_PATH => ask::ask(&context).await,
        COLLECT_PATH => collect::collect(&context).await,
        GUIDE_PATH => {
            let text = Bytes::from_static(GUIDE.as_bytes());
            let reply = Reply::raw("text/markdown; charset=utf-8", text);
            Ok(reply.into_response(input.trace, None))
        }
        // The router has no other path that leads here.
        _ => Ok(metadata::metadata(&context)?),
    }
}

/// Where it is written what a client does beside the standard.
fn documentation(app: &App) -> String {
    let issuer = app.public_url().trim_end_matches('/');
    format!("{issuer}{GUIDE_PATH}")
}

/// Refuses every client but the one that there is, and secrets, which it does not have.
fn client(input: &Input, form: &Form) -> Result<(), Refused> {
    let is_known = form.get("client_id").is_none_or(|id| id == CLIENT);
    let has_secret = input.parts.headers.contains_key(header::AUTHORIZATION)
        || form.get("client_secret").is_some()
        || form.get("client_assertion").is_some();
    if has_secret || !is_known {
        return Err(Refused::new(
            Word::InvalidClient,
            format!("The one client is {CLIENT}, which has no secret."),
        ));
    }
    Ok(())
}

/// The signature that a request comes with.
fn signature_of(text: &str) -> Result<Vec<u8>, Refused> {
    encoding::from_b64url("device_signature", text).map_err(|_| {
        Refused::new(
            Word::InvalidRequest,
            "device_signature is not base64url without padding.",
        )
    })
}
