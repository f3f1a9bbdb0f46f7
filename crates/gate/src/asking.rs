//! Asking the server about proofs that a gate cannot verify itself: those of the
//! profiles of other systems (`docs/adr/0020-asking-the-server.md`).

use crate::authenticate::{Head, Refusal};
use procura_client::SessionClient;
use procura_crypto::sha256;
use procura_proof::Reason;
use procura_proof::foreign::{FIELDS, Foreign};
use procura_types::wire::{ProofField, ProvenAgent, SentBody, VerifyAnswer, VerifyQuestion};
use procura_types::{Clock, Duration, Label, Namespace};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::Semaphore;

/// Questions at once; others wait. A session's counters may not overtake each other by
/// 4,096, and the server has other things to do.
const AT_ONCE: usize = 128;

/// For how long nothing is asked after the server said that too much is. Not for longer,
/// whatever it says: nobody signs a refusal.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// For how long where it does not say when to ask again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whom to ask, and about which service.
pub(crate) struct Asking {
    server: SessionClient,
    namespace: Namespace,
    service: Label,
    places: Semaphore,
    /// Until when nothing is asked: questions that are refused for their number would
    /// still cost the server, and whoever asks it from here.
    paused: Mutex<Option<Instant>>,
    clock: Arc<dyn Clock>,
}

impl Asking {
    pub(crate) fn new(
        server: SessionClient,
        namespace: Namespace,
        service: Label,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            server,
            namespace,
            service,
            places: Semaphore::new(AT_ONCE),
            paused: Mutex::default(),
            clock,
        }
    }

    /// Refuses while the server is not to be asked.
    fn look(&self) -> Result<(), Refusal> {
        let until = *self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map(|until| until.saturating_duration_since(self.clock.steady()));
        match left.filter(|left| !left.is_zero()) {
            Some(left) => Err(limited(left)),
            None => Ok(()),
        }
    }

    /// Asks nothing for as long as the server says, within bounds.
    fn pause(&self, retry_after: Option<Duration>) -> Refusal {
        let pause = retry_after.unwrap_or(PAUSE).clamp(PAUSE, LONGEST_PAUSE);
        let until = self.clock.steady().checked_add(pause);
        let mut paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        *paused = (*paused).max(until);
        limited(pause)
    }

    /// Who made the request, by the server's word, which the session's key signs. What
    /// it does not say is not known: no answer lets anybody in.
    pub(crate) async fn ask(
        &self,
        profile: Foreign,
        head: &Head<'_>,
        body: &[u8],
        peer: IpAddr,
    ) -> Result<ProvenAgent, Refusal> {
        // What is no text is no field of any profile.
        let question =
            question(profile, head, body, peer).ok_or_else(|| Refusal::new(Reason::Malformed))?;
        self.look()?;
        // Nobody closes the semaphore.
        let _place = self.places.acquire().await;
        // Others may have been told while this one waited.
        self.look()?;
        let asked = self
            .server
            .verify(&self.namespace, &self.service, &question);
        match asked.await {
            Ok(VerifyAnswer::Proven(agent)) if agent.profile == profile.as_str() => Ok(agent),
            Ok(VerifyAnswer::Proven(_)) => {
                tracing::warn!("the server verified another profile than it was asked about");
                Err(Refusal::new(Reason::VerifierUnavailable))
            }
            Ok(VerifyAnswer::Refused(refused)) => {
                Err(refusal(&refused.reason, refused.retry_after))
            }
            Err(error) if error.is_refusal(Reason::RateLimited.as_str()) => {
                tracing::debug!(%error, "the server is asked too often");
                Err(self.pause(error.retry_after()))
            }
            Err(error) => {
                tracing::debug!(%error, "the server does not verify");
                Err(Refusal::new(Reason::VerifierUnavailable))
            }
        }
    }
}

/// A refusal because the server is asked too often, for so long.
fn limited(left: Duration) -> Refusal {
    Refusal {
        retry_after: Some(left),
        ..Refusal::new(Reason::RateLimited)
    }
}

/// A refusal in the server's words. One that is not known refuses as well.
fn refusal(word: &str, retry_after: Option<u64>) -> Refusal {
    let refusal = Refusal::new(word.parse().unwrap_or(Reason::VerifierUnavailable));
    Refusal {
        retry_after: retry_after.map(Duration::from_secs).or(refusal.retry_after),
        ..refusal
    }
}

/// What is asked: the target, the fields that a proof may be in, and of the body what
/// is signed of it.
fn question(
    profile: Foreign,
    head: &Head<'_>,
    body: &[u8],
    peer: IpAddr,
) -> Option<VerifyQuestion> {
    let mut fields = Vec::new();
    for name in FIELDS {
        for value in head.headers.get_all(name) {
            fields.push(ProofField {
                name: name.to_owned(),
                value: std::str::from_utf8(value.as_bytes()).ok()?.to_owned(),
            });
        }
    }
    let body = if profile.signs_digest() {
        SentBody::sha256(&sha256(body))
    } else {
        SentBody::bytes(body)
    };
    Some(VerifyQuestion {
        method: head.method.as_str().to_owned(),
        authority: head.authority.to_owned(),
        path: head.target.path().to_owned(),
        query: head.target.query().map(str::to_owned),
        fields,
        body,
        peer,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, Method};
    use std::net::Ipv4Addr;

    #[test]
    fn a_question_has_what_is_signed_and_no_more() {
        let target = "/a%2Fb?c=d".parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-agent-id", "one"),
            ("x-agent-id", "two"),
            ("x-nonce", "n"),
            ("cookie", "secret"),
            ("authorization", "secret"),
            ("signature-input", "sig=()"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let head = Head {
            method: &Method::POST,
            authority: "App.example",
            scheme: None,
            target: &target,
            headers: &headers,
        };
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for (profile, whole) in [
            (Foreign::KeyServerV1, false),
            (Foreign::GuideV1, true),
            (Foreign::HmacV1, true),
            (Foreign::HmacV2, false),
        ] {
            let asked = question(profile, &head, b"body", peer).unwrap();
            let body = if whole {
                SentBody::bytes(b"body")
            } else {
                SentBody::sha256(&sha256(b"body"))
            };
            assert_eq!(asked.body, body, "{profile}");
            let lines: Vec<_> = asked
                .fields
                .iter()
                .map(|field| (field.name.as_str(), field.value.as_str()))
                .collect();
            let expected = [
                ("x-agent-id", "one"),
                ("x-agent-id", "two"),
                ("x-nonce", "n"),
                ("signature-input", "sig=()"),
            ];
            assert_eq!(lines, expected);
            assert_eq!(
                (asked.method.as_str(), asked.path.as_str()),
                ("POST", "/a%2Fb")
            );
            assert_eq!(asked.query.as_deref(), Some("c=d"));
            assert_eq!(asked.authority, "App.example");
        }
        let mut garbled = headers.clone();
        garbled.insert("x-nonce", HeaderValue::from_bytes(b"\xff").unwrap());
        let head = Head {
            headers: &garbled,
            ..head
        };
        assert!(question(Foreign::KeyServerV1, &head, b"", peer).is_none());
    }

    #[test]
    fn words_that_are_not_known_let_nobody_in() {
        assert_eq!(refusal("bad_signature", None).reason, Reason::BadSignature);
        assert_eq!(refusal("bad_signature", None).retry_after, None);
        assert_eq!(refusal("fine", None).reason, Reason::VerifierUnavailable);
        let limited = refusal("rate_limited", Some(20));
        assert_eq!(limited.reason, Reason::RateLimited);
        assert_eq!(limited.retry_after, Some(Duration::from_secs(20)));
    }
}
