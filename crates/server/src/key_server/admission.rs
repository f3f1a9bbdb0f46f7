//! Who is let in as far as to ask, on every route in the shapes of others: addresses
//! on the list, and requests for this server.

use super::answer;
use crate::app::App;
use crate::events_log::{AgentEvent, Happened, agent_event};
use crate::proving::authority;
use crate::serve::Peer;
use crate::traces;
use axum::extract::Request;
use axum::response::Response;
use procura_types::TraceId;
use std::net::IpAddr;

/// Why a request is not looked at further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turned {
    /// Its address is not on the list.
    Address,
    /// It is for another server.
    Elsewhere,
    /// It does not say for which server it is, or says it twice.
    Nowhere,
}

impl Turned {
    /// What it is told.
    pub(crate) fn response(self) -> Response {
        match self {
            Self::Address => answer::forbidden(),
            Self::Elsewhere => answer::misdirected(),
            Self::Nowhere => answer::bad_request("host"),
        }
    }
}

/// The address of who asks, if it may. A refusal stands in the record under `action`.
pub(crate) fn admit(app: &App, request: &Request, action: &'static str) -> Result<IpAddr, Turned> {
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    // The address is that of the connection. What a request says about its way is
    // the word of whoever sent it.
    let Some(peer) = peer.filter(|peer| app.key_server.clients.admits(*peer)) else {
        refuse(app, request, action, peer, "source_not_allowed");
        return Err(Turned::Address);
    };
    if let Err(failure) = authority(app, request.version(), request.headers(), request.uri()) {
        refuse(app, request, action, Some(peer), failure.code.as_str());
        return Err(match failure.field {
            Some("host") => Turned::Elsewhere,
            _ => Turned::Nowhere,
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
    open.recorder.refuse(procura_record::Refusal {
        action: action.to_owned(),
        reason: reason.to_owned(),
        time: now,
        actor: None,
        owner: None,
        device: None,
        namespace: None,
        resource: Some(format!(
            "http/{}",
            crate::problem::printable(request.uri().path())
        )),
        profile: "none",
        ip: peer,
        trace,
    });
}
