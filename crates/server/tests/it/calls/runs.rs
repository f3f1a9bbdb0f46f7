//! Runs, and the tokens of projects.

use super::{Case, NS, c};
use crate::actors::Actors;
use serde_json::json;

pub(super) async fn cases(actors: &Actors) -> Vec<Case> {
    let run = &actors.run;
    let issue = json!({"kind": "opaque", "names": ["DB"]});
    let target = format!("{NS}/projects/web/tokens");
    let issued = actors.ok("scribe", "POST", &target, issue).await;
    let (token, token_id) = (issued["token"].as_str().unwrap(), &issued["id"]);
    let (token, token_id) = (token.to_owned(), token_id.as_str().unwrap().to_owned());
    vec![
        c("POST", "/v1/namespaces/{ns}/projects/{name}/runs", format!("{NS}/projects/web/runs"), "scribe")
            .body(json!({"names": ["DB"], "delivery": "env"}))
            .refuses("baker", "not_found")
            .bad_target("web", "w.b", "project")
            .bad_body(json!({"names": ["DB"]}), "invalid_json", Some("delivery"))
            .bad_body(json!({"names": "DB", "delivery": "env"}), "invalid_json", None)
            .bad_body(json!({"names": ["DB"], "delivery": "mail"}), "invalid_json", None)
            .bad_body(json!({"names": ["DB"], "delivery": "http"}), "malformed", Some("delivery"))
            .bad_body(json!({"names": ["DB"], "delivery": "broker-only"}), "invalid_json", None)
            .bad_body(json!({"names": [], "delivery": "stdin"}), "malformed", Some("names"))
            .bad_body(json!({"names": ["DB", "API"], "delivery": "stdin"}), "malformed", Some("names"))
            .bad_body(json!({"names": (0..257).map(|number| format!("N{number}")).collect::<Vec<_>>(), "delivery": "env"}), "malformed", Some("names")),
        c("POST", "/v1/namespaces/{ns}/projects/{name}/runs/{run}/end", format!("{NS}/projects/web/runs/{run}/end"), "scribe")
            .refuses("baker", "forbidden")
            .bad_target(run, "7", "run"),
        c("POST", "/v1/namespaces/{ns}/projects/{name}/tokens", format!("{NS}/projects/web/tokens"), "scribe")
            .body(json!({"kind": "signed", "names": ["DB"], "delivery": "env", "life": 60}))
            .refuses("baker", "not_found")
            .bad_target("web", "w.b", "project")
            .bad_body(json!({"names": ["DB"]}), "invalid_json", Some("kind"))
            .bad_body(json!({"kind": "jwt", "names": ["DB"]}), "invalid_json", None)
            .bad_body(json!({"kind": "opaque", "names": "DB"}), "invalid_json", None)
            .bad_body(json!({"kind": "opaque", "names": ["DB"], "delivery": "mail"}), "invalid_json", None)
            .bad_body(json!({"kind": "opaque", "names": ["DB"], "life": 0}), "malformed", Some("life"))
            .bad_body(json!({"kind": "opaque", "names": ["DB"], "life": 1_209_601}), "malformed", Some("life"))
            .bad_body(json!({"kind": "opaque", "names": ["DB"], "life": -1}), "invalid_json", None)
            .bad_body(json!({"kind": "opaque", "names": ["DB", "NONE"]}), "value_missing", None)
            .bad_body(json!({"kind": "opaque", "names": (0..257).map(|number| format!("N{number}")).collect::<Vec<_>>()}), "malformed", Some("names")),
        c("POST", "/v1/namespaces/{ns}/projects/{name}/values", format!("{NS}/projects/web/values"), "scribe")
            .body(json!({"names": ["DB"]}))
            .shows(&token)
            .refuses("otto", "not_found")
            .bad_target("web", "w.b", "project")
            .bad_body(json!({"names": "DB"}), "invalid_json", None)
            .bad_body(json!({"names": (0..257).map(|number| format!("N{number}")).collect::<Vec<_>>()}), "malformed", Some("names"))
            .bad_body(json!({"names": ["D B"]}), "invalid_json", Some("env")),
        c("GET", "/v1/namespaces/{ns}/tokens", format!("{NS}/tokens?agent=baker&limit=1"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("limit=1", "after=x", "query")
            .bad_target("agent=baker", "agent=B", "query"),
        c("POST", "/v1/namespaces/{ns}/tokens/{id}/rotate", format!("{NS}/tokens/{token_id}/rotate"), "scribe")
            .body(json!({"life": 60}))
            .refuses("baker", "not_found")
            .bad_target(&token_id, "7", "token")
            .bad_body(json!({"life": 0}), "malformed", Some("life"))
            .bad_body(json!({"life": "60"}), "invalid_json", None),
        c("DELETE", "/v1/namespaces/{ns}/tokens/{id}", format!("{NS}/tokens/{token_id}"), "scribe")
            .refuses("otto", "forbidden")
            .bad_target(&token_id, &token_id.to_uppercase(), "token"),
        c("DELETE", "/v1/namespaces/{ns}/projects/{name}/tokens", format!("{NS}/projects/web/tokens"), "anna")
            .refuses("otto", "forbidden")
            .bad_target("web", "w.b", "project"),
    ]
}
