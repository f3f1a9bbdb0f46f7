//! What the server takes for the token of a CortexAuth client's login, and the reason for
//! each that it does not.

use crate::{ISSUER, NOW, bent, counts_until, expected, names, p256};
use procura_crypto::SigningKey;
use procura_token::{
    AGENT_TYPE, Confirmation, DAEMON_AUDIENCE, DAEMON_TYPE, DaemonClaims, KeySet, LEGACY_AUDIENCE,
    LEGACY_LIFE, LEGACY_TYPE, LegacyClaims, PROJECT_TYPE, TokenError, claimed_id,
};
use procura_types::{ActorId, Thumbprint, Timestamp, TokenId};
use serde_json::{Value, json};

fn claims() -> LegacyClaims {
    let iat = NOW.as_secs();
    LegacyClaims {
        iss: ISSUER.to_owned(),
        aud: LEGACY_AUDIENCE.to_owned(),
        sub: "agent-claude.01".parse().unwrap(),
        actor: ActorId::from_bytes([1; 32]),
        iat,
        exp: iat + LEGACY_LIFE.as_secs(),
        jti: TokenId::from_bytes([2; 16]),
        cnf: Confirmation {
            jkt: Thumbprint::from_bytes([3; 32]),
        },
    }
}

fn verify(token: &str, key: &SigningKey, now: Timestamp) -> Result<LegacyClaims, TokenError> {
    let keys = KeySet::new([key.public().clone()]).unwrap();
    LegacyClaims::verify(token, &keys, &expected(now))
}

/// What becomes of a token of this type whose claims were changed, signed well.
fn changed(typ: &str, change: impl Fn(&mut Value)) -> Result<LegacyClaims, TokenError> {
    let key = p256();
    verify(&bent(&key, typ, &claims(), change), &key, NOW)
}

#[test]
fn the_json_has_the_claims_of_the_format_and_no_others() {
    assert_eq!(
        serde_json::to_value(claims()).unwrap(),
        json!({
            "iss": ISSUER,
            "aud": "procura-legacy",
            "sub": "agent-claude.01",
            "actor": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
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
fn what_is_changed_in_it_is_noticed() {
    for name in names(&claims()) {
        let without = changed(LEGACY_TYPE, |claims| {
            claims.as_object_mut().unwrap().remove(&name);
        });
        assert_eq!(without, Err(TokenError::Claims), "{name}");
    }
    for (name, value, error) in [
        ("nbf", json!(1), TokenError::Claims),
        ("sub", json!("../agent"), TokenError::Claims),
        ("exp", json!(1_797_592_001u64), TokenError::Claims),
        ("iss", json!("https://other"), TokenError::Issuer),
        ("aud", json!(DAEMON_AUDIENCE), TokenError::Audience),
    ] {
        let found = changed(LEGACY_TYPE, |claims| claims[name] = value.clone());
        assert_eq!(found, Err(error), "{name} {value}");
    }
    let other = p256();
    let token = claims().sign(&other).unwrap();
    let found = verify(token.expose(), &p256(), NOW);
    assert_eq!(found, Err(TokenError::UnknownKey));
}

/// It is signed by the keys of daemons' tokens: the type keeps the two apart.
#[test]
fn neither_type_passes_for_the_other() {
    for typ in [AGENT_TYPE, PROJECT_TYPE, DAEMON_TYPE, "JWT", ""] {
        assert_eq!(changed(typ, |_| {}), Err(TokenError::Type), "{typ}");
    }
    let key = p256();
    let keys = KeySet::new([key.public().clone()]).unwrap();
    let token = claims().sign(&key).unwrap();
    let found = DaemonClaims::verify(token.expose(), &keys, &expected(NOW));
    assert_eq!(found.unwrap_err(), TokenError::Type);
}

#[test]
fn which_token_one_says_that_it_is_can_be_read_of_any() {
    let token = claims().sign(&p256()).unwrap();
    let id = "02020202-0202-0202-0202-020202020202";
    assert_eq!(claimed_id(token.expose()).as_deref(), Some(id));
    for none in ["", "a.b", "a.b.c", "pcp1_abc", "e30.e30.e30"] {
        assert_eq!(claimed_id(none), None, "{none}");
    }
}
