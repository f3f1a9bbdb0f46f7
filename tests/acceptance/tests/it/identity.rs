//! Link codes, devices, and revocation that sticks.

use crate::scene::{Scene, agent, operator, shop};
use procura_acceptance::{Daemon, Outcome, PASSPHRASE};

#[test]
fn a_link_code_is_good_once() {
    let server = shop();
    let code = agent(&server, "shop", "scribe");
    Daemon::start(server.folder(), "one").join(&code).ok();
    let second = Daemon::start(server.folder(), "two").join(&code).code(77);
    let _ = second.says("used already");
}

#[test]
fn a_code_of_another_server_is_refused_before_it_is_used_up() {
    let (server, other) = (shop(), shop());
    let code = agent(&server, "shop", "scribe");
    let daemon = Daemon::start(server.folder(), "host");
    let misled = daemon.join_at(&code, other.url());
    let words = format!(
        "the code is of {}, and you asked {}",
        server.url(),
        other.url()
    );
    let _ = misled.code(64).says(&words);
    // The code was not used up by the attempt.
    daemon.join(&code).ok();
}

#[test]
fn a_mistyped_code_is_refused_with_what_to_do() {
    let server = shop();
    let code = agent(&server, "shop", "scribe");
    let daemon = Daemon::start(server.folder(), "host");
    let _ = daemon.join(&code[..40]).code(64).says("copy all of it");
    let _ = daemon.join("hello").code(64).says("pcj1_");
    daemon.join(&code).ok();
}

#[test]
fn a_revoked_agent_is_out_at_once_and_its_label_returns_as_another() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene.run(&["API_KEY"], &["true"]).ok();
    scene
        .server
        .cli(&["-n", "shop", "agent", "revoke", "scribe"])
        .ok();
    let refused = scene
        .run(&["API_KEY"], &["sh", "-c", "echo started"])
        .code(77);
    assert_eq!(refused.text(), "");

    // The same label again: nothing is inherited.
    let code = agent(&scene.server, "shop", "scribe");
    let _ = scene.run(&["API_KEY"], &["true"]).code(77);
    let fresh = Daemon::start(scene.server.folder(), "fresh");
    fresh.join(&code).ok();
    // Not even the project's permission to ask.
    let asks = || fresh.run_for(scene.server.folder(), "orders", &["API_KEY"], &["true"]);
    let _ = asks().code(77);
    scene.set_orders(&["--agent", "scribe"]);
    let _ = asks().code(75);
}

#[test]
fn a_revoked_device_is_out_and_the_agents_other_device_is_not() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let code = scene
        .server
        .cli(&["-n", "shop", "agent", "code", "scribe"])
        .ok()
        .text();
    let second = Daemon::start(scene.server.folder(), "second");
    second.join(&code).ok();
    let agents = scene
        .server
        .cli(&["-n", "shop", "--json", "agent", "list"])
        .ok()
        .json();
    let devices = agents["agents"][0]["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2, "{agents}");
    let first = devices
        .iter()
        .min_by_key(|device| device["created"].as_str().unwrap().to_owned())
        .unwrap();
    scene
        .server
        .cli(&[
            "-n",
            "shop",
            "device",
            "revoke",
            "--",
            first["thumbprint"].as_str().unwrap(),
        ])
        .ok();
    let _ = scene.run(&["API_KEY"], &["true"]).code(77).says("revoked");
    second
        .run_for(scene.server.folder(), "orders", &["API_KEY"], &["true"])
        .ok();
}

#[test]
fn revoking_an_agent_revokes_all_below_it() {
    let server = shop();
    server
        .cli(&["-n", "shop", "agent", "add", "top", "--no-code"])
        .ok();
    let code = server
        .cli(&["-n", "shop", "agent", "add", "below", "--parent", "top"])
        .ok()
        .text();
    let daemon = Daemon::start(server.folder(), "host");
    daemon.join(&code).ok();
    server
        .cli(&[
            "-n", "shop", "project", "set", "orders", "--agent", "below", "--env", "A=a",
        ])
        .ok();
    server.put("shop", "a", b"a");
    let _ = daemon
        .run_for(server.folder(), "orders", &["A"], &["true"])
        .code(75);
    let revoked = server
        .cli(&["-n", "shop", "--json", "agent", "revoke", "top"])
        .ok()
        .json();
    assert_eq!(revoked["revoked"].as_array().unwrap().len(), 2, "{revoked}");
    let _ = daemon
        .run_for(server.folder(), "orders", &["A"], &["true"])
        .code(77)
        .says("revoked");
}

#[test]
fn a_label_that_was_revoked_and_added_again_works_on_the_same_host() {
    let scene = Scene::set();
    let _ = scene.run(&["API_KEY"], &["true"]).code(75);
    scene
        .server
        .cli(&["-n", "shop", "agent", "revoke", "scribe"])
        .ok();
    let _ = scene
        .run(&["API_KEY"], &["true"])
        .code(77)
        .says("was revoked, for good; an admin makes another agent: procura agent add LABEL.");
    let code = scene
        .server
        .cli(&["-n", "shop", "agent", "add", "scribe"])
        .ok()
        .text();
    scene.daemon.join(&code).ok();
    scene.set_orders(&["--agent", "scribe"]);
    let cli = |words: &[&str]| Outcome::from(scene.daemon.procura(words).output().unwrap());
    let named = |agent: &str| {
        let words = ["run", "-p", "orders", "--agent", agent, "--", "true"];
        cli(&words)
    };
    let _ = named("scribe").code(75);
    let _ = named("shop/scribe").code(75);

    let devices = cli(&["--json", "device", "list", "--here"]).ok().json();
    let devices = devices["devices"].as_array().unwrap();
    let (gone, here): (Vec<_>, Vec<_>) = devices
        .iter()
        .partition(|device| device["revoked"].is_string());
    assert_eq!((gone.len(), here.len()), (1, 1), "{devices:?}");
    let gone = gone[0]["device"].as_str().unwrap();
    let forget = ["device", "forget", "--", gone];
    let _ = cli(&forget).code(64).says("not done without a yes");
    cli(&[&["--yes"][..], &forget[..]].concat()).ok();
    let left = cli(&["--json", "device", "list", "--here"]).ok().json();
    assert_eq!(left["devices"].as_array().unwrap().len(), 1, "{left}");
    let _ = named("scribe").code(75);
}

#[test]
fn the_namespace_of_a_run_chooses_the_agent() {
    let scene = Scene::set();
    let in_namespace = |namespace: &str| {
        let words = ["run", "-n", namespace, "-p", "orders", "--", "true"];
        Outcome::from(scene.daemon.procura(&words).output().unwrap())
    };
    let _ = in_namespace("lab")
        .code(78)
        .says("no device in namespace lab has joined here for user");
    let _ = in_namespace("shop").code(75);
}

#[test]
fn revocation_survives_a_restart() {
    let mut scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene
        .server
        .cli(&["-n", "shop", "agent", "revoke", "scribe"])
        .ok();
    scene.server.kill();
    scene.server.start_again();
    scene.server.unseal().ok();
    let _ = scene.run(&["API_KEY"], &["true"]).code(77).says("revoked");
}

#[test]
fn an_operator_joins_by_invitation_and_may_do_what_the_role_says() {
    let server = shop();
    server.put("shop", "api/key", b"x");
    let home = operator(&server, "bob", "auditor@shop");
    let bob = |arguments: &[&str]| server.cli_in(&home, PASSPHRASE, arguments, b"");
    bob(&["-n", "shop", "secret", "list"]).ok();
    let _ = bob(&["-n", "shop", "secret", "get", "api/key"])
        .code(77)
        .says("forbidden");
    let _ = bob(&["-n", "shop", "secret", "delete", "api/key"])
        .code(77)
        .says("forbidden");
    let _ = bob(&["namespace", "create", "mine"])
        .code(77)
        .says("forbidden");
    server.cli(&["operator", "revoke", "bob"]).ok();
    let _ = bob(&["-n", "shop", "secret", "list"])
        .code(77)
        .says("revoked");
}
