//! What the guide for a team says to type is typed, in its order.

use procura_acceptance::program;
use procura_store::LocalPostgres;
use procura_store::guard::LocalRedis;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const PASSPHRASE: &str = "passphrase of the team 51";

/// The blocks of the guide.
fn blocks() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/guides")
        .join("team-postgresql.md");
    let text = std::fs::read_to_string(page).unwrap();
    let mut parts = text.split("```");
    let mut blocks = Vec::new();
    while let (Some(_), Some(block)) = (parts.next(), parts.next()) {
        let commands = block.strip_prefix("sh\n");
        blocks.push(commands.expect("a block of commands").to_owned());
    }
    blocks
}

/// The folder in which it is typed; the servers that were started there end with it.
struct Desk(TempDir);

impl Drop for Desk {
    fn drop(&mut self) {
        for name in ["one.pid", "two.pid"] {
            if let Ok(pid) = std::fs::read_to_string(self.0.path().join(name)) {
                // It may have ended as the guide says.
                let _ = Command::new("kill").args(["-9", pid.trim()]).status();
            }
        }
    }
}

fn free() -> String {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    free.local_addr().unwrap().to_string()
}

#[test]
fn two_servers_on_one_database() {
    let dirs = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let postgres = LocalPostgres::start(dirs[0].path(), &[]);
    let redis = LocalRedis::start(dirs[1].path(), &[]);
    let desk = Desk(TempDir::new().unwrap());
    std::fs::write(desk.0.path().join("passphrase.txt"), PASSPHRASE).unwrap();
    let database = format!("postgres://vault@127.0.0.1:{}/vault", postgres.port());
    let (one, two, port) = (free(), free(), postgres.port().to_string());
    let programs = program("procura").parent().unwrap().to_owned();
    let folder = postgres.folder().to_str().unwrap();
    let variables = [
        ("PGHOST", folder),
        ("PGPORT", &port),
        ("PGUSER", "procura"),
        ("DATABASE_URL", &database),
        ("GUARD_URL", &redis.url()),
        ("PUBLIC_URL", "https://procura.example"),
        ("ONE", &one),
        ("TWO", &two),
    ];
    let mut said = Vec::new();
    for block in blocks() {
        let output = Command::new("setsid")
            .args(["--wait", "bash", "-euc", &block])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .envs(variables)
            .current_dir(desk.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}: {errors}");
        said.push(String::from_utf8(output.stdout).unwrap());
    }
    assert!(said[1].contains("fsync|on"), "{said:?}");
    assert!(said[2].contains("noeviction"), "{said:?}");
    assert!(said[5].contains("sealed"), "{said:?}");
    assert!(said[6].contains("hunter2"), "{said:?}");
    assert!(said[7].contains("db/password"), "{said:?}");
    assert!(said[7].contains("secret."), "{said:?}");
    // The one that was stopped, which is then removed.
    let states = |word: &str| said[8].matches(word).count();
    assert_eq!(
        (states("sealed"), states("open"), states("removed")),
        (1, 2, 1)
    );
}
