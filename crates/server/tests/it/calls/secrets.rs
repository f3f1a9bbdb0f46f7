//! Secrets: written, listed, read, taken back, and carried from one place to another.

use super::{Case, NS, c, plain};
use crate::actors::value_b64;
use procura_types::encoding;
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    vec![
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
        plain("POST", "/v1/import", "adam")
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
    ]
}
