//! The tree as it lies there, read whole and judged before anything is done with it.
//!
//! Whoever can write to the tree decides what becomes a secret and who becomes an
//! agent, so nothing in it is followed and nothing is guessed: what is not one of the
//! four kinds of files is an error, each under its name.

use super::names;
use crate::failure::Failure;
use procura_crypto::ssh::SshPublicKey;
use procura_types::{Cidr, EnvName, ForeignId, Label, Secret, SecretBytes, SecretPath};
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

/// Bytes of the longest file of each kind, as the server takes them.
const LONGEST_PUBLIC: usize = 4096;
const LONGEST_PRIVATE: usize = 64 * 1024;
const LONGEST_API_KEY: usize = 16 * 1024;
const LONGEST_LIST: usize = 1 << 20;
/// Entries of one folder.
const MOST_ENTRIES: usize = 4096;

const API_KEY: &str = "api-key.txt";
const LIST: &str = "allowed-clients.json";

/// An agent and its key.
pub(super) struct AgentFile {
    pub(super) id: ForeignId,
    pub(super) label: Label,
    /// The file, as it lies there.
    pub(super) text: Vec<u8>,
    pub(super) key: SshPublicKey,
}

/// What becomes a secret.
pub(super) struct KeyFile {
    pub(super) path: SecretPath,
    pub(super) env: EnvName,
    pub(super) value: SecretBytes,
}

/// All that is brought in.
#[derive(Default)]
pub(super) struct Tree {
    /// By id.
    pub(super) agents: Vec<AgentFile>,
    /// By path.
    pub(super) keys: Vec<KeyFile>,
    /// The allow-list, as it lies there.
    pub(super) list: Option<Vec<u8>>,
    /// Files that stay where they are, and why.
    pub(super) left: Vec<String>,
}

/// The list, as the server reads it.
#[derive(Deserialize)]
struct Allowed {
    allowed_ips: Vec<Cidr>,
}

/// Reads the tree, or says everything that is wrong with it.
pub(super) fn read(dir: &Path) -> Result<Tree, Failure> {
    let mut reading = Reading::default();
    let top = entries(dir).map_err(|problem| {
        Failure::usage(format!(
            "nothing was brought in: {} {problem}",
            dir.display()
        ))
    })?;
    for name in top {
        let path = dir.join(&name);
        match name.to_str() {
            Some("agents") => reading.folder(&path, Reading::agent),
            Some("ssh") => reading.folder(&path, Reading::ssh),
            Some(LIST) => reading.list(&path),
            Some(service) if path.symlink_metadata().is_ok_and(|found| found.is_dir()) => {
                reading.service(service, &path);
            }
            _ => reading.wrong(
                &path,
                "is not agents, ssh, the folder of a service, or allowed-clients.json",
            ),
        }
    }
    reading.finish(dir)
}

#[derive(Default)]
struct Reading {
    tree: Tree,
    wrong: Vec<String>,
}

impl Reading {
    fn wrong(&mut self, path: &Path, problem: impl std::fmt::Display) {
        self.wrong.push(format!("{} {problem}", path.display()));
    }

    /// What came of a step; a problem is noted under the file.
    fn noted<T>(&mut self, path: &Path, outcome: Result<T, impl std::fmt::Display>) -> Option<T> {
        outcome.map_err(|problem| self.wrong(path, problem)).ok()
    }

    fn folder(&mut self, folder: &Path, each: fn(&mut Self, &str, &Path)) {
        let Some(names) = self.noted(folder, entries(folder)) else {
            return;
        };
        for name in names {
            let path = folder.join(&name);
            match name.to_str() {
                Some(name) => each(self, name, &path),
                None => self.wrong(&path, "has a name that is not UTF-8"),
            }
        }
    }

    fn agent(&mut self, name: &str, path: &Path) {
        let Some(id) = name.strip_suffix(".pub") else {
            return self.wrong(path, "is not named ID.pub");
        };
        let named = id
            .parse::<ForeignId>()
            .map_err(|error| format!("is named so that {error}"));
        let (Some(id), Some(text)) = (
            self.noted(path, named),
            self.noted(path, file(path, LONGEST_PUBLIC)),
        ) else {
            return;
        };
        let key =
            SshPublicKey::parse(text.expose()).map_err(|error| format!("is refused: {error}"));
        let label = names::label(&id).map_err(|error| format!("gives no label: {error}"));
        if let (Some(key), Some(label)) = (self.noted(path, key), self.noted(path, label)) {
            self.tree.agents.push(AgentFile {
                id,
                label,
                text: text.expose().clone(),
                key,
            });
        }
    }

    fn ssh(&mut self, name: &str, path: &Path) {
        let Some(value) = self.noted(path, file(path, LONGEST_PRIVATE)) else {
            return;
        };
        if is_private_key(value.expose()) {
            self.key("ssh", name, path, value);
        } else if name.ends_with(".pub") {
            self.tree
                .left
                .push(format!("{}: a public half", path.display()));
        } else {
            self.wrong(
                path,
                "is no private key: it is not text between -----BEGIN … PRIVATE KEY----- and its end",
            );
        }
    }

    fn service(&mut self, service: &str, folder: &Path) {
        let Some(names) = self.noted(folder, entries(folder)) else {
            return;
        };
        let mut found = false;
        for name in names {
            let path = folder.join(&name);
            if name != API_KEY {
                self.wrong(&path, "is not api-key.txt, the one file of a service");
                continue;
            }
            found = true;
            let Some(read) = self.noted(&path, file(&path, LONGEST_API_KEY)) else {
                continue;
            };
            if let Some(value) = self.noted(&path, one_line(&read)) {
                self.key("api", service, &path, value);
            }
        }
        if !found {
            self.wrong(folder, "has no api-key.txt");
        }
    }

    fn key(&mut self, folder: &str, name: &str, path: &Path, value: SecretBytes) {
        let at = format!("{folder}/{name}")
            .parse::<SecretPath>()
            .map_err(|error| format!("is named so that {error}"));
        let env = names::env(folder, name).map_err(|error| format!("is named so that {error}"));
        if let (Some(path), Some(env)) = (self.noted(path, at), self.noted(path, env)) {
            self.tree.keys.push(KeyFile { path, env, value });
        }
    }

    fn list(&mut self, path: &Path) {
        let Some(text) = self.noted(path, file(path, LONGEST_LIST)) else {
            return;
        };
        let form = r#"is not {"allowed_ips": ["ADDRESS", …]}"#;
        let text = text.expose();
        let is_object = text.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        let read = if is_object {
            // What serde_json met is not repeated: it may be something else than an address.
            serde_json::from_slice::<Allowed>(text).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                format!("{form}: at line {line}, column {column}")
            })
        } else {
            Err(form.to_owned())
        };
        if let Some(read) = self.noted(path, read) {
            if read.allowed_ips.is_empty() {
                self.wrong(path, "names no address, so nobody could ask");
            }
            self.tree.list = Some(text.clone());
        }
    }

    fn finish(mut self, dir: &Path) -> Result<Tree, Failure> {
        let mut labels: BTreeMap<&Label, &ForeignId> = BTreeMap::new();
        for agent in &self.tree.agents {
            if let Some(other) = labels.insert(&agent.label, &agent.id) {
                self.wrong.push(format!(
                    "agents {other} and {} would both have the label {}",
                    agent.id, agent.label
                ));
            }
        }
        let mut names: BTreeMap<&EnvName, &SecretPath> = BTreeMap::new();
        for key in &self.tree.keys {
            if let Some(other) = names.insert(&key.env, &key.path) {
                self.wrong.push(format!(
                    "{other} and {} would both have the name {}",
                    key.path, key.env
                ));
            }
        }
        if !self.wrong.is_empty() {
            self.wrong.sort();
            return Err(Failure::usage(format!(
                "nothing was brought in: {} is not in order",
                dir.display()
            ))
            .because(format_args!("\n    {}", self.wrong.join("\n    "))));
        }
        if self.tree.agents.is_empty() && self.tree.keys.is_empty() && self.tree.list.is_none() {
            return Err(Failure::usage(format!(
                "nothing was brought in: {} has no keys",
                dir.display()
            )));
        }
        self.tree.agents.sort_by(|one, other| one.id.cmp(&other.id));
        self.tree
            .keys
            .sort_by(|one, other| one.path.cmp(&other.path));
        Ok(self.tree)
    }
}

/// The names in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<OsString>, String> {
    let problem = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => "is not there".to_owned(),
        ErrorKind::NotADirectory => "is not a folder".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    // A link to a folder would be followed by whoever lists it.
    let found = folder.symlink_metadata().map_err(problem)?;
    if found.is_symlink() {
        return Err("is a link; put what it leads to there itself".to_owned());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        names.push(entry.map_err(problem)?.file_name());
        if names.len() > MOST_ENTRIES {
            return Err(format!("has more than {MOST_ENTRIES} files"));
        }
    }
    names.sort();
    Ok(names)
}

/// The bytes of a regular file that is not a link. Never waits for the other end of a
/// pipe; what is judged is what was opened, whatever the name leads to meanwhile.
fn file(path: &Path, longest: usize) -> Result<SecretBytes, String> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::LOOP) => {
            return Err("is a link; put the file itself there".to_owned());
        }
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    let found = file
        .metadata()
        .map_err(|error| format!("cannot be read: {error}"))?;
    if !found.is_file() {
        return Err("is not a regular file".to_owned());
    }
    // Room for the longest at once, so that no copy is left behind by growing.
    let mut bytes = Secret::new(Vec::with_capacity(longest + 1));
    let limit = u64::try_from(longest + 1).unwrap_or(u64::MAX);
    file.take(limit)
        .read_to_end(bytes.expose_mut())
        .map_err(|error| format!("cannot be read: {error}"))?;
    match bytes.expose().len() {
        0 => Err("is empty".to_owned()),
        length if length > longest => Err(format!("is longer than {longest} bytes")),
        _ => Ok(bytes),
    }
}

/// Whether this is a private key in the textual form that OpenSSH and OpenSSL write
/// (RFC 7468): of whichever kind, since whoever uses it decides.
fn is_private_key(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    let text = text.trim();
    let label = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    label.is_some_and(|label| {
        label.ends_with("PRIVATE KEY") && text.ends_with(&format!("-----END {label}-----"))
    })
}

/// The value of an API's key without the end of its line.
fn one_line(text: &SecretBytes) -> Result<SecretBytes, &'static str> {
    let line = std::str::from_utf8(text.expose()).map_err(|_| "is not UTF-8")?;
    let line = line.trim_end_matches(['\r', '\n']);
    if line.is_empty() {
        return Err("is empty");
    }
    if line.contains(['\r', '\n']) {
        return Err("has more than one line");
    }
    if line.chars().any(char::is_control) {
        return Err("has control characters");
    }
    Ok(Secret::new(line.as_bytes().to_vec()))
}

/// Where the public key of an agent lies in a home.
pub(super) fn key_file(home: &Path, id: &ForeignId) -> PathBuf {
    home.join(format!("keys/agents/{id}.pub"))
}

/// Where the allow-list lies in a home.
pub(super) fn list_file(home: &Path) -> PathBuf {
    home.join("auth").join(LIST)
}
