//! One request, from its head to the head of its answer.

use crate::admission::Passed;
use crate::answer::{Fault, Outgoing};
use crate::authenticate::{Head, Identity, Refusal};
use crate::body::Upload;
use crate::fields;
use crate::link::{Busy, Link};
use crate::metrics::Outcome;
use crate::serve::Core;
use crate::standing::Standing;
use crate::target;
use crate::upgrade::{Tunnel, is_handshake};
use crate::upstream::{Lease, Need};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use procura_client::traced;
use procura_edge::framing::Flaw;
use procura_edge::trace::{Kind, Span};
use procura_proof::Reason;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use tokio::time::Instant;

/// Answers one request of a connection.
pub(crate) async fn exchange(link: Arc<Link>, request: Request<Incoming>) -> Response<Outgoing> {
    let began = Instant::now();
    let mut busy = Busy::on(&link);
    let Core {
        metrics, tracer, ..
    } = &*link.core;
    let span = tracer.begin("request", request.headers(), None);
    let one_connection = request.version() < Version::HTTP_2;
    let has_body = !request.body().is_end_stream();
    let passage = pass(&link, span.as_ref(), request).await;
    let outcome = match &passage {
        Ok(Passage::Answer(..)) => Outcome::Passed,
        Ok(Passage::Tunnel(_)) => Outcome::Tunnelled,
        Err(fault) => Outcome::Answered(fault),
    };
    metrics.request(outcome, began.elapsed());
    let answer = match passage {
        Ok(Passage::Answer(answer, lease, standing)) => {
            answer.map(|body| Outgoing::flowing(body, lease, busy, &standing))
        }
        Ok(Passage::Tunnel(answer)) => answer.map(|()| Outgoing::Fixed(None)),
        Err(fault) => {
            busy.answered();
            // What nobody reads of a body stands before the next request.
            fault.answer(one_connection && (has_body || fault.ends_connection()))
        }
    };
    if let Some(mut span) = span {
        span.answered(answer.status().as_u16());
    }
    answer
}

/// What came of a request that went on.
enum Passage {
    /// The upstream answers.
    Answer(Response<Incoming>, Lease, Standing),
    /// Both sides leave HTTP with this.
    Tunnel(Response<()>),
}

async fn pass(
    link: &Arc<Link>,
    span: Option<&Span>,
    mut request: Request<Incoming>,
) -> Result<Passage, Fault> {
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        // Over HTTP/1 this stands in for a head that was refused.
        return Err(link.signals.flaw().unwrap_or(Flaw::Method).into());
    }
    let (authority, target) = target::read(&request)?;
    fields::check_connection(request.headers())?;
    let tunnelled = link.core.upstream.can_tunnel() && is_handshake(&request);
    let client = tunnelled.then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let passed = {
        // Pinned, so that there is one of it for both ways.
        let mut admitted = pin!(admit(link, &parts, &authority, &target, body));
        match span.and_then(Span::context) {
            None => admitted.as_mut().await,
            // Whoever is asked about it hears which trace it is part of.
            Some(context) => traced(context.to_field(), admitted.as_mut()).await,
        }
    };
    let passed = passed.map_err(|fault| exactly(link, fault))?;
    let way = Way {
        link,
        span: link.core.tracer.within(span, Kind::Client, "upstream"),
        authority,
        target,
        client,
    };
    way.forward(parts, passed).await
}

/// Of a body that broke: what was wrong with it, where the reader knows.
fn exactly(link: &Link, fault: Fault) -> Fault {
    match (&fault, link.signals.flaw()) {
        (Fault::BodyBroken, Some(flaw)) => flaw.into(),
        _ => fault,
    }
}

/// Whether the request may go on, and as whose.
async fn admit(
    link: &Arc<Link>,
    parts: &Parts,
    authority: &HeaderValue,
    target: &PathAndQuery,
    body: Incoming,
) -> Result<Passed<Incoming>, Fault> {
    let head = Head {
        method: &parts.method,
        authority: authority.to_str().map_err(|_| Flaw::Host)?,
        scheme: link.tls.then_some("https"),
        target,
        headers: &parts.headers,
    };
    link.core.admission.admit(head, link.peer, body).await
}

/// A request that may go on.
struct Way<'a> {
    link: &'a Arc<Link>,
    /// Of the request to the upstream.
    span: Option<Span>,
    authority: HeaderValue,
    target: PathAndQuery,
    /// The client's side of a WebSocket handshake.
    client: Option<OnUpgrade>,
}

impl Way<'_> {
    async fn forward(mut self, parts: Parts, passed: Passed<Incoming>) -> Result<Passage, Fault> {
        let core = &self.link.core;
        let need = if self.client.is_some() {
            Need::Http1
        } else if parts.version == Version::HTTP_2 && fields::is_grpc(&parts.headers) {
            Need::Http2
        } else {
            Need::Any
        };
        let Passed {
            mut upload,
            identity,
            standing,
            source,
            rate,
        } = passed;
        let watch = upload.watch();
        let request = self.request(parts, upload, identity.as_ref(), source);
        let sent = core.upstream.send(request, self.authority.clone(), need);
        let (limit, began) = (core.config.limits.answer_time, Instant::now());
        let outcome = match watch {
            None => tokio::time::timeout(limit, sent)
                .await
                .unwrap_or(Err(Fault::UpstreamTooSlow)),
            Some(mut watch) => {
                let late = async {
                    watch.ended().await;
                    tokio::time::sleep(limit).await;
                };
                let outcome = tokio::select! {
                    outcome = sent => outcome,
                    () = late => Err(Fault::UpstreamTooSlow),
                    () = over(&standing) => {
                        Err(Fault::Refused(Refusal::new(Reason::Revoked)))
                    }
                };
                // A body that broke off took the connection with it.
                outcome.map_err(|fault| watch.fault().unwrap_or(fault))
            }
        };
        let outcome = outcome.map_err(|fault| exactly(self.link, fault));
        core.metrics
            .upstream(outcome.as_ref().err(), began.elapsed());
        if let Some(mut span) = self.span.take() {
            match &outcome {
                Ok((answer, _)) => span.answered(answer.status().as_u16()),
                Err(fault) => span.failed(fault.reason()),
            }
        }
        let (mut answer, lease) = outcome?;
        if let Some(rate) = rate {
            rate.tell(answer.headers_mut());
        }
        self.answer(answer, lease, standing)
    }

    /// The request as the upstream gets it.
    fn request(
        &self,
        parts: Parts,
        upload: Upload,
        identity: Option<&Identity>,
        source: Option<IpAddr>,
    ) -> Request<Upload> {
        let mut request = Request::new(upload);
        *request.method_mut() = parts.method;
        *request.uri_mut() = Uri::from(self.target.clone());
        let mut headers = parts.headers;
        // Through a trusted proxy it comes from elsewhere.
        let source = source.filter(|source| *source != self.link.peer);
        let forwarded = source.and_then(|source| HeaderValue::try_from(source.to_string()).ok());
        let forwarded = forwarded.as_ref().unwrap_or(&self.link.peer_field);
        fields::prepare_request(&mut headers, identity, forwarded, self.link.tls);
        if let Some(span) = &self.span {
            span.inject(&mut headers);
        }
        if self.client.is_some() {
            let upgrade = HeaderValue::from_static("upgrade");
            headers.insert(header::CONNECTION, upgrade);
            let websocket = HeaderValue::from_static("websocket");
            headers.insert(header::UPGRADE, websocket);
        }
        *request.headers_mut() = headers;
        request
    }

    /// The answer as the client gets it.
    fn answer(
        self,
        mut answer: Response<Incoming>,
        lease: Lease,
        standing: Standing,
    ) -> Result<Passage, Fault> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(answer, standing);
        }
        fields::prepare_answer(answer.headers_mut());
        // Its version is that of the other connection.
        *answer.version_mut() = Version::HTTP_11;
        answer.extensions_mut().clear();
        Ok(Passage::Answer(answer, lease, standing))
    }

    /// Both sides agree to leave HTTP.
    fn switch(self, mut answer: Response<Incoming>, standing: Standing) -> Result<Passage, Fault> {
        let agreed = fields::names(answer.headers(), &header::UPGRADE, "websocket");
        let Some(client) = self.client.filter(|_| agreed) else {
            tracing::warn!("the upstream changed to a protocol that nobody asked for");
            return Err(Fault::UpstreamFailed);
        };
        if let Some(flaw) = self.link.signals.flaw() {
            // The client spoke before it was answered, and not in HTTP.
            return Err(flaw.into());
        }
        let upstream = hyper::upgrade::on(&mut answer);
        fields::prepare_answer(answer.headers_mut());
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        answer.extensions_mut().clear();
        self.link.set_tunnel(Tunnel {
            client,
            upstream,
            standing,
        });
        Ok(Passage::Tunnel(answer.map(|_| ())))
    }
}

/// Waits until whoever asked is not let in any more.
async fn over(standing: &Standing) {
    match standing.ending() {
        Some(ending) => ending.await,
        None => std::future::pending().await,
    }
}
