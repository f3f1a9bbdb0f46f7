//! Who may ask the verification service of a server in this home, and with which keys.

use super::Checks;
use procura_crypto::ssh::SshPublicKey;
use procura_types::{Cidr, Duration, ForeignId, Timestamp};
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// After this a key has had time to be copied to where nobody knows of it.
const DUE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Addresses of a documentation range each (RFC 5737, RFC 3849): a list that admits
/// one of them admits strangers.
const STRANGERS: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

#[derive(Deserialize)]
struct AllowList {
    allowed_ips: Vec<Cidr>,
}

/// `auth/allowed-clients.json` of the home.
pub(super) fn allow_list(checks: &mut Checks, home: &Path) {
    let path = home.join("auth/allowed-clients.json");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return checks.ok(
                "allow-list",
                "none: other services ask from this machine alone",
            );
        }
        Err(error) => return unusable(checks, &path, &error.to_string()),
    };
    let blocks = match serde_json::from_slice::<AllowList>(&text) {
        Ok(list) => list.allowed_ips,
        Err(error) => return unusable(checks, &path, &error.to_string()),
    };
    let open = STRANGERS
        .iter()
        .filter_map(|address| address.parse().ok())
        .any(|address| blocks.iter().any(|block| block.contains(address)));
    if open {
        checks.problem(
            "allow-list",
            format!("{} admits addresses of strangers", path.display()),
            "everybody who reaches the server can ask whose signatures are good, and list the agents",
            "name the networks of your services in it, such as 10.0.0.0/8",
        );
    } else {
        let blocks = match blocks.len() {
            1 => "1 block".to_owned(),
            many => format!("{many} blocks"),
        };
        checks.ok("allow-list", blocks);
    }
}

fn unusable(checks: &mut Checks, path: &Path, problem: &str) {
    checks.problem(
        "allow-list",
        format!("{} cannot be used: {problem}", path.display()),
        "no address at all may ask the verification service",
        r#"write {"allowed_ips": ["ADDRESS", …]}"#,
    );
}

/// The files of `keys/agents`: which are keys, and how old they are.
pub(super) fn agent_keys(checks: &mut Checks, home: &Path, now: Timestamp) {
    let folder = home.join("keys/agents");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return,
        Err(error) => {
            return checks.problem(
                "agent keys",
                format!("{}: {error}", folder.display()),
                "no agent of other systems can be verified",
                format!("let the server's user read {}", folder.display()),
            );
        }
    };
    let (mut sound, mut unfit, mut old) = (0_usize, Vec::new(), Vec::new());
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let Some(id) = name.strip_suffix(".pub") else {
            continue;
        };
        let key = std::fs::read(entry.path())
            .map_err(|error| error.to_string())
            .and_then(|line| SshPublicKey::parse(&line).map_err(|error| error.to_string()));
        match (id.parse::<ForeignId>(), key) {
            (Err(_), _) => unfit.push(format!("{name}: its name is no id of an agent")),
            (_, Err(problem)) => unfit.push(format!("{name}: {problem}")),
            (Ok(id), Ok(_)) => {
                sound += 1;
                if age(&entry, now).is_some_and(|age| age > DUE) {
                    old.push(id.to_string());
                }
            }
        }
    }
    for problem in &unfit {
        checks.problem(
            "agent keys",
            problem.clone(),
            "this agent is unknown to the server",
            "put the one line of ssh-keygen -t ed25519 there, named ID.pub",
        );
    }
    old.sort();
    match old.as_slice() {
        [] => checks.ok("agent keys", format!("{sound}, none older than 90 days")),
        names => checks.notice(
            "agent keys",
            format!("older than 90 days: {}", names.join(", ")),
            "the longer a key is used the more copies of it there may be; docs/runbooks/rotate-agent-keys.md",
        ),
    }
}

/// How long ago the file was written.
fn age(entry: &std::fs::DirEntry, now: Timestamp) -> Option<Duration> {
    let modified = entry.metadata().ok()?.modified().ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    let written = Timestamp::from_millis(u64::try_from(since.as_millis()).ok()?);
    Some(now.since(written))
}
