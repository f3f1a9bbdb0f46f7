//! Requests with the proofs of other systems: what a profile lets in is what an
//! agent of ours signed by that profile, in all that it covers.

use crate::Verdict;
use crate::request::Request;
use crate::world::{Counting, NOW, PEER, WORLD, key};
use procura_crypto::{MacKey, SigningKey};
use procura_proof::foreign::{
    AgentSecret, Allowed, Foreign, ForeignCaller, ForeignKey, ForeignKeys, ForeignSigner,
    ForeignVerifier, HmacV1, KeysUnavailable, Shown, recognise, sign,
};
use procura_proof::{Case, Limits, MemoryGuard, Refusal, Windows};
use procura_types::{Alg, ForeignId, encoding};
use std::sync::{Arc, LazyLock};

/// An agent, its key and its secret.
struct Agent {
    id: ForeignId,
    key: SigningKey,
    secret: Arc<AgentSecret>,
}

static AGENTS: LazyLock<[Agent; 2]> = LazyLock::new(|| {
    [("scribe", 21), ("clerk.v-2_B", 22)].map(|(id, byte)| Agent {
        id: id.parse().unwrap(),
        key: key(Alg::Ed25519, byte),
        secret: Arc::new(AgentSecret::new(&encoding::b64url(&[byte; 32])).unwrap()),
    })
});

struct Keys;

impl ForeignKeys for Keys {
    fn find(&self, agent: &ForeignId) -> Result<Option<ForeignKey>, KeysUnavailable> {
        let known = AGENTS.iter().find(|known| known.id == *agent);
        Ok(known.map(|known| ForeignKey {
            public: Some(known.key.public().clone()),
            secrets: vec![Arc::clone(&known.secret)],
            revoked: false,
        }))
    }
}

/// A request that an agent signed.
struct Signed {
    agent: &'static Agent,
    /// Without the proof.
    request: Request,
    proven: Request,
}

/// All that was ever signed by a profile.
fn all(profile: Foreign) -> Vec<Signed> {
    let read = "GET /api/notes?a=1\nhost:127.0.0.1:7310\n\n";
    let write =
        "POST /api/n%20x\nhost:LocalHost:80\ncontent-type:application/json\n\n{\"title\":\"x\"}";
    let entropy = Counting::new();
    [(read, 0), (write, 1)]
        .map(|(text, agent)| {
            let agent = &AGENTS[agent];
            let request = Request::parse(text.as_bytes()).unwrap();
            let signer = match profile {
                Foreign::KeyServerV1 => ForeignSigner::KeyServerV1(&agent.key),
                Foreign::GuideV1 => ForeignSigner::GuideV1(&agent.key),
                Foreign::HmacV1 => ForeignSigner::HmacV1(&agent.secret),
                Foreign::HmacV2 => ForeignSigner::HmacV2(&agent.secret),
            };
            let authority = request.authority();
            let view = request.view(&authority);
            let fields = sign(&view, &agent.id, signer, NOW, &entropy).unwrap();
            let mut proven = request.clone();
            for (name, value) in fields {
                proven.headers.push((name.to_owned(), value.into_bytes()));
            }
            Signed {
                agent,
                request,
                proven,
            }
        })
        .into()
}

/// Those of each profile, in the order of [`Foreign::ALL`].
static SIGNED: LazyLock<[Vec<Signed>; 4]> = LazyLock::new(|| Foreign::ALL.map(all));

fn signed(profile: Foreign) -> &'static [Signed] {
    let at = Foreign::ALL.iter().position(|known| *known == profile);
    &SIGNED[at.unwrap()]
}

/// The requests that were signed by a profile, with their proofs.
pub(crate) fn proven(profile: Foreign) -> Vec<Vec<u8>> {
    signed(profile)
        .iter()
        .map(|signed| signed.proven.write())
        .collect()
}

/// Whether `given` is `signed` in all that its profile covers.
fn same(profile: Foreign, given: &Request, signed: &Signed) -> bool {
    let field = |name: &str| given.field(name) == signed.proven.field(name);
    let body = given.body == signed.request.body;
    let path = |request: &Request| match request.path.as_str() {
        "" => "/".to_owned(),
        path => path.to_owned(),
    };
    let target = path(given) == path(&signed.request);
    let method = given.method == signed.request.method;
    let upper = given.method.to_ascii_uppercase() == signed.request.method;
    let proof = field("x-timestamp") && field("x-nonce");
    match profile {
        Foreign::KeyServerV1 => upper && target && body && proof,
        Foreign::GuideV1 => method && target && body && proof,
        Foreign::HmacV1 => body,
        Foreign::HmacV2 => {
            method
                && target
                && body
                && proof
                && given.query == signed.request.query
                && given.normal_authority() == signed.request.normal_authority()
                && given.field("x-session-id").is_none()
        }
    }
}

fn verifier() -> ForeignVerifier {
    let key = MacKey::from_bytes(&[6; 32]).unwrap();
    let guard = MemoryGuard::new(key, Limits::default(), Windows::FOREIGN);
    ForeignVerifier::new(Arc::new(guard)).unwrap()
}

fn verify(verifier: &ForeignVerifier, request: &Request) -> Result<ForeignCaller, Refusal> {
    let authority = request.authority();
    let allowed = Allowed {
        hmac_v1: Some(HmacV1::default()),
    };
    verifier.verify(&Keys, &request.view(&authority), &allowed, NOW, PEER)
}

/// A changed request, and whether the profile has to notice.
fn changes(profile: Foreign, request: &Request) -> Vec<(Request, bool)> {
    let mut changed = [(); 4].map(|()| request.clone());
    changed[0].method.push('X');
    if changed[1].path.is_empty() {
        // An empty path is the root (RFC 9110 §4.2.3), and `x` would be no path at all.
        changed[1].path.push('/');
    }
    changed[1].path.push('x');
    changed[2].query.get_or_insert_default().push('x');
    changed[3].body.push(b'x');
    let covered = match profile {
        Foreign::KeyServerV1 | Foreign::GuideV1 => [true, true, false, true],
        Foreign::HmacV1 => [false, false, false, true],
        Foreign::HmacV2 => [true; 4],
    };
    changed.into_iter().zip(covered).collect()
}

fn run(profile: Foreign, data: &[u8]) -> Verdict {
    let Some(request) = Request::parse(data) else {
        return Verdict::Refused;
    };
    let used = verifier();
    let caller = match verify(&used, &request) {
        Ok(caller) => caller,
        Err(refusal) => {
            assert!(!refusal.case.detail().is_empty());
            return Verdict::Refused;
        }
    };
    let shown = caller.foreign();
    assert_eq!(recognise(&request.headers), Ok(Shown::Foreign(shown)));
    let known = signed(shown)
        .iter()
        .any(|signed| signed.agent.id == *caller.agent() && same(shown, &request, signed));
    assert!(known, "{shown}: a request that nobody signed was let in");
    // The native verifier knows nothing of it.
    let authority = request.authority();
    let view = request.view(&authority);
    let native = WORLD
        .verifier()
        .verify(&WORLD.directory, &view, NOW, PEER)
        .expect_err("it is no native proof");
    assert!(matches!(native.case, Case::NoSignature | Case::NoOwnTag));

    let again = verify(&used, &request);
    if shown == Foreign::HmacV1 && caller.nonce().is_none() {
        assert!(again.is_ok(), "there is nothing that could be used up");
    } else {
        let refusal = again.expect_err("each proof is good for one request");
        assert_eq!(refusal.case, Case::NonceUsed);
    }
    for (changed, covered) in changes(shown, &request) {
        assert_eq!(verify(&verifier(), &changed).is_err(), covered);
    }
    Verdict::of(shown == profile)
}

pub(crate) fn key_server_v1(data: &[u8]) -> Verdict {
    run(Foreign::KeyServerV1, data)
}

pub(crate) fn guide_v1(data: &[u8]) -> Verdict {
    run(Foreign::GuideV1, data)
}

pub(crate) fn hmac_v1(data: &[u8]) -> Verdict {
    run(Foreign::HmacV1, data)
}

pub(crate) fn hmac_v2(data: &[u8]) -> Verdict {
    run(Foreign::HmacV2, data)
}

/// Requests that miss it by one thing: the name of each, and what is made of the
/// text of a good one.
pub(crate) fn near(profile: Foreign) -> Vec<(&'static str, Vec<u8>)> {
    let good = String::from_utf8(signed(profile)[1].proven.write()).unwrap();
    let with = |line: &str| good.replacen("\n\n", &format!("\n{line}\n\n"), 1);
    let without = |name: &str| {
        let from = good.find(&format!("\n{name}:")).unwrap();
        let to = from + 1 + good[from + 1..].find('\n').unwrap();
        format!("{}{}", &good[..from], &good[to..])
    };
    let agent = match profile {
        Foreign::GuideV1 => "x-agent",
        _ => "x-agent-id",
    };
    let mut out = vec![
        ("no-agent", without(agent)),
        ("no-timestamp", without("x-timestamp")),
        ("no-signature", without("x-signature")),
        (
            "both-names",
            with(match profile {
                Foreign::GuideV1 => "x-agent-id:clerk.v-2_B",
                _ => "x-agent:clerk.v-2_B",
            }),
        ),
        ("twice", with(&format!("{agent}:clerk.v-2_B"))),
        (
            "native-tag",
            with("signature-input:p=();tag=\"procura-v1\""),
        ),
        ("other-agent", good.replacen("clerk.v-2_B", "scribe", 1)),
        ("other-body", format!("{good}x")),
    ];
    if profile != Foreign::HmacV1 {
        out.push(("other-path", good.replacen("n%20x", "n%20y", 1)));
        out.push(("other-nonce", good.replacen("x-nonce:", "x-nonce:00", 1)));
    }
    match profile {
        Foreign::KeyServerV1 => out.push(("a-session", with("x-session-id:s"))),
        Foreign::GuideV1 => out.push(("a-version", with("x-signature-version:2"))),
        Foreign::HmacV1 => out.push(("version-3", with("x-signature-version:3"))),
        Foreign::HmacV2 => out.push(("other-query", good.replacen("n%20x", "n%20x?a=1", 1))),
    }
    out.into_iter()
        .map(|(name, text)| (name, text.into_bytes()))
        .collect()
}
