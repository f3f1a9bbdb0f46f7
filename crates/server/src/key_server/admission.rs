//! Who is let in as far as to ask, on every route in the shapes of others: addresses
//! on the list, and requests for this server.

use crate::app::App;
use crate::events_log::{AgentEvent, Happened, agent_event};
use crate::foreign_answer::{bad_request, forbidden, misdirected};
use crate::proving::{authority, http_resource};
use crate::serve::Peer;
use crate::traces;
use axum::extract::Request;
use axum::response::Response;
use procura_record::Refusal;
use procura_types::TraceId;
use std::net::IpAddr;

/// Why a request is not looked at further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    /// Its address is not on the list.
    Address,
    /// It is for another server.
    Elsewhere,
    /// It does not say for which server it is, or says it twice.
    Nowhere,
}

impl NotAdmitted {
    /// What it is told.
    pub(crate) fn response(self) -> Response {
        match self {
            Self::Address => forbidden(),
            Self::Elsewhere => misdirected(),
            Self::Nowhere => bad_request("host"),
        }
    }
}

/// The address of who asks, if it may. A refusal stands in the record under `action`.
pub(crate) fn admit(
    app: &App,
    request: &Request,
    action: &'static str,
) -> Result<IpAddr, NotAdmitted> {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    // Of the connection, or of the client of a proxy that is trusted: the guard before
    // all routes has put it there (ADR 19). What anybody else says about the way of a
    // request is the word of whoever sent it.
    let Some(peer) = peer.filter(|peer| app.key_server.clients.admits(*peer)) else {
        refuse(app, request, action, peer, "source_not_allowed");
        return Err(NotAdmitted::Address);
    };
    if let Err(failure) = authority(app, request.version(), request.headers(), request.uri()) {
        refuse(app, request, action, Some(peer), failure.code.as_str());
        return Err(match failure.field {
            Some("host") => NotAdmitted::Elsewhere,
            _ => NotAdmitted::Nowhere,
        });
    }
    Ok(peer)
}

/// Counts and records a request that was refused before it was looked at.
fn refuse(
    app: &App,
    request: &Request,
    action: &'static str,
    peer: Option<IpAddr>,
    reason: &'static str,
) {
    app.metrics.refused(reason);
    let now = app.clock.now();
    // While sealed there is no record of it: the spool is for acts upon the seal.
    let (Ok(open), Ok(trace)) = (app.open(), TraceId::generate(now, app.entropy.as_ref())) else {
        return;
    };
    let part_of = traces::part_of(request.extensions(), request.headers());
    let event = AgentEvent::of(Happened::AuthViolation, (trace, part_of), now, peer);
    agent_event(app, event.because(reason));
    open.recorder.refuse(Refusal {
        resource: Some(http_resource(request.uri())),
        ip: peer,
        ..Refusal::of_nobody(action, reason, now, "none", trace)
    });
}
