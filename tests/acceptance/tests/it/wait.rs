//! `procura run --wait`: the answer comes while the agent waits for it.

use crate::scene::{CANARY, PATIENCE, Scene, requests};
use procura_acceptance::{Outcome, until};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Stdio};

/// An agent that waits for an answer, and the request that it made.
fn waiting(scene: &Scene, command: &[&str]) -> (Child, String) {
    let words = [
        "run",
        "--project",
        "orders",
        "--name",
        "API_KEY",
        "--wait",
        "--",
    ];
    let mut procura = scene.daemon.procura(&[&words[..], command].concat());
    let child = procura
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = until("a request waits", PATIENCE, || {
        let waiting = requests(&scene.server, "shop");
        Some(waiting.first()?["id"].as_str()?.to_owned())
    });
    (child, request)
}

fn ended(child: Child) -> Outcome {
    child.wait_with_output().unwrap().into()
}

#[test]
fn a_yes_starts_the_command_that_waited() {
    let scene = Scene::set();
    let command = [
        "sh",
        "-c",
        "printf %s \"$API_KEY\"; test -z \"$DB_URL\"; exit $?",
    ];
    let (child, request) = waiting(&scene, &command);
    scene
        .server
        .cli(&["-n", "shop", "request", "approve", &request])
        .ok();
    let ran = ended(child)
        .ok()
        .says(&format!("procura request approve {request} -n shop"));
    assert_eq!(ran.stdout, CANARY.as_bytes());
}

#[test]
fn a_no_ends_the_waiting_and_starts_nothing() {
    let scene = Scene::set();
    let (child, request) = waiting(&scene, &["echo", "started"]);
    scene
        .server
        .cli(&["-n", "shop", "request", "deny", &request])
        .ok();
    let refused = ended(child)
        .code(77)
        .says(&format!("request {request} was denied"));
    assert_eq!(refused.text(), "");
}

#[test]
fn ctrl_c_ends_the_waiting_as_a_signal_and_the_request_stays() {
    let scene = Scene::set();
    let (child, request) = waiting(&scene, &["echo", "started"]);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), Some(2));
    assert_eq!(Outcome::from(output).code(130).text(), "");
    // What was asked can still be answered, and the next run has it.
    scene
        .server
        .cli(&["-n", "shop", "request", "approve", &request])
        .ok();
    let ran = scene
        .run(&["API_KEY"], &["sh", "-c", "printf %s \"$API_KEY\""])
        .ok();
    assert_eq!(ran.stdout, CANARY.as_bytes());
}

#[test]
fn waiting_begins_while_the_vault_is_sealed() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    scene.server.cli(&["seal", "--yes"]).ok();
    let words = ["run", "-p", "orders", "--name", "API_KEY"];
    let command = ["--", "sh", "-c", "printf %s \"$API_KEY\""];
    let run = |wait: &[&str]| {
        let mut procura = scene.daemon.procura(&[&words[..], wait, &command].concat());
        procura.stdout(Stdio::piped()).stderr(Stdio::piped());
        procura
    };
    let refused: Outcome = run(&[]).output().unwrap().into();
    let _ = refused
        .code(77)
        .says("an operator types `procura unseal` on the server's machine");

    let mut child = run(&["--wait"]).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(child.stderr.as_mut().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert!(said.contains("the vault is sealed"), "{said}");
    scene.server.unseal().ok();
    let ran = ended(child).ok();
    assert_eq!(ran.stdout, CANARY.as_bytes());
}
