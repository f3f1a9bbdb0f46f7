//! What a request is for: its authority, and its path and query.

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use procura_edge::framing::{Flaw, is_authority};

/// The authority and the target of a request, both as sent. HTTP/1 was checked on
/// the wire already and passes; HTTP/2 is checked here.
pub(crate) fn read<B>(request: &Request<B>) -> Result<(HeaderValue, PathAndQuery), Flaw> {
    of(request.uri(), request.headers())
}

/// The same of a head in its parts.
pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Result<(HeaderValue, PathAndQuery), Flaw> {
    let authority = read_authority(uri, headers)?;
    let target = match uri.path_and_query() {
        Some(target) => target.clone(),
        None => PathAndQuery::from_static("/"),
    };
    let text = target.as_str();
    if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Flaw::Target);
    }
    Ok((authority, target))
}

fn read_authority(uri: &Uri, headers: &HeaderMap) -> Result<HeaderValue, Flaw> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let named = uri.authority().map(http::uri::Authority::as_str);
    let same =
        |host: &HeaderValue, named: &str| host.as_bytes().eq_ignore_ascii_case(named.as_bytes());
    let authority = match (host, named, more) {
        (Some(host), None, None) => host.clone(),
        (Some(host), Some(named), None) if same(host, named) => host.clone(),
        (None, Some(named), None) => HeaderValue::from_str(named).map_err(|_| Flaw::Host)?,
        _ => return Err(Flaw::Host),
    };
    if is_authority(authority.as_bytes()) {
        Ok(authority)
    } else {
        Err(Flaw::Host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http2_names_one_authority() {
        let request = |uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            read(&request.body(()).unwrap()).map(|(authority, target)| {
                (
                    authority.to_str().unwrap().to_owned(),
                    target.as_str().to_owned(),
                )
            })
        };
        let found = |authority: &str, target: &str| Ok((authority.into(), target.into()));
        assert_eq!(request("http://A/x?y", &[]), found("A", "/x?y"));
        assert_eq!(request("http://A/x", &["a"]), found("a", "/x"));
        assert_eq!(request("/x", &["a"]), found("a", "/x"));
        for (uri, hosts) in [
            ("http://a/", &["b"][..]),
            ("http://a/", &["a", "a"]),
            ("http://u@a/", &[]),
            ("/x", &[]),
            ("/x", &["a", "a"]),
        ] {
            assert_eq!(request(uri, hosts), Err(Flaw::Host), "{uri} {hosts:?}");
        }
    }
}
