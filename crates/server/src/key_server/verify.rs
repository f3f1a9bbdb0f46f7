//! `POST /api/verify`: whether the parts of a `key-server-v1` proof, which another
//! service was shown, are good.

use super::KeysNow;
use super::answer;
use super::audit::{Result as Audited, Verification};
use crate::app::{App, Open};
use crate::events_log::{AgentEvent, Happened, violation};
use crate::foreign_answer::{bad_request, unavailable};
use crate::input::is_object;
use crate::problem::Failure;
use crate::rates::retry_after;
use crate::traces;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use procura_edge::trace::TraceContext;
use procura_proof::foreign::{Foreign, Presented};
use procura_proof::{Case, Reason, Refusal};
use procura_types::{ForeignId, Timestamp, TraceId, encoding};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::net::IpAddr;
use utoipa::ToSchema;

/// Bytes of the longest body.
const LONGEST: usize = 16 * 1024;

/// Why a body is not looked at further.
const INVALID_JSON: &str = "invalid_json";
const INVALID_FIELDS: &str = "missing_or_invalid_fields";
const TOO_LARGE: &str = "body too large";

/// The fields of a body. Others are let be.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = ProofQuestion)]
pub(super) struct Fields {
    agent_id: Option<String>,
    timestamp: Option<String>,
    nonce: Option<String>,
    method: Option<String>,
    path: Option<String>,
    body_sha256: Option<String>,
    signature: Option<String>,
}

/// What came of a request.
enum Verdict {
    Valid(ForeignId),
    Invalid(ForeignId, Refusal),
    Malformed(&'static str),
    Unavailable {
        reason: &'static str,
        retry_after: u64,
    },
}

/// Answers a request.
pub(super) async fn verify(app: &App, request: Request, peer: IpAddr) -> Response {
    let part_of = traces::part_of(request.extensions(), request.headers());
    let length = request.headers().get(header::CONTENT_LENGTH).cloned();
    let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let fields = match body(request.into_body(), length).await {
        Ok(body) => read(&body),
        Err(reason) => Err(reason),
    };
    let now = app.clock.now();
    let (fields, verdict) = match (app.open(), fields) {
        (Err(failure), fields) => (fields.unwrap_or_default(), unopened(&failure)),
        (Ok(_), Err(reason)) => (Fields::default(), Verdict::Malformed(reason)),
        (Ok(open), Ok(fields)) => {
            let verdict = judge(app, &open, &fields, now).await;
            if let Verdict::Invalid(agent, refusal) = &verdict {
                record(app, &open, agent, refusal, (now, peer, part_of));
            }
            (fields, verdict)
        }
    };
    let (response, result, reason) = match &verdict {
        Verdict::Valid(agent) => {
            app.metrics.accepted(Foreign::KeyServerV1.as_str());
            (answer::valid(agent), Audited::Ok, None)
        }
        Verdict::Invalid(_, refusal) => {
            let reason = word(refusal.reason());
            (answer::invalid(reason), Audited::Fail, Some(reason))
        }
        Verdict::Malformed(reason) => (bad_request(reason), Audited::Error, Some(*reason)),
        Verdict::Unavailable {
            reason,
            retry_after,
        } => (
            unavailable(reason, *retry_after),
            Audited::Error,
            Some(*reason),
        ),
    };
    app.key_server.audit.push(
        Verification {
            agent_id: fields.agent_id.as_deref(),
            method: fields.method.as_deref(),
            path: fields.path.as_deref(),
            result,
            reason,
            ip: peer,
        }
        .line(now),
    );
    if let Some(reason) = reason {
        app.metrics.refused(reason);
    }
    response
}

/// The whole body, if it is not too long.
async fn body(body: Body, length: Option<usize>) -> Result<Bytes, &'static str> {
    if length.is_some_and(|length| length > LONGEST) {
        return Err(TOO_LARGE);
    }
    let collected = Limited::new(body, LONGEST).collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.is::<LengthLimitError>() {
                TOO_LARGE
            } else {
                // It broke off, and nobody is there to be told.
                INVALID_JSON
            }
        })
}

/// The fields of a body, each of them text or absent.
fn read(body: &[u8]) -> Result<Fields, &'static str> {
    let text = std::str::from_utf8(body).map_err(|_| INVALID_JSON)?;
    let object = is_object(body).then(|| serde_json::from_str(text).ok());
    object.flatten().ok_or_else(|| {
        // It is not what it should be; whether it is JSON at all is another answer.
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => INVALID_FIELDS,
            Err(_) => INVALID_JSON,
        }
    })
}

async fn judge(app: &App, open: &Open, fields: &Fields, now: Timestamp) -> Verdict {
    let invalid = || Verdict::Malformed(INVALID_FIELDS);
    let Fields {
        agent_id: Some(agent),
        timestamp: Some(timestamp),
        nonce: Some(nonce),
        method: Some(method),
        path: Some(path),
        body_sha256: Some(body_sha256),
        signature: Some(signature),
    } = fields
    else {
        return invalid();
    };
    let (Ok(agent), Some(body_sha256)) = (
        agent.parse::<ForeignId>(),
        encoding::from_hex_fixed::<32>(body_sha256),
    ) else {
        return invalid();
    };
    let presented = Presented {
        agent: &agent,
        timestamp,
        nonce,
        method,
        path,
        body_sha256: &body_sha256,
        signature,
    };
    // The keys must not be held while the guard is asked.
    let pending = {
        let snapshot = open.directory.snapshot();
        let keys = KeysNow::public(app, &snapshot, now);
        open.foreign.prepare_presented(&keys, &presented, now)
    };
    let verified = match pending {
        Ok(pending) => open.foreign.finish(pending).await,
        Err(refusal) => Err(refusal),
    };
    match verified {
        // Towards other services it is as if it were revoked.
        Ok(()) if is_quarantined(open, &agent) => {
            Verdict::Invalid(agent, Case::AgentQuarantined.into())
        }
        Ok(()) => Verdict::Valid(agent),
        Err(refusal) => match refusal.reason() {
            Reason::BadSignature
            | Reason::UnknownAgent
            | Reason::Revoked
            | Reason::Quarantined
            | Reason::TimestampOutOfWindow
            | Reason::NonceReplayed => Verdict::Invalid(agent, refusal),
            Reason::MissingHeaders | Reason::Malformed => invalid(),
            // Whoever asks knows no status for too many; not to be told is what
            // both have in common.
            reason => Verdict::Unavailable {
                reason: reason.as_str(),
                retry_after: refusal.retry_after.map_or(1, retry_after),
            },
        },
    }
}

/// Whether an agent touched a decoy and nobody let it out yet.
fn is_quarantined(open: &Open, agent: &ForeignId) -> bool {
    let snapshot = open.directory.snapshot();
    let device = snapshot.foreign(agent).and_then(|bound| bound.device);
    open.honey.holds(&snapshot, device.as_ref(), Some(agent))
}

/// A reason in the words of the service, which tell a revoked agent from an unknown
/// one to nobody.
const fn word(reason: Reason) -> &'static str {
    match reason {
        Reason::Revoked | Reason::Quarantined => Reason::UnknownAgent.as_str(),
        reason => reason.as_str(),
    }
}

/// Sealed, or never initialised.
fn unopened(failure: &Failure) -> Verdict {
    Verdict::Unavailable {
        reason: failure.code.as_str(),
        retry_after: 1,
    }
}

/// Puts a proof that failed into the record, beside the file.
fn record(
    app: &App,
    open: &Open,
    agent: &ForeignId,
    refusal: &Refusal,
    (now, peer, part_of): (Timestamp, IpAddr, Option<TraceContext>),
) {
    let Ok(trace) = TraceId::generate(now, app.entropy.as_ref()) else {
        return;
    };
    let event = AgentEvent::of(Happened::AuthViolation, (trace, part_of), now, Some(peer));
    violation(app, event.agent(agent.as_str()), refusal.reason());
    let reason = refusal.reason().as_str();
    let profile = Foreign::KeyServerV1.as_str();
    open.recorder.refuse(procura_record::Refusal {
        resource: Some(format!("foreign/{agent}")),
        ip: Some(peer),
        ..procura_record::Refusal::of_nobody(super::ACTION, reason, now, profile, trace)
    });
}
