//! Letting requests in: by the dial of their route, and by how many may come.

use crate::answer::Fault;
use crate::authenticate::{Authenticate, Head, Identity, Observer, Refusal, Report};
use crate::body::Upload;
use crate::config::{Authorities, Limits};
use crate::judge::Judge;
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
use procura_edge::rate::Left;
use procura_proof::Reason;
use procura_proof::foreign::is_by_browser;
use procura_types::dial::{Asked, DecidedBy, Dial, Mode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

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
    pub(crate) authenticate: Arc<dyn Authenticate>,
    pub(crate) observer: Arc<dyn Observer>,
    /// Bytes that bodies may still take.
    pub(crate) held: Arc<Places>,
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
    pub(crate) rate: Option<Left>,
}

impl<B: Body<Data = Bytes> + Unpin> Passed<B> {
    /// The body goes on as it comes.
    pub(crate) fn unseen(arrived: Bytes, rest: B) -> Self {
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
        let ((mode, stream, unsigned_body), route, watches) = {
            let dial = self.dial.load();
            let setting = dial.resolve(self.terms.environment, &asked);
            let held_to = (setting.mode, setting.stream, setting.danger_unsigned_body);
            // What watches a service is not to fail because others ask too often.
            let watches = setting.by == DecidedBy::NeverGated && asked.method == "GET";
            (held_to, self.rates.route(&setting), watches)
        };
        let source = if watches {
            peer
        } else {
            let source = self.rates.source(peer, head.headers);
            let source = source.map_err(|fault| self.limited(&head, fault, peer, None))?;
            let admitted = self.rates.admit(source, Instant::now());
            admitted.map_err(|fault| self.limited(&head, fault, source, None))?;
            source
        };
        let judge = Judge {
            admission: self,
            head,
            source,
            mode,
            stream,
            unsigned_body,
        };
        let judged = match mode {
            Mode::Off => Ok(Passed::unseen(Bytes::new(), body)),
            Mode::Observe | Mode::Enforce => judge.judge(body).await,
        };
        if let Err(Fault::Refused(refusal)) = &judged
            && !is_by_browser(&head)
        {
            self.rates.refused(source, refusal.reason, Instant::now());
        }
        let mut passed = judged?;
        let identity = passed.identity.as_ref();
        let counted = self.rates.count(identity, route, Instant::now());
        passed.rate = counted.map_err(|fault| self.limited(&head, fault, source, identity))?;
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
            // In the word of proofs: no flaw of a request line has one in an observe log.
            let fault = Fault::Refused(Refusal::new(Reason::Malformed));
            self.tell(mode, &Report::of(&parts.method, path, &fault, peer));
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

    /// Tells of a request that has to wait or whose way is unclear, in whichever mode;
    /// and of whom, once that is known.
    fn limited(
        &self,
        head: &Head<'_>,
        fault: Fault,
        source: IpAddr,
        identity: Option<&Identity>,
    ) -> Fault {
        let agent_id = identity.map(Identity::named);
        self.observer.refused(&Report {
            agent_id: agent_id.as_deref(),
            profile: identity.map(Identity::profile),
            ..Report::of(head.method, head.target.path(), &fault, source)
        });
        fault
    }

    /// Tells that a request is refused, or would be.
    pub(crate) fn tell(&self, mode: Mode, report: &Report<'_>) {
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
