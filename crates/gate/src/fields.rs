//! What becomes of header fields on the way through.

use crate::authenticate::Identity;
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};
use procura_edge::framing::Flaw;

/// Fields of one connection, whether `Connection` names them or not (RFC 9110
/// §7.6.1). `Trailer` is among them in requests only: their trailers end here,
/// those of answers go through.
const CONNECTION_FIELDS: [HeaderName; 4] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
];
const OTHER_CONNECTION_FIELDS: [&str; 5] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "http2-settings",
];

/// What only this gate says to the upstream. A client's own are dropped in every
/// spelling that a program behind the gate may take for the same name.
const OWN: [&str; 4] = [
    "procura-actor",
    "procura-agent",
    "procura-owner",
    "procura-profile",
];
/// What a client may not say of itself, nor of another target or method: nobody
/// has checked it, the address of the peer is known, and what was judged is what
/// the request line says.
const UNCHECKED: [&str; 7] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "client-ip",
    "x-method-override",
    "x-http-method",
];
/// The same, of all names that begin so.
const UNCHECKED_BEGINNINGS: [&str; 4] = [
    "x-forwarded-",
    "x-original-",
    "x-rewrite-",
    "x-http-method-",
];
/// Dropped unless spelled exactly like this: in another spelling no part of HTTP,
/// and yet some programs read them as if they were.
const FRAMING: [&str; 5] = [
    "content-length",
    "content-type",
    "transfer-encoding",
    "host",
    "connection",
];

/// Whether two names are one to programs that keep only letters and digits apart
/// from all else, as environment variables (`HTTP_PROCURA_ACTOR`) make them do.
fn is_spelling_of(name: &str, of: &str) -> bool {
    name.len() == of.len()
        && name.bytes().zip(of.bytes()).all(|(byte, wanted)| {
            byte == wanted || (wanted == b'-' && !byte.is_ascii_alphanumeric())
        })
}

fn is_unwelcome(name: &str) -> bool {
    OWN.iter()
        .chain(&UNCHECKED)
        .any(|own| is_spelling_of(name, own))
        || UNCHECKED_BEGINNINGS.iter().any(|own| {
            name.get(..own.len())
                .is_some_and(|beginning| is_spelling_of(beginning, own))
        })
        || FRAMING
            .iter()
            .any(|framing| name != *framing && is_spelling_of(name, framing))
}

/// Refuses a request that would go on as another one than was signed, or than was meant:
/// what `Connection` names ends here (RFC 9110 §7.6.1).
pub(crate) fn check_connection(headers: &HeaderMap) -> Result<(), Flaw> {
    if !headers.contains_key(header::CONNECTION) {
        return Ok(());
    }
    let signed = |name: &HeaderName| {
        // A component is named in quotes, in lower case (RFC 9421 §2.1).
        let component = format!("\"{name}\"");
        headers.get_all("signature-input").iter().any(|input| {
            let mut places = input.as_bytes().windows(component.len());
            places.any(|place| place == component.as_bytes())
        })
    };
    // Who asks, and what the body is, is not for one connection either.
    let meant = |name: &HeaderName| {
        matches!(*name, header::AUTHORIZATION | header::COOKIE)
            || name.as_str().starts_with("content-")
    };
    let unwelcome = named_by_connection(headers)
        .iter()
        .any(|name| meant(name) || (!is_of_one_connection(name) && signed(name)));
    if unwelcome {
        Err(Flaw::Connection)
    } else {
        Ok(())
    }
}

/// Whether a field ends here anyhow.
fn is_of_one_connection(name: &HeaderName) -> bool {
    CONNECTION_FIELDS.contains(name) || OTHER_CONNECTION_FIELDS.contains(&name.as_str())
}

/// The names in `Connection`, in lower case.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // Every request has one, and it is never of one connection alone.
        .filter(|name| *name != header::HOST)
        .collect()
}

/// Takes away what belongs to one connection.
fn end_connection_fields(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    for name in CONNECTION_FIELDS {
        headers.remove(name);
    }
    for name in OTHER_CONNECTION_FIELDS {
        headers.remove(name);
    }
}

/// Makes the fields of a request ready for the upstream: what belongs to the
/// connection ends first, then every spelling of what only the gate says, and
/// then the gate says it.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    identity: Option<&Identity>,
    peer: &HeaderValue,
    tls: bool,
) {
    let trailers = wants_trailers(headers);
    end_connection_fields(headers);
    headers.remove(header::TRAILER);
    // The gate answered it when it read the body, and frames the body anew.
    headers.remove(header::EXPECT);
    headers.remove(header::CONTENT_LENGTH);
    let unwelcome: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_unwelcome(name.as_str()))
        .cloned()
        .collect();
    for name in unwelcome {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers.insert(HeaderName::from_static("x-forwarded-for"), peer.clone());
    let scheme = HeaderValue::from_static(if tls { "https" } else { "http" });
    headers.insert(HeaderName::from_static("x-forwarded-proto"), scheme);
    say(headers, identity);
}

/// Makes the fields of a request say who asks, and nobody else say it: for a service in
/// this process, to which all other fields go as they came.
pub fn identify(headers: &mut HeaderMap, identity: Option<&Identity>) {
    let spelled: Vec<HeaderName> = headers
        .keys()
        .filter(|name| OWN.iter().any(|own| is_spelling_of(name.as_str(), own)))
        .cloned()
        .collect();
    for name in spelled {
        headers.remove(name);
    }
    say(headers, identity);
}

fn say(headers: &mut HeaderMap, identity: Option<&Identity>) {
    let Some(identity) = identity else { return };
    let said = [
        ("procura-actor", identity.actor.as_ref()),
        ("procura-agent", Some(&identity.agent)),
        ("procura-owner", identity.owner.as_ref()),
        ("procura-profile", Some(&identity.profile)),
    ];
    for (name, value) in said {
        if let Some(value) = value {
            headers.insert(HeaderName::from_static(name), value.clone());
        }
    }
}

/// Makes the fields of an answer ready for the client.
pub(crate) fn prepare_answer(headers: &mut HeaderMap) {
    end_connection_fields(headers);
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    names(headers, &header::TE, "trailers")
}

/// Whether a list of tokens has this one, in any case.
pub(crate) fn names(headers: &HeaderMap, field: &HeaderName, token: &str) -> bool {
    headers
        .get_all(field)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|listed| listed.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether a request is gRPC proper, which needs HTTP/2 to the end; gRPC-Web does
/// not.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        headers
    }

    fn prepared(fields: &[(&str, &str)], identity: Option<&Identity>) -> Vec<(String, String)> {
        let mut headers = map(fields);
        prepare_request(
            &mut headers,
            identity,
            &HeaderValue::from_static("127.0.0.1"),
            false,
        );
        let mut out: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .filter(|(name, _)| !name.starts_with("x-forwarded-"))
            .collect();
        out.sort();
        out
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn what_belongs_to_a_connection_ends_first() {
        let sent = [
            ("Connection", "close, X-Hop ,Procura-Agent, host"),
            ("X-Hop", "a"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "gzip, trailers"),
            ("Trailer", "X-T"),
            ("Transfer-Encoding", "chunked"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAA"),
            ("Proxy-Connection", "keep-alive"),
            ("Proxy-Authorization", "Basic eA=="),
            ("Expect", "100-continue"),
            ("Content-Length", "3"),
            ("Host", "a"),
            ("X-Kept", "b"),
        ];
        let identity = Identity::new("alice//scribe", "native").unwrap();
        assert_eq!(
            prepared(&sent, Some(&identity)),
            pairs(&[
                ("host", "a"),
                ("procura-agent", "alice//scribe"),
                ("procura-profile", "native"),
                ("te", "trailers"),
                ("x-kept", "b"),
            ])
        );
        assert_eq!(prepared(&[("TE", "gzip")], None), []);
    }

    #[test]
    fn nothing_that_was_meant_to_arrive_is_named_away() {
        const INPUT: &str = "sig=(\"@method\" \"x-tenant\" \"upgrade\");created=1";
        for (named, refused) in [
            ("close", false),
            ("keep-alive, te", false),
            ("Upgrade", false),
            ("X-Hop", false),
            ("procura-agent", false),
            ("X-Tenant", true),
            ("close,x-tenant", true),
            ("Content-Type", true),
            ("content-encoding", true),
            ("Content-Digest", true),
            ("Authorization", true),
            ("cookie", true),
            ("x-cookie", false),
            ("tenant", false),
        ] {
            let headers = map(&[("connection", named), ("signature-input", INPUT)]);
            let expected = if refused {
                Err(Flaw::Connection)
            } else {
                Ok(())
            };
            assert_eq!(check_connection(&headers), expected, "{named}");
        }
        // Of two fields, the second one counts too.
        let headers = map(&[("connection", "close"), ("connection", "cookie")]);
        assert_eq!(check_connection(&headers), Err(Flaw::Connection));
        assert_eq!(check_connection(&map(&[("cookie", "a=b")])), Ok(()));
    }

    #[test]
    fn nobody_else_speaks_for_the_gate() {
        let sent = [
            ("Procura-Actor", "x"),
            ("PROCURA_ACTOR", "x"),
            ("procura_agent", "x"),
            ("Procura-owner", "x"),
            ("procura.owner", "x"),
            ("Procura_Profile", "x"),
            ("procura~profile", "x"),
            ("X_Forwarded_For", "10.0.0.1"),
            ("Forwarded", "for=10.0.0.1"),
            ("X-Real-IP", "10.0.0.1"),
            ("Content_Length", "3"),
            ("Transfer_Encoding", "chunked"),
            ("Content_Type", "text/html"),
            ("Content-Type", "text/plain"),
            ("Procura-Actors", "kept"),
            ("Procura", "kept"),
        ];
        assert_eq!(
            prepared(&sent, None),
            pairs(&[
                ("content-type", "text/plain"),
                ("procura", "kept"),
                ("procura-actors", "kept"),
            ])
        );
    }

    #[test]
    fn within_a_process_only_the_identity_is_said_anew() {
        let identity = Identity::new("alice//scribe", "native").unwrap();
        let mut headers = map(&[
            ("PROCURA_ACTOR", "x"),
            ("procura.owner", "x"),
            ("Procura-Agent", "x"),
            ("connection", "upgrade"),
            ("x-forwarded-for", "10.0.0.1"),
        ]);
        identify(&mut headers, Some(&identity));
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "connection",
                "procura-agent",
                "procura-profile",
                "x-forwarded-for"
            ]
        );
        assert_eq!(headers["procura-agent"], "alice//scribe");
        identify(&mut headers, None);
        assert!(!headers.contains_key("procura-agent"));
    }

    #[test]
    fn the_peer_is_who_it_is() {
        let mut headers = map(&[
            ("X-Forwarded-For", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("X-Forwarded-Proto", "https"),
        ]);
        prepare_request(
            &mut headers,
            None,
            &HeaderValue::from_static("192.0.2.7"),
            false,
        );
        let all: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        assert_eq!(all, ["192.0.2.7"]);
        assert_eq!(headers["x-forwarded-proto"], "http");
    }

    #[test]
    fn grpc_is_told_from_what_looks_like_it() {
        for (kind, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;x=y", true),
            ("application/grpc-web", false),
            ("application/grpcs", false),
            ("text/plain", false),
        ] {
            assert_eq!(is_grpc(&map(&[("content-type", kind)])), grpc, "{kind}");
        }
    }

    #[test]
    fn names_are_compared_as_programs_do() {
        assert!(is_spelling_of("procura_actor", "procura-actor"));
        assert!(!is_spelling_of("procuraxactor", "procura-actor"));
        assert!(!is_spelling_of("procura-actor-", "procura-actor"));
    }
}
