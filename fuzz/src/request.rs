//! Signed requests: what the verifier lets in is what a device of ours signed.

use crate::Verdict;
use crate::world::{AGENT, NOW, OWNER, PEER, WORLD};
use procura_crypto::MacKey;
use procura_proof::sign::{Signer, sign_request};
use procura_proof::{Case, Profile, RequestView};
use procura_types::{ActorId, Entropy};
use std::sync::LazyLock;

/// A request as text: `METHOD target`, header lines, an empty line, the body.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut line = || {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            Some(line)
        };
        let (method, target) = std::str::from_utf8(line()?).ok()?.split_once(' ')?;
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let mut headers = Vec::new();
        loop {
            let line = line()?;
            if line.is_empty() {
                break;
            }
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            headers.push((name.to_ascii_lowercase(), line[colon + 1..].to_vec()));
        }
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            headers,
            body: rest.to_vec(),
        })
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let query = self.query.as_ref().map(|query| format!("?{query}"));
        let (path, query) = (&self.path, query.unwrap_or_default());
        let mut out = format!("{} {path}{query}\n", self.method).into_bytes();
        for (name, value) in &self.headers {
            out.extend_from_slice(name.as_bytes());
            out.push(b':');
            out.extend_from_slice(value);
            out.push(b'\n');
        }
        out.push(b'\n');
        out.extend_from_slice(&self.body);
        out
    }

    /// The field as signatures see it: lines trimmed and joined.
    pub(crate) fn field(&self, name: &str) -> Option<Vec<u8>> {
        let lines: Vec<&[u8]> = self
            .headers
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.trim_ascii())
            .collect();
        (!lines.is_empty()).then(|| lines.join(&b", "[..]))
    }

    /// As the edge does, from the `Host` field.
    pub(crate) fn authority(&self) -> String {
        let host = self.field("host").unwrap_or_default();
        String::from_utf8_lossy(&host).to_ascii_lowercase()
    }

    /// That with what RFC 9421 §2.2.3 leaves out taken away.
    pub(crate) fn normal_authority(&self) -> String {
        let authority = self.authority();
        let host = authority.strip_suffix(":80").unwrap_or(&authority);
        host.strip_suffix(':').unwrap_or(host).to_owned()
    }

    pub(crate) fn view<'a>(&'a self, authority: &'a str) -> RequestView<'a> {
        RequestView {
            method: &self.method,
            authority,
            scheme: Some("http"),
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
            body: &self.body,
        }
    }

    fn proven_by(&self, by: By, entropy: &dyn Entropy) -> Self {
        let key = MacKey::from_bytes(WORLD.session.mac_key.expose()).unwrap();
        let signer = match by {
            By::Agent => Signer::Device(&WORLD.agent),
            By::Owner => Signer::Device(&WORLD.owner),
            By::Session(counter) => Signer::Session {
                id: &WORLD.session.session_id,
                mac_key: &key,
                counter,
            },
        };
        let authority = self.authority();
        let signed = sign_request(&self.view(&authority), signer, NOW, entropy).unwrap();
        let mut proven = self.clone();
        for (name, value) in signed.headers {
            proven.headers.push((name.to_owned(), value.into_bytes()));
        }
        proven
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Agent,
    Owner,
    Session(u64),
}

/// All that was ever signed in this world, and by whom.
static SIGNED: LazyLock<Vec<(Request, By)>> = LazyLock::new(|| {
    let read = "GET /v1/namespaces/lab/secrets/db/password?version=3\nhost:127.0.0.1:7310\naccept:application/json\n\n";
    let list = "GET /v1/namespaces\nhost:127.0.0.1:7310\n\n";
    let write = "PUT /v1/namespaces/lab/secrets/api%2Fkey?a=%20b&a+b=c%zz&c\nhost:LocalHost:80\ncontent-type: application/json\ncontent-encoding:identity\nauthorization:Bearer abc\n\n{\"value_b64\":\"aGVsbG8\"}";
    let run = "POST /v1/namespaces/lab/projects/shop/runs\nhost:[::1]:7310\ncontent-type:application/json\n\n{\"names\":[\"API_KEY\"],\"delivery\":\"env\"}";
    [
        (read, By::Agent),
        (list, By::Owner),
        (write, By::Owner),
        (run, By::Agent),
        (run, By::Session(0)),
        (read, By::Session(5000)),
    ]
    .map(|(text, by)| (Request::parse(text.as_bytes()).unwrap(), by))
    .into()
});

/// Those requests with their proofs; the ones by P-256 differ each time.
pub(crate) fn proven(entropy: &dyn Entropy) -> Vec<Vec<u8>> {
    SIGNED
        .iter()
        .map(|(request, by)| request.proven_by(*by, entropy).write())
        .collect()
}

/// Whether `given` is `signed` in all that a signature covers.
fn same(given: &Request, signed: &Request) -> bool {
    let path = |request: &Request| match request.path.as_str() {
        "" => "/".to_owned(),
        path => path.to_owned(),
    };
    given.method == signed.method
        && given.normal_authority() == signed.normal_authority()
        && path(given) == path(signed)
        && given.query.as_deref().unwrap_or("") == signed.query.as_deref().unwrap_or("")
        && given.body == signed.body
        && (given.body.is_empty() || given.field("content-type") == signed.field("content-type"))
        && ["content-encoding", "authorization"]
            .iter()
            .all(|name| given.field(name) == signed.field(name))
}

pub(crate) fn request(data: &[u8]) -> Verdict {
    let Some(request) = Request::parse(data) else {
        return Verdict::Refused;
    };
    let authority = request.authority();
    let verifier = WORLD.verifier();
    let view = request.view(&authority);
    let verify = || verifier.verify(&WORLD.directory, &view, NOW, PEER);
    let caller = match verify() {
        Ok(caller) => caller,
        Err(refusal) => {
            assert!(!refusal.case.detail().is_empty());
            return Verdict::Refused;
        }
    };
    let mut signed = SIGNED.iter().filter(|(signed, _)| same(&request, signed));
    let known = signed.any(|(_, by)| {
        let (key, actor, profile): (_, ActorId, _) = match by {
            By::Agent => (&WORLD.agent, AGENT, Profile::Native),
            By::Owner => (&WORLD.owner, OWNER, Profile::Native),
            By::Session(_) => (&WORLD.agent, AGENT, Profile::Session),
        };
        caller.device() == Some(&key.public().thumbprint())
            && *caller.actor() == actor
            && caller.profile() == profile
    });
    assert!(known, "a request that nobody signed was let in");
    assert_eq!(*caller.owner(), OWNER);
    let again = verify().expect_err("each proof is good for one request");
    assert!(matches!(again.case, Case::NonceUsed | Case::CounterUsed));
    // Nothing of it can be changed either.
    let mut changed = [(); 4].map(|()| request.clone());
    changed[0].method.push('X');
    changed[1].path.push('x');
    changed[2].query.get_or_insert_default().push('x');
    changed[3].body.push(b'x');
    for changed in changed {
        let refused =
            WORLD
                .verifier()
                .verify(&WORLD.directory, &changed.view(&authority), NOW, PEER);
        assert!(refused.is_err());
    }
    Verdict::Accepted
}
