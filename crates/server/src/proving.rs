//! From a request to a [`Caller`], or to the refusal that the record keeps.

use crate::app::{App, Open};
use crate::problem::{Code, Failure};
use crate::serve::Input;
use http::{HeaderMap, Uri, header};
use procura_directory::Snapshot;
use procura_proof::{Caller, Headers, Reason, Refusal, RequestView};
use std::net::IpAddr;

/// The headers of a request as `proof` reads them.
struct Lines<'a>(&'a HeaderMap);

impl Headers for Lines<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self.0 {
            visit(name.as_str(), value.as_bytes());
        }
    }
}

/// Loopback stands for peers on a local socket, which have no address.
const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Proves who sent a request, or records that it failed to.
pub(crate) fn prove(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    input: &Input,
) -> Result<Caller, Failure> {
    let authority = authority(app, &input.parts.headers, &input.parts.uri)
        .inspect_err(|failure| misdirected(app, open, input, failure))?;
    let view = RequestView {
        method: input.parts.method.as_str(),
        authority: &authority,
        scheme: Some(if app.config.tls_cert.is_some() {
            "https"
        } else {
            "http"
        }),
        path: input.parts.uri.path(),
        query: input.parts.uri.query(),
        headers: &Lines(&input.parts.headers),
        body: &input.body,
    };
    open.verifier
        .verify(snapshot, &view, input.now, input.peer.unwrap_or(LOCAL))
        .map_err(|refusal| refused(app, open, snapshot, input, &refusal))
}

/// The authority that the request is for; only our own names are let in, so that
/// a request signed for another server proves nothing here.
pub(crate) fn authority(app: &App, headers: &HeaderMap, uri: &Uri) -> Result<String, Failure> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Failure::new(
            Code::Malformed,
            "There must be exactly one Host field.",
        ));
    };
    let host = host.to_str().unwrap_or_default().to_ascii_lowercase();
    if uri
        .authority()
        .is_some_and(|other| !other.as_str().eq_ignore_ascii_case(&host))
    {
        return Err(Failure::new(
            Code::Malformed,
            "The target and the Host field differ.",
        ));
    }
    if app.is_own_authority(&host) {
        Ok(host)
    } else {
        let mut failure = Failure::new(
            Code::Malformed,
            "The Host field names another server; public_url in procura.toml tells this one its name.",
        );
        failure.field = Some("host");
        Err(failure)
    }
}

/// Records a request that names another server: whoever carries proofs from one
/// server to another is seen, as is whoever is led here by a name of their own.
fn misdirected(app: &App, open: &Open, input: &Input, failure: &Failure) {
    app.metrics.refused(failure.code.as_str());
    open.recorder.refuse(procura_record::Refusal {
        action: "authenticate".to_owned(),
        reason: failure.code.as_str().to_owned(),
        time: input.now,
        actor: None,
        owner: None,
        device: None,
        namespace: None,
        resource: Some(http_resource(input)),
        profile: "none",
        ip: input.peer,
        trace: input.trace,
    });
}

/// What a request asked for that named no operation yet.
fn http_resource(input: &Input) -> String {
    format!("http/{}", crate::problem::printable(input.parts.uri.path()))
}

/// Records a refused proof and words it for the caller.
pub(crate) fn refused(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    input: &Input,
    refusal: &Refusal,
) -> Failure {
    let reason = refusal.reason();
    app.metrics.refused(reason.as_str());
    open.recorder.refuse(procura_record::Refusal {
        action: "authenticate".to_owned(),
        reason: reason.as_str().to_owned(),
        time: input.now,
        actor: refusal.actor,
        owner: refusal
            .actor
            .and_then(|actor| snapshot.actor(&actor).map(|record| record.owner)),
        device: refusal.device,
        namespace: None,
        resource: Some(http_resource(input)),
        profile: "none",
        ip: input.peer,
        trace: input.trace,
    });
    let code = match reason {
        Reason::SourceNotAllowed => Code::Forbidden,
        Reason::RateLimited => Code::RateLimited,
        Reason::VerifierUnavailable => Code::VerifierUnavailable,
        _ => Code::Unauthorized,
    };
    let mut failure = Failure::new(code, refusal.case.detail()).with_reason(reason.as_str());
    failure.retry_after = refusal.retry_after.map(|after| after.as_secs().max(1));
    failure
}
