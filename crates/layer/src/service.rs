//! The layer, and the service that it makes of another.

use crate::answer::AnswerBody;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use procura_gate::{Admission, Identity, Passed, Upload, identify};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Where a request came from: put into its extensions by whoever accepts connections. A
/// request without one counts as from `0.0.0.0`, which no list of sources has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Authenticates the requests of a service.
#[derive(Clone)]
pub struct ProcuraLayer {
    admission: Arc<Admission>,
}

impl ProcuraLayer {
    /// One that lets in by this. To turn the dial of the admission turns the layer's.
    #[must_use]
    pub const fn new(admission: Arc<Admission>) -> Self {
        Self { admission }
    }
}

impl<S> Layer<S> for ProcuraLayer {
    type Service = Authenticated<S>;

    fn layer(&self, inner: S) -> Authenticated<S> {
        Authenticated {
            inner,
            admission: Arc::clone(&self.admission),
        }
    }
}

/// A service whose requests are authenticated.
#[derive(Clone)]
pub struct Authenticated<S> {
    inner: S,
    admission: Arc<Admission>,
}

/// An answer that takes a while.
type Answering<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

impl<S, B, R> Service<Request<B>> for Authenticated<S>
where
    S: Service<Request<Upload<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Send,
    R: Body<Data = Bytes> + Unpin,
{
    type Response = Response<AnswerBody<R>>;
    type Error = S::Error;
    type Future = Answering<AnswerBody<R>, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that said that it is ready is called, and its copy asked again.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let admission = Arc::clone(&self.admission);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let peer = parts
                .extensions
                .get::<Peer>()
                .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| {
                    peer.0.to_canonical()
                });
            let passed = match admission.let_in(&parts, peer, body).await {
                Ok(passed) => passed,
                Err(answer) => return Ok(answer.map(AnswerBody::own)),
            };
            let Passed {
                upload,
                identity,
                standing,
                ..
            } = passed;
            identify(&mut parts.headers, identity.as_ref());
            parts.extensions.remove::<Identity>();
            if let Some(identity) = identity {
                parts.extensions.insert(identity);
            }
            parts.extensions.insert(standing.clone());
            let answer = inner.call(Request::from_parts(parts, upload)).await?;
            Ok(answer.map(|body| AnswerBody::of(body, &standing)))
        })
    }
}
