//! Whether a request may pass, by the dial of its route.

use crate::answer::Fault;
use crate::authenticate::{
    Authenticate, BodyView, Head, Identity, Observer, Refusal, Report, Verdict,
};
use crate::body::{NotHeld, Otherwise, Upload, hold};
use crate::config::{Authorities, Limits};
use crate::rates::Rates;
use crate::standing::Standing;
use crate::target;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Response, header};
use hyper::body::Body;
use procura_edge::framing::Flaw;
use procura_edge::places::{Each, Places};
use procura_proof::Reason;
use procura_proof::foreign::{Foreign, Shown, recognise};
use procura_types::Duration;
use procura_types::dial::{Asked, DecidedBy, Dial, Mode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// How long a route that only observes waits for a body of which nobody knows when
/// it ends: somebody may be waiting for answers to its first parts.
const OBSERVING: Duration = Duration::from_secs(2);

/// What requests are judged by and does not change, but for the dial.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The mode that `AUTH_MODE` says, over the dial's own.
    pub environment: Option<Mode>,
    /// The names that are answered to where requests are authenticated.
    pub authorities: Authorities,
    /// Of these, what bounds bodies, verdicts and rates.
    pub limits: Limits,
}

/// Lets requests in by the dial: who is asked about them, and who hears of it.
pub struct Admission {
    pub(crate) terms: Terms,
    dial: ArcSwap<Dial>,
    authenticate: Arc<dyn Authenticate>,
    observer: Arc<dyn Observer>,
    /// Bytes that bodies may still take.
    held: Arc<Places>,
    rates: Rates,
}

/// A request that may go on.
pub struct Passed<B> {
    /// Its body, of which nothing is let through that is not proven where that has to
    /// be.
    pub upload: Upload<B>,
    /// Nobody, where nobody was asked or nobody proved who they are.
    pub identity: Option<Identity>,
    /// For how long its answer may last.
    pub standing: Standing,
    /// The address that it comes from, once it was counted.
    pub(crate) source: Option<IpAddr>,
    /// What its answer says of a rate that it nears the end of.
    pub(crate) rate: Option<procura_edge::rate::Standing>,
}

impl<B: Body<Data = Bytes> + Unpin> Passed<B> {
    /// The body goes on as it comes.
    fn unseen(arrived: Bytes, rest: B) -> Self {
        let upload = if arrived.is_empty() && rest.is_end_stream() {
            Upload::empty()
        } else {
            Upload::unseen(arrived, rest)
        };
        Self {
            upload,
            identity: None,
            standing: Standing::lasting(),
            source: None,
            rate: None,
        }
    }
}

/// Who was let in, and for how long.
struct LetIn {
    identity: Identity,
    standing: Standing,
    digest: Option<[u8; 32]>,
}

impl Admission {
    /// Asks `authenticate` about each request as `dial` says, and tells `observer` what
    /// is refused or would be.
    #[must_use]
    pub fn new(
        terms: Terms,
        dial: Dial,
        authenticate: Arc<dyn Authenticate>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let each = Each {
            most: terms.limits.held_bytes_each,
            of_this_machine: false,
        };
        Self {
            held: Places::new(terms.limits.held_bytes, each),
            rates: Rates::new(&terms.limits, Instant::now()),
            terms,
            dial: ArcSwap::from_pointee(dial),
            authenticate,
            observer,
        }
    }

    /// Turns the dial. Counts from the next request on.
    pub fn set_dial(&self, dial: Dial) {
        self.dial.store(Arc::new(dial));
    }

    /// Lets the request on with what its proof says, or refuses it.
    pub(crate) async fn admit<B>(
        self: &Arc<Self>,
        head: Head<'_>,
        peer: IpAddr,
        body: B,
    ) -> Result<Passed<B>, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let path = head.target.path();
        let asked = asked(head.method, path, head.headers, body.is_end_stream());
        let (mut judge, route, watches) = {
            let dial = self.dial.load();
            let setting = dial.resolve(self.terms.environment, &asked);
            let judge = Judge {
                admission: self,
                head,
                peer,
                mode: setting.mode,
                stream: setting.stream,
                unsigned_body: setting.danger_unsigned_body,
            };
            // What watches a service is not to fail because others ask too often.
            let watches = setting.by == DecidedBy::NeverGated && asked.method == "GET";
            (judge, self.rates.route(&setting), watches)
        };
        let limited = |fault: Fault, from| {
            let report = Report {
                method: head.method.as_str(),
                path: head.target.path(),
                reason: fault.reason(),
                agent_id: None,
                profile: None,
                ip: from,
            };
            self.observer.refused(&report);
            fault
        };
        if !watches {
            let admitted = self.rates.admit(peer, head.headers, Instant::now());
            judge.peer = admitted.map_err(|fault| limited(fault, peer))?;
        }
        let source = judge.peer;
        let judged = match judge.mode {
            Mode::Off => Ok(Passed::unseen(Bytes::new(), body)),
            Mode::Observe | Mode::Enforce => judge.judge(body).await,
        };
        if let Err(Fault::Refused(refusal)) = &judged {
            self.rates.refused(source, refusal.reason, Instant::now());
        }
        let mut passed = judged?;
        let counted = self
            .rates
            .count(passed.identity.as_ref(), route, Instant::now());
        passed.rate = counted.map_err(|fault| limited(fault, source))?;
        passed.source = Some(source);
        Ok(passed)
    }

    /// Lets a request on to a service in this process, or gives the answer to one that
    /// is not let in. That it came over TLS is nobody's word here, so that no proof can
    /// cover it.
    ///
    /// What a gate does on the wire is not done here: that HTTP/1 has one spelling, and
    /// that a path means the same to the dial and to the service, is for the server that
    /// the service runs on.
    ///
    /// # Errors
    /// The answer, `{error, reason}` with its status.
    pub async fn let_in<B>(
        self: &Arc<Self>,
        parts: &Parts,
        peer: IpAddr,
        body: B,
    ) -> Result<Passed<B>, Response<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let admitted = match target::of(&parts.uri, &parts.headers) {
            Ok((authority, target)) => {
                let head = Head {
                    method: &parts.method,
                    // What is an authority is ASCII.
                    authority: authority.to_str().unwrap_or_default(),
                    scheme: None,
                    target: &target,
                    headers: &parts.headers,
                };
                self.admit(head, peer, body).await
            }
            Err(flaw) => self.unclear(parts, flaw, peer, body),
        };
        admitted.map_err(|fault| fault.response(false))
    }

    /// A request of which it cannot be said what it is for: nobody can have signed it.
    fn unclear<B>(
        &self,
        parts: &Parts,
        flaw: Flaw,
        peer: IpAddr,
        body: B,
    ) -> Result<Passed<B>, Fault>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let path = parts.uri.path();
        let asked = asked(&parts.method, path, &parts.headers, body.is_end_stream());
        let mode = self
            .dial
            .load()
            .resolve(self.terms.environment, &asked)
            .mode;
        if mode != Mode::Off {
            self.tell(
                mode,
                &Report {
                    method: parts.method.as_str(),
                    path,
                    reason: Reason::Malformed.as_str(),
                    agent_id: None,
                    profile: None,
                    ip: peer,
                },
            );
        }
        if mode == Mode::Enforce {
            Err(flaw.into())
        } else {
            Ok(Passed::unseen(Bytes::new(), body))
        }
    }

    /// Bytes that bodies take at this moment.
    pub(crate) fn held_bytes(&self) -> usize {
        let most = self.terms.limits.held_bytes;
        most.saturating_sub(self.held.left())
    }

    fn tell(&self, mode: Mode, report: &Report<'_>) {
        if mode == Mode::Enforce {
            self.observer.refused(report);
        } else {
            self.observer.would_refuse(report);
        }
    }
}

/// What the dial looks at.
fn asked<'a>(method: &'a Method, path: &'a str, headers: &HeaderMap, no_body: bool) -> Asked<'a> {
    Asked {
        method: method.as_str(),
        path,
        cors: headers.contains_key(header::ORIGIN)
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
        bare: no_body && !headers.contains_key(header::UPGRADE),
    }
}

/// One request under judgement.
struct Judge<'a> {
    admission: &'a Arc<Admission>,
    head: Head<'a>,
    peer: IpAddr,
    mode: Mode,
    stream: bool,
    unsigned_body: bool,
}

impl Judge<'_> {
    async fn judge<B: Body<Data = Bytes> + Unpin>(self, body: B) -> Result<Passed<B>, Fault> {
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
            match authenticate.foresee(&self.head, follows, self.peer) {
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
        match hold(body, limits, held, self.peer, patience, &mut worth).await {
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
            self.decline(Fault::Refused(
                self.named(Reason::Malformed, &let_in.identity),
            ))?;
            return Ok(Passed::unseen(Bytes::new(), body));
        };
        let refusal = self.named(Reason::DigestMismatch, &let_in.identity);
        let enforced = self.mode == Mode::Enforce;
        let otherwise = Otherwise {
            refused: enforced.then(|| Fault::Refused(refusal.clone())),
            tell: self.telling(refusal),
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
        let asked = authenticate.check(&self.head, body, self.peer);
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

    /// A refusal of somebody who is known.
    fn named(&self, reason: Reason, identity: &Identity) -> Refusal {
        let id = identity.actor().map_or_else(
            || identity.agent().to_owned(),
            std::string::ToString::to_string,
        );
        Refusal {
            agent_id: Some(id),
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
            ip: self.peer,
        };
        self.admission.tell(self.mode, &report);
        if self.mode == Mode::Enforce {
            Err(fault)
        } else {
            Ok(())
        }
    }

    /// The same for later, when the body of the request is known.
    fn telling(&self, refusal: Refusal) -> Box<dyn FnOnce() + Send + Sync> {
        let (admission, mode, peer) = (Arc::clone(self.admission), self.mode, self.peer);
        let (method, target) = (self.head.method.clone(), self.head.target.clone());
        Box::new(move || {
            let report = Report {
                method: method.as_str(),
                path: target.path(),
                reason: refusal.reason.as_str(),
                agent_id: refusal.agent_id.as_deref(),
                profile: refusal.profile,
                ip: peer,
            };
            admission.tell(mode, &report);
        })
    }
}
