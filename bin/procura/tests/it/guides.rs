//! What the guides say to type is typed, by somebody who has nothing yet.

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
