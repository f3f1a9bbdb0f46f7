//! What a verifier of agents' tokens takes, and the reason for each that it does not.

use crate::{ISSUER, NOW, bent, expected, p256, signed};
use procura_crypto::SigningKey;
use procura_token::{
    AGENT_AUDIENCE, AGENT_TYPE, AgentClaims, KeySet, SKEW, TOKEN_LIFE, TokenError,
};
use procura_types::{ActorId, Duration, Timestamp};
use serde_json::{Value, json};

fn claims() -> AgentClaims {
    let iat = NOW.as_secs();
    AgentClaims {
        iss: ISSUER.to_owned(),
        aud: AGENT_AUDIENCE.to_owned(),
        sub: "scribe-7".to_owned(),
        agent_id: "scribe-7".to_owned(),
        actor: ActorId::from_bytes([1; 32]),
        owner_user_id: ActorId::from_bytes([2; 32]),
        scopes: vec!["read".to_owned(), "write".to_owned()],
        iat,
        exp: iat + TOKEN_LIFE.as_secs(),
        jti: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
    }
}

fn verify(token: &str, keys: &[&SigningKey], now: Timestamp) -> Result<AgentClaims, TokenError> {
    let keys = KeySet::new(keys.iter().map(|key| key.public().clone())).unwrap();
    AgentClaims::verify(token, &keys, &expected(now))
}

fn header(key: &SigningKey, typ: &str) -> String {
    let kid = key.public().thumbprint();
    json!({"alg": "ES256", "kid": kid, "typ": typ}).to_string()
}

/// The refusal of a token whose claims were changed, signed well.
fn changed(change: impl Fn(&mut Value)) -> TokenError {
    let key = p256();
    let token = bent(&key, AGENT_TYPE, &claims(), change);
    verify(&token, &[&key], NOW).unwrap_err()
}

#[test]
fn a_good_token_is_taken_by_whoever_has_the_set() {
    let (key, other) = (p256(), p256());
    let token = claims().sign(&key).unwrap();
    let verified = verify(token.expose(), &[&other, &key], NOW).unwrap();
    assert_eq!(verified, claims());
}

#[test]
fn the_key_has_to_be_in_the_set_under_the_name_that_the_token_gives() {
    let (key, other) = (p256(), p256());
    let token = claims().sign(&key).unwrap();
    let refused = verify(token.expose(), &[&other], NOW).unwrap_err();
    assert_eq!(refused, TokenError::UnknownKey);
    let payload = serde_json::to_string(&claims()).unwrap();
    let unnamed = signed(
        &key,
        &format!(r#"{{"alg":"ES256","typ":"{AGENT_TYPE}"}}"#),
        &payload,
    );
    let refused = verify(&unnamed, &[&key], NOW).unwrap_err();
    assert_eq!(refused, TokenError::UnknownKey);
    // Signed by another key than the one that it names.
    let stolen = signed(&other, &header(&key, AGENT_TYPE), &payload);
    let refused = verify(&stolen, &[&key, &other], NOW).unwrap_err();
    assert_eq!(refused, TokenError::BadSignature);
}

#[test]
fn tokens_of_another_type_are_refused() {
    let key = p256();
    let payload = serde_json::to_string(&claims()).unwrap();
    for typ in ["JWT", "at+jwt", "", "procura-agent+JWT"] {
        let token = signed(&key, &header(&key, typ), &payload);
        let refused = verify(&token, &[&key], NOW).unwrap_err();
        assert_eq!(refused, TokenError::Type, "{typ}");
    }
    let untyped = json!({"alg": "ES256", "kid": key.public().thumbprint()}).to_string();
    let refused = verify(&signed(&key, &untyped, &payload), &[&key], NOW).unwrap_err();
    assert_eq!(refused, TokenError::Type);
    let none = json!({"alg": "none", "kid": key.public().thumbprint(), "typ": AGENT_TYPE});
    let refused = verify(&signed(&key, &none.to_string(), &payload), &[&key], NOW).unwrap_err();
    assert_eq!(refused, TokenError::Algorithm);
}

#[test]
fn every_claim_is_required_and_no_other_is_there() {
    for name in serde_json::to_value(claims())
        .unwrap()
        .as_object()
        .unwrap()
        .keys()
    {
        let without = changed(|claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        assert_eq!(without, TokenError::Claims, "{name}");
        let null = changed(|claims| claims[name] = Value::Null);
        assert_eq!(null, TokenError::Claims, "{name}");
    }
    assert_eq!(
        changed(|claims| claims["nbf"] = 1.into()),
        TokenError::Claims
    );
    assert_eq!(changed(|claims| *claims = json!([1])), TokenError::Claims);
    assert_eq!(
        changed(|claims| claims["aud"] = json!([AGENT_AUDIENCE])),
        TokenError::Claims
    );
    assert_eq!(
        changed(|claims| claims["sub"] = "other".into()),
        TokenError::Claims
    );
    assert_eq!(
        changed(|claims| claims["iat"] = (-1).into()),
        TokenError::Claims
    );
    let longer = changed(|claims| claims["exp"] = (claims["exp"].as_u64().unwrap() + 1).into());
    assert_eq!(longer, TokenError::Claims);
    let backwards = changed(|claims| claims["exp"] = 0.into());
    assert_eq!(backwards, TokenError::Claims);
    // Twice the same claim: whoever reads the other one reads another token.
    let key = p256();
    let text = serde_json::to_string(&claims()).unwrap();
    let twice = text.replacen('{', r#"{"scopes":["all"],"#, 1);
    let token = signed(&key, &header(&key, AGENT_TYPE), &twice);
    assert_eq!(
        verify(&token, &[&key], NOW).unwrap_err(),
        TokenError::Claims
    );
}

#[test]
fn another_issuer_or_audience_is_refused() {
    for iss in [
        "",
        "https://keys.example/",
        "https://KEYS.example",
        "http://keys.example",
    ] {
        assert_eq!(
            changed(|claims| claims["iss"] = iss.into()),
            TokenError::Issuer,
            "{iss}"
        );
    }
    for aud in ["", "procura", "Procura-agent"] {
        assert_eq!(
            changed(|claims| claims["aud"] = aud.into()),
            TokenError::Audience,
            "{aud}"
        );
    }
}

#[test]
fn a_token_counts_for_its_hour_and_the_difference_of_clocks() {
    let key = p256();
    let token = claims().sign(&key).unwrap();
    let at = |now| verify(token.expose(), &[&key], now).map(drop);
    let begin = Timestamp::from_secs(claims().iat);
    let end = Timestamp::from_secs(claims().exp);
    let milli = Duration::from_millis(1);
    assert_eq!(at(begin.minus(SKEW)), Ok(()));
    assert_eq!(at(begin.minus(SKEW).minus(milli)), Err(TokenError::NotYet));
    assert_eq!(at(end.plus(SKEW).minus(milli)), Ok(()));
    assert_eq!(at(end.plus(SKEW)), Err(TokenError::Expired));
}
