//! Tokens and the keys that verify them.

use super::Seeds;
use crate::world::NOW;
use crate::{id_token, token};

/// Tokens of ours, the set that verifies them, and a stream of events.
pub(super) fn ours(seeds: &mut Seeds) {
    let claims = token::claims();
    seeds.add("agent_token", "claims", token::token(&claims));
    seeds.near("agent_token", "other-type", token::of_another_type());
    let mut other = claims.clone();
    other.aud = "another".to_owned();
    seeds.near("agent_token", "other-audience", token::token(&other));
    let mut over = claims.clone();
    over.iat -= 7200;
    over.exp -= 7200;
    seeds.near("agent_token", "over", token::token(&over));
    let unsigned = token::token(&claims);
    let signed = unsigned.iter().rposition(|byte| *byte == b'.').unwrap();
    seeds.near("agent_token", "unsigned", &unsigned[..=signed]);

    let project = token::project_claims();
    let of = |claims: &_| token::project(claims, procura_token::PROJECT_TYPE);
    seeds.add("project_token", "claims", of(&project));
    seeds.add(
        "project_token",
        "opaque",
        format!("pcp1_{}", "A".repeat(43)),
    );
    seeds.near(
        "project_token",
        "opaque-short",
        format!("pcp1_{}", "A".repeat(42)),
    );
    seeds.near(
        "project_token",
        "opaque-bits",
        format!("pcp1_{}B", "A".repeat(42)),
    );
    let as_agents = token::project(&project, procura_token::AGENT_TYPE);
    seeds.near("project_token", "other-type", as_agents);
    let mut other = project.clone();
    other.aud = "procura".to_owned();
    seeds.near("project_token", "other-audience", of(&other));
    let mut longer = project;
    longer.exp += 1;
    seeds.near("project_token", "longer", of(&longer));

    let set = token::set();
    seeds.add("key_set", "one", set.clone());
    seeds.add("key_set", "none", r#"{"keys":[]}"#);
    seeds.near("key_set", "private", set.replacen('{', r#"{"d":"","#, 2));
    seeds.near("key_set", "other-use", set.replacen("sig", "enc", 1));

    for (name, stream) in [
        ("place", ": events of Procura\nid: 7\n\n"),
        ("event", "event: grant\nid: 8\ndata: {\"a\":1}\n\n"),
        ("lines", "data: a\r\ndata: b\r\n\r\ndata\n\n"),
    ] {
        seeds.add("event_stream", name, stream);
    }
    seeds.near("event_stream", "not-ended", "event: grant\ndata: {}\n");
}

/// Those of an identity provider, and the keys that it shows.
pub(super) fn of_providers(seeds: &mut Seeds) {
    let claims = id_token::claims();
    let of = |claims: &_| id_token::token(claims, "JWT");
    seeds.add("id_token", "claims", of(&claims));
    seeds.near("id_token", "other-type", id_token::token(&claims, "at+jwt"));
    let with = |name: &str, value: serde_json::Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        of(&changed)
    };
    seeds.add("id_token", "one-group", with("groups", "operators".into()));
    seeds.near("id_token", "other-issuer", with("iss", "x".into()));
    seeds.near("id_token", "other-audience", with("aud", "x".into()));
    seeds.near("id_token", "other-party", with("azp", "x".into()));
    seeds.near("id_token", "other-nonce", with("nonce", "x".into()));
    seeds.near("id_token", "other-access", with("at_hash", "x".into()));
    seeds.near("id_token", "over", with("exp", (NOW.as_secs() - 60).into()));
    let unsigned = of(&claims);
    let signed = unsigned.iter().rposition(|byte| *byte == b'.').unwrap();
    seeds.near("id_token", "unsigned", &unsigned[..=signed]);

    for (name, set) in id_token::sets() {
        seeds.add("provider_keys", name, set);
    }
    seeds.near("provider_keys", "no-list", r#"{"keys":{}}"#);
    seeds.near("provider_keys", "list", "[]");
}
