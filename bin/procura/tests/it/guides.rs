//! What the guides say to type is typed, by somebody who has nothing yet.

use crate::browser::{Browser, code};
use crate::installed::Installed;
use crate::runbooks::{blocks_of, typed_in};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

/// Everything that was started from a folder ends with it.
struct Folder(tempfile::TempDir);

impl Drop for Folder {
    fn drop(&mut self) {
        let home = format!("PROCURA_HOME={}", self.0.path().join("home").display());
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let ours = environ
                .split(|byte| *byte == 0)
                .any(|variable| variable == home.as_bytes());
            if ours {
                let pid = entry.file_name();
                let _ = Command::new("kill").arg("-KILL").arg(pid).status();
            }
        }
    }
}

/// An address that nobody has just now.
fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_laptop_is_set_up_from_nothing() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let place = folder.0.path();
    let keep = |name: &str, text: &[u8]| std::fs::write(place.join(name), text).unwrap();
    keep("passphrase.txt", b"canary passphrase 77e0\n");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ed25519",
            "-nodes",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(place)
        .output()
        .unwrap();
    assert!(made.status.success());
    let read = |name: &str| std::fs::read(place.join(name)).unwrap();
    keep("tls.pem", &[read("cert.pem"), read("key.pem")].concat());
    let (api, health) = (free(), free());
    let url = format!("http://{api}");
    let home = place.join("home");
    let socket = home.join("daemon/agent.sock");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (home, socket) = (text(&home), text(&socket));
    let variables = [
        ("PROCURA_HOME", home.as_str()),
        ("PROCURA_SERVER", url.as_str()),
        ("PROCURA_LISTEN", api.as_str()),
        ("PROCURA_HEALTH_LISTEN", health.as_str()),
        ("PROCURA_SOCKET", socket.as_str()),
        ("STRIPE_KEY", "planted-value"),
    ];
    let said: Vec<String> = blocks_of("guides", "solo.md")
        .iter()
        .map(|block| typed_in(place, block, &variables))
        .collect();
    let all = said.join("\n");
    assert!(all.contains("13 characters"), "{all}");
    assert!(!all.contains("planted-value"), "{all}");
    // What a run got, by name, path and version.
    assert!(said[5].contains("run.deliver"), "{}", said[5]);
}

#[test]
fn a_way_into_a_browser_is_made_at_the_command_line() {
    let mut installed = Installed::new();
    let keep = |name: &str, text: &str| std::fs::write(installed.dir().join(name), text).unwrap();
    keep("password.txt", "the password of the guide\n");
    let home = installed.cli.home.to_str().unwrap().to_owned();
    let place = installed.dir().to_owned();
    let typed = |url: &str, block: &str, code: &str| {
        let variables = [
            ("PROCURA_HOME", home.as_str()),
            ("PROCURA_SERVER", url),
            ("CODE", code),
        ];
        typed_in(&place, block, &variables)
    };
    let blocks = blocks_of("guides", "pages.md");
    assert_eq!(blocks.len(), 5);
    let url = installed.cli.url.clone().unwrap();
    assert_eq!(Browser::at(&url).get("/sign-in").status, 404);
    typed(&url, &blocks[0], "");
    installed.server.take().unwrap().stop();
    installed.serve();
    let url = installed.cli.url.clone().unwrap();
    let said = typed(&url, &blocks[1], "");
    let (_, secret) = said.split_once("?secret=").unwrap();
    let secret = secret.split('&').next().unwrap();
    let said = typed(&url, &blocks[2], &code(secret));
    let recovery: Vec<&str> = said.lines().collect();
    assert_eq!(recovery.len(), 10, "{said}");
    let browser = Browser::at(&url);
    let wrong = browser.sign_in("alice", "another password", recovery[0]);
    assert_eq!(wrong.status, 401, "{}", wrong.text);
    assert!(!browser.is_signed_in());
    let page = browser.sign_in("alice", "the password of the guide", recovery[0]);
    assert_eq!(page.status, 303, "{}", page.text);
    assert!(browser.is_signed_in());
    let said = typed(&url, &blocks[3], "");
    assert_eq!(said.trim_end().len(), 22, "{said}");
    let said = typed(&url, &blocks[4], "");
    assert!(said.contains("9 left"), "{said}");
    // And the browser that is signed in.
    assert!(said.contains("WEB LOGIN"), "{said}");
}
