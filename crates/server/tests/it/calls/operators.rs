//! Operators, what they sign in with, and their web logins.

use super::{Case, c, plain};
use crate::actors::Actors;
use crate::passkeys::enrolled;
use procura_crypto::{SystemEntropy, TotpSecret, totp_step};
use procura_identity::web_login::{WebLoginStart, WebLoginTerms};
use procura_policy::authorize;
use procura_proof::{Authenticated, Caller};
use procura_record::Origin;
use procura_types::{Amr, TraceId};
use serde_json::{Value, json};

/// A web login of otto's.
async fn web_login(actors: &Actors) -> String {
    let open = actors.world.app.open().unwrap();
    let (snapshot, now) = (open.directory.snapshot(), actors.world.now());
    let otto = snapshot.owner_named(&"otto".parse().unwrap()).unwrap().id;
    let person = Authenticated::vouched(otto, Amr::Passkey);
    let op = WebLoginStart::vouched(&person, &snapshot, None).unwrap();
    let caller = Caller::signing_in(&person, &snapshot, now, None);
    let decider = open.recorder.decider();
    let permit = authorize(decider, &snapshot, caller, op, now).ok().unwrap();
    let origin = Origin::new(TraceId::from_bytes([9; 16]));
    let made = open.recorder.change(permit, &origin, |batch| {
        let terms = WebLoginTerms::default();
        WebLoginStart::run(batch, &terms, now, &SystemEntropy)
    });
    made.await.ok().unwrap().login.id.to_string()
}

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    let app = actors
        .ok("otto", "POST", "/v1/operators/otto/totp", Value::Null)
        .await;
    let app = TotpSecret::from_base32(app["secret"].as_str().unwrap()).unwrap();
    let app_code = app.code(totp_step(actors.world.now())).expose().clone();
    let login = web_login(actors).await;
    let (passkey, _) = enrolled(actors, "otto").await;
    vec![
        // Before what ends web logins.
        c(
            "GET",
            "/v1/operators/{name}/logins",
            "/v1/operators/otto/logins",
            "alice",
        )
        .refuses("adam", "not_found")
        .bad_target("otto", "Otto", "label"),
        c(
            "DELETE",
            "/v1/operators/{name}/logins/{id}",
            format!("/v1/operators/otto/logins/{login}"),
            "otto",
        )
        .refuses("adam", "not_found")
        .bad_target(&login, "7", "web_login"),
        plain("GET", "/v1/operators", "alice").refuses("adam", "forbidden"),
        plain("POST", "/v1/operators", "alice")
            .body(json!({"name": "nina", "roles": [{"role": "auditor", "namespace": "shop"}]}))
            .refuses("adam", "forbidden")
            .bad_body(
                json!({"name": "Nina", "roles": []}),
                "invalid_json",
                Some("label"),
            )
            .bad_body(json!({"name": "nina"}), "invalid_json", Some("roles"))
            .bad_body(
                json!({"name": "nina", "roles": [{"role": "king"}]}),
                "invalid_json",
                None,
            )
            .bad_body(
                json!({"name": "nina", "roles": [{"role": "steward", "namespace": "shop"}]}),
                "malformed",
                Some("roles"),
            ),
        c(
            "PUT",
            "/v1/operators/{name}/roles",
            "/v1/operators/otto/roles",
            "alice",
        )
        .body(json!({"roles": [{"role": "auditor", "namespace": "shop"}]}))
        .refuses("adam", "forbidden")
        .bad_target("otto", "Otto", "label")
        .bad_body(
            json!({"roles": [{"role": "admin"}]}),
            "malformed",
            Some("roles"),
        )
        .bad_body(json!({"role": []}), "invalid_json", None),
        c(
            "POST",
            "/v1/operators/{name}/link-code",
            "/v1/operators/otto/link-code",
            "otto",
        )
        .refuses("adam", "not_found")
        .bad_target("otto", "-otto", "label"),
        c(
            "GET",
            "/v1/operators/{name}/passkeys",
            "/v1/operators/otto/passkeys",
            "otto",
        )
        .refuses("adam", "not_found")
        .bad_target("otto", "Otto", "label"),
        c(
            "POST",
            "/v1/operators/{name}/passkey-code",
            "/v1/operators/otto/passkey-code",
            "otto",
        )
        .refuses("alice", "not_found")
        .bad_target("otto", "Otto", "label"),
        c(
            "PUT",
            "/v1/passkeys/{id}/name",
            format!("/v1/passkeys/{passkey}/name"),
            "otto",
        )
        .body(json!({"name": "Phone"}))
        .refuses("alice", "not_found")
        .bad_target(&passkey, "x", "device")
        .bad_body(
            json!({"name": "two\nlines"}),
            "invalid_json",
            Some("display_name"),
        )
        .bad_body(json!({}), "invalid_json", Some("name")),
        c(
            "DELETE",
            "/v1/passkeys/{id}",
            format!("/v1/passkeys/{passkey}"),
            "otto",
        )
        .refuses("adam", "not_found")
        .bad_target(&passkey, "x", "device"),
        c(
            "PUT",
            "/v1/operators/{name}/password",
            "/v1/operators/otto/password",
            "otto",
        )
        .body(json!({"password": "correct horse battery"}))
        .refuses("alice", "not_found")
        .bad_target("otto", "Otto", "label")
        .bad_body(
            json!({"password": "eleven char"}),
            "weak_passphrase",
            Some("password"),
        )
        .bad_body(
            json!({"password": "x".repeat(1025)}),
            "weak_passphrase",
            Some("password"),
        )
        .bad_body(json!({"password": 7}), "invalid_json", None)
        .bad_body(json!({}), "invalid_json", Some("password")),
        // Before another app is begun with.
        c(
            "POST",
            "/v1/operators/{name}/totp/confirm",
            "/v1/operators/otto/totp/confirm",
            "otto",
        )
        .body(json!({"code": app_code}))
        .refuses("alice", "not_found")
        .bad_target("otto", "o%20tto", "label")
        .bad_body(json!({"code": 123_456}), "invalid_json", None)
        .bad_body(json!({}), "invalid_json", Some("code")),
        c(
            "POST",
            "/v1/operators/{name}/totp",
            "/v1/operators/otto/totp",
            "otto",
        )
        .refuses("alice", "not_found")
        .bad_target("otto", "Otto", "label"),
        c(
            "POST",
            "/v1/operators/{name}/recovery-codes",
            "/v1/operators/otto/recovery-codes",
            "otto",
        )
        .refuses("alice", "not_found")
        .bad_target("otto", "Otto", "label"),
        c(
            "GET",
            "/v1/operators/{name}/account",
            "/v1/operators/otto/account",
            "otto",
        )
        .refuses("adam", "not_found")
        .bad_target("otto", "Otto", "label"),
        c(
            "DELETE",
            "/v1/operators/{name}/logins",
            "/v1/operators/otto/logins",
            "alice",
        )
        .refuses("adam", "not_found")
        .bad_target("otto", "Otto", "label"),
        c(
            "DELETE",
            "/v1/operators/{name}/account",
            "/v1/operators/otto/account",
            "otto",
        )
        .refuses("adam", "not_found")
        .bad_target("otto", "Otto", "label"),
    ]
}
