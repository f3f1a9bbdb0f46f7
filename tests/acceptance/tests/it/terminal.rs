//! The command's terminal, signals and exit code are its own.

use crate::scene::Scene;
use procura_acceptance::{Terminal, program};

/// An approved scene in a terminal, and the line that runs `command` there.
fn at_a_terminal(command: &str) -> (Scene, Terminal, String) {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let script = scene.server.folder().join("command.sh");
    std::fs::write(&script, command).unwrap();
    let words =
        scene
            .daemon
            .run_arguments("orders", &["API_KEY"], &["sh", script.to_str().unwrap()]);
    let line = format!(
        "PROCURA_HOME={} PROCURA_SOCKET={} {} {}",
        scene.daemon.home().display(),
        scene.daemon.socket().display(),
        program("procura").display(),
        words.join(" ")
    );
    let terminal = Terminal::open(scene.server.folder());
    (scene, terminal, line)
}

#[test]
fn ctrl_c_reaches_the_command_and_the_shell_sees_128_plus_2() {
    // A builtin waits: dash loses an interrupt that comes while it starts a program.
    let (_scene, terminal, line) = at_a_terminal("echo begun; read word; echo not reached");
    terminal.line(&line);
    terminal.shows("begun");
    terminal.key("C-c");
    // An interrupt throws away what is typed before the shell is back.
    terminal.shows("prompt");
    terminal.line("echo code $?");
    terminal.shows("code 130");
    assert!(!terminal.screen().contains("not reached"));
}

#[test]
fn a_command_may_handle_ctrl_c_itself() {
    let (_scene, terminal, line) = at_a_terminal(
        "trap 'echo; echo caught; exit 7' INT; echo begun; while :; do sleep 1; done",
    );
    terminal.line(&line);
    terminal.shows("begun");
    terminal.key("C-c");
    terminal.shows("caught");
    terminal.shows("prompt");
    terminal.line("echo code $?");
    terminal.shows("code 7");
}

#[test]
fn ctrl_z_stops_it_and_fg_goes_on() {
    let (_scene, terminal, line) = at_a_terminal("echo begun; read word; echo got $word; exit 5");
    terminal.line(&line);
    terminal.shows("begun");
    terminal.key("C-z");
    terminal.shows("prompt");
    terminal.line("echo stopped $?");
    // dash and bash: 128 + SIGTSTP (20).
    terminal.shows("stopped 148");
    terminal.line("fg");
    terminal.line("onward");
    terminal.shows("got onward");
    terminal.line("echo code $?");
    terminal.shows("code 5");
}

#[test]
fn the_window_and_dev_tty_are_the_terminals_own() {
    let (_scene, terminal, line) = at_a_terminal(
        "test -t 0 && test -t 1 && test -t 2 && echo all terminals; echo to tty > /dev/tty\n\
         trap 'echo size $(stty size)' WINCH; echo size $(stty size); while :; do sleep 0.1; done",
    );
    terminal.line(&line);
    terminal.shows("all terminals");
    terminal.shows("to tty");
    terminal.shows("size 24 80");
    terminal.resize(100, 30);
    terminal.shows("size 30 100");
    terminal.key("C-c");
}

#[test]
fn exit_codes_and_signals_are_the_commands_own() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    for code in ["0", "1", "42", "75", "255"] {
        let ran = scene.run(&["API_KEY"], &["sh", "-c", &format!("exit {code}")]);
        assert_eq!(ran.code.to_string(), code);
    }
    let _ = scene
        .run(&["API_KEY"], &["sh", "-c", "kill -9 $$"])
        .code(128 + 9);
    let _ = scene
        .run(&["API_KEY"], &["sh", "-c", "kill -TERM $$"])
        .code(128 + 15);
    let _ = scene
        .run(&["API_KEY"], &["no-such-command-anywhere"])
        .code(127);
    let _ = scene.run(&["API_KEY"], &["/etc/passwd"]).code(126);
}

#[test]
fn everything_else_is_as_it_would_be_without_us() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let look = "pwd; ulimit -n; umask; echo $KEPT; cat; ls /proc/self/fd | wc -l; nice";
    let command = ["sh", "-c", look];
    let with: Vec<String> = scene.daemon.run_arguments("orders", &["API_KEY"], &command);
    let seen = |words: Vec<&str>| {
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "ulimit -n 500; umask 027; exec \"$0\" \"$@\""])
            .args(words);
        shell
            .current_dir("/tmp")
            .env("KEPT", "kept")
            .stdin(std::fs::File::open("/etc/hostname").unwrap());
        shell
            .env("PROCURA_HOME", scene.daemon.home())
            .env("PROCURA_SOCKET", scene.daemon.socket());
        procura_acceptance::Outcome::from(shell.output().unwrap())
            .ok()
            .text()
    };
    let procura = program("procura");
    let ours = [procura.to_str().unwrap()]
        .into_iter()
        .chain(with.iter().map(String::as_str))
        .collect();
    assert_eq!(seen(ours), seen(command.to_vec()));
}

#[test]
fn variables_that_steer_the_loader_are_dropped() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let words = scene.daemon.run_arguments(
        "orders",
        &["API_KEY"],
        &["sh", "-c", "echo [$LD_LIBRARY_PATH$LD_AUDIT]"],
    );
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut procura = scene.daemon.procura(&words);
    procura
        .env("LD_LIBRARY_PATH", "/nowhere")
        .env("LD_AUDIT", "/nowhere/x.so");
    assert_eq!(
        procura_acceptance::Outcome::from(procura.output().unwrap())
            .ok()
            .text(),
        "[]"
    );
}

#[test]
fn the_commands_pid_is_the_one_that_was_started() {
    let scene = Scene::set();
    scene.approved(&["API_KEY"]);
    let mut child = scene.holder();
    child.kill().unwrap();
    child.wait().unwrap();
}
