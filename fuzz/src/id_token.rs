//! What identity providers answer: ID tokens, and the keys that sign them.

use crate::Verdict;
use crate::world::{NOW, WORLD};
use procura_crypto::SigningKey;
use procura_token::{ID_TOKEN_AGE, IdToken, IdTokenTerms, KeySet, ProviderKeys, SKEW, sign};
use procura_types::{Duration, Secret};
use serde_json::{Value, json};
use std::sync::LazyLock;

const ISSUER: &str = "https://login.example";
const CLIENT: &str = "procura";
const NONCE: &str = "n-0S6_WzA2Mj";
const SUBJECT: &str = "248289761001";

/// With which nobody signs in: `at_hash` of the corpus is of another one.
static ACCESS: LazyLock<Secret<String>> = LazyLock::new(|| Secret::new("access".to_owned()));

fn terms() -> IdTokenTerms<'static> {
    IdTokenTerms {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: NONCE,
        access_token: &ACCESS,
        anew_since: None,
        max_age: Duration::from_secs(12 * 3600),
        groups_claim: Some("groups"),
        now: NOW,
    }
}

fn keys(of: &SigningKey) -> ProviderKeys {
    let jwk = of.public().to_jwk();
    let set = json!({ "keys": [{ "kty": jwk.kty, "crv": jwk.crv, "x": jwk.x, "y": jwk.y }] });
    ProviderKeys::parse(set.to_string().as_bytes()).unwrap()
}

/// The claims of the corpus.
pub(crate) fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": CLIENT,
        "sub": SUBJECT,
        "iat": NOW.as_secs(),
        "exp": NOW.as_secs() + 3600,
        "nonce": NONCE,
        "groups": ["operators"],
        "email": "alice@example.com",
    })
}

/// A token of the corpus.
pub(crate) fn token(claims: &Value, typ: &str) -> Vec<u8> {
    let token = sign(&WORLD.owner, typ, claims.to_string().as_bytes()).unwrap();
    token.expose().as_bytes().to_vec()
}

/// What is taken is by the provider's own key, about whom the corpus is, and is nothing to
/// anybody else, at any other time, or in answer to another question.
pub(crate) fn id_token(data: &[u8]) -> Verdict {
    static OWN: LazyLock<ProviderKeys> = LazyLock::new(|| keys_by_id(&WORLD.owner));
    static OTHER: LazyLock<ProviderKeys> = LazyLock::new(|| keys(&WORLD.agent));
    let Ok(text) = std::str::from_utf8(data) else {
        return Verdict::Refused;
    };
    assert!(IdToken::verify(text, &OTHER, &terms()).is_err());
    let Ok(found) = IdToken::verify(text, &OWN, &terms()) else {
        return Verdict::Refused;
    };
    assert_eq!(found.subject, SUBJECT);
    assert_eq!(found.groups, ["operators"]);
    assert_eq!(found.called.as_deref(), Some("alice@example.com"));
    for wrong in [
        IdTokenTerms {
            issuer: "https://login.example/",
            ..terms()
        },
        IdTokenTerms {
            client_id: "procur",
            ..terms()
        },
        IdTokenTerms {
            nonce: "",
            ..terms()
        },
        IdTokenTerms {
            anew_since: Some(NOW),
            ..terms()
        },
        IdTokenTerms {
            now: NOW.plus(ID_TOKEN_AGE).plus(SKEW),
            ..terms()
        },
    ] {
        assert!(IdToken::verify(text, &OWN, &wrong).is_err());
    }
    Verdict::Accepted
}

/// The set that is our own, under the ids of its keys.
fn keys_by_id(of: &SigningKey) -> ProviderKeys {
    let set = KeySet::new([of.public().clone()]).unwrap();
    ProviderKeys::parse(set.to_json().unwrap().as_bytes()).unwrap()
}

/// A set of keys has one reading, and none lets in what a key signed that is not in it;
/// what is a set of ours is one of a provider's.
pub(crate) fn provider_keys(data: &[u8]) -> Verdict {
    // By a key that no set of the corpus has.
    static STRANGERS: LazyLock<String> = LazyLock::new(|| {
        let stranger = crate::world::key(procura_types::Alg::P256, 9);
        let token = sign(&stranger, "JWT", claims().to_string().as_bytes()).unwrap();
        token.expose().clone()
    });
    let Ok(read) = ProviderKeys::parse(data) else {
        assert!(KeySet::parse(data).is_err());
        return Verdict::Refused;
    };
    assert_eq!(ProviderKeys::parse(data).unwrap(), read);
    assert!(IdToken::verify(&STRANGERS, &read, &terms()).is_err());
    Verdict::Accepted
}

/// Sets of the corpus, by what they show.
pub(crate) fn sets() -> [(&'static str, String); 3] {
    let own = KeySet::new([WORLD.owner.public().clone()]).unwrap();
    let edwards = WORLD.agent.public().to_jwk();
    // 2,048 bits, odd, and of no key.
    let modulus = format!("gQAB{}AQ", "AQAB".repeat(84));
    let rsa = json!({ "keys": [
        { "kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": modulus, "e": "AQAB" },
        { "kty": "oct", "k": "AAAA" },
    ] });
    let okp = json!({ "keys": [
        { "kty": "OKP", "crv": edwards.crv, "x": edwards.x, "kid": "2", "key_ops": ["verify"] },
    ] });
    [
        ("ours", own.to_json().unwrap()),
        ("rsa", rsa.to_string()),
        ("edwards", okp.to_string()),
    ]
}
