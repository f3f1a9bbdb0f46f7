//! What a verifier of project tokens takes, and the reason for each that it does not.

use crate::{ISSUER, NOW, bent, counts_until, expected, names, p256, signed};
use procura_crypto::{SigningKey, SystemEntropy};
use procura_token::{
    AGENT_AUDIENCE, AGENT_TYPE, AgentClaims, Confirmation, KeyRing, KeySet, KeyState, MAX_TOKEN,
    OPAQUE_PREFIX, OpaqueToken, PROJECT_AUDIENCE, PROJECT_LIFE, PROJECT_TYPE, ProjectClaims, SKEW,
    TOKEN_LIFE, TokenError, scope,
};
use procura_types::wire::GrantItem;
use procura_types::{ActorId, Duration, Thumbprint, Timestamp, TokenId};
use serde_json::{Value, json};

fn claims() -> ProjectClaims {
    let iat = NOW.as_secs();
    ProjectClaims {
        iss: ISSUER.to_owned(),
        aud: PROJECT_AUDIENCE.to_owned(),
        sub: ActorId::from_bytes([1; 32]),
        iat,
        exp: iat + PROJECT_LIFE.as_secs(),
        jti: TokenId::from_bytes([2; 16]),
        project: "web".parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        scope: "API=api/key DB=db/password".to_owned(),
        cnf: Confirmation {
            jkt: Thumbprint::from_bytes([3; 32]),
        },
    }
}

fn verify(token: &str, keys: &[&SigningKey], now: Timestamp) -> Result<ProjectClaims, TokenError> {
    let keys = KeySet::new(keys.iter().map(|key| key.public().clone())).unwrap();
    ProjectClaims::verify(token, &keys, &expected(now))
}

fn header(key: &SigningKey, typ: &str) -> String {
    let kid = key.public().thumbprint();
    json!({"alg": "ES256", "kid": kid, "typ": typ}).to_string()
}

/// What becomes of a token whose claims were changed, signed well.
fn changed(change: impl Fn(&mut Value)) -> Result<ProjectClaims, TokenError> {
    let key = p256();
    let token = bent(&key, PROJECT_TYPE, &claims(), change);
    verify(&token, &[&key], NOW)
}

#[test]
fn the_json_has_the_claims_of_the_format_and_no_others() {
    assert_eq!(
        serde_json::to_value(claims()).unwrap(),
        json!({
            "iss": ISSUER,
            "aud": "procura-project",
            "sub": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE",
            "iat": 1_795_000_000u64,
            "exp": 1_796_209_600u64,
            "jti": "02020202-0202-0202-0202-020202020202",
            "project": "web",
            "namespace": "shop",
            "scope": "API=api/key DB=db/password",
            "cnf": {"jkt": "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM"},
        })
    );
}

#[test]
fn it_counts_to_the_second_that_it_names_and_no_longer() {
    let key = p256();
    let token = claims().sign(&key).unwrap();
    // The server's clock says it; no other clock is asked, so nothing is added at the end.
    let verified = |now| verify(token.expose(), &[&key], now);
    counts_until(claims().exp, claims, verified);
}

#[test]
fn every_claim_is_required_and_no_other_is_there() {
    for name in names(&claims()) {
        let without = changed(|claims| {
            claims.as_object_mut().unwrap().remove(&name);
        });
        assert_eq!(without, Err(TokenError::Claims), "{name}");
        let null = changed(|claims| claims[&name] = Value::Null);
        assert_eq!(null, Err(TokenError::Claims), "{name}");
    }
    for (name, value) in [
        ("nbf", json!(1)),
        ("aud", json!([PROJECT_AUDIENCE])),
        ("cnf", json!({})),
        ("cnf", json!({"jkt": "AAAA"})),
        ("cnf", json!({"jkt": claims().cnf.jkt, "jwk": {}})),
        ("jti", json!("02020202")),
        ("exp", json!(1_796_209_601u64)),
        ("exp", json!(1_794_999_999u64)),
        ("project", json!("Web")),
    ] {
        let found = changed(|claims| claims[name] = value.clone());
        assert_eq!(found, Err(TokenError::Claims), "{name} {value}");
    }
    let found = changed(|claims| claims["iss"] = json!("https://other.example"));
    assert_eq!(found, Err(TokenError::Issuer));
    for audience in [
        AGENT_AUDIENCE,
        "procura",
        "",
        "procura-projects",
        "PROCURA-PROJECT",
    ] {
        let found = changed(|claims| claims["aud"] = json!(audience));
        assert_eq!(found, Err(TokenError::Audience), "{audience}");
    }
}

/// With one key for both types, which no server has, the type alone keeps them apart;
/// and with the type of the other, the claims do.
#[test]
fn tokens_of_agents_and_of_projects_are_never_each_other() {
    let key = p256();
    let iat = NOW.as_secs();
    let agents = AgentClaims {
        iss: ISSUER.to_owned(),
        aud: AGENT_AUDIENCE.to_owned(),
        sub: "scribe".to_owned(),
        agent_id: "scribe".to_owned(),
        actor: ActorId::from_bytes([1; 32]),
        owner_user_id: ActorId::from_bytes([1; 32]),
        scopes: Vec::new(),
        iat,
        exp: iat + TOKEN_LIFE.as_secs(),
        jti: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
    };
    let keys = KeySet::new([key.public().clone()]).unwrap();
    let expected = expected(NOW);
    let (agent, project) = (agents.sign(&key).unwrap(), claims().sign(&key).unwrap());
    let as_project = ProjectClaims::verify(agent.expose(), &keys, &expected);
    let as_agent = AgentClaims::verify(project.expose(), &keys, &expected);
    assert_eq!(as_project, Err(TokenError::Type));
    assert_eq!(as_agent, Err(TokenError::Type));
    let text = serde_json::to_string(&agents).unwrap();
    let disguised = signed(&key, &header(&key, PROJECT_TYPE), &text);
    assert_eq!(verify(&disguised, &[&key], NOW), Err(TokenError::Claims));
    let text = serde_json::to_string(&claims()).unwrap();
    let disguised = signed(&key, &header(&key, AGENT_TYPE), &text);
    let as_agent = AgentClaims::verify(&disguised, &keys, &expected);
    assert_eq!(as_agent, Err(TokenError::Claims));
    // Nor does either pass without a type, or under another key.
    let untyped = json!({"alg": "ES256", "kid": key.public().thumbprint()}).to_string();
    let untyped = signed(&key, &untyped, &text);
    assert_eq!(verify(&untyped, &[&key], NOW), Err(TokenError::Type));
    assert_eq!(
        verify(project.expose(), &[&p256()], NOW),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn a_scope_is_its_items_in_their_order_and_has_a_longest() {
    let item = |name: &str, path: &str| GrantItem {
        name: name.parse().unwrap(),
        path: path.parse().unwrap(),
    };
    assert_eq!(scope(&[]), "");
    let items = [item("API", "api/key"), item("DB", "db/password")];
    assert_eq!(scope(&items), claims().scope);
    let key = p256();
    let long = ProjectClaims {
        scope: "A=a ".repeat(MAX_TOKEN / 4),
        ..claims()
    };
    assert_eq!(long.sign(&key).err(), Some(TokenError::NotMade));
}

#[test]
fn an_opaque_token_is_read_back_and_no_other_spelling_is_one() {
    let token = OpaqueToken::generate(&SystemEntropy).unwrap();
    let text = token.text();
    assert_eq!(text.expose().len(), OPAQUE_PREFIX.len() + 43);
    assert_eq!(
        OpaqueToken::parse(text.expose()).unwrap().hash(),
        token.hash()
    );
    let other = OpaqueToken::generate(&SystemEntropy).unwrap();
    assert_ne!(other.hash(), token.hash());
    let bits = &text.expose()[OPAQUE_PREFIX.len()..];
    for wrong in [
        bits.to_owned(),
        format!("{OPAQUE_PREFIX}{}", &bits[1..]),
        format!("{OPAQUE_PREFIX}{bits}A"),
        format!("{OPAQUE_PREFIX}{bits}="),
        format!(" {}", text.expose()),
        String::new(),
    ] {
        assert!(OpaqueToken::parse(&wrong).is_none(), "{}", wrong.len());
    }
    // What is kept is not the bits themselves, and of them alone.
    let zero = OpaqueToken::parse(&format!("{OPAQUE_PREFIX}{}", "A".repeat(43))).unwrap();
    let expected = procura_crypto::sha256(
        procura_types::FieldTuple::new("procura.project-token.v1")
            .bytes(&[0; 32])
            .as_bytes(),
    );
    assert_eq!(zero.hash(), expected);
}

#[test]
fn a_ring_keeps_its_keys_for_as_long_as_its_tokens_count() {
    let (first, second, third) = (p256(), p256(), p256());
    let begin = Timestamp::from_secs(1_795_000_000);
    let mut ring = KeyRing::found(
        first.public().clone(),
        second.public().clone(),
        PROJECT_LIFE,
        begin,
    );
    ring.roll(third.public().clone(), begin).unwrap();
    let state = |ring: &KeyRing, now| ring.keys(now).nth(2).unwrap().state;
    let over = begin.plus(PROJECT_LIFE).plus(SKEW);
    let before = over.minus(Duration::from_millis(1));
    assert_eq!(state(&ring, begin.plus(TOKEN_LIFE * 2)), KeyState::Retiring);
    assert_eq!(state(&ring, before), KeyState::Retiring);
    assert_eq!(state(&ring, over), KeyState::Retired);
    // What is stored says for how long; one that was stored before says nothing, and is
    // for the tokens of agents.
    let stored = serde_json::to_value(&ring).unwrap();
    assert_eq!(stored["life"], 1_209_600);
    let back: KeyRing = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(back, ring);
    let mut old = stored;
    old.as_object_mut().unwrap().remove("life");
    let old: KeyRing = serde_json::from_value(old).unwrap();
    let over = begin.plus(TOKEN_LIFE).plus(SKEW);
    assert_eq!(state(&old, over), KeyState::Retired);
}
