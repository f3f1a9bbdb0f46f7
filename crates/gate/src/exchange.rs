//! One request, from its head to the head of its answer.

use crate::answer::{Fault, Outgoing};
use crate::authenticate::{Head, Identity};
use crate::body::Upload;
use crate::fields;
use crate::framing::Flaw;
use crate::judge::{Judge, Passed};
use crate::link::{Busy, Link};
use crate::target;
use crate::upgrade::{Tunnel, is_handshake};
use crate::upstream::Lease;
use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use procura_types::dial::{Asked, Mode};
use std::sync::Arc;

/// Answers one request of a connection.
pub(crate) async fn exchange(link: Arc<Link>, request: Request<Incoming>) -> Response<Outgoing> {
    let mut busy = Busy::on(&link);
    let one_connection = request.version() < Version::HTTP_2;
    let has_body = !request.body().is_end_stream();
    match pass(&link, request).await {
        Ok(Passage::Answer(answer, lease)) => {
            answer.map(|body| Outgoing::flowing(body, lease, busy))
        }
        Ok(Passage::Tunnel(answer)) => answer.map(|()| Outgoing::Fixed(None)),
        Err(fault) => {
            busy.answered();
            // What nobody reads of a body stands before the next request.
            fault.answer(one_connection && (has_body || fault.ends_connection()))
        }
    }
}

/// What came of a request that went on.
enum Passage {
    /// The upstream answers.
    Answer(Response<Incoming>, Lease),
    /// Both sides leave HTTP with this.
    Tunnel(Response<()>),
}

async fn pass(link: &Arc<Link>, mut request: Request<Incoming>) -> Result<Passage, Fault> {
    if matches!(*request.method(), Method::TRACE | Method::CONNECT) {
        // Over HTTP/1 this stands in for a head that was refused.
        return Err(link.signals.flaw().unwrap_or(Flaw::Method).into());
    }
    let (authority, target) = target::read(&request)?;
    let client = is_handshake(&request).then(|| hyper::upgrade::on(&mut request));
    let (parts, body) = request.into_parts();
    let passed = admit(link, &parts, &authority, &target, body)
        .await
        .map_err(|fault| exactly(link, fault))?;
    let way = Way {
        link,
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
) -> Result<Passed, Fault> {
    let core = &link.core;
    let asked = Asked {
        method: parts.method.as_str(),
        path: target.path(),
        cors: parts.headers.contains_key(header::ORIGIN)
            && parts
                .headers
                .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
        bare: body.is_end_stream() && !parts.headers.contains_key(header::UPGRADE),
    };
    let dial = core.dial.load();
    let setting = dial.resolve(core.config.environment, &asked);
    if setting.mode == Mode::Off {
        return Ok(Passed::unseen(Bytes::new(), body));
    }
    let judge = Judge {
        link,
        head: Head {
            method: &parts.method,
            authority: authority.to_str().map_err(|_| Flaw::Host)?,
            scheme: link.tls.then_some("https"),
            target,
            headers: &parts.headers,
        },
        mode: setting.mode,
        stream: setting.stream,
        unsigned_body: setting.danger_unsigned_body,
    };
    drop(dial);
    judge.judge(body).await
}

/// A request that may go on.
struct Way<'a> {
    link: &'a Arc<Link>,
    authority: HeaderValue,
    target: PathAndQuery,
    /// The client's side of a WebSocket handshake.
    client: Option<OnUpgrade>,
}

impl Way<'_> {
    async fn forward(self, parts: Parts, passed: Passed) -> Result<Passage, Fault> {
        let core = &self.link.core;
        let over_http2 = core.config.upstream_http2
            && parts.version == Version::HTTP_2
            && fields::is_grpc(&parts.headers);
        let Passed {
            mut upload,
            identity,
        } = passed;
        let watch = upload.watch();
        let mut request = self.request(parts, upload, identity.as_ref());
        let body = request.body();
        if !over_http2 && !body.is_end_stream() && body.size_hint().exact().is_none() {
            // hyper would send no body with a GET of which it knows no length.
            let chunked = HeaderValue::from_static("chunked");
            request
                .headers_mut()
                .insert(header::TRANSFER_ENCODING, chunked);
        }
        let sent = core
            .upstream
            .send(request, self.authority.clone(), over_http2);
        let limit = core.config.limits.answer_time;
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
                };
                // A body that broke off took the connection with it.
                outcome.map_err(|fault| watch.fault().unwrap_or(fault))
            }
        };
        let (answer, lease) = outcome.map_err(|fault| exactly(self.link, fault))?;
        self.answer(answer, lease)
    }

    /// The request as the upstream gets it.
    fn request(
        &self,
        parts: Parts,
        upload: Upload,
        identity: Option<&Identity>,
    ) -> Request<Upload> {
        let mut request = Request::new(upload);
        *request.method_mut() = parts.method;
        *request.uri_mut() = Uri::from(self.target.clone());
        let mut headers = parts.headers;
        fields::prepare_request(&mut headers, identity, &self.link.peer_field, self.link.tls);
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
    fn answer(self, mut answer: Response<Incoming>, lease: Lease) -> Result<Passage, Fault> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(answer);
        }
        fields::prepare_answer(answer.headers_mut());
        // Its version is that of the other connection.
        *answer.version_mut() = Version::HTTP_11;
        answer.extensions_mut().clear();
        Ok(Passage::Answer(answer, lease))
    }

    /// Both sides agree to leave HTTP.
    fn switch(self, mut answer: Response<Incoming>) -> Result<Passage, Fault> {
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
        self.link.set_tunnel(Tunnel { client, upstream });
        Ok(Passage::Tunnel(answer.map(|_| ())))
    }
}
