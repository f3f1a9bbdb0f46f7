//! How old secrets of agents and the keys that sign tokens are.

use super::Checks;
use procura_client::SessionClient;
use procura_types::wire::{ForeignIdentity, SigningKey, SigningKeyState, TokenType};
use procura_types::{Duration, Timestamp};

/// After this a key has been within reach of enough people and backups.
const DUE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Looks at those that the operator may see. All is well only where all was seen.
pub(super) async fn look(checks: &mut Checks, server: &SessionClient, now: Timestamp) {
    let (ids, all_seen) = read(server).await;
    match due(&ids, now).as_slice() {
        [] if all_seen => checks.ok("agent secrets", "none is due"),
        [] if ids.is_empty() => checks.note("agent secrets", "not looked at"),
        [] => checks.note("agent secrets", "none that was looked at is due"),
        names => checks.notice(
            "agent secrets",
            format!("due: {}", names.join(", ")),
            "they are refused some days after they were due; docs/runbooks/rotate-agent-secrets.md",
        ),
    }
    let mut keys = Vec::new();
    for tokens in TokenType::ALL {
        let Ok(list) = server.signing_keys(tokens).await else {
            return checks.note("signing key", "not looked at");
        };
        keys.extend(list.keys);
    }
    if is_old(&keys, now) {
        checks.notice(
            "signing key",
            "it has signed for more than 90 days",
            "procura signing-key roll has the next one sign; docs/runbooks/roll-signing-keys.md",
        );
    } else {
        checks.ok("signing key", "it has signed for 90 days at most");
    }
}

/// The ids of all namespaces that can be listed, and whether that is all.
async fn read(server: &SessionClient) -> (Vec<ForeignIdentity>, bool) {
    let Ok(list) = server.namespaces().await else {
        return (Vec::new(), false);
    };
    let (mut ids, mut all_seen) = (Vec::new(), true);
    for namespace in list.namespaces {
        match server.foreign_ids(&namespace.name).await {
            Ok(list) => ids.extend(list.ids),
            Err(_) => all_seen = false,
        }
    }
    (ids, all_seen)
}

/// The ids whose newest secret should be another.
fn due(ids: &[ForeignIdentity], now: Timestamp) -> Vec<String> {
    ids.iter()
        .filter(|id| {
            let newest = id.secrets.first();
            newest.is_some_and(|secret| now >= secret.due)
        })
        .map(|id| id.agent_id.to_string())
        .collect()
}

fn is_old(keys: &[SigningKey], now: Timestamp) -> bool {
    keys.iter()
        .filter(|key| key.state == SigningKeyState::Active)
        .any(|key| key.since.is_some_and(|since| now.since(since) > DUE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: &str = "2026-11-21T00:00:00Z";

    #[test]
    fn a_secret_is_due_when_its_newest_is() {
        let secret = |created: &str, due: &str| json!({"created": created, "due": due, "ends": "2027-06-01T00:00:00Z"});
        let old = secret("2026-08-01T00:00:00Z", "2026-10-30T00:00:00Z");
        let new = secret("2026-11-01T00:00:00Z", "2027-01-30T00:00:00Z");
        let id = |name: &str, secrets: &[&serde_json::Value]| -> ForeignIdentity {
            serde_json::from_value(json!({
                "agent_id": name, "agent": "bot", "actor_id": "A".repeat(43),
                "created": NOW, "secrets": secrets, "revoked": false,
            }))
            .unwrap()
        };
        let ids = [
            id("Old", &[&old]),
            id("Exchanged", &[&new, &old]),
            id("New", &[&new]),
            id("None", &[]),
        ];
        assert_eq!(due(&ids, NOW.parse().unwrap()), ["Old"]);
    }

    #[test]
    fn only_the_key_that_signs_can_be_old() {
        let key = |state: &str, since: &str| -> SigningKey {
            let signing = procura_crypto::SigningKey::generate_p256(&procura_crypto::SystemEntropy);
            let signing = signing.unwrap();
            let public = signing.public();
            serde_json::from_value(json!({
                "kid": public.thumbprint(), "state": state, "key": public.to_jwk(),
                "made": since, "since": since,
            }))
            .unwrap()
        };
        let now = NOW.parse().unwrap();
        let (old, new) = ("2026-08-01T00:00:00Z", "2026-11-01T00:00:00Z");
        assert!(is_old(&[key("next", new), key("active", old)], now));
        assert!(!is_old(&[key("active", new), key("retired", old)], now));
    }
}
