//! Questions at a real terminal: `script` gives the program one.

use crate::installed::Installed;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The program at a terminal of its own. What is typed goes to stdin of the
/// child; what the terminal shows comes from its stdout.
fn at_terminal(home: &Path, args: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_procura");
    Command::new("script")
        .args([
            "--quiet",
            "--flush",
            "--return",
            "--echo",
            "always",
            "--command",
        ])
        .arg(format!("{program} {args}"))
        .arg("/dev/null")
        .env_clear()
        .env("PROCURA_HOME", home)
        .env("SHELL", "/bin/sh")
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until the terminal shows `question`; what it showed.
fn read_until(child: &mut Child, question: &str) -> String {
    let out = child.stdout.as_mut().unwrap();
    let mut shown = Vec::new();
    let mut byte = [0u8; 1];
    while !String::from_utf8_lossy(&shown).ends_with(question) {
        assert_eq!(
            out.read(&mut byte).unwrap(),
            1,
            "{}",
            String::from_utf8_lossy(&shown)
        );
        shown.push(byte[0]);
    }
    String::from_utf8(shown).unwrap()
}

fn type_in(child: &mut Child, text: &str) {
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    stdin.flush().unwrap();
}

/// The rest of what the terminal showed, and the exit code.
fn end(mut child: Child) -> (String, i32) {
    let mut shown = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut shown)
        .unwrap();
    drop(child.stdin.take());
    (shown, child.wait().unwrap().code().unwrap())
}

#[test]
fn a_passphrase_is_not_shown_while_it_is_typed() {
    let home = tempfile::tempdir().unwrap();
    let mut child = at_terminal(home.path(), "unseal");
    read_until(&mut child, "The vault's passphrase: ");
    // The echo is off when the question stands there and its reader waits.
    type_in(&mut child, "canary passphrase\r");
    let (shown, code) = end(child);
    assert_eq!(code, 69, "{shown}");
    assert!(shown.contains("no server answers at"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn ctrl_c_ends_the_question_as_a_shell_expects() {
    let home = tempfile::tempdir().unwrap();
    let mut child = at_terminal(home.path(), "unseal");
    read_until(&mut child, "The vault's passphrase: ");
    type_in(&mut child, "can\u{3}");
    let (shown, code) = end(child);
    assert_eq!(code, 130, "{shown}");
    assert!(shown.contains("procura: interrupted"), "{shown}");
}

#[test]
fn the_terminal_is_as_it_was_after_ctrl_c() {
    let home = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_procura");
    let commands = format!(
        "sh -c 'stty -g > {0}/before; {program} unseal; stty -g > {0}/after'",
        home.path().display()
    );
    let mut child = Command::new("script")
        .args(["--quiet", "--flush", "--return", "--command"])
        .arg(commands)
        .arg("/dev/null")
        .env("PROCURA_HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    read_until(&mut child, "The vault's passphrase: ");
    type_in(&mut child, "\u{3}");
    end(child);
    let read = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap();
    assert!(!read("before").is_empty());
    assert_eq!(read("before"), read("after"));
}

#[test]
fn who_does_not_see_the_secret_of_an_app_is_asked_for_no_code() {
    let installed = Installed::new();
    let url = installed.cli.url.as_deref().unwrap();
    let command = format!("--server {url} operator totp");
    let file = installed.dir().join("app.txt");
    let to_file = format!("{command} > {}", file.display());
    let mut child = at_terminal(&installed.cli.home, &to_file);
    // An end of input, for whoever asks all the same.
    drop(child.stdin.take());
    let (shown, code) = end(child);
    assert_eq!(code, 0, "{shown}");
    let next = "procura operator totp --confirm CODE";
    assert!(shown.contains(next), "{shown}");
    assert!(!shown.contains("otpauth://"), "{shown}");
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(kept.contains("otpauth://totp/"), "{kept}");

    let mut child = at_terminal(&installed.cli.home, &command);
    let seen = read_until(&mut child, "The code that the app shows: ");
    assert!(seen.contains("otpauth://totp/"), "{seen}");
    type_in(&mut child, "none\r");
    let (shown, code) = end(child);
    assert_eq!(code, 77, "{shown}");
    assert!(
        shown.contains("next: procura operator totp --confirm CODE"),
        "{shown}"
    );
}

#[test]
fn who_enforces_what_was_not_observed_is_asked_first() {
    let installed = Installed::new();
    let cli = &installed.cli;
    let url = cli.url.as_deref().unwrap();
    let file = installed.dir().join("all.cedar");
    std::fs::write(&file, "permit(principal, action, resource);\n").unwrap();
    cli.ok(&["policy", "put", file.to_str().unwrap()], b"");
    let state = || cli.json(&["policy", "list"])["versions"][0]["state"].clone();
    let asked = |state: &str, question: &str, answer: &str| {
        let mut child = at_terminal(&cli.home, &format!("--server {url} policy {state} 1"));
        read_until(&mut child, question);
        type_in(&mut child, answer);
        end(child).1
    };
    let all_the_same = "Have it decide all the same? [y/N] ";
    assert_eq!(asked("enforce", all_the_same, "n\r"), 77);
    assert_eq!(state(), "draft");
    assert_eq!(asked("enforce", all_the_same, "y\r"), 0);
    assert_eq!(state(), "enforce");
    let observe_it = "roles and grants do alone. Observe it? [y/N] ";
    assert_eq!(asked("observe", observe_it, "n\r"), 77);
    assert_eq!(state(), "enforce");
    assert_eq!(asked("observe", observe_it, "y\r"), 0);
    // What was observed decides without a question.
    let mut child = at_terminal(&cli.home, &format!("--server {url} policy enforce 1"));
    drop(child.stdin.take());
    assert_eq!(end(child).1, 0);
    assert_eq!(state(), "enforce");
}

#[test]
fn two_passphrases_that_differ_make_no_key() {
    let home = tempfile::tempdir().unwrap();
    let mut child = at_terminal(home.path(), "init");
    read_until(&mut child, "A passphrase for the vault and your key: ");
    type_in(&mut child, "correct horse battery\r");
    read_until(&mut child, "The same once more: ");
    type_in(&mut child, "correct horse buttery\r");
    let (shown, code) = end(child);
    assert_eq!(code, 64, "{shown}");
    assert!(shown.contains("the two passphrases differ"), "{shown}");
    assert!(!home.path().join("operator").exists());
}

#[test]
fn anything_but_yes_is_a_no() {
    let home = tempfile::tempdir().unwrap();
    for (answer, code, words) in [
        ("\r", 77, "nothing was done: the answer was not yes"),
        ("n\r", 77, "nothing was done: the answer was not yes"),
        (
            "yes please\r",
            77,
            "nothing was done: the answer was not yes",
        ),
        ("y\r", 78, "no server is known in"),
        ("yes\r", 78, "no server is known in"),
    ] {
        let mut child = at_terminal(home.path(), "secret destroy a/b");
        read_until(&mut child, "This cannot be undone. [y/N] ");
        type_in(&mut child, answer);
        let (shown, ended) = end(child);
        assert_eq!(ended, code, "{answer:?}: {shown}");
        assert!(shown.contains(words), "{answer:?}: {shown}");
    }
}

#[test]
fn the_passphrase_of_a_key_of_ssh_keygen_is_asked_for_and_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let key = crate::openssl::ssh_key(home.path(), "key", "canary horse");
    let sign = format!("sign GET https://svc.example/ --key {}", key.display());
    for (typed, words, exit) in [
        ("canary horse\r", "signature-input: procura=(", 0),
        (
            "canary\r",
            "the passphrase does not open the private key",
            77,
        ),
    ] {
        let mut child = at_terminal(home.path(), &sign);
        read_until(&mut child, "/key: ");
        type_in(&mut child, typed);
        let (shown, code) = end(child);
        assert_eq!(code, exit, "{shown}");
        assert!(shown.contains(words), "{shown}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
