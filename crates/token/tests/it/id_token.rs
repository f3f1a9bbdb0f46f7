//! Who is believed to have signed in at an identity provider, and the reason for each
//! token that is not.

use crate::{p256, signed};
use procura_crypto::{SigningKey, SystemEntropy, sha256, sha512};
use procura_token::{
    ID_TOKEN_AGE, IdToken, IdTokenRefusal, IdTokenTerms, MAX_ID_TOKEN, ProviderKeys, SKEW,
};
use procura_types::encoding::b64url;
use procura_types::{Duration, Secret, Timestamp};
use serde_json::{Value, json};

const ISSUER: &str = "https://login.example";
const CLIENT: &str = "procura";
const NONCE: &str = "n-0S6_WzA2Mj";
const ACCESS: &str = "SlAV32hkKG";
const SUBJECT: &str = "248289761001";
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// The modulus of a key, and a token that Node signed with it.
const RSA: &str = "4hfT75dHKWSALdlu9Zel4E3CA-TB6dPFfIYy5jPC-gxA83tplUUzoAgVPmHRun8uSJgKO5mvB45urmvbw9u8eWZoqLO9MNJFDZIjhNVK6MWoEjxJY39bQLGC1kItiwZIF_WW7Eq9zz9RQu-lM8kV0l3kE6FKAudr5PMJ7kxvUAIc6nq_K3Dl3EXciypbvHegfSv7ZGhq87A1BVyEyylnxbu5c9KYo4Gna4Nd9wNbr4p4Le-K9BeCj7IevDO0NRZTOhMKWWU_x3r2oEU3pDFZtI61kYLhE3ysvTZ4fVwwRknlEx3rCY38Od-TI7DmCerJH_FG3IrXfR4DFUfoEg-PUQ";
const RS256: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYS0xIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUiLCJzdWIiOiIyNDgyODk3NjEwMDEiLCJhdWQiOiJwcm9jdXJhIiwiZXhwIjoxNzk1MDAwMzAwLCJpYXQiOjE3OTUwMDAwMDAsIm5vbmNlIjoibi0wUzZfV3pBMk1qIiwiYXRfaGFzaCI6InJYSDdRV1ZUWm5YWUNvdV82VmRwZmciLCJhdXRoX3RpbWUiOjE3OTQ5OTk5OTAsImdyb3VwcyI6WyJvcHMiLCJkZXYiXSwicHJlZmVycmVkX3VzZXJuYW1lIjoiYW5uYSJ9.ji5qbDJLKqr9cAIRIhFc-96LlS4tdzaY618X5nogLrNDRig8eXkRW61vJ-Z81b5XS-64FnnX_PgByKNKcfFSQ_kowRiGLO1-cHEiomy-F-nzLkfOMf8yu0bgVOsO7vBOYgWjqwt7m_jzyLiQZv_ax9v5cf5o3LidvpL3EweIcf4VEB6xJJMv7nW29Cqqpp-mg9ZIDxiXrdcRUuLbozcH_Mkv9UjOL7eZSKhbqsT6Tcg_hC-9284h8JJPQgopOp44g7zwohVs-RiguYhU-y9uGhqp00o1dz-rEBbejwgYRUWrnrtWsGgJ4w0K7vUgpj4BjXvpLXc55jHZtFWMQX20gg";

/// What a provider that knows nobody too well says.
fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": SUBJECT,
        "aud": CLIENT,
        "exp": NOW.as_secs() + 300,
        "iat": NOW.as_secs(),
        "nonce": NONCE,
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn jwk(key: &SigningKey, kid: &str) -> Value {
    let mut jwk = serde_json::to_value(key.public().to_jwk()).unwrap();
    jwk["kid"] = json!(kid);
    jwk["use"] = json!("sig");
    jwk
}

fn keys(keys: &[Value]) -> ProviderKeys {
    ProviderKeys::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn with_terms<T>(
    change: impl FnOnce(&mut IdTokenTerms<'_>),
    look: impl FnOnce(&IdTokenTerms<'_>) -> T,
) -> T {
    let access_token = Secret::new(ACCESS.to_owned());
    let mut terms = IdTokenTerms {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: NONCE,
        access_token: &access_token,
        anew_since: None,
        max_age: Duration::from_secs(12 * 60 * 60),
        groups_claim: Some("groups"),
        now: NOW,
    };
    change(&mut terms);
    look(&terms)
}

fn verify(token: &str, keys: &ProviderKeys) -> Result<IdToken, IdTokenRefusal> {
    with_terms(|_| (), |terms| IdToken::verify(token, keys, terms))
}

/// A token of these claims under the key `k1`.
fn token(key: &SigningKey, claims: &Value) -> String {
    signed(key, r#"{"alg":"ES256","kid":"k1"}"#, &claims.to_string())
}

#[test]
fn each_algorithm_signs_by_its_own_key() {
    let (es, ed) = (
        p256(),
        SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
    );
    let rsa = json!({"kty": "RSA", "kid": "rsa-1", "n": RSA, "e": "AQAB", "alg": "RS256"});
    let set = keys(&[jwk(&es, "es"), jwk(&ed, "ed"), rsa]);
    let found = verify(RS256, &set).unwrap();
    assert_eq!(found.subject, SUBJECT);
    assert_eq!(found.groups, ["ops", "dev"]);
    assert_eq!(found.called.as_deref(), Some("anna"));
    assert_eq!(found.auth_time, Some(NOW.minus(Duration::from_secs(10))));
    let text = claims().to_string();
    for (key, alg, kid) in [
        (&es, "ES256", "es"),
        (&ed, "EdDSA", "ed"),
        (&ed, "Ed25519", "ed"),
    ] {
        let header = json!({"alg": alg, "kid": kid, "typ": "jwt"}).to_string();
        let found = verify(&signed(key, &header, &text), &set).unwrap();
        let expected = IdToken {
            subject: SUBJECT.to_owned(),
            auth_time: None,
            groups: Vec::new(),
            called: None,
        };
        assert_eq!(found, expected, "{alg}");
    }
}

#[test]
fn the_header_chooses_no_algorithm_and_brings_no_key() {
    use IdTokenRefusal::{Algorithm, BadSignature, Header, UnknownKey};
    let (key, other) = (p256(), p256());
    let ed = SigningKey::generate_ed25519(&SystemEntropy).unwrap();
    let set = keys(&[jwk(&key, "k1"), jwk(&ed, "k2")]);
    let text = claims().to_string();
    let evil = jwk(&other, "k1").to_string();
    let unknown =
        format!(r#"{{"alg":"ES256","kid":"k3","jwk":{evil},"jku":"https://evil.example"}}"#);
    let embedded = format!(r#"{{"alg":"ES256","kid":"k1","jwk":{evil}}}"#);
    for (signer, header, refusal) in [
        (&key, r#"{"alg":"none","kid":"k1"}"#, Algorithm),
        (&key, r#"{"alg":"None","kid":"k1"}"#, Algorithm),
        (&key, r#"{"alg":"HS256","kid":"k1"}"#, Algorithm),
        (&key, r#"{"alg":"ES384","kid":"k1"}"#, Algorithm),
        (&key, r#"{"alg":"EdDSA","kid":"k1"}"#, Algorithm),
        (&key, r#"{"alg":"RS256","kid":"k1"}"#, Algorithm),
        (&key, r#"{"alg":"ES256","kid":"k2"}"#, Algorithm),
        (&key, r#"{"alg":"ES256","kid":"k3"}"#, UnknownKey),
        (&other, &unknown, UnknownKey),
        (&other, &embedded, BadSignature),
        (&other, r#"{"alg":"ES256","kid":"k1"}"#, BadSignature),
        (
            &key,
            r#"{"alg":"ES256","kid":"k1","crit":["b64"],"b64":false}"#,
            Header,
        ),
        (&key, r#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#, Header),
        (&key, r#"{"alg":"ES256","kid":"k1","alg":"ES256"}"#, Header),
        (&key, r#"{"alg":"ES256","kid":null}"#, Header),
        (&key, r#"{"kid":"k1"}"#, Header),
        (&key, r#"["ES256","k1"]"#, Header),
    ] {
        let found = verify(&signed(signer, header, &text), &set);
        assert_eq!(found, Err(refusal), "{header}");
    }
}

/// A MAC by what everybody knows, the public key, is no signature.
#[test]
fn a_public_key_is_no_shared_secret() {
    let key = p256();
    let set = keys(&[jwk(&key, "k1")]);
    let mac = procura_crypto::MacKey::from_bytes(key.public().as_bytes()).unwrap();
    for alg in ["HS256", "ES256"] {
        let header = json!({"alg": alg, "kid": "k1"}).to_string();
        let message = format!(
            "{}.{}",
            b64url(header.as_bytes()),
            b64url(claims().to_string().as_bytes())
        );
        let tag = mac.sign(&[message.as_bytes()]);
        let token = format!("{message}.{}", b64url(&tag));
        let refusal = if alg == "HS256" {
            IdTokenRefusal::Algorithm
        } else {
            IdTokenRefusal::BadSignature
        };
        assert_eq!(verify(&token, &set), Err(refusal), "{alg}");
    }
    let message = format!(
        "{}.{}",
        b64url(br#"{"alg":"none"}"#),
        b64url(claims().to_string().as_bytes())
    );
    assert_eq!(
        verify(&format!("{message}."), &set),
        Err(IdTokenRefusal::Algorithm)
    );
}

#[test]
fn what_is_no_token_is_none() {
    let key = p256();
    let set = keys(&[jwk(&key, "k1")]);
    let good = token(&key, &claims());
    assert!(verify(&good, &set).is_ok());
    let long = "A".repeat(MAX_ID_TOKEN + 1);
    for bad in [
        "",
        ".",
        "..",
        "a.b",
        &good[1..],
        &format!("{good}="),
        &format!("{good}."),
        &format!(".{good}"),
        &good.replace('.', ". "),
        &long,
    ] {
        let found = verify(bad, &set);
        let refusals = [IdTokenRefusal::Malformed, IdTokenRefusal::Header];
        assert!(
            found.is_err_and(|refusal| refusals.contains(&refusal)),
            "{bad:.40}"
        );
    }
}

#[test]
fn every_claim_is_looked_at() {
    let key = p256();
    let set = keys(&[jwk(&key, "k1")]);
    let now = NOW.as_secs();
    let (skew, age) = (SKEW.as_secs(), ID_TOKEN_AGE.as_secs());
    let good = [
        claims(),
        with("aud", json!([CLIENT])),
        with("azp", json!(CLIENT)),
        with("exp", json!(now - skew + 1)),
        with("iat", json!(now + skew)),
        with("iat", json!(now - age - skew + 1)),
        with("nbf", json!(now + skew)),
        with("sub", json!("x".repeat(255))),
        with("groups", json!([])),
        with("groups", json!(null)),
        with("extra", json!({"deep": [1]})),
    ];
    for claims in good {
        let found = verify(&token(&key, &claims), &set);
        assert!(found.is_ok(), "{claims}: {found:?}");
    }
    let wrong_aud = IdTokenRefusal::WrongAudience;
    for (claims, refusal) in [
        (
            with("iss", json!("https://login.example/")),
            IdTokenRefusal::WrongIssuer,
        ),
        (
            with("iss", json!("https://evil.example")),
            IdTokenRefusal::WrongIssuer,
        ),
        (without("iss"), IdTokenRefusal::Claims),
        (with("aud", json!("other")), wrong_aud),
        (with("aud", json!([])), wrong_aud),
        (with("aud", json!([CLIENT, "other"])), wrong_aud),
        (with("aud", json!(["other", CLIENT])), wrong_aud),
        (with("aud", json!([CLIENT, CLIENT])), wrong_aud),
        (with("aud", json!("Procura")), wrong_aud),
        (without("aud"), IdTokenRefusal::Claims),
        (with("azp", json!("other")), IdTokenRefusal::WrongAzp),
        (with("azp", json!("")), IdTokenRefusal::WrongAzp),
        (with("azp", json!(7)), IdTokenRefusal::Claims),
        (with("exp", json!(now - skew)), IdTokenRefusal::Expired),
        (with("exp", json!(0)), IdTokenRefusal::Expired),
        (with("exp", json!(-1)), IdTokenRefusal::Claims),
        (with("exp", json!("1795000300")), IdTokenRefusal::Claims),
        (without("exp"), IdTokenRefusal::Claims),
        (with("iat", json!(now + skew + 1)), IdTokenRefusal::NotYet),
        (with("iat", json!(now - age - skew)), IdTokenRefusal::TooOld),
        (without("iat"), IdTokenRefusal::Claims),
        (with("nbf", json!(now + skew + 1)), IdTokenRefusal::NotYet),
        (with("nonce", json!("another")), IdTokenRefusal::WrongNonce),
        (with("nonce", json!("")), IdTokenRefusal::WrongNonce),
        (without("nonce"), IdTokenRefusal::WrongNonce),
        (with("sub", json!("")), IdTokenRefusal::Claims),
        (with("sub", json!("x".repeat(256))), IdTokenRefusal::Claims),
        (with("sub", json!("a\u{202e}b")), IdTokenRefusal::Claims),
        (with("sub", json!("a\nb")), IdTokenRefusal::Claims),
        (with("sub", json!(7)), IdTokenRefusal::Claims),
        (without("sub"), IdTokenRefusal::Claims),
        (with("groups", json!([7])), IdTokenRefusal::Claims),
        (with("groups", json!({"ops": true})), IdTokenRefusal::Claims),
        (
            with("groups", json!(["x".repeat(257)])),
            IdTokenRefusal::Claims,
        ),
        (
            with("groups", json!(vec!["x"; 1025])),
            IdTokenRefusal::Claims,
        ),
        (json!([]), IdTokenRefusal::Claims),
    ] {
        assert_eq!(
            verify(&token(&key, &claims), &set),
            Err(refusal),
            "{claims:.120}"
        );
    }
    let twice = claims().to_string().replace("{", r#"{"aud":"other","#);
    let header = r#"{"alg":"ES256","kid":"k1"}"#;
    let found = verify(&signed(&key, header, &twice), &set);
    assert_eq!(found, Err(IdTokenRefusal::Claims));
}

#[test]
fn the_access_token_is_the_one_that_came_along() {
    let (es, ed) = (
        p256(),
        SigningKey::generate_ed25519(&SystemEntropy).unwrap(),
    );
    let set = keys(&[jwk(&es, "es"), jwk(&ed, "ed")]);
    let half = |hash: &[u8]| b64url(&hash[..hash.len() / 2]);
    let (short, long) = (
        half(&sha256(ACCESS.as_bytes())),
        half(&sha512(ACCESS.as_bytes())),
    );
    let other = half(&sha256(b"another"));
    let no = Err(IdTokenRefusal::AtHash);
    for (key, header, hash, expected) in [
        (&es, r#"{"alg":"ES256","kid":"es"}"#, &short, Ok(())),
        (&ed, r#"{"alg":"EdDSA","kid":"ed"}"#, &long, Ok(())),
        (&es, r#"{"alg":"ES256","kid":"es"}"#, &long, no),
        (&ed, r#"{"alg":"EdDSA","kid":"ed"}"#, &short, no),
        (&es, r#"{"alg":"ES256","kid":"es"}"#, &other, no),
        (&es, r#"{"alg":"ES256","kid":"es"}"#, &String::new(), no),
    ] {
        let token = signed(key, header, &with("at_hash", json!(hash)).to_string());
        assert_eq!(verify(&token, &set).map(drop), expected, "{header} {hash}");
    }
}

#[test]
fn whoever_is_asked_anew_has_to_have_answered() {
    let key = p256();
    let set = keys(&[jwk(&key, "k1")]);
    let asked = NOW.minus(Duration::from_secs(30));
    let proven = |at: Option<u64>, anew: bool| {
        let claims = at.map_or_else(claims, |at| with("auth_time", json!(at)));
        let token = token(&key, &claims);
        let change = |terms: &mut IdTokenTerms<'_>| {
            terms.anew_since = anew.then_some(asked);
            terms.max_age = Duration::from_secs(3600);
        };
        with_terms(change, |terms| IdToken::verify(&token, &set, terms))
            .map(|found| found.auth_time)
    };
    let (now, skew) = (NOW.as_secs(), SKEW.as_secs());
    let at = |seconds| Ok(Some(Timestamp::from_secs(seconds)));
    let no = Err(IdTokenRefusal::NotAnew);
    assert_eq!(proven(None, false), Ok(None));
    assert_eq!(proven(None, true), no);
    assert_eq!(proven(Some(now - 10), true), at(now - 10));
    assert_eq!(
        proven(Some(asked.as_secs() - skew), true),
        at(asked.as_secs() - skew)
    );
    assert_eq!(proven(Some(asked.as_secs() - skew - 1), true), no);
    assert_eq!(
        proven(Some(now - 3600 - skew), false),
        at(now - 3600 - skew)
    );
    assert_eq!(proven(Some(now - 3601 - skew), false), no);
    // Never fresher than now, whatever the provider's clock says.
    assert_eq!(proven(Some(now + skew), true), at(now));
    assert_eq!(
        proven(Some(now + skew + 1), true),
        Err(IdTokenRefusal::NotYet)
    );
}

#[test]
fn groups_are_a_list_of_names_or_one() {
    let key = p256();
    let set = keys(&[jwk(&key, "k1")]);
    for (value, groups) in [
        (json!(["ops", "dev"]), vec!["ops", "dev"]),
        (json!("ops"), vec!["ops"]),
        (json!([]), vec![]),
    ] {
        let token = token(&key, &with("groups", value.clone()));
        assert_eq!(verify(&token, &set).unwrap().groups, groups, "{value}");
        let unasked = with_terms(
            |terms| terms.groups_claim = None,
            |terms| IdToken::verify(&token, &set, terms),
        );
        assert!(unasked.unwrap().groups.is_empty());
    }
}

#[test]
fn keys_that_do_not_sign_are_no_keys() {
    let key = p256();
    let token = token(&key, &claims());
    let good = jwk(&key, "k1");
    let changed = |name: &str, value: Value| {
        let mut jwk = good.clone();
        jwk[name] = value;
        jwk
    };
    let unsafe_rsa = json!({"kty": "RSA", "kid": "k1", "n": "AQAB", "e": "AQAB"});
    for jwk in [
        changed("use", json!("enc")),
        changed("alg", json!("ES384")),
        changed("alg", json!("RS256")),
        changed("key_ops", json!(["encrypt"])),
        changed("kid", json!("k2")),
        changed("kty", json!("oct")),
        changed("crv", json!("P-384")),
        changed("x", json!("AA")),
        json!({"kty": "oct", "kid": "k1", "k": "AAAA"}),
        json!("k1"),
        unsafe_rsa,
    ] {
        let found = verify(&token, &keys(std::slice::from_ref(&jwk)));
        assert_eq!(found, Err(IdTokenRefusal::UnknownKey), "{jwk}");
    }
    for jwk in [
        changed("key_ops", json!(["verify"])),
        changed("alg", json!("ES256")),
        changed("x5c", json!(["MIIB"])),
    ] {
        assert!(verify(&token, &keys(&[jwk])).is_ok());
    }
    // Of several keys a token says which; of two of one name nobody knows.
    let other = jwk(&p256(), "k2");
    let unnamed = signed(&key, r#"{"alg":"ES256"}"#, &claims().to_string());
    assert!(verify(&unnamed, &keys(std::slice::from_ref(&good))).is_ok());
    let several = keys(&[good.clone(), other]);
    assert_eq!(verify(&unnamed, &several), Err(IdTokenRefusal::UnknownKey));
    let doubled = keys(&[good.clone(), jwk(&p256(), "k1")]);
    assert_eq!(verify(&token, &doubled), Err(IdTokenRefusal::UnknownKey));
    for set in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        let found = ProviderKeys::parse(set.as_bytes());
        assert_eq!(found.err(), Some(IdTokenRefusal::KeySet), "{set}");
    }
    let many = json!({"keys": vec![good; 65]}).to_string();
    let found = ProviderKeys::parse(many.as_bytes());
    assert_eq!(found.err(), Some(IdTokenRefusal::KeySet));
}
