//! Nothing crosses a namespace.

use crate::scene::{CANARY, Scene, join, operator, orders, requests};
use procura_acceptance::{Installation, PASSPHRASE};

#[test]
fn the_same_path_label_and_project_live_in_two_namespaces() {
    let scene = Scene::set();
    let (server, daemon) = (&scene.server, &scene.daemon);
    server.cli(&["namespace", "create", "lab"]).ok();
    server.put("lab", "api/key", b"the key of the lab");
    let other = procura_acceptance::Daemon::start(server.folder(), "other");
    join(server, &other, "lab", "scribe");
    orders(server, "lab", "scribe");

    scene.approved(&["API_KEY"]);
    // The yes of one namespace is no yes in the other.
    let _ = other
        .run_for(server.folder(), "orders", &["API_KEY"], &["true"])
        .code(75);
    let waiting = requests(server, "lab");
    let request = waiting[0]["id"].as_str().unwrap();
    server
        .cli(&["-n", "lab", "request", "approve", request])
        .ok();

    let print = ["sh", "-c", "printf %s \"$API_KEY\""];
    assert_eq!(
        daemon
            .run_for(server.folder(), "orders", &["API_KEY"], &print)
            .ok()
            .text(),
        CANARY
    );
    assert_eq!(
        other
            .run_for(server.folder(), "orders", &["API_KEY"], &print)
            .ok()
            .text(),
        "the key of the lab"
    );
    assert_eq!(
        server
            .cli(&["-n", "shop", "secret", "get", "api/key"])
            .ok()
            .text(),
        CANARY
    );
    assert_eq!(
        server
            .cli(&["-n", "lab", "secret", "get", "api/key"])
            .ok()
            .text(),
        "the key of the lab"
    );
}

#[test]
fn an_operator_of_one_namespace_cannot_tell_whether_another_exists() {
    let server = Installation::ready();
    for name in ["shop", "lab"] {
        server.cli(&["namespace", "create", name]).ok();
    }
    server.put("lab", "api/key", b"x");
    let home = operator(&server, "bob", "admin@shop");
    let bob = |arguments: &[&str]| server.cli_in(&home, PASSPHRASE, arguments, b"");

    bob(&["-n", "shop", "secret", "list"]).ok();
    let there = bob(&["-n", "lab", "secret", "get", "api/key"]).code(77);
    let nowhere = bob(&["-n", "none", "secret", "get", "api/key"]).code(77);
    // The id of the HTTP request differs, and nothing else does.
    let words = |text: &str| text.split(", request ").next().unwrap().to_owned();
    assert_eq!(words(&there.stderr), words(&nowhere.stderr));
    let names = bob(&["--json", "namespace", "list"]).ok().json();
    assert_eq!(names["namespaces"].as_array().unwrap().len(), 1, "{names}");
}
