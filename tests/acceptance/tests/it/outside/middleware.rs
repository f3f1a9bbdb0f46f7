//! A service whose own middleware asks the verification service about each request, as
//! those do that were written for another key server.

use super::{Program, Site, step};
use crate::verify::file;
use serde_json::json;

#[test]
fn a_middleware_for_another_key_server_works_with_this_one() {
    // The gate has no part in this.
    let site = Site::before("http://127.0.0.1:9");
    let service = Program::python("middleware.py", &[site.server.url()]);
    let (url, key) = (service.url(), site.key());
    let words = [&*url, "/notes", &key, "Scribe.1"];
    let mut client = Program::python("calls.py", &words);
    let mut calls = |word: &str, status: u16, reason: Option<&str>| {
        client.tell(word);
        assert_eq!(client.hear(), step(word, status, reason));
    };
    let served = || {
        let body = r#"{"title":"x"}"#;
        let line = json!({"served": "/notes", "agent": "Scribe.1", "body": body});
        assert_eq!(service.hear(), line);
    };
    calls("proven", 200, None);
    served();
    calls("again", 401, Some("nonce_replayed"));
    calls("altered", 401, Some("bad_signature"));
    calls("unproven", 401, Some("missing_headers"));
    calls("proven", 200, None);
    served();

    // The key goes between two calls, and comes back.
    let key = file(&site.server, site.agent.id);
    std::fs::remove_file(&key).unwrap();
    calls("proven", 401, Some("unknown_agent"));
    site.agent.enrol(&site.server);
    calls("proven", 200, None);
    served();
    site.server.cli(&["seal"]).ok();
    calls("proven", 503, Some("sealed"));
    assert_eq!(service.unheard(), Vec::<serde_json::Value>::new());
}
