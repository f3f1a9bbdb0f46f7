//! Every call of the API with who may make it, who may not, and what of it can be
//! malformed. The negative cases go through this table; a call that is not in it
//! fails `every_call_is_in_the_table`.

mod case;

pub(crate) use case::Case;

use crate::actors::{Actors, value_b64};
use crate::honey::touch_of;
use procura_crypto::SystemEntropy;
use procura_directory::Suspect;
use procura_store::{Batch, Kind, Table};
use procura_types::{ActorId, BatchId, CanaryId, InstanceId, Thumbprint};
use procura_types::{encoding, wire};
use procura_vault::commit_touches;
use serde_json::{Value, json};

/// What a gate asks about a request with this body.
fn question(body: &Value) -> Value {
    json!({
        "method": "GET",
        "authority": "till.example",
        "path": "/",
        "fields": [],
        "body": body,
        "peer": "10.0.0.5",
    })
}

/// Calls without a wrong actor: whoever has a device may make them.
pub(crate) const OPEN: [&str; 7] = [
    // Whoever has a role anywhere, and every agent; what they see is in `events`.
    "GET /v1/events",
    "GET /v1/namespaces",
    "POST /v1/sessions",
    "GET /v1/ledger/checkpoint",
    "GET /v1/ledger/handovers",
    "GET /v1/ledger/consistency",
    "GET /v1/ledger/retention",
];
/// Calls that read neither path parameters, nor a query, nor a body.
pub(crate) const NO_INPUT: [&str; 13] = [
    "GET /v1/servers",
    "GET /v1/honey",
    "GET /v1/quarantine",
    "GET /v1/proposals",
    "GET /v1/namespaces",
    "GET /v1/operators",
    "GET /v1/rotation",
    "GET /v1/ledger/handovers",
    "GET /v1/ledger/checkpoint",
    "GET /v1/ledger/forgotten",
    "GET /v1/ledger/retention",
    "POST /v1/seal",
    "GET /v1/status",
];

fn c(
    method: &'static str,
    template: &'static str,
    target: impl Into<String>,
    by: &'static str,
) -> Case {
    Case::new(method, template, target, by)
}

/// A device and an id of another system that touched a decoy.
async fn in_quarantine(actors: &Actors) -> (String, String) {
    let open = actors.world.app.open().unwrap();
    let (device, id) = (Thumbprint::from_bytes([7; 32]), "mole.7");
    let now = actors.world.now();
    let entropy = SystemEntropy;
    let touch = |suspect| {
        let canary = CanaryId::generate(now, &entropy).unwrap();
        touch_of(actors, suspect, canary, ActorId::from_bytes([7; 32]))
    };
    let touches = [
        touch(Suspect::Device(device)),
        touch(Suspect::Foreign(id.parse().unwrap())),
    ];
    let (store, directory) = (open.vault.store(), &open.directory);
    let clock = actors.world.clock.as_ref();
    let done = commit_touches(store, directory, &touches, clock, &entropy).await;
    assert!(done.unwrap());
    (device.to_string(), id.to_owned())
}

/// A server that was here, as a database that was shared once knows it.
async fn server_beside(actors: &Actors) -> String {
    const KNOWN: Table<String, Value> = Table::new("server-known", Kind::Ordinary);
    let (now, entropy) = (actors.world.now(), SystemEntropy);
    let id = InstanceId::generate(now, &entropy).unwrap().to_string();
    let mut batch = Batch::new(BatchId::generate(now, &entropy).unwrap());
    let row = json!({"host": "two", "since": now, "seen": now});
    KNOWN.put(&mut batch, &id, &row);
    let open = actors.world.app.open().unwrap();
    open.vault.store().commit(batch).await.unwrap();
    id
}

/// In an order in which all of them succeed one after the other.
pub(crate) async fn cases(actors: &Actors) -> Vec<Case> {
    const NS: &str = "/v1/namespaces/shop";
    let (grant, run, [first, second]) = (&actors.grant, &actors.run, &actors.waiting);
    let approval = actors.approval(first, "anna").await;
    let mut late = approval.clone();
    late["until"] = json!("tomorrow");
    let entries = actors
        .ok("alice", "GET", "/v1/ledger/entries?limit=1", Value::Null)
        .await;
    let entry: Value =
        serde_json::from_str(entries["entries"][0]["entry"].as_str().unwrap()).unwrap();
    let entry = entry["id"].as_str().unwrap().to_owned();
    let issue = json!({"kind": "opaque", "names": ["DB"]});
    let issued = actors
        .ok(
            "scribe",
            "POST",
            &format!("{NS}/projects/web/tokens"),
            issue,
        )
        .await;
    let (token, token_id) = (issued["token"].as_str().unwrap(), &issued["id"]);
    let (token, token_id) = (token.to_owned(), token_id.as_str().unwrap().to_owned());
    let transit = format!("{NS}/transit/unseal");
    actors
        .ok("adam", "PUT", &transit, json!({"agents": ["baker"]}))
        .await;
    let wrap = json!({"value_b64": value_b64(), "context": "AA"});
    let wrapped = actors
        .ok("baker", "POST", &format!("{transit}/wrap"), wrap)
        .await;
    let keys = actors
        .ok("alice", "GET", "/v1/signing-keys", Value::Null)
        .await;
    let kid = keys["keys"][0]["kid"].as_str().unwrap().to_owned();
    let act = json!({"act": {"make_shares": {"name": "shares", "threshold": 2, "count": 3}}});
    let proposed = actors.ok("alice", "POST", "/v1/proposals", act).await;
    let proposed: wire::Proposal = serde_json::from_value(proposed).unwrap();
    let proposal = proposed.id.to_string();
    let agreed = actors
        .key("alice")
        .sign(&proposed.message(&actors.installation));
    let agreed = encoding::b64url(&agreed.unwrap());
    let held = in_quarantine(actors).await;
    let beside = server_beside(actors).await;
    vec![
        c("GET", "/v1/namespaces", "/v1/namespaces", "scribe"),
        c("POST", "/v1/namespaces", "/v1/namespaces", "alice")
            .body(json!({"name": "dock"}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"name": "Not-A-Label"}), "invalid_json", Some("namespace"))
            .bad_body(json!({}), "invalid_json", Some("name"))
            .bad_body(json!({"name": 7}), "invalid_json", None),
        c("GET", "/v1/namespaces/{ns}", "/v1/namespaces/shop", "otto")
            .refuses("scribe", "forbidden")
            .bad_target("shop", "Shop", "namespace"),
        c("PUT", "/v1/namespaces/{ns}/quota", format!("{NS}/quota"), "alice")
            .body(json!({"secrets": 100, "versions_per_secret": 50, "versions": 1000, "bytes": 1_000_000}))
            .refuses("adam", "forbidden")
            .bad_target("shop", "shop-", "namespace")
            .bad_body(json!({"secrets": -1}), "invalid_json", None)
            .bad_body(json!({"secret": 1}), "invalid_json", None),
        c("PUT", "/v1/namespaces/{ns}/display-name", format!("{NS}/display-name"), "adam")
            .body(json!({"display_name": "The shop"}))
            .refuses("anna", "forbidden")
            .bad_target("shop", "sh%00p", "namespace")
            .bad_body(json!({"display_name": "a\nb"}), "invalid_json", Some("display_name"))
            .bad_body(json!({"display_name": "\u{1b}[2J"}), "invalid_json", Some("display_name"))
            .bad_body(json!({}), "invalid_json", Some("display_name")),
        c("DELETE", "/v1/namespaces/{ns}", "/v1/namespaces/dock", "alice")
            .body(json!({"confirm": "dock"}))
            .refuses("adam", "not_found")
            .bad_target("dock", "..%2Fdock", "namespace")
            .bad_body(json!({"confirm": "deck"}), "malformed", Some("confirm"))
            .bad_body(json!({"confirm": "Dock"}), "invalid_json", Some("namespace"))
            .bad_body(json!({"force": true}), "invalid_json", None),
        c("POST", "/v1/sessions", "/v1/sessions", "scribe")
            .body(json!({"audience": "procura"}))
            .bad_body(json!({"audience": "another"}), "malformed", Some("audience"))
            .bad_body(json!({"audience": "gate:shop"}), "malformed", Some("audience"))
            .bad_body(json!({"audience": "gate:Shop/till"}), "malformed", Some("audience"))
            .bad_body(json!({}), "invalid_json", Some("audience")),
        c("GET", "/v1/operators", "/v1/operators", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/operators", "/v1/operators", "alice")
            .body(json!({"name": "nina", "roles": [{"role": "auditor", "namespace": "shop"}]}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"name": "Nina", "roles": []}), "invalid_json", Some("label"))
            .bad_body(json!({"name": "nina"}), "invalid_json", Some("roles"))
            .bad_body(json!({"name": "nina", "roles": [{"role": "king"}]}), "invalid_json", None)
            .bad_body(json!({"name": "nina", "roles": [{"role": "steward", "namespace": "shop"}]}), "malformed", Some("roles")),
        c("PUT", "/v1/operators/{name}/roles", "/v1/operators/otto/roles", "alice")
            .body(json!({"roles": [{"role": "auditor", "namespace": "shop"}]}))
            .refuses("adam", "forbidden")
            .bad_target("otto", "Otto", "label")
            .bad_body(json!({"roles": [{"role": "admin"}]}), "malformed", Some("roles"))
            .bad_body(json!({"role": []}), "invalid_json", None),
        c("POST", "/v1/operators/{name}/link-code", "/v1/operators/otto/link-code", "otto")
            .refuses("adam", "not_found")
            .bad_target("otto", "-otto", "label"),
        c("GET", "/v1/namespaces/{ns}/agents", format!("{NS}/agents"), "otto").refuses("scribe", "forbidden"),
        c("POST", "/v1/namespaces/{ns}/agents", format!("{NS}/agents"), "adam")
            .body(json!({"label": "clerk", "parent": "baker"}))
            .refuses("anna", "forbidden")
            .bad_body(json!({"label": "a label"}), "invalid_json", Some("label"))
            .bad_body(json!({"label": "clerk", "parent": ""}), "invalid_json", Some("label"))
            .bad_body(json!({"parent": "baker"}), "invalid_json", Some("label")),
        c("POST", "/v1/namespaces/{ns}/agents/{label}/link-code", format!("{NS}/agents/clerk/link-code"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("clerk", "cl%20erk", "label"),
        c("PUT", "/v1/namespaces/{ns}/agents/{label}/sources", format!("{NS}/agents/clerk/sources"), "adam")
            .body(json!({"sources": ["10.0.0.0/8", "2001:db8::/48"]}))
            .refuses("otto", "forbidden")
            .bad_target("clerk", "cl%20erk", "label")
            .bad_body(json!({"sources": ["10.0.0.0/33"]}), "invalid_json", Some("address"))
            .bad_body(json!({"sources": (0..33).map(|host| format!("10.0.0.{host}")).collect::<Vec<_>>()}), "malformed", Some("sources"))
            .bad_body(json!({}), "invalid_json", Some("sources")),
        c("PUT", "/v1/namespaces/{ns}/agents/{label}/display-name", format!("{NS}/agents/clerk/display-name"), "adam")
            .body(json!({"display_name": null}))
            .refuses("otto", "forbidden")
            .bad_target("clerk", "cl%20erk", "label")
            .bad_body(json!({"display_name": "\u{202e}krelc"}), "invalid_json", Some("display_name"))
            .bad_body(json!({"display_name": 7}), "invalid_json", None)
            .bad_body(json!({}), "invalid_json", Some("display_name")),
        c("DELETE", "/v1/namespaces/{ns}/agents/{label}", format!("{NS}/agents/clerk"), "adam")
            .refuses("scribe", "forbidden")
            .bad_target("clerk", "clerk-", "label"),
        c("PUT", "/v1/namespaces/{ns}/secrets/{path}", format!("{NS}/secrets/new/key"), "adam")
            .body(json!({"value_b64": value_b64(), "env": "NEW", "description": "of the test"}))
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new//key", "path")
            .bad_target("new/key", "new/..%2Fkey", "path")
            .bad_body(json!({"value_b64": format!("{}!", value_b64())}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": format!("{}==", value_b64())}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": value_b64(), "env": "1ST"}), "invalid_json", Some("env"))
            .bad_body(json!({"value_b64": value_b64(), "env": "LD_PRELOAD"}), "malformed", Some("env"))
            .bad_body(json!({"value_b64": value_b64(), "description": "a\nb"}), "malformed", Some("description"))
            .bad_body(json!({"value_b64": value_b64(), "expect_version": -1}), "invalid_json", None)
            .bad_body(json!({"value_b64": value_b64(), "kind": "json"}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": value_b64(), "kind": "text"}), "invalid_json", None)
            .bad_body(json!({"value_b64": encoding::b64url(b"{{procura:1}}"), "kind": "template"}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": value_b64(), "tags": ["A"]}), "invalid_json", Some("tags"))
            .bad_body(json!({"value_b64": value_b64(), "tags": (0..17).map(|tag| format!("t{tag}")).collect::<Vec<_>>()}), "invalid_json", Some("tags"))
            .bad_body(json!({"value_b64": value_b64(), "owner": "a\nb"}), "invalid_json", Some("owner"))
            .bad_body(json!({"value_b64": value_b64(), "expires": "tomorrow"}), "invalid_json", Some("time"))
            .bad_body(json!({"value_b64": value_b64(), "delivery": ["env", "broker-only"]}), "invalid_json", Some("delivery"))
            .bad_body(json!({"value_b64": value_b64(), "delivery": []}), "invalid_json", Some("delivery"))
            .bad_body(json!({"env": "NEW"}), "invalid_json", Some("value_b64")),
        c("GET", "/v1/namespaces/{ns}/secrets", format!("{NS}/secrets?prefix=new&limit=5"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("limit=5", "limit=five", "query")
            .bad_target("limit=5", "limits=5", "query")
            .bad_target("limit=5", "after=%2F", "query")
            .bad_target("limit=5", "due_within=-1", "query")
            .bad_target("limit=5", "d%65leted=true", "deleted"),
        c("GET", "/v1/namespaces/{ns}/secrets", format!("{NS}/secrets?deleted=true"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("deleted=true", "deleted=yes", "query")
            .bad_target("deleted=true", "deleted=true&at=2026-11-01T00:00:00Z", "at")
            .bad_target("deleted=true", "deleted=true&due_within=0", "due_within"),
        c("GET", "/v1/namespaces/{ns}/secrets", format!("{NS}/secrets?at=2026-11-01T00:00:00Z"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("at=2026-11-01T00:00:00Z", "at=yesterday", "query")
            .bad_target("at=2026-11-01T00:00:00Z", "%61t=2026-11-21T00:00:00Z", "at")
            .bad_target("at=2026-11-01T00:00:00Z", "at=9999-11-21T00:00:00Z", "at")
            .bad_target("at=2026-11-01T00:00:00Z", "at=2026-11-01T00:00:00Z&due_within=0", "due_within"),
        c("POST", "/v1/namespaces/{ns}/metadata/{path}", format!("{NS}/metadata/new/key"), "adam")
            .body(json!({"tags": ["payments"], "owner": "Ann", "clear": ["expires"]}))
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new//key", "path")
            .bad_body(json!({"tags": [""]}), "invalid_json", Some("tags"))
            .bad_body(json!({"owner": ""}), "invalid_json", Some("owner"))
            .bad_body(json!({"description": "a\nb"}), "malformed", Some("description"))
            .bad_body(json!({"rotate_by": 7}), "invalid_json", None)
            .bad_body(json!({"clear": ["value"]}), "invalid_json", None),
        c("GET", "/v1/namespaces/{ns}/secrets/{path}", format!("{NS}/secrets/new/key?version=1"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("new/key", "new%20/key", "path")
            .bad_target("version=1", "version=one", "query")
            .bad_target("version=1", "version=1&version=1", "query")
            .bad_target("version=1", "at=2026-11-17T08:00:00Z&version=1", "at")
            .bad_target("version=1", "at=2099-11-20T08:00:00Z", "at")
            .bad_target("version=1", "at=yesterday", "query"),
        c("GET", "/v1/namespaces/{ns}/history/{path}", format!("{NS}/history/new/key?limit=1"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("new/key", "new/%C3%BC", "path")
            .bad_target("limit=1", "limit=-1", "query"),
        c("DELETE", "/v1/namespaces/{ns}/secrets/{path}", format!("{NS}/secrets/new/key?version=1"), "adam")
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new/./key", "path")
            .bad_target("version=1", "d%65stroy=true", "destroy")
            .bad_target("version=1", "destroy", "query"),
        c("POST", "/v1/namespaces/{ns}/undelete/{path}", format!("{NS}/undelete/new/key?version=1"), "adam")
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new/../key", "path")
            .bad_target("version=1", "version=", "query"),
        c("POST", "/v1/import", "/v1/import", "adam")
            .body(json!({"namespaces": [{"namespace": "shop", "secrets": [{"secret": {"path": "im/across", "value_b64": value_b64()}}]}]}))
            .refuses("otto", "forbidden")
            .bad_body(json!({"namespaces": []}), "malformed", Some("namespaces"))
            .bad_body(json!({"namespaces": [{"namespace": "shop"}]}), "malformed", Some("namespaces"))
            .bad_body(json!({"namespaces": [{"namespace": "Shop", "create": true}]}), "invalid_json", Some("namespace"))
            .bad_body(json!({"namespaces": [{"namespace": "shop", "secrets": [{"secret": {"path": "im//x", "value_b64": value_b64()}}]}]}), "invalid_json", Some("path"))
            .bad_body(json!({"namespaces": [{"namespace": "shop", "honey": [{"path": "im/x", "plant": {}}]}]}), "malformed", Some("shape"))
            .bad_body(json!({"namespaces": [{"namespace": "shop", "projects": {"web": {"1": "im/x"}}}]}), "invalid_json", Some("env"))
            .bad_body(json!({}), "invalid_json", Some("namespaces")),
        c("POST", "/v1/namespaces/{ns}/import", format!("{NS}/import"), "adam")
            .body(json!({"secrets": [{"secret": {"path": "im/one", "value_b64": value_b64()}, "expect_version": 0}]}))
            .refuses("anna", "forbidden")
            .bad_body(json!({"secrets": []}), "malformed", Some("secrets"))
            .bad_body(json!({}), "invalid_json", Some("secrets"))
            .bad_body(json!({"secrets": [{"path": "im/one", "value_b64": value_b64()}]}), "invalid_json", None)
            .bad_body(json!({"secrets": [{"secret": {"path": "im//one", "value_b64": value_b64()}}]}), "invalid_json", Some("path"))
            .bad_body(json!({"secrets": [{"secret": {"path": "im/one", "value_b64": "!"}}]}), "malformed", Some("value_b64"))
            .bad_body(json!({"secrets": [{"secret": {"path": "im/one", "value_b64": value_b64(), "env": "LD_PRELOAD"}}]}), "malformed", Some("env"))
            .bad_body(json!({"secrets": [{"secret": {"path": "im/one", "value_b64": value_b64(), "kind": "json"}}]}), "malformed", Some("value_b64"))
            .bad_body(json!({"secrets": [{"secret": {"path": "im/a", "value_b64": value_b64()}}, {"secret": {"path": "im/a", "value_b64": value_b64()}}]}), "malformed", Some("path")),
        c("POST", "/v1/namespaces/{ns}/export", format!("{NS}/export"), "adam")
            .body(json!({"prefix": "new/", "recipients": ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"]}))
            .refuses("anna", "forbidden")
            .bad_body(json!({"recipients": []}), "malformed", Some("recipients"))
            .bad_body(json!({"prefix": ""}), "invalid_json", Some("recipients"))
            .bad_body(json!({"recipients": ["ssh-rsa AAAA"]}), "malformed", Some("recipients")),
        c("POST", "/v1/namespaces/{ns}/rollback/{path}", format!("{NS}/rollback/new/key"), "adam")
            .body(json!({"at": "2026-11-17T08:00:00Z", "dry_run": true}))
            .refuses("anna", "forbidden")
            .bad_target("new/key", "new//key", "path")
            .bad_body(json!({"at": "2026-11-17T08:00:00Z", "prefix": "a"}), "malformed", Some("prefix"))
            .bad_body(json!({"at": "2099-11-20T08:00:00Z"}), "malformed", Some("at"))
            .bad_body(json!({"dry_run": true}), "invalid_json", Some("at")),
        c("POST", "/v1/namespaces/{ns}/rollback", format!("{NS}/rollback"), "adam")
            .body(json!({"at": "2026-11-17T08:00:00Z", "prefix": "im/", "dry_run": true}))
            .refuses("anna", "forbidden")
            .bad_body(json!({"at": "2099-11-20T08:00:00Z"}), "malformed", Some("at"))
            .bad_body(json!({"at": "then"}), "invalid_json", Some("time")),
        c("DELETE", "/v1/namespaces/{ns}/secrets/{path}", format!("{NS}/secrets/new/key?version=1&destroy=true"), "adam")
            .refuses("anna", "forbidden")
            .bad_target("destroy=true", "destroy=yes", "query")
            .bad_target("destroy=true", "destroy=true&d%65stroy=false", "query"),
        c("PUT", "/v1/namespaces/{ns}/projects/{name}", format!("{NS}/projects/cron"), "adam")
            .body(json!({"agents": ["scribe"], "env": {"KEY": "db/password"}}))
            .refuses("anna", "forbidden")
            .bad_target("cron", "cr_on", "project")
            .bad_body(json!({"agents": ["Scribe"]}), "invalid_json", Some("label"))
            .bad_body(json!({"agents": ["nobody"]}), "malformed", Some("agents"))
            .bad_body(json!({"env": {"A-B": "db/password"}}), "invalid_json", Some("env"))
            .bad_body(json!({"env": {"GLIBC_TUNABLES": "db/password"}}), "malformed", Some("env"))
            .bad_body(json!({"env": {"KEY": "/db"}}), "invalid_json", Some("path")),
        c("GET", "/v1/namespaces/{ns}/projects", format!("{NS}/projects"), "otto").refuses("scribe", "forbidden"),
        c("GET", "/v1/namespaces/{ns}/projects/{name}", format!("{NS}/projects/cron"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("cron", "CRON", "project"),
        c("PUT", "/v1/namespaces/{ns}/transit/{key}", format!("{NS}/transit/unseal"), "adam")
            .body(json!({"agents": ["baker"]}))
            .refuses("anna", "forbidden")
            .bad_target("unseal", "Unseal", "label")
            .bad_body(json!({"agents": ["nobody"]}), "malformed", Some("agents"))
            .bad_body(json!({}), "invalid_json", Some("agents")),
        c("GET", "/v1/namespaces/{ns}/transit", format!("{NS}/transit"), "otto").refuses("scribe", "forbidden"),
        c("POST", "/v1/namespaces/{ns}/transit/{key}/wrap", format!("{NS}/transit/unseal/wrap"), "baker")
            .body(json!({"value_b64": value_b64(), "context": "AA"}))
            .refuses("scribe", "not_found")
            .bad_target("unseal", "Unseal", "label")
            .bad_body(json!({"value_b64": "", "context": ""}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": encoding::b64url(&[1; 257]), "context": ""}), "malformed", Some("value_b64"))
            .bad_body(json!({"value_b64": "AA", "context": encoding::b64url(&[1; 257])}), "malformed", Some("context"))
            .bad_body(json!({"value_b64": "AA"}), "invalid_json", None),
        c("POST", "/v1/namespaces/{ns}/transit/{key}/unwrap", format!("{NS}/transit/unseal/unwrap"), "baker")
            .body(json!({"wrapped": wrapped["wrapped"], "context": "AA"}))
            .refuses("scribe", "not_found")
            .bad_target("unseal", "Unseal", "label")
            .bad_body(json!({"wrapped": "AA", "context": encoding::b64url(&[1; 257])}), "malformed", Some("context"))
            .bad_body(json!({"context": ""}), "invalid_json", None)
            .bad_body(json!({"wrapped": "AA", "context": ""}), "wrapped_key_refused", None),
        c("DELETE", "/v1/namespaces/{ns}/transit/{key}", format!("{NS}/transit/unseal"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("unseal", "Unseal", "label"),
        c("PUT", "/v1/namespaces/{ns}/projects/{name}/display-name", format!("{NS}/projects/cron/display-name"), "adam")
            .body(json!({"display_name": "By the clock"}))
            .refuses("otto", "forbidden")
            .bad_target("cron", "CRON", "project")
            .bad_body(json!({"display_name": " cron"}), "invalid_json", Some("display_name"))
            .bad_body(json!({}), "invalid_json", Some("display_name")),
        c("POST", "/v1/namespaces/{ns}/projects/{name}/rebind", format!("{NS}/projects/cron/rebind"), "adam")
            .body(json!({"agents": ["baker"], "env": {"KEY": "db/password"}}))
            .refuses("anna", "forbidden")
            .bad_target("cron", "cr%2Fon", "project")
            .bad_body(json!({"env": {}}), "invalid_json", Some("agents")),
        c("DELETE", "/v1/namespaces/{ns}/projects/{name}", format!("{NS}/projects/cron"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("cron", "..", "project"),
        c("PUT", "/v1/namespaces/{ns}/services/{name}", format!("{NS}/services/till"), "adam")
            .body(json!({"expect_version": 0, "mode": "observe", "routes": [{"prefix": "/pay", "mode": "enforce"}], "gates": ["baker"]}))
            .refuses("anna", "forbidden")
            .bad_target("till", "t%2Fll", "label")
            .bad_body(json!({"expect_version": 0, "mode": "enfroce"}), "invalid_json", Some("mode"))
            .bad_body(json!({"mode": "observe"}), "invalid_json", Some("expect_version"))
            .bad_body(json!({"expect_version": 0, "routes": [{"prefix": "/a/../b"}]}), "invalid_json", Some("route"))
            .bad_body(json!({"expect_version": 0, "routes": [{"prefix": "/a%2Fb"}]}), "invalid_json", Some("route"))
            .bad_body(json!({"expect_version": 0, "routes": [{"mode": "off"}]}), "invalid_json", Some("prefix"))
            .bad_body(json!({"expect_version": 0, "routes": [{"prefix": "/a"}, {"prefix": "/a"}]}), "invalid_json", Some("routes"))
            .bad_body(json!({"expect_version": 0, "routes": (0..65).map(|number| json!({"prefix": format!("/{number}")})).collect::<Vec<_>>()}), "invalid_json", Some("routes"))
            .bad_body(json!({"expect_version": 0, "exceptions": [{"agent": "a..b", "reason": "x"}]}), "invalid_json", Some("agent_id"))
            .bad_body(json!({"expect_version": 0, "exceptions": [{"agent": "a", "reason": ""}]}), "invalid_json", Some("reason"))
            .bad_body(json!({"expect_version": 0, "exceptions": [{"reason": "all of them"}]}), "invalid_json", Some("exceptions"))
            .bad_body(json!({"expect_version": 0, "gates": ["a b"]}), "invalid_json", Some("label"))
            .bad_body(json!({"expect_version": 0, "gates": ["nobody"]}), "malformed", Some("gates"))
            .bad_body(json!({"expect_version": 0, "gates": vec!["baker"; 17]}), "malformed", Some("gates"))
            .bad_body(json!({"expect_version": 0, "hmac_v1": {"window_seconds": 29}}), "invalid_json", Some("window_seconds"))
            .bad_body(json!({"expect_version": 1}), "version_mismatch", None),
        c("GET", "/v1/namespaces/{ns}/services", format!("{NS}/services"), "otto").refuses("scribe", "forbidden"),
        c("GET", "/v1/namespaces/{ns}/services/{name}", format!("{NS}/services/till"), "anna")
            .refuses("scribe", "forbidden")
            .bad_target("till", "TILL", "label"),
        c("GET", "/v1/namespaces/{ns}/services/{name}/feed", format!("{NS}/services/till/feed?instance=01234567-89ab-7fff-bfff-ffffffffffff&nonce=AAAAAAAAAAAAAAAAAAAAAA&wait=0"), "baker")
            .refuses("scribe", "not_found")
            .bad_target("till", "TILL", "label")
            .bad_target("7fff", "7FFF", "query")
            .bad_target("nonce=AA", "nonce=A", "nonce")
            .bad_target("wait=0", "wait=now", "query")
            .bad_target("wait=0", "wait=0&after=-1", "query")
            .bad_target("&wait=0", "&until=0", "query")
            .bad_target("&nonce=AAAAAAAAAAAAAAAAAAAAAA", "", "query"),
        c("POST", "/v1/namespaces/{ns}/services/{name}/verify", format!("{NS}/services/till/verify"), "baker")
            .body(question(&json!({"bytes": ""})))
            .refuses("scribe", "not_found")
            .bad_target("till", "TILL", "label")
            .bad_body(question(&json!({"sha256": "AAAA"})), "malformed", Some("body"))
            .bad_body(question(&json!({"bytes": "+"})), "malformed", Some("body"))
            .bad_body(question(&json!({"bytes": "", "sha256": ""})), "invalid_json", None)
            .bad_body(question(&json!({"text": ""})), "invalid_json", None)
            .bad_body(json!({"method": "GET"}), "invalid_json", None),
        c("DELETE", "/v1/namespaces/{ns}/services/{name}", format!("{NS}/services/till?expect_version=1"), "adam")
            .refuses("otto", "forbidden")
            .bad_target("till", "-", "label")
            .bad_target("expect_version=1", "expect_version=one", "query")
            .bad_target("?expect_version=1", "", "query"),
        c("PUT", "/v1/namespaces/{ns}/foreign-ids/{agent_id}", format!("{NS}/foreign-ids/till.7"), "adam")
            .body(json!({"agent": "scribe"}))
            .refuses("otto", "forbidden")
            .bad_target("till.7", "till..7", "agent_id")
            .bad_target("till.7", "till%2F7", "agent_id")
            .bad_body(json!({}), "invalid_json", Some("agent"))
            .bad_body(json!({"agent": "A"}), "invalid_json", Some("label")),
        c("GET", "/v1/namespaces/{ns}/foreign-ids", format!("{NS}/foreign-ids"), "otto").refuses("scribe", "forbidden"),
        c("GET", "/v1/namespaces/{ns}/foreign-ids/{agent_id}", format!("{NS}/foreign-ids/till.7"), "anna")
            .refuses("scribe", "forbidden")
            .bad_target("till.7", "a..b", "agent_id"),
        c("POST", "/v1/namespaces/{ns}/foreign-ids/{agent_id}/secret", format!("{NS}/foreign-ids/till.7/secret"), "scribe")
            .body(json!({"invalidate": true}))
            .refuses("otto", "forbidden")
            .bad_target("till.7", "..", "agent_id")
            .bad_body(json!({"invalidate": 1}), "invalid_json", None),
        c("DELETE", "/v1/namespaces/{ns}/foreign-ids/{agent_id}/secret", format!("{NS}/foreign-ids/till.7/secret"), "adam")
            .refuses("scribe", "forbidden")
            .bad_target("till.7", "%20", "agent_id"),
        c("DELETE", "/v1/namespaces/{ns}/foreign-ids/{agent_id}", format!("{NS}/foreign-ids/till.7"), "adam")
            .refuses("anna", "forbidden")
            .bad_target("till.7", "a:b", "agent_id"),
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
        c("GET", "/v1/namespaces/{ns}/requests", format!("{NS}/requests?limit=1"), "anna")
            .refuses("scribe", "forbidden")
            .bad_target("limit=1", "after=x", "query"),
        c("GET", "/v1/namespaces/{ns}/requests/{id}", format!("{NS}/requests/{first}"), "scribe")
            .refuses("baker", "forbidden")
            .bad_target(first, &first.to_uppercase(), "request"),
        c("POST", "/v1/namespaces/{ns}/requests/{id}/approve", format!("{NS}/requests/{first}/approve"), "anna")
            .body(approval)
            .refuses("adam", "forbidden")
            .bad_target(first, "none", "request")
            .bad_body(late, "invalid_json", Some("time"))
            .bad_body(json!({}), "invalid_json", Some("from")),
        c("POST", "/v1/namespaces/{ns}/requests/{id}/deny", format!("{NS}/requests/{second}/deny"), "anna")
            .refuses("adam", "forbidden")
            .bad_target(second, "none", "request"),
        c("GET", "/v1/namespaces/{ns}/grants", format!("{NS}/grants?limit=1"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target("limit=1", "before=1", "query"),
        c("GET", "/v1/namespaces/{ns}/grants/{id}", format!("{NS}/grants/{grant}"), "otto")
            .refuses("scribe", "forbidden")
            .bad_target(grant, "7", "grant"),
        c("POST", "/v1/namespaces/{ns}/grants/{id}/withdraw", format!("{NS}/grants/{grant}/withdraw"), "anna")
            .refuses("otto", "forbidden")
            .bad_target(grant, "7", "grant"),
        c("GET", "/v1/signing-keys", "/v1/signing-keys?tokens=project", "alice")
            .refuses("adam", "forbidden")
            .bad_target("tokens=project", "tokens=all", "query"),
        c("GET", "/v1/honey", "/v1/honey", "alice").refuses("adam", "forbidden"),
        c("PUT", "/v1/honey/{ns}/{path}", "/v1/honey/shop/prod/aws", "alice")
            .body(json!({"shape": "aws", "mode": "bait", "env": "AWS"}))
            .refuses("adam", "forbidden")
            .bad_target("prod/aws", "prod//aws", "path")
            .bad_target("shop", "Shop", "namespace")
            .bad_body(json!({}), "malformed", Some("shape"))
            .bad_body(json!({"shape": "aws", "value_b64": value_b64()}), "malformed", Some("shape"))
            .bad_body(json!({"shape": "gcp"}), "invalid_json", None)
            .bad_body(json!({"shape": "aws", "mode": "shout"}), "invalid_json", None)
            .bad_body(json!({"shape": "aws", "env": "LD_PRELOAD"}), "malformed", Some("env"))
            .bad_body(json!({"value_b64": ""}), "malformed", Some("value_b64")),
        c("POST", "/v1/honey/which", "/v1/honey/which", "alice")
            .body(json!({"value_b64": value_b64()}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"value_b64": "+"}), "malformed", Some("value_b64"))
            .bad_body(json!({}), "invalid_json", Some("value_b64")),
        c("DELETE", "/v1/honey/{ns}/{path}", "/v1/honey/shop/prod/aws", "alice")
            .refuses("adam", "forbidden")
            .bad_target("prod/aws", "prod/../aws", "path"),
        c("GET", "/v1/quarantine", "/v1/quarantine", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/devices/{thumbprint}/reinstate", format!("/v1/devices/{}/reinstate", held.0), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&held.0, "x", "device"),
        c("POST", "/v1/quarantine/{agent_id}/reinstate", format!("/v1/quarantine/{}/reinstate", held.1), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&held.1, "a..b", "agent_id"),
        c("POST", "/v1/signing-keys/roll", "/v1/signing-keys/roll?tokens=agent", "alice")
            .refuses("adam", "forbidden")
            .bad_target("tokens=agent", "token=agent", "query"),
        c("GET", "/v1/proposals", "/v1/proposals", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/proposals", "/v1/proposals", "alice")
            .body(json!({"act": {"make_shares": {"name": "recovery", "threshold": 2, "count": 3}}}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"act": {"make_shares": {"name": "recovery", "threshold": 1, "count": 3}}}), "malformed", Some("act"))
            .bad_body(json!({"act": {"make_shares": {"name": "recovery", "threshold": 4, "count": 3}}}), "malformed", Some("act"))
            .bad_body(json!({"act": {"make_shares": {"name": "A b", "threshold": 2, "count": 3}}}), "invalid_json", Some("label"))
            .bad_body(json!({"act": "make_shares"}), "invalid_json", None),
        c("POST", "/v1/proposals/{id}/refuse", format!("/v1/proposals/{proposal}/refuse"), "alice")
            .body(json!({}))
            .refuses("adam", "forbidden")
            .bad_target(&proposal, "7", "proposal")
            .bad_body(json!({"why": "no"}), "invalid_json", None),
        c("POST", "/v1/proposals/{id}/sign", format!("/v1/proposals/{proposal}/sign"), "alice")
            .body(json!({"signature": agreed}))
            .refuses("adam", "forbidden")
            .bad_target(&proposal, "7", "proposal")
            .bad_body(json!({"signature": "!"}), "invalid_json", None),
        c("GET", "/v1/servers", "/v1/servers", "alice").refuses("adam", "forbidden"),
        c("DELETE", "/v1/servers/{id}", format!("/v1/servers/{beside}"), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&beside, "7", "instance"),
        c("POST", "/v1/recoveries/seen", "/v1/recoveries/seen", "otto")
            .body(json!({"until": "2026-11-21T20:00:00Z"}))
            .refuses("scribe", "not_found")
            .bad_body(json!({"until": "yesterday"}), "invalid_json", Some("time"))
            .bad_body(json!({}), "invalid_json", Some("until")),
        c("POST", "/v1/signing-keys/{kid}/retire", format!("/v1/signing-keys/{kid}/retire"), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&kid, "x", "kid"),
        c("GET", "/v1/events", "/v1/events?follow=false", "otto")
            .bad_target("follow=false", "follow=maybe", "query")
            .bad_target("follow=false", "follow=false&after=-1", "query")
            .bad_target("follow=false", "follow=false&namespace=shop", "query"),
        c("GET", "/v1/backup", "/v1/backup?ledger_since=1", "alice")
            .refuses("adam", "forbidden")
            .bad_target("ledger_since=1", "ledger_since=all", "query"),
        c("GET", "/v1/rotation", "/v1/rotation", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/namespaces/{ns}/rotate", "/v1/namespaces/shop/rotate", "adam")
            .refuses("otto", "forbidden")
            .bad_target("shop", "Shop", "namespace"),
        c("GET", "/v1/ledger/handovers", "/v1/ledger/handovers", "scribe"),
        c("GET", "/v1/ledger/checkpoint", "/v1/ledger/checkpoint", "scribe"),
        c("GET", "/v1/ledger/retention", "/v1/ledger/retention", "scribe"),
        c("PUT", "/v1/ledger/retention", "/v1/ledger/retention", "alice")
            .body(json!({"keep_days": 400}))
            .refuses("adam", "forbidden")
            .bad_body(json!({"keep_days": 6}), "malformed", Some("keep_days"))
            .bad_body(json!({"keep_days": 36_501}), "malformed", Some("keep_days"))
            .bad_body(json!({"keep_days": 7, "for": "now"}), "invalid_json", None)
            .bad_body(json!({}), "invalid_json", Some("keep_days")),
        c("GET", "/v1/ledger/forgotten", "/v1/ledger/forgotten", "alice")
            .refuses("adam", "forbidden"),
        c("GET", "/v1/ledger/consistency", "/v1/ledger/consistency?from=1&to=3", "scribe")
            .bad_target("to=3", "to=all", "query")
            .bad_target("&to=3", "", "query"),
        c("GET", "/v1/ledger/entries", "/v1/ledger/entries?limit=1", "alice")
            .refuses("otto", "forbidden")
            .bad_target("limit=1", "limit=", "query")
            .bad_target("limit=1", "since=yesterday", "query"),
        c("GET", "/v1/ledger/entries", "/v1/ledger/entries?namespace=shop", "otto")
            .refuses("adam", "forbidden")
            .bad_target("namespace=shop", "namespace=Shop", "query")
            .bad_target("namespace=shop", "namespace=shop&actor=x", "query"),
        c("GET", "/v1/ledger/tile/{path}", "/v1/ledger/tile/0/000.p/3", "alice")
            .refuses("otto", "forbidden")
            .bad_target("000.p/3", "0.p/3", "path")
            .bad_target("000.p/3", "../../procura.db", "path"),
        c("GET", "/v1/ledger/proof/{id}", format!("/v1/ledger/proof/{entry}"), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&entry, "0", "entry"),
        c("POST", "/v1/devices/{thumbprint}/revoke", format!("/v1/devices/{}/revoke", actors.device("baker")), "adam")
            .refuses("otto", "forbidden")
            .bad_target(&actors.device("baker"), "x", "device"),
        c("POST", "/v1/devices/{thumbprint}/hold", format!("/v1/devices/{}/hold", actors.device("bert")), "alice")
            .refuses("adam", "not_found")
            .bad_target(&actors.device("bert"), "x", "device"),
        c("POST", "/v1/devices/{thumbprint}/revoke", format!("/v1/devices/{}/revoke", actors.device("bert")), "alice")
            .refuses("adam", "forbidden")
            .bad_target(&actors.device("bert"), "x", "device"),
        c("DELETE", "/v1/operators/{name}", "/v1/operators/otto", "alice")
            .refuses("adam", "forbidden")
            .bad_target("otto", "o%00", "label"),
        c("GET", "/v1/status", "/v1/status?deep=true", "alice").refuses("adam", "forbidden"),
        c("POST", "/v1/seal", "/v1/seal", "alice").refuses("adam", "forbidden"),
    ]
}
