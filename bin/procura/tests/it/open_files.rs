//! The server under a limit of open files.

use serde_json::Value;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server on a home without an installation, under what `ulimit` is told.
fn server(home: &Path, limit: &str) -> Child {
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).unwrap();
    Command::new("sh")
        .args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\"")])
        .arg(env!("CARGO_BIN_EXE_procura"))
        .args(["server", "--listen", "127.0.0.1:0"])
        .args(["--health-listen", "127.0.0.1:0"])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PROCURA_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn max_connections(child: &mut Child) -> u64 {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let address = ready["health"]
        .as_str()
        .unwrap()
        .trim_start_matches("http://")
        .to_owned();
    let mut stream = TcpStream::connect(&address).unwrap();
    let ask = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let health: Value = serde_json::from_str(body).unwrap();
    health["max_connections"].as_u64().unwrap()
}

/// Stops it and returns its log.
fn stop(mut child: Child) -> String {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{log}");
    log
}

#[test]
fn too_few_open_files_are_a_matter_of_configuration() {
    let home = tempfile::tempdir().unwrap();
    let output = server(home.path(), "-n 300").wait_with_output().unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(78), "{log}");
    assert!(
        log.ends_with(
            "procura: the server cannot start: configuration: only 300 files may be open at once and at least 336 are needed; raise the limit (`ulimit -n`, LimitNOFILE=)\n"
        ),
        "{log}"
    );
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn connections_are_fewer_under_a_low_limit_and_the_server_says_so() {
    let home = tempfile::tempdir().unwrap();
    let mut child = server(home.path(), "-n 400");
    assert_eq!(max_connections(&mut child), 80);
    let log = stop(child);
    let warning = log
        .lines()
        .find(|line| line.contains("leaves room for fewer connections"))
        .expect(&log);
    let warning: Value = serde_json::from_str(warning).unwrap();
    assert_eq!(warning["level"], "WARN");
    assert_eq!(
        (
            &warning["fields"]["wanted"],
            &warning["fields"]["max_connections"]
        ),
        (&Value::from(4096), &Value::from(80))
    );
}

#[test]
fn a_limit_that_may_be_raised_is_raised() {
    let home = tempfile::tempdir().unwrap();
    let mut child = server(home.path(), "-S -n 340");
    let most = max_connections(&mut child);
    stop(child);
    // Under the limit that it was started with there would be room for 20.
    assert!(most > 20, "{most}");
}
