//! Whether one request may pass, and what its body is held against.

use crate::admission::{Admission, Passed, Terms};
use crate::answer::Fault;
use crate::authenticate::{BodyView, Head, Identity, Refusal, Report, Verdict};
use crate::body::{NotHeld, Otherwise, Upload, hold};
use crate::standing::Standing;
use bytes::Bytes;
use http::header;
use hyper::body::Body;
use procura_proof::Reason;
use procura_proof::foreign::{Foreign, Shown, recognise};
use procura_types::Duration;
use procura_types::dial::Mode;
use std::net::IpAddr;
use std::sync::Arc;

/// How long a route that only observes waits for a body of which nobody knows when
/// it ends: somebody may be waiting for answers to its first parts.
const OBSERVING: Duration = Duration::from_secs(2);

/// One request under judgement.
pub(crate) struct Judge<'a> {
    pub(crate) admission: &'a Arc<Admission>,
    pub(crate) head: Head<'a>,
    /// The address that it comes from, also through a trusted proxy.
    pub(crate) source: IpAddr,
    /// How strictly its route is held, and what becomes of its body there.
    pub(crate) mode: Mode,
    pub(crate) stream: bool,
    pub(crate) unsigned_body: bool,
}

/// Who was let in, and for how long.
struct LetIn {
    identity: Identity,
    standing: Standing,
    digest: Option<[u8; 32]>,
}

impl Judge<'_> {
    /// Lets the request on with what its proof says, or refuses it.
    pub(crate) async fn judge<B: Body<Data = Bytes> + Unpin>(
        self,
        body: B,
    ) -> Result<Passed<B>, Fault> {
        let Terms {
            authorities,
            limits,
            ..
        } = &self.admission.terms;
        if !authorities.serve(self.head.authority) {
            self.decline(Fault::Misdirected)?;
            return Ok(Passed::unseen(Bytes::new(), body));
        }
        if body.is_end_stream() {
            let let_in = self.ask(BodyView::Whole(&[])).await?;
            return Ok(self.passed(Upload::empty(), let_in));
        }
        let foreign = match recognise(&self.head) {
            Ok(Shown::Foreign(profile)) => Some(profile),
            Ok(Shown::Native) | Err(_) => None,
        };
        // What other systems sign is the body, or its digest in no field. A body whose
        // length nobody knows may never be whole: such a proof is over an empty one.
        // Under hmac-v1 that would be the same proof for everything.
        let leaves_out = match foreign {
            None => true,
            Some(Foreign::HmacV1) => false,
            Some(_) => body.size_hint().exact().is_none(),
        };
        if self.unsigned_body && leaves_out {
            let let_in = self.ask(BodyView::Unsigned).await?;
            let Passed { upload, .. } = Passed::unseen(Bytes::new(), body);
            return Ok(self.passed(upload, let_in));
        }
        // There is nothing to hold a body against that streams.
        if self.stream && foreign.is_none() {
            return self.streamed(body).await;
        }
        let patience = match self.mode {
            Mode::Observe if body.size_hint().exact().is_none() => OBSERVING.min(limits.body_time),
            _ => limits.body_time,
        };
        // Who has nothing to show makes nobody hold a body.
        let follows = body.size_hint().lower() > 0;
        let mut looked = self.mode != Mode::Enforce;
        let mut worth = || {
            if std::mem::replace(&mut looked, true) {
                return Ok(());
            }
            let authenticate = &self.admission.authenticate;
            match authenticate.foresee(&self.head, follows, self.source) {
                Some(refusal) => Err(Fault::Refused(refusal)),
                None => Ok(()),
            }
        };
        if self.head.headers.contains_key(header::EXPECT)
            && let Err(fault) = worth()
        {
            // To ask for the body would be to say that it is wanted.
            self.decline(fault)?;
        }
        let held = &self.admission.held;
        match hold(body, limits, held, self.source, patience, &mut worth).await {
            Ok(held) => {
                let let_in = self.ask(BodyView::Whole(held.bytes())).await?;
                Ok(self.passed(Upload::whole(held), let_in))
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
    async fn streamed<B: Body<Data = Bytes> + Unpin>(self, body: B) -> Result<Passed<B>, Fault> {
        let Some(let_in) = self.ask(BodyView::Streamed).await? else {
            return Ok(Passed::unseen(Bytes::new(), body));
        };
        let Some(digest) = let_in.digest else {
            // Nothing would hold this body to what was signed.
            self.decline(Fault::Refused(named(Reason::Malformed, &let_in.identity)))?;
            return Ok(Passed::unseen(Bytes::new(), body));
        };
        let fault = Fault::Refused(named(Reason::DigestMismatch, &let_in.identity));
        let enforced = self.mode == Mode::Enforce;
        let otherwise = Otherwise {
            refused: enforced.then(|| fault.clone()),
            tell: self.telling(fault),
        };
        let stall = self.admission.terms.limits.stall_time;
        let upload = Upload::measured(body, digest, otherwise, stall);
        Ok(self.passed(upload, Some(let_in)))
    }

    /// A request with what came of the question. Where nothing is enforced, an answer
    /// ends for nobody.
    fn passed<B>(&self, upload: Upload<B>, let_in: Option<LetIn>) -> Passed<B> {
        let (identity, standing) = match let_in {
            Some(let_in) => (Some(let_in.identity), let_in.standing),
            None => (None, Standing::lasting()),
        };
        Passed {
            upload,
            identity,
            source: None,
            rate: None,
            standing: if self.mode == Mode::Enforce {
                standing
            } else {
                Standing::lasting()
            },
        }
    }

    /// Asks who makes the request. Nobody, if that is refused and does not matter.
    async fn ask(&self, body: BodyView<'_>) -> Result<Option<LetIn>, Fault> {
        let Admission {
            authenticate,
            observer,
            terms,
            ..
        } = &**self.admission;
        let asked = authenticate.check(&self.head, body, self.source);
        let verdict = tokio::time::timeout(terms.limits.judge_time, asked)
            .await
            .unwrap_or_else(|_| Verdict::Refuse(Refusal::new(Reason::VerifierUnavailable)));
        match verdict {
            Verdict::Pass {
                identity,
                digest,
                standing,
            } => {
                if self.mode != Mode::Enforce {
                    observer.would_pass();
                }
                Ok(Some(LetIn {
                    identity,
                    standing,
                    digest,
                }))
            }
            Verdict::Refuse(refusal) => {
                self.decline(Fault::Refused(refusal))?;
                Ok(None)
            }
        }
    }

    /// Refuses where the route enforces; says that it would where it does not.
    fn decline(&self, fault: Fault) -> Result<(), Fault> {
        let Head { method, target, .. } = self.head;
        let report = Report::of(method, target.path(), &fault, self.source);
        self.admission.tell(self.mode, &report);
        if self.mode == Mode::Enforce {
            Err(fault)
        } else {
            Ok(())
        }
    }

    /// The same for later, when the body of the request is known.
    fn telling(&self, fault: Fault) -> Box<dyn FnOnce() + Send + Sync> {
        let (admission, mode, source) = (Arc::clone(self.admission), self.mode, self.source);
        let (method, target) = (self.head.method.clone(), self.head.target.clone());
        Box::new(move || {
            let report = Report::of(&method, target.path(), &fault, source);
            admission.tell(mode, &report);
        })
    }
}

/// A refusal of somebody who is known.
fn named(reason: Reason, identity: &Identity) -> Refusal {
    Refusal {
        agent_id: Some(identity.named()),
        ..Refusal::new(reason)
    }
}
