//! Tokens that anybody may send, and the key sets that they are verified by.

use crate::Verdict;
use crate::world::{AGENT, NOW, OWNER, WORLD};
use procura_token::{
    AGENT_AUDIENCE, AGENT_TYPE, AgentClaims, Confirmation, Expected, Jws, KeySet, OpaqueToken,
    PROJECT_AUDIENCE, PROJECT_LIFE, ProjectClaims, TOKEN_LIFE, sign,
};
use procura_types::{Thumbprint, TokenId};

const ISSUER: &str = "https://keys.example";

/// The claims of the corpus.
pub(crate) fn claims() -> AgentClaims {
    AgentClaims {
        iss: ISSUER.to_owned(),
        aud: AGENT_AUDIENCE.to_owned(),
        sub: "scribe".to_owned(),
        agent_id: "scribe".to_owned(),
        actor: AGENT,
        owner_user_id: OWNER,
        scopes: vec!["read".to_owned()],
        iat: NOW.as_secs(),
        exp: NOW.plus(TOKEN_LIFE).as_secs(),
        jti: "AAAAAAAAAAAAAAAAAAAAAA".to_owned(),
    }
}

/// A token of the corpus: these claims by the key of the set.
pub(crate) fn token(claims: &AgentClaims) -> Vec<u8> {
    let token = claims.sign(&WORLD.owner).unwrap();
    token.expose().as_bytes().to_vec()
}

/// A token of another type by the same key.
pub(crate) fn of_another_type() -> Vec<u8> {
    let payload = serde_json::to_vec(&claims()).unwrap();
    let token = sign(&WORLD.owner, "at+jwt", &payload).unwrap();
    token.expose().as_bytes().to_vec()
}

/// Tokens: whatever is taken was signed by the key of the set, in its one spelling, and
/// says what it says to whoever reads it again.
pub(crate) fn agent_token(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else {
        return Verdict::Refused;
    };
    let keys = KeySet::new([WORLD.owner.public().clone()]).unwrap();
    let expected = Expected {
        issuer: ISSUER,
        now: NOW,
    };
    let read = Jws::parse(text);
    if let Ok(jws) = &read {
        // No key of another kind takes it, whatever its header says.
        assert!(jws.verify(WORLD.agent.public()).is_err());
    }
    let Ok(found) = AgentClaims::verify(text, &keys, &expected) else {
        return Verdict::Refused;
    };
    let jws = read.expect("what verifies can be read");
    assert_eq!(jws.header().alg(), "ES256");
    assert_eq!(jws.header().typ(), Some(AGENT_TYPE));
    assert!(jws.verify(WORLD.owner.public()).is_ok());
    // Nobody here signs anything but the claims of the corpus.
    assert_eq!(found, claims());
    let later = Expected {
        now: NOW.plus(TOKEN_LIFE * 2),
        ..expected
    };
    assert!(AgentClaims::verify(text, &keys, &later).is_err());
    Verdict::Accepted
}

/// The claims of a project token of the corpus.
pub(crate) fn project_claims() -> ProjectClaims {
    ProjectClaims {
        iss: ISSUER.to_owned(),
        aud: PROJECT_AUDIENCE.to_owned(),
        sub: AGENT,
        iat: NOW.as_secs(),
        exp: NOW.plus(PROJECT_LIFE).as_secs(),
        jti: TokenId::from_bytes([2; 16]),
        project: "web".parse().unwrap(),
        namespace: "shop".parse().unwrap(),
        scope: "DB=db/password".to_owned(),
        cnf: Confirmation {
            jkt: Thumbprint::from_bytes([5; 32]),
        },
    }
}

/// A project token of the corpus, as one of this type.
pub(crate) fn project(claims: &ProjectClaims, typ: &str) -> Vec<u8> {
    let payload = serde_json::to_vec(claims).unwrap();
    let token = sign(&WORLD.owner, typ, &payload).unwrap();
    token.expose().as_bytes().to_vec()
}

/// Project tokens of both kinds: an opaque one has one spelling, and what is taken of the
/// signed ones was signed by the key of the set, and is no token of an agent.
pub(crate) fn project_token(data: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(data) else {
        return Verdict::Refused;
    };
    if let Some(opaque) = OpaqueToken::parse(text) {
        assert_eq!(opaque.text().expose(), text);
        return Verdict::Accepted;
    }
    let keys = KeySet::new([WORLD.owner.public().clone()]).unwrap();
    let expected = Expected {
        issuer: ISSUER,
        now: NOW,
    };
    let Ok(found) = ProjectClaims::verify(text, &keys, &expected) else {
        return Verdict::Refused;
    };
    assert_eq!(found, project_claims());
    assert!(AgentClaims::verify(text, &keys, &expected).is_err());
    let over = Expected {
        now: NOW.plus(PROJECT_LIFE),
        ..expected
    };
    assert!(ProjectClaims::verify(text, &keys, &over).is_err());
    Verdict::Accepted
}

/// Key sets: what is read is written again, and each key is found by its own thumbprint.
pub(crate) fn key_set(data: &[u8]) -> Verdict {
    let Ok(set) = KeySet::parse(data) else {
        return Verdict::Refused;
    };
    for key in set.keys() {
        assert_eq!(set.key(&key.thumbprint().to_string()), Some(key));
    }
    let written = set.to_json().unwrap();
    assert_eq!(KeySet::parse(written.as_bytes()).unwrap(), set);
    Verdict::Accepted
}

/// A set of the corpus.
pub(crate) fn set() -> String {
    KeySet::new([WORLD.owner.public().clone()])
        .unwrap()
        .to_json()
        .unwrap()
}
