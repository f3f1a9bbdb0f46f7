//! What a verifier of devices' tokens takes, and the reason for each that it does not.

use crate::{ISSUER, NOW, bent, counts_until, expected, names, p256};
use procura_crypto::SigningKey;
use procura_token::{
    AGENT_TYPE, Confirmation, DAEMON_AUDIENCE, DAEMON_LIFE, DAEMON_TYPE, DaemonClaims, KeySet,
    PROJECT_AUDIENCE, PROJECT_TYPE, TokenError,
};
use procura_types::{ActorId, Thumbprint, Timestamp, TokenId};
use serde_json::{Value, json};

fn claims() -> DaemonClaims {
    let iat = NOW.as_secs();
    DaemonClaims {
        iss: ISSUER.to_owned(),
        aud: DAEMON_AUDIENCE.to_owned(),
        sub: ActorId::from_bytes([1; 32]),
        agent: "alice//scribe".to_owned(),
        iat,
        exp: iat + DAEMON_LIFE.as_secs(),
        jti: TokenId::from_bytes([2; 16]),
        cnf: Confirmation {
            jkt: Thumbprint::from_bytes([3; 32]),
        },
    }
}

fn verify(token: &str, key: &SigningKey, now: Timestamp) -> Result<DaemonClaims, TokenError> {
    let keys = KeySet::new([key.public().clone()]).unwrap();
    DaemonClaims::verify(token, &keys, &expected(now))
}

/// What becomes of a token of this type whose claims were changed, signed well.
fn changed(typ: &str, change: impl Fn(&mut Value)) -> Result<DaemonClaims, TokenError> {
    let key = p256();
    verify(&bent(&key, typ, &claims(), change), &key, NOW)
}

#[test]
fn the_json_has_the_claims_of_the_format_and_no_others() {
    assert_eq!(
        serde_json::to_value(claims()).unwrap(),
        json!({
            "iss": ISSUER,
            "aud": "procura-daemon",
            "sub": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
            "agent": "alice//scribe",
            "iat": 1_795_000_000u64,
            "exp": 1_797_592_000u64,
            "jti": "02020202-0202-0202-0202-020202020202",
            "cnf": {"jkt": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM"},
        })
    );
}

#[test]
fn it_counts_for_thirty_days_to_the_second() {
    let key = p256();
    let token = claims().sign(&key).unwrap();
    let verified = |now| verify(token.expose(), &key, now);
    counts_until(claims().exp, claims, verified);
}

#[test]
fn every_claim_is_required_and_no_other_is_there() {
    for name in names(&claims()) {
        let without = changed(DAEMON_TYPE, |claims| {
            claims.as_object_mut().unwrap().remove(&name);
        });
        assert_eq!(without, Err(TokenError::Claims), "{name}");
    }
    for (name, value) in [
        ("nbf", json!(1)),
        ("aud", json!([DAEMON_AUDIENCE])),
        ("cnf", json!({})),
        ("exp", json!(1_797_592_001u64)),
        ("exp", json!(1_797_591_999u64)),
    ] {
        let found = changed(DAEMON_TYPE, |claims| claims[name] = value.clone());
        assert_eq!(found, Err(TokenError::Claims), "{name} {value}");
    }
    let found = changed(DAEMON_TYPE, |claims| claims["iss"] = json!("https://other"));
    assert_eq!(found, Err(TokenError::Issuer));
    let found = changed(DAEMON_TYPE, |claims| {
        claims["aud"] = json!(PROJECT_AUDIENCE)
    });
    assert_eq!(found, Err(TokenError::Audience));
}

/// Each type of token has keys of its own; where somebody goes by a set with all of them,
/// the type keeps them apart.
#[test]
fn a_token_of_another_type_is_none_of_a_device() {
    for typ in [AGENT_TYPE, PROJECT_TYPE, "at+jwt", "JWT", ""] {
        assert_eq!(changed(typ, |_| {}), Err(TokenError::Type), "{typ}");
    }
}
