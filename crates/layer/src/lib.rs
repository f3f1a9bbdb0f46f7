//! What `procura gate` does in front of a service, as a `tower` layer within it:
//! requests are authenticated by the dial of the service before it sees them, no client
//! says who it is but by its proof, and answers that stream end with the standing of
//! whoever asked for them (`protocol.md` §3).
//!
//! [`ProcuraLayer`] goes around any `tower::Service<http::Request<B>>`. What it lets
//! through has `Procura-Agent`, `Procura-Profile` and, for who has a place in the actor
//! tree, `Procura-Actor` and `Procura-Owner`, as behind a gate; and in its extensions an
//! [`Identity`], where somebody proved who they are, and a [`Standing`], with which a
//! connection that leaves HTTP (WebSocket) is to end. What it refuses is answered with
//! `{error, reason}` and the status of the reason.
//!
//! Of what a gate does on the wire nothing is done here. That a request has one reading,
//! how many connections there are, and TLS are for the server that the service runs on,
//! which also puts a [`Peer`] into the extensions of each request.
//!
//! ```no_run
//! use procura_layer::{
//!     Admission, Authorities, Follower, Following, Identity, Limits, ProcuraLayer, Terms, Traced,
//!     Verifying,
//! };
//! use procura_client::SystemClock;
//! use procura_types::{Clock, Duration};
//! use std::convert::Infallible;
//! use std::sync::Arc;
//! use tower::{ServiceBuilder, service_fn};
//!
//! # async fn example(
//! #     following: Following,
//! #     guard: Arc<dyn procura_proof::ReplayGuard>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! // `following` names the server, by a device of an agent that the service lists as one
//! // of its gates, and `guard` remembers which proofs were used.
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock);
//! let verifying = Verifying::new(
//!     &following.namespace,
//!     &following.service,
//!     guard,
//!     procura_layer::highest_seen(&following.home)?,
//!     Duration::from_secs(60),
//!     Arc::clone(&clock),
//! )?;
//! // Profiles of other systems are verified by the server.
//! let verifying = Arc::new(verifying.asking(following.server.clone()));
//! let mut follower = Follower::new(following, Arc::clone(&verifying), clock)?;
//! let dial = follower.ask().await?;
//! let terms = Terms {
//!     environment: None,
//!     authorities: Authorities::Listed(vec!["app.example".to_owned()]),
//!     limits: Limits::default(),
//! };
//! let admission = Arc::new(Admission::new(terms, dial, verifying, Arc::new(Traced)));
//!
//! let turned = Arc::clone(&admission);
//! let (stop, stopping) = tokio::sync::watch::channel(false);
//! tokio::spawn(follower.run(move |dial| turned.set_dial(dial), stopping));
//!
//! let service = ServiceBuilder::new()
//!     .layer(ProcuraLayer::new(admission))
//!     .service(service_fn(async |request: http::Request<_>| {
//!         let who = request.extensions().get::<Identity>();
//!         let name = who.map_or("nobody", Identity::agent).to_owned();
//!         let _body: procura_layer::RequestBody<hyper::body::Incoming> = request.into_body();
//!         Ok::<_, Infallible>(http::Response::new(http_body_util::Full::new(
//!             bytes::Bytes::from(name),
//!         )))
//!     }));
//! # let _ = (service, stop);
//! # Ok(())
//! # }
//! ```

mod answer;
mod service;
mod traced;

pub use answer::{AnswerBody, BoxError};
pub use procura_gate::{
    Admission, Authenticate, Authorities, BrokenOff, FeedFault, FollowError, Follower, Following,
    Identity, Limits, Observer, Report, Standing, Terms, Upload as RequestBody, Verifying,
    highest_seen,
};
pub use service::{Authenticated, Peer, ProcuraLayer};
pub use traced::Traced;
