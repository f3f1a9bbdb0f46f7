//! The seam between a gate and whoever knows the keys.

use crate::answer::Fault;
use crate::standing::Standing;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};
use procura_proof::{Headers, Reason, RequestView};
use procura_types::{ActorId, Duration, Malformed};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// A request without its body, as the client sent it.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// In its own case.
    pub method: &'a Method,
    /// `Host`, or `:authority` of HTTP/2, as sent. With [`crate::Authorities::Listed`]
    /// it is one of the gate's own names.
    pub authority: &'a str,
    /// `https` behind the gate's own TLS; not known otherwise.
    pub scheme: Option<&'static str>,
    /// Path and query as sent, encoded.
    pub target: &'a PathAndQuery,
    /// All fields, also those that the upstream will not see.
    pub headers: &'a HeaderMap,
}

impl<'a> Head<'a> {
    /// The same with a body, for the checks of `procura-proof`.
    #[must_use]
    pub fn view(&'a self, body: &'a [u8]) -> RequestView<'a> {
        RequestView {
            method: self.method.as_str(),
            authority: self.authority,
            scheme: self.scheme,
            path: self.target.path(),
            query: self.target.query(),
            headers: self,
            body,
        }
    }
}

impl Headers for Head<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self.headers {
            visit(name.as_str(), value.as_bytes());
        }
    }
}

/// What is known of a body when the request is judged.
#[derive(Debug, Clone, Copy)]
pub enum BodyView<'a> {
    /// All of it, empty when there is none.
    Whole(&'a [u8]),
    /// It follows. The verdict names the digest that the proof covers, and the
    /// gate holds the bytes against it (`protocol.md` §3.3).
    Streamed,
    /// It follows and nothing will look at it: the route is marked
    /// `danger_unsigned_body`. The proof has to cover all the rest.
    Unsigned,
}

/// Who made a request, as the upstream is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub(crate) agent: HeaderValue,
    pub(crate) profile: HeaderValue,
    pub(crate) actor: Option<HeaderValue>,
    pub(crate) owner: Option<HeaderValue>,
    /// The same two, as they are.
    place: Option<(ActorId, ActorId)>,
}

impl Identity {
    /// The name in the actor tree (`alice//scribe`) or the id in another system,
    /// for `Procura-Agent`, and the profile of the proof, for `Procura-Profile`.
    ///
    /// # Errors
    /// Unless the name is 1 to 512 visible ASCII characters.
    pub fn new(agent: &str, profile: &'static str) -> Result<Self, Malformed> {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if agent.is_empty() || agent.len() > 512 || !visible(agent) {
            return Err(Malformed::new(
                "agent",
                "is not 1 to 512 visible ASCII characters",
            ));
        }
        let field = |text: &str, name| {
            HeaderValue::from_str(text)
                .map_err(|_| Malformed::new(name, "cannot be the value of a header field"))
        };
        Ok(Self {
            agent: field(agent, "agent")?,
            profile: field(profile, "profile")?,
            actor: None,
            owner: None,
            place: None,
        })
    }

    /// With the ids of the actor and of the owner at the root of its tree, for
    /// `Procura-Actor` and `Procura-Owner`. Who has no place in the tree has neither.
    ///
    /// # Errors
    /// Never for ids that can be shown.
    pub fn in_tree(self, actor: &ActorId, owner: &ActorId) -> Result<Self, Malformed> {
        let field = |id: &ActorId| {
            HeaderValue::try_from(id.to_string())
                .map_err(|_| Malformed::new("actor_id", "cannot be the value of a header field"))
        };
        Ok(Self {
            actor: Some(field(actor)?),
            owner: Some(field(owner)?),
            place: Some((*actor, *owner)),
            ..self
        })
    }

    /// The name in the actor tree, or the id in another system.
    #[must_use]
    pub fn agent(&self) -> &str {
        // Visible ASCII, and so text.
        self.agent.to_str().unwrap_or_default()
    }

    /// The profile of the proof.
    #[must_use]
    pub fn profile(&self) -> &str {
        self.profile.to_str().unwrap_or_default()
    }

    /// The actor, for who has a place in the tree.
    #[must_use]
    pub fn actor(&self) -> Option<&ActorId> {
        self.place.as_ref().map(|(actor, _)| actor)
    }

    /// The owner at the root of that tree.
    #[must_use]
    pub fn owner(&self) -> Option<&ActorId> {
        self.place.as_ref().map(|(_, owner)| owner)
    }

    /// What a refusal names it by: the id of the actor, or else the one in another
    /// system.
    pub(crate) fn named(&self) -> String {
        self.actor()
            .map_or_else(|| self.agent().to_owned(), ToString::to_string)
    }
}

/// Why a request is not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The word, which also has the status.
    pub reason: Reason,
    /// When it is worth to try again, for `Retry-After`.
    pub retry_after: Option<Duration>,
    /// Whom the request names, proven or not.
    pub agent_id: Option<String>,
    /// The profile that it has the shape of.
    pub profile: Option<&'static str>,
}

impl Refusal {
    /// A refusal before anybody is known. What may pass by itself is worth
    /// another try after a second.
    #[must_use]
    pub const fn new(reason: Reason) -> Self {
        let retry_after = match reason {
            Reason::RateLimited | Reason::VerifierUnavailable => Some(Duration::from_secs(1)),
            _ => None,
        };
        Self {
            reason,
            retry_after,
            agent_id: None,
            profile: None,
        }
    }

    /// The same of a request that has the shape of this profile.
    #[must_use]
    pub fn by(self, profile: &'static str) -> Self {
        Self {
            profile: Some(profile),
            ..self
        }
    }
}

impl From<procura_proof::Refusal> for Refusal {
    fn from(refusal: procura_proof::Refusal) -> Self {
        Self {
            reason: refusal.reason(),
            retry_after: refusal.retry_after,
            agent_id: match (&refusal.actor, &refusal.agent) {
                (Some(actor), _) => Some(actor.to_string()),
                (None, agent) => agent.as_ref().map(ToString::to_string),
            },
            profile: None,
        }
    }
}

/// The answer to "may this request pass?".
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each request, most of them let in, and a box would be an allocation for each"
)]
pub enum Verdict {
    /// It may.
    Pass {
        /// Who asks.
        identity: Identity,
        /// Of a body that is [`BodyView::Streamed`]: the SHA-256 that the proof
        /// covers. Without it such a body is refused. Not looked at otherwise.
        digest: Option<[u8; 32]>,
        /// For how long.
        standing: Standing,
    },
    /// It may not.
    Refuse(Refusal),
}

/// A verdict that takes a while.
pub type Judging<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Decides whether requests pass. Where the keys come from is its own affair.
pub trait Authenticate: Send + Sync {
    /// Judges one request, once. A verdict uses the proof up: a nonce is claimed
    /// before this says yes, also for a body that is still to come. What cannot
    /// be decided is refused with [`Reason::VerifierUnavailable`]. `source` is the
    /// address that the request comes from, also through a trusted proxy.
    fn check<'a>(&'a self, head: &'a Head<'a>, body: BodyView<'a>, source: IpAddr) -> Judging<'a>;

    /// Why a request is refused whatever its body turns out to be, as far as its head
    /// says so: asked before a body is waited for and held. `follows` says that there
    /// will be one for certain. Uses nothing up; who is not refused is still to be
    /// checked.
    fn foresee(&self, head: &Head<'_>, follows: bool, source: IpAddr) -> Option<Refusal>;
}

/// A request that was refused, or would be where a route enforces.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    /// As sent.
    pub method: &'a str,
    /// As sent, without the query.
    pub path: &'a str,
    /// A word of `spec/reasons.md`, or one of the gate's own: `host_unknown`,
    /// `body_too_large`, `body_too_slow`, `too_many_bodies`, `forwarded_unclear`.
    pub reason: &'static str,
    /// Whom the request names, proven or not.
    pub agent_id: Option<&'a str>,
    /// The profile that it has the shape of.
    pub profile: Option<&'a str>,
    /// The address that it comes from: the peer's, or what a trusted proxy says. The
    /// peer's too where that cannot be told.
    pub source: IpAddr,
}

impl<'a> Report<'a> {
    /// A request of this method and path from this address that has such a fault. Whom
    /// it names is known of those that were refused.
    pub(crate) fn of(method: &'a Method, path: &'a str, fault: &'a Fault, source: IpAddr) -> Self {
        let refusal = match fault {
            Fault::Refused(refusal) => Some(refusal),
            _ => None,
        };
        Self {
            method: method.as_str(),
            path,
            reason: fault.reason(),
            agent_id: refusal.and_then(|refusal| refusal.agent_id.as_deref()),
            profile: refusal.and_then(|refusal| refusal.profile),
            source,
        }
    }
}

/// Hears of refusals. Called on the path of the request: it must not wait.
pub trait Observer: Send + Sync {
    /// A request went through that would be refused where it is enforced
    /// ([`Mode::Observe`](procura_types::dial::Mode)). At most once for a request.
    fn would_refuse(&self, report: &Report<'_>);
    /// A request went through where nothing is enforced, and would go through where it
    /// is. One whose streamed body turns out to be another is told of as refused too.
    fn would_pass(&self);
    /// A request was refused ([`Mode::Enforce`](procura_types::dial::Mode)).
    fn refused(&self, report: &Report<'_>);
}
