//! The main job: ask, approve, run, ask for more, withdraw.

use crate::scene::{CANARY, Scene};

#[test]
fn the_first_run_waits_for_a_yes_and_then_the_command_has_the_values() {
    let scene = Scene::set();
    let pending = scene
        .run(&["API_KEY"], &["sh", "-c", "echo started"])
        .code(75);
    assert_eq!(pending.text(), "", "the command must not have started");
    let request = scene.waiting();
    let pending = pending
        .says(&request)
        .says("API_KEY")
        .says(&format!("procura request approve {request} -n shop"));
    assert!(!pending.stderr.contains("DB_URL"), "{}", pending.stderr);

    scene
        .server
        .cli(&["-n", "shop", "request", "approve", &request])
        .ok();
    let ran = scene
        .run(
            &["API_KEY"],
            &["sh", "-c", "printf %s \"$API_KEY\"; test -z \"$DB_URL\""],
        )
        .ok();
    assert_eq!(ran.stdout, CANARY.as_bytes());
}

#[test]
fn a_second_request_for_the_same_does_not_ask_twice() {
    let scene = Scene::set();
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);
    let first = scene.waiting();
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);
    assert_eq!(scene.waiting(), first);
}

#[test]
fn a_subset_of_a_grant_passes_by_itself_and_more_does_not() {
    let scene = Scene::set();
    scene.approved(&["API_KEY", "DB_URL"]);
    scene
        .run(
            &["DB_URL"],
            &[
                "sh",
                "-c",
                "test \"$DB_URL\" = db-url-of-the-shop && test -z \"$API_KEY\"",
            ],
        )
        .ok();

    scene.server.put("shop", "mail/key", b"m");
    scene.set_orders(&["--env", "MAIL_KEY=mail/key"]);
    let _ = scene
        .run(&["DB_URL", "MAIL_KEY"], &["true"])
        .code(75)
        .says("MAIL_KEY");
}

#[test]
fn an_approved_subset_satisfies_requests_for_that_subset() {
    let scene = Scene::set();
    let _ = scene.run(&["API_KEY", "DB_URL"], &["true"]).code(75);
    let request = scene.waiting();
    scene
        .server
        .cli(&[
            "-n", "shop", "request", "approve", &request, "--names", "DB_URL",
        ])
        .ok();
    scene
        .run(&["DB_URL"], &["sh", "-c", "test -n \"$DB_URL\""])
        .ok();
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);
    let _ = scene.run(&["API_KEY", "DB_URL"], &["true"]).code(75);
}

#[test]
fn a_denied_request_delivers_nothing() {
    let scene = Scene::set();
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);
    let request = scene.waiting();
    scene
        .server
        .cli(&["-n", "shop", "request", "deny", &request])
        .ok();
    let again = scene
        .server
        .cli(&["-n", "shop", "request", "approve", &request])
        .code(77);
    let _ = again.says("denied");
    let asked_anew = scene.run(&["API_KEY"], &["sh", "-c", "echo started"]);
    let asked_anew = asked_anew.code(75);
    assert_eq!(asked_anew.text(), "");
    let anew = scene.waiting();
    assert_ne!(anew, request);
    let _ = asked_anew.says(&format!("procura request approve {anew} -n shop"));
}

#[test]
fn withdrawal_stops_the_very_next_read() {
    let scene = Scene::set();
    let grant = scene.approved(&["API_KEY"]);
    scene.run(&["API_KEY"], &["true"]).ok();
    scene
        .server
        .cli(&["-n", "shop", "grant", "withdraw", &grant])
        .ok();
    let stopped = scene
        .run(&["API_KEY"], &["sh", "-c", "echo started"])
        .code(75);
    assert_eq!(stopped.text(), "");
}

#[test]
fn withdrawal_lists_the_processes_that_still_hold_values() {
    let scene = Scene::set();
    let grant = scene.approved(&["API_KEY"]);
    let mut child = scene.holder();
    let withdrawn = scene
        .server
        .cli(&["-n", "shop", "--json", "grant", "withdraw", &grant])
        .ok()
        .json();
    assert_eq!(
        withdrawn["running"].as_array().unwrap().len(),
        1,
        "{withdrawn}"
    );
    assert_eq!(
        withdrawn["running"][0]["caller"]["pid"],
        child.id(),
        "{withdrawn}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_grant_covers_new_versions_and_not_a_remapped_name() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene.server.put("shop", "api/key", b"the second version");
    let ran = scene
        .run(&["API_KEY"], &["sh", "-c", "printf %s \"$API_KEY\""])
        .ok();
    assert_eq!(ran.stdout, b"the second version");
    scene.set_orders(&["--env", "API_KEY=db/url"]);
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);
}

#[test]
fn a_value_that_cannot_be_had_fails_the_whole_run() {
    let scene = Scene::set();
    scene.approved(&["API_KEY", "DB_URL"]);
    scene
        .server
        .cli(&["-n", "shop", "secret", "delete", "db/url"])
        .ok();
    let failed = scene.run(&["API_KEY", "DB_URL"], &["sh", "-c", "echo started"]);
    assert_eq!(failed.text(), "", "no partial environment");
    let _ = failed
        .code(77)
        .says("DB_URL is mapped to a secret that does not exist or was deleted");
}

#[test]
fn an_agent_that_the_project_does_not_name_may_not_even_ask() {
    let scene = Scene::set();
    scene.set_orders(&["--remove-agent", "scribe"]);
    let refused = scene
        .run(&["API_KEY"], &["sh", "-c", "echo started"])
        .code(77);
    assert_eq!(refused.text(), "");
}
