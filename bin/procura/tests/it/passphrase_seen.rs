//! Other users of a machine see the command line of every process, and whoever is the same
//! user its environment too: however a passphrase is given, it is in neither, of no process,
//! while it is used.

use crate::installed::Cli;
use crate::{procura, ran};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Of this test alone: others on this machine must not be found.
const SEEN: &str = "canary-of-proc-4f1e-passphrase";
const NEXT: &str = "canary-of-proc-77ad-passphrase";

/// Looks at all processes; gives those of which it could read both files.
fn nowhere(what: &str) -> Vec<u32> {
    let mut looked = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let Some(pid) = path
            .file_name()
            .and_then(|name| name.to_str()?.parse::<u32>().ok())
        else {
            continue;
        };
        let mut read = 0;
        for file in ["cmdline", "environ"] {
            // Processes end while we look; what nobody else may read is read by nobody.
            let Ok(bytes) = std::fs::read(path.join(file)) else {
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            for canary in [SEEN, NEXT] {
                assert!(!text.contains(canary), "{what}: {file} of {pid}");
            }
            // The command line of a process that is ending is empty.
            read += i32::from(file == "environ" || !bytes.is_empty());
        }
        if read == 2 {
            looked.push(pid);
        }
    }
    looked
}

/// Looks for as long as a process takes, and that it was among those that were seen.
fn while_it_runs(what: &str, mut child: Child) -> Child {
    let end = Instant::now() + Duration::from_secs(180);
    let mut seen = 0;
    while child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < end, "{what}: it does not end");
        if nowhere(what).contains(&child.id()) {
            seen += 1;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(seen > 0, "{what}: it was over before anybody looked");
    child
}

/// One way to give passphrases to the command line.
enum Way {
    /// Descriptor 0, a pipe.
    Pipe,
    /// Descriptor 3, a file.
    File,
    /// Typed at a terminal.
    Terminal,
}

/// The command, with its passphrases on their way.
fn start(cli: &Cli, way: &Way, args: &[&str], lines: &[&str]) -> Child {
    let text = format!("{}\n", lines.join("\n"));
    let program = env!("CARGO_BIN_EXE_procura");
    let typed = args.join(" ");
    let mut command = match way {
        Way::Pipe => cli.command(&[&["--passphrase-fd", "0"], args].concat()),
        Way::File => {
            let file = cli.home.parent().unwrap().join("passphrases");
            std::fs::write(&file, &text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            let mut command = Command::new("sh");
            command.arg("-c").arg(format!(
                "exec {program} --passphrase-fd 3 {typed} 3<{}",
                file.display()
            ));
            command.env_clear().env("PROCURA_HOME", &cli.home);
            command
        }
        Way::Terminal => {
            let mut command = Command::new("script");
            command
                .args(["--quiet", "--flush", "--return", "--command"])
                .arg(format!("{program} {typed}"))
                .arg("/dev/null")
                .env_clear()
                .env("PROCURA_HOME", &cli.home)
                .env("SHELL", "/bin/sh")
                .env("TERM", "dumb");
            command
        }
    };
    if let Some(url) = &cli.url {
        command.env("PROCURA_SERVER", url);
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    match way {
        Way::File => {}
        Way::Pipe => child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap(),
        Way::Terminal => {
            for line in lines {
                answer(&mut child, line);
            }
        }
    }
    child
}

/// Types a line when the terminal has shown a question.
fn answer(child: &mut Child, line: &str) {
    let mut shown = Vec::new();
    let mut byte = [0];
    while !shown.ends_with(b": ") {
        let read = child.stdout.as_mut().unwrap().read(&mut byte).unwrap();
        assert_eq!(read, 1, "{}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    let stdin = child.stdin.as_mut().unwrap();
    stdin.write_all(format!("{line}\r").as_bytes()).unwrap();
    stdin.flush().unwrap();
}

fn ok(what: &str, child: Child) {
    let ended = ran(while_it_runs(what, child).wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{what}: {}{}", ended.out, ended.err);
}

/// A server of this home; its log is not looked at.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(cli: &mut Cli) -> Serving {
    let mut child = procura(&cli.home)
        .args(["server", "--listen", "127.0.0.1:0"])
        .args(["--health-listen", "127.0.0.1:0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        assert_eq!(child.stdout.as_mut().unwrap().read(&mut byte).unwrap(), 1);
        line.push(byte[0]);
    }
    let ready: serde_json::Value = serde_json::from_slice(&line).unwrap();
    cli.url = Some(ready["api"].as_str().unwrap().to_owned());
    Serving(child)
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_passphrase_is_in_no_command_line_and_no_environment_while_it_is_used() {
    for way in [Way::Pipe, Way::File, Way::Terminal] {
        let dir = tempfile::tempdir().unwrap();
        let mut cli = Cli {
            home: dir.path().join("home"),
            url: None,
        };
        let twice: &[&str] = match way {
            Way::Terminal => &[SEEN, SEEN],
            _ => &[SEEN],
        };
        ok(
            "init",
            start(&cli, &way, &["init", "--owner", "alice"], twice),
        );
        let server = serve(&mut cli);
        // After a wrong one the next waits for a second, with the passphrase in two
        // processes.
        let wrong = start(&cli, &Way::Pipe, &["unseal"], &["not the passphrase"]);
        assert_ne!(ran(wrong.wait_with_output().unwrap()).code, 0);
        ok("unseal", start(&cli, &way, &["unseal"], &[SEEN]));
        assert!(nowhere("unsealed").contains(&server.0.id()));
        // The key agent stays when the command has gone.
        ok("login", start(&cli, &way, &["login"], &[SEEN]));
        nowhere("logged in");
        let change: &[&str] = match way {
            Way::Terminal => &[SEEN, NEXT, NEXT],
            _ => &[SEEN, NEXT],
        };
        ok("passphrase", start(&cli, &way, &["passphrase"], change));
        assert!(nowhere("changed").contains(&server.0.id()));
    }
}

#[test]
fn a_passphrase_in_a_file_is_in_no_environment_of_the_server() {
    for configured in [
        "passphrase_file = FILE\n",
        "auto_unseal = [\"passphrase\"]\n[unseal_credentials]\npassphrase = FILE\n",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut cli = Cli {
            home: dir.path().join("home"),
            url: None,
        };
        ok(
            "init",
            start(&cli, &Way::Pipe, &["init", "--owner", "alice"], &[SEEN]),
        );
        let file = dir.path().join("passphrase");
        private(&file, &format!("{SEEN}\n"));
        let text = configured.replace("FILE", &format!("{file:?}"));
        std::fs::write(cli.home.join("procura.toml"), text).unwrap();
        let server = serve(&mut cli);
        let end = Instant::now() + Duration::from_secs(180);
        loop {
            assert!(nowhere(configured).contains(&server.0.id()));
            let status = cli.json(&["status"]);
            if status["sealed"] == serde_json::json!(false) {
                break;
            }
            assert!(Instant::now() < end, "{configured}: {status}");
        }
        assert!(nowhere(configured).contains(&server.0.id()));
    }
}

/// There is no way to give one where others could see it.
#[test]
fn command_lines_and_environments_are_no_way_to_give_one() {
    // Another than is looked for beside this.
    const GIVEN: &str = "typed-where-others-see-it";
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["unseal", "--passphrase", GIVEN][..],
        &["unseal", GIVEN],
        &["init", "--owner", "alice", "--passphrase", GIVEN],
        &["server", "--passphrase", GIVEN],
        &["login", GIVEN],
    ] {
        let refused = ran(procura(dir.path())
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap());
        assert_eq!(refused.code, 64, "{args:?}: {}", refused.err);
    }
    // Of the server's variables none is a passphrase; what is said names the variable alone.
    for name in ["PROCURA_PASSPHRASE", "PROCURA_UNSEAL_PASSPHRASE"] {
        let refused = ran(procura(dir.path())
            .arg("server")
            .env(name, GIVEN)
            .stdin(Stdio::null())
            .output()
            .unwrap());
        assert_ne!(refused.code, 0);
        assert!(
            refused
                .err
                .contains(&format!("{name}: is no key of Procura")),
            "{}",
            refused.err
        );
        assert!(!refused.err.contains(GIVEN), "{}", refused.err);
    }
}

/// What is looked at would show one.
#[test]
fn what_is_looked_at_shows_command_lines_and_environments() {
    const HELD: &str = "sleeping-canary-of-proc";
    let mut child = Command::new("sleep")
        .arg("60")
        .env("HELD", HELD)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    let pid = child.id();
    // Until it is the other program.
    loop {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        if line.starts_with(b"sleep\0") && String::from_utf8_lossy(&environment).contains(HELD) {
            break;
        }
        assert!(Instant::now() < end);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(nowhere("control").contains(&pid));
    child.kill().unwrap();
    child.wait().unwrap();
}
