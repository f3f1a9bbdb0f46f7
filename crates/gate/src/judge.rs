//! Whether a request may pass, by the dial of its route.

use crate::answer::Fault;
use crate::authenticate::{BodyView, Head, Identity, Refusal, Report, Verdict};
use crate::body::{NotHeld, Otherwise, Upload, hold};
use crate::link::Link;
use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use procura_proof::Reason;
use procura_types::Duration;
use procura_types::dial::Mode;
use std::sync::Arc;

/// How long a route that only observes waits for a body of which nobody knows when
/// it ends: somebody may be waiting for answers to its first parts.
const OBSERVING: Duration = Duration::from_secs(2);

/// A request that may go on.
pub(crate) struct Passed {
    pub(crate) upload: Upload,
    /// Nobody, where nobody was asked or nobody proved who they are.
    pub(crate) identity: Option<Identity>,
}

impl Passed {
    /// The body goes on as it comes.
    pub(crate) fn unseen(arrived: Bytes, rest: Incoming) -> Self {
        let upload = if arrived.is_empty() && rest.is_end_stream() {
            Upload::empty()
        } else {
            Upload::unseen(arrived, rest)
        };
        Self {
            upload,
            identity: None,
        }
    }
}

/// One request under judgement.
pub(crate) struct Judge<'a> {
    pub(crate) link: &'a Arc<Link>,
    pub(crate) head: Head<'a>,
    pub(crate) mode: Mode,
    pub(crate) stream: bool,
    pub(crate) unsigned_body: bool,
}

impl Judge<'_> {
    /// Lets the request pass with what its proof says, or refuses it.
    pub(crate) async fn judge(self, body: Incoming) -> Result<Passed, Fault> {
        let core = &self.link.core;
        if !core.config.authorities.serve(self.head.authority) {
            self.decline(Fault::Misdirected)?;
            return Ok(Passed::unseen(Bytes::new(), body));
        }
        if body.is_end_stream() {
            let identity = self.ask(BodyView::Whole(&[])).await?.map(|(who, _)| who);
            return Ok(Passed {
                upload: Upload::empty(),
                identity,
            });
        }
        if self.unsigned_body {
            let identity = self.ask(BodyView::Unsigned).await?.map(|(who, _)| who);
            return Ok(Passed {
                identity,
                ..Passed::unseen(Bytes::new(), body)
            });
        }
        if self.stream {
            return self.streamed(body).await;
        }
        let limits = &core.config.limits;
        let patience = match self.mode {
            Mode::Observe if body.size_hint().exact().is_none() => OBSERVING.min(limits.body_time),
            _ => limits.body_time,
        };
        match hold(body, limits, &core.held, patience).await {
            Ok(held) => {
                let identity = self
                    .ask(BodyView::Whole(held.bytes()))
                    .await?
                    .map(|(who, _)| who);
                Ok(Passed {
                    upload: Upload::whole(held),
                    identity,
                })
            }
            Err(NotHeld::Broken) => Err(Fault::BodyBroken),
            Err(NotHeld::Short {
                fault,
                arrived,
                rest,
            }) => {
                self.decline(fault)?;
                Ok(Passed::unseen(arrived, *rest))
            }
        }
    }

    /// A body that is held against the digest of its proof while it goes through.
    async fn streamed(self, body: Incoming) -> Result<Passed, Fault> {
        let Some((identity, digest)) = self.ask(BodyView::Streamed).await? else {
            return Ok(Passed::unseen(Bytes::new(), body));
        };
        let Some(digest) = digest else {
            // Nothing would hold this body to what was signed.
            self.decline(Fault::Refused(self.named(Reason::Malformed, &identity)))?;
            return Ok(Passed::unseen(Bytes::new(), body));
        };
        let refusal = self.named(Reason::DigestMismatch, &identity);
        let enforced = self.mode == Mode::Enforce;
        let otherwise = Otherwise {
            refused: enforced.then(|| Fault::Refused(refusal.clone())),
            tell: self.telling(refusal),
        };
        let stall = self.link.core.config.limits.stall_time;
        Ok(Passed {
            upload: Upload::measured(body, digest, otherwise, stall),
            identity: Some(identity),
        })
    }

    /// Asks who makes the request. Nobody, if that is refused and does not matter.
    async fn ask(&self, body: BodyView<'_>) -> Result<Option<(Identity, Option<[u8; 32]>)>, Fault> {
        let core = &self.link.core;
        let asked = core.authenticate.check(&self.head, body, self.link.peer);
        let verdict = tokio::time::timeout(core.config.limits.judge_time, asked)
            .await
            .unwrap_or_else(|_| Verdict::Refuse(Refusal::new(Reason::VerifierUnavailable)));
        match verdict {
            Verdict::Pass { identity, digest } => {
                if self.mode != Mode::Enforce {
                    core.observer.would_pass();
                }
                Ok(Some((identity, digest)))
            }
            Verdict::Refuse(refusal) => {
                self.decline(Fault::Refused(refusal))?;
                Ok(None)
            }
        }
    }

    /// A refusal of somebody who is known.
    fn named(&self, reason: Reason, identity: &Identity) -> Refusal {
        let id = identity.actor.as_ref().unwrap_or(&identity.agent);
        Refusal {
            agent_id: id.to_str().ok().map(str::to_owned),
            ..Refusal::new(reason)
        }
    }

    /// Refuses where the route enforces; says that it would where it does not.
    fn decline(&self, fault: Fault) -> Result<(), Fault> {
        let refusal = match &fault {
            Fault::Refused(refusal) => Some(refusal),
            _ => None,
        };
        let report = Report {
            method: self.head.method.as_str(),
            path: self.head.target.path(),
            reason: fault.reason(),
            agent_id: refusal.and_then(|refusal| refusal.agent_id.as_deref()),
            profile: refusal.and_then(|refusal| refusal.profile),
            ip: self.link.peer,
        };
        tell(self.link, self.mode, &report);
        if self.mode == Mode::Enforce {
            Err(fault)
        } else {
            Ok(())
        }
    }

    /// The same for later, when the body of the request is known.
    fn telling(&self, refusal: Refusal) -> Box<dyn FnOnce() + Send + Sync> {
        let (link, mode) = (Arc::clone(self.link), self.mode);
        let (method, target) = (self.head.method.clone(), self.head.target.clone());
        Box::new(move || {
            let report = Report {
                method: method.as_str(),
                path: target.path(),
                reason: refusal.reason.as_str(),
                agent_id: refusal.agent_id.as_deref(),
                profile: refusal.profile,
                ip: link.peer,
            };
            tell(&link, mode, &report);
        })
    }
}

fn tell(link: &Link, mode: Mode, report: &Report<'_>) {
    if mode == Mode::Enforce {
        link.core.observer.refused(report);
    } else {
        link.core.observer.would_refuse(report);
    }
}
