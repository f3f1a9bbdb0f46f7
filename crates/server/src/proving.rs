//! From a request to a [`Caller`], or to the refusal that the record keeps.

mod by_browser;
pub(crate) mod either;
mod weak;

pub(crate) use by_browser::not_by_browser;

use crate::app::{App, Open};
use crate::events_log::{AgentEvent, Happened, violation};
use crate::problem::{Code, Failure, printable};
use crate::rates::{count_agent, retry_after};
use crate::serve::Input;
use http::{HeaderMap, Uri, Version, header};
use procura_directory::{Snapshot, TokenHash};
use procura_proof::{Caller, Case, Headers, Reason, Refusal, RequestView};
use procura_record::Refusal as Recorded;
use procura_token::api_key_hash;
use std::net::IpAddr;

/// The headers of a request as `proof` reads them.
pub(crate) struct Lines<'a>(pub(crate) &'a HeaderMap);

impl Headers for Lines<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for (name, value) in self.0 {
            visit(name.as_str(), value.as_bytes());
        }
    }
}

/// Loopback stands for peers on a local socket, which have no address.
pub(crate) const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Proves who sent a request, or records that it failed to.
pub(crate) async fn prove(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    input: &Input,
) -> Result<Caller, Failure> {
    let authority = addressed(app, open, input)?;
    not_by_browser(app, open, input)?;
    // What is looked at must not be held while the guard is asked.
    let pending = {
        let headers = Lines(&input.parts.headers);
        let view = view(app, &authority, &headers, input);
        let peer = input.peer.unwrap_or(LOCAL);
        open.verifier.prepare(snapshot, &view, input.now, peer)
    };
    let proven = match pending {
        Ok(pending) => open.verifier.finish(pending).await,
        Err(refusal) => Err(refusal),
    };
    let caller = proven
        .and_then(|caller| held_back(open, snapshot, caller))
        .map(|caller| caller.showing(shown_api_key(&input.parts.headers)))
        .inspect(|caller| app.metrics.accepted(caller.profile().as_str()))
        .map_err(|refusal| refused(app, open, snapshot, input, &refusal))?;
    count_agent(app, snapshot, caller.actor(), input)?;
    Ok(caller)
}

/// What is kept of the API key that a request shows, which its proof covers (RFC 6750 §2.1).
/// Tokens of projects begin otherwise, and of two fields neither counts: whose device is
/// bound to a key shows none then, and is refused.
pub(crate) fn shown_api_key(headers: &HeaderMap) -> Option<TokenHash> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let (scheme, token) = field.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    api_key_hash(token).map(TokenHash::from_bytes)
}

/// Refuses a device that touched a decoy a moment ago: the directory of before does not
/// say so yet.
fn held_back(open: &Open, snapshot: &Snapshot, caller: Caller) -> Result<Caller, Refusal> {
    if !open.honey.holds(snapshot, caller.device(), None) {
        return Ok(caller);
    }
    Err(Refusal {
        device: caller.device().copied(),
        actor: Some(*caller.actor()),
        ..Case::DeviceQuarantined.into()
    })
}

/// The authority that a request is for; one that is for another server is recorded.
pub(crate) fn addressed(app: &App, open: &Open, input: &Input) -> Result<String, Failure> {
    let parts = &input.parts;
    authority(app, parts.version, &parts.headers, &parts.uri)
        .inspect_err(|failure| misdirected(app, open, input, failure))
}

/// A request as `proof` sees it.
pub(crate) fn view<'a>(
    app: &App,
    authority: &'a str,
    headers: &'a Lines<'a>,
    input: &'a Input,
) -> RequestView<'a> {
    RequestView {
        method: input.parts.method.as_str(),
        authority,
        scheme: Some(if app.config.tls_cert.is_some() {
            "https"
        } else {
            "http"
        }),
        path: input.parts.uri.path(),
        query: input.parts.uri.query(),
        headers,
        body: &input.body,
    }
}

/// The authority that the request is for; only our own names are let in, so that
/// a request signed for another server proves nothing here.
pub(crate) fn authority(
    app: &App,
    version: Version,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<String, Failure> {
    let named = named(version, headers, uri)?;
    if app.is_own_authority(&named) {
        Ok(named)
    } else {
        let mut failure = Failure::new(
            Code::Malformed,
            "The Host field names another server; public_url in procura.toml tells this one its name.",
        );
        failure.field = Some("host");
        Err(failure)
    }
}

/// The authority that a request names, in lower case. HTTP/1 names it in the one Host
/// field (RFC 9112 §3.2), HTTP/2 in `:authority` (RFC 9113 §8.3.1). Where it is named
/// twice, in the target or in a Host field beside `:authority`, both must be the same:
/// what stands before this server may have looked at the other.
fn named(version: Version, headers: &HeaderMap, uri: &Uri) -> Result<String, Failure> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts
        .next()
        .map(|host| host.to_str().unwrap_or_default().to_ascii_lowercase());
    let target = uri
        .authority()
        .map(|target| target.as_str().to_ascii_lowercase());
    let malformed = |detail| Err(Failure::new(Code::Malformed, detail));
    if hosts.next().is_some() {
        return malformed("There must be exactly one Host field.");
    }
    match (version == Version::HTTP_2, host, target) {
        (false, None, _) => malformed("There must be exactly one Host field."),
        (true, _, None) => malformed("There must be an :authority."),
        (_, Some(host), Some(target)) if host != target => {
            malformed("The target and the Host field differ.")
        }
        (_, Some(named), _) | (_, None, Some(named)) => Ok(named),
    }
}

/// Records a request that names another server: whoever carries proofs from one
/// server to another is seen, as is whoever is led here by a name of their own.
fn misdirected(app: &App, open: &Open, input: &Input, failure: &Failure) {
    app.metrics.refused(failure.code.as_str());
    let reason = failure.code.as_str();
    open.recorder.refuse(Recorded {
        resource: Some(http_resource(&input.parts.uri)),
        ip: input.peer,
        ..Recorded::of_nobody("authenticate", reason, input.now, "none", input.trace)
    });
}

/// What a request asked for that named no operation yet.
pub(crate) fn http_resource(uri: &Uri) -> String {
    format!("http/{}", printable(uri.path()))
}

/// Records a refused proof and words it for the caller.
pub(crate) fn refused(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    input: &Input,
    refusal: &Refusal,
) -> Failure {
    refused_by("none", (app, open), snapshot, input, refusal)
}

/// The same of a proof of this profile.
pub(crate) fn refused_by(
    profile: &'static str,
    (app, open): (&App, &Open),
    snapshot: &Snapshot,
    input: &Input,
    refusal: &Refusal,
) -> Failure {
    let reason = refusal.reason();
    app.metrics.refused(reason.as_str());
    if reason == Reason::Quarantined {
        let seq = snapshot.seq();
        open.honey.asked_again(open, seq, input, refusal, profile);
    }
    open.recorder.refuse(Recorded {
        actor: refusal.actor,
        owner: refusal
            .actor
            .and_then(|actor| snapshot.actor(&actor).map(|record| record.owner)),
        device: refusal.device,
        resource: Some(http_resource(&input.parts.uri)),
        ip: input.peer,
        ..Recorded::of_nobody(
            "authenticate",
            reason.as_str(),
            input.now,
            profile,
            input.trace,
        )
    });
    let event = AgentEvent::new(Happened::AuthViolation, input);
    // Whom the proof names, in its own words where it has some.
    let named = refusal.agent.as_ref().map(ToString::to_string);
    match named.or_else(|| refusal.actor.map(|actor| actor.to_string())) {
        Some(agent) => violation(app, event.agent(&agent), reason),
        None => violation(app, event, reason),
    }
    let mut failure =
        Failure::new(Code::of(reason), refusal.case.detail()).with_reason(reason.as_str());
    failure.retry_after = refusal.retry_after.map(retry_after);
    failure
}

#[cfg(test)]
mod tests {
    use super::{named, shown_api_key};
    use http::{HeaderMap, HeaderValue, Uri, Version};

    #[test]
    fn an_api_key_is_shown_once_and_as_a_bearer() {
        let of = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append("authorization", HeaderValue::from_str(field).unwrap());
            }
            shown_api_key(&headers)
        };
        let one = of(&["Bearer pca1_abc"]);
        assert!(one.is_some());
        assert!(of(&["bearer pca1_abc"]) == one);
        assert!(of(&["Bearer pca1_abd"]) != one);
        for none in [
            &["Bearer pcp1_abc"][..],
            &["Basic pca1_abc"],
            &["pca1_abc"],
            &["Bearer pca1_abc", "Bearer pca1_abc"],
            &[],
        ] {
            assert!(of(none).is_none(), "{none:?}");
        }
    }

    const ONE: &str = "There must be exactly one Host field.";
    const DIFFER: &str = "The target and the Host field differ.";

    fn of(version: Version, target: &str, hosts: &[&str]) -> Result<String, String> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append("host", HeaderValue::from_str(host).unwrap());
        }
        let uri: Uri = target.parse().unwrap();
        named(version, &headers, &uri).map_err(|failure| failure.detail)
    }

    #[test]
    fn http_1_names_it_in_the_one_host_field() {
        for version in [Version::HTTP_11, Version::HTTP_10] {
            let of = |target, hosts: &[&str]| of(version, target, hosts);
            assert_eq!(of("/v1", &["Keys.example:7"]).unwrap(), "keys.example:7");
            assert_eq!(
                of("http://KEYS.example/v1", &["keys.Example"]).unwrap(),
                "keys.example"
            );
            assert_eq!(of("/v1", &[]).unwrap_err(), ONE);
            assert_eq!(of("http://keys.example/v1", &[]).unwrap_err(), ONE);
            assert_eq!(of("/v1", &["a", "a"]).unwrap_err(), ONE);
            assert_eq!(of("http://a/v1", &["b"]).unwrap_err(), DIFFER);
            assert_eq!(of("http://u@a/v1", &["a"]).unwrap_err(), DIFFER);
        }
    }

    #[test]
    fn http_2_names_it_in_the_authority() {
        let of = |target, hosts: &[&str]| of(Version::HTTP_2, target, hosts);
        assert_eq!(
            of("http://Keys.example:7/v1", &[]).unwrap(),
            "keys.example:7"
        );
        assert_eq!(
            of("http://keys.example/v1", &["KEYS.example"]).unwrap(),
            "keys.example"
        );
        let none = "There must be an :authority.";
        assert_eq!(of("/v1", &[]).unwrap_err(), none);
        assert_eq!(of("/v1", &["keys.example"]).unwrap_err(), none);
        assert_eq!(of("http://a/v1", &["b"]).unwrap_err(), DIFFER);
        assert_eq!(of("http://a/v1", &[""]).unwrap_err(), DIFFER);
        assert_eq!(of("http://a/v1", &["a", "a"]).unwrap_err(), ONE);
        assert_eq!(of("http://a/v1", &["a", "b"]).unwrap_err(), ONE);
    }
}
