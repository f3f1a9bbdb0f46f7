//! What is in a CortexAuth database, opened and judged, in the words of this system.

use super::super::names;
use super::super::tree::AgentFile;
use crate::failure::Failure;
use procura_crypto::ssh::SshPublicKey;
use procura_crypto::{KdfError, PublicKey, derive_foreign_key, open_once};
use procura_store::cortexauth::{CortexAuth, CortexAuthAgent, CortexAuthSecret};
use procura_types::wire::{PortableSecret, ValueB64};
use procura_types::{
    EnvName, ForeignId, ForeignProject, Malformed, Namespace, ProjectName, Secret, SecretBytes,
    SecretKind, SecretPath, encoding, template,
};
use serde::Serialize;
use serde::de::IgnoredAny;
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a nonce, before what is sealed.
const NONCE: usize = 12;
/// Bytes of the longest value.
const LONGEST: usize = 1024 * 1024;
/// Characters of the longest description.
const DESCRIPTION: usize = 1000;

/// All of it.
#[derive(Default)]
pub(super) struct Opened {
    pub(super) namespaces: BTreeMap<Namespace, Contents>,
    pub(super) agents: Vec<AgentFile>,
    /// For people.
    pub(super) notes: Vec<String>,
}

/// What goes into one namespace.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) secrets: Vec<PortableSecret>,
    /// Decoys.
    pub(super) honey: Vec<Decoy>,
    pub(super) projects: BTreeMap<ProjectName, BTreeMap<EnvName, SecretPath>>,
}

/// A decoy that is to be planted.
pub(super) struct Decoy {
    pub(super) path: SecretPath,
    pub(super) value: SecretBytes,
    pub(super) kind: SecretKind,
    pub(super) description: Option<String>,
}

/// One thing in it.
#[derive(Serialize)]
pub(super) struct Shown {
    pub(super) what: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

/// Where things go that do not go to what they are called there.
#[derive(Default)]
pub(super) struct Map {
    pub(super) namespaces: Vec<(String, Namespace)>,
    pub(super) paths: Vec<(String, SecretPath)>,
}

/// Leaves only what is in these namespaces of there, and what is granted of that; gives
/// the name of one that there is not.
pub(super) fn only(file: &mut CortexAuth, namespaces: &[String]) -> Result<(), String> {
    if namespaces.is_empty() {
        return Ok(());
    }
    let is_there = |name: &&String| file.secrets.iter().any(|one| one.namespace == **name);
    if let Some(missing) = namespaces.iter().find(|name| !is_there(name)) {
        return Err(missing.clone());
    }
    let (stay, go) = std::mem::take(&mut file.secrets)
        .into_iter()
        .partition(|secret| namespaces.contains(&secret.namespace));
    file.secrets = stay;
    let left: BTreeSet<String> = go.into_iter().map(|secret| secret.id).collect();
    file.grants.retain(|grant| !left.contains(&grant.secret));
    Ok(())
}

/// What of a map nothing in the file is called, as typed: it would do nothing.
pub(super) fn unmapped(file: &CortexAuth, map: &Map) -> Vec<String> {
    let secrets = || file.secrets.iter();
    let namespaces = map.namespaces.iter().filter(|(there, _)| {
        // One without a name is called default.
        let is_it = |name: &str| name == there || (name.is_empty() && there == "default");
        !secrets().any(|secret| is_it(&secret.namespace))
    });
    let paths = map
        .paths
        .iter()
        .filter(|(there, _)| !secrets().any(|secret| secret.key_path == *there));
    namespaces
        .map(|(there, here)| format!("--map {}", quoted(&format!("{there}={here}"))))
        .chain(paths.map(|(there, here)| format!("--path {}", quoted(&format!("{there}={here}")))))
        .collect()
}

/// As one word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "_-./=".contains(one);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Why nothing of it is brought in.
pub(super) enum Wrong {
    Password,
    Kdf(KdfError),
    NotInOrder(Vec<String>),
}

impl Wrong {
    pub(super) fn told(self, file: &str) -> Failure {
        match self {
            Self::Password => Failure::refused("nothing was brought in")
                .because(format_args!("the password does not open {file}"))
                .next("the command again, with the password of that vault"),
            Self::Kdf(error) => {
                Failure::usage(format!("nothing was brought in: {file} cannot be opened"))
                    .because(error)
            }
            Self::NotInOrder(wrong) => {
                Failure::usage(format!("nothing was brought in: {file} is not in order"))
                    .because(format_args!("\n    {}", wrong.join("\n    ")))
            }
        }
    }
}

/// Opens `base64(nonce ‖ ciphertext ‖ tag)`, AES-256-GCM without associated data.
fn unseal(key: &Secret<[u8; 32]>, sealed: &str) -> Option<SecretBytes> {
    let bytes = base64(sealed)?;
    let (nonce, rest) = bytes.split_first_chunk::<NONCE>()?;
    open_once(key, *nonce, &[], rest).ok()
}

/// Base64, with padding or without it.
fn base64(text: &str) -> Option<Vec<u8>> {
    encoding::from_b64_any(text.trim())
}

impl Opened {
    /// Opens everything, or says all that is wrong with it.
    pub(super) fn open(
        file: CortexAuth,
        password: &Secret<String>,
        map: &Map,
    ) -> Result<Self, Wrong> {
        let salt = base64(&file.salt).ok_or(Wrong::Kdf(KdfError::Salt))?;
        let kek = derive_foreign_key(password.expose(), &salt).map_err(Wrong::Kdf)?;
        if unseal(&kek, &file.sentinel).is_none() {
            return Err(Wrong::Password);
        }
        let mut reading = Reading {
            map,
            opened: Self::default(),
            wrong: Vec::new(),
            kek_version: file.kek_version,
            places: BTreeMap::new(),
            taken: BTreeSet::new(),
            used: BTreeSet::new(),
        };
        for secret in &file.secrets {
            if let Err(problem) = reading.secret(&kek, secret) {
                let place = format!("{} {}", secret.namespace, secret.key_path);
                reading
                    .wrong
                    .push(format!("secret {}: {problem}", place.trim()));
            }
        }
        for agent in &file.agents {
            match read_agent(agent) {
                Ok(Some(agent)) => reading.opened.agents.push(agent),
                Ok(None) => reading.opened.notes.push(format!(
                    "note: the agent {} has no public key there, and is left",
                    agent.id
                )),
                Err(problem) => reading.wrong.push(format!("agent {}: {problem}", agent.id)),
            }
        }
        for grant in &file.grants {
            if let Err(problem) = reading.grant(&grant.project, &grant.secret, &grant.env) {
                let place = format!("project {}: {}", grant.project, grant.env);
                reading.wrong.push(format!("{place}: {problem}"));
            }
        }
        reading.labels();
        if !reading.wrong.is_empty() {
            return Err(Wrong::NotInOrder(reading.wrong));
        }
        reading.declare();
        Ok(reading.opened)
    }

    /// All of it by name.
    pub(super) fn shown(&self) -> Vec<Shown> {
        let mut rows = Vec::new();
        for (namespace, contents) in &self.namespaces {
            let mut row = |what, name: String| {
                rows.push(Shown {
                    what,
                    namespace: namespace.to_string(),
                    name,
                });
            };
            for secret in &contents.secrets {
                let kind = secret.kind.unwrap_or_default();
                row("secret", format!("{} ({kind})", secret.path));
            }
            for decoy in &contents.honey {
                row("honey", decoy.path.to_string());
            }
            for (project, env) in &contents.projects {
                row("project", format!("{project} with {} names", env.len()));
            }
        }
        for agent in &self.agents {
            rows.push(Shown {
                what: "agent",
                namespace: String::new(),
                name: format!("{} as {}", agent.id, agent.label),
            });
        }
        rows
    }
}

struct Reading<'a> {
    map: &'a Map,
    opened: Opened,
    wrong: Vec<String>,
    /// Of the key that the password leads to.
    kek_version: i64,
    /// Where each secret of there lies here, by its id; none for an id of several.
    places: BTreeMap<String, Option<(Namespace, SecretPath)>>,
    /// Where something goes already.
    taken: BTreeSet<(Namespace, SecretPath)>,
    /// Which names templates use, in which namespace.
    used: BTreeSet<(Namespace, String)>,
}

impl Reading<'_> {
    fn namespace(&self, there: &str) -> Result<Namespace, Malformed> {
        let named = |there: &str| self.map.namespaces.iter().find(|(name, _)| name == there);
        let mapped = named(there).or_else(|| named("default").filter(|_| there.is_empty()));
        match mapped {
            Some((_, here)) => Ok(here.clone()),
            None if there.is_empty() => "default".parse(),
            None => there.to_ascii_lowercase().parse(),
        }
    }

    fn path(&self, there: &str) -> Result<SecretPath, String> {
        let mapped = self.map.paths.iter().find(|(path, _)| path == there);
        match mapped {
            Some((_, here)) => Ok(here.clone()),
            None => there.trim_matches('/').parse().map_err(|error: Malformed| {
                let typed = quoted(&format!("{there}=PATH"));
                format!("{error}; --path {typed} puts it elsewhere")
            }),
        }
    }

    /// A description of there as one line of here, with a note where it is another then.
    fn description(
        &mut self,
        namespace: &Namespace,
        path: &SecretPath,
        secret: &CortexAuthSecret,
    ) -> Option<String> {
        let there = secret.description.as_ref()?;
        let here: String = there
            .chars()
            .map(|character| match character.is_control() {
                true => ' ',
                false => character,
            })
            .take(DESCRIPTION)
            .collect();
        if here != *there {
            self.opened.notes.push(format!(
                "note: the description of {path} of {namespace} becomes one line of at most {DESCRIPTION} characters"
            ));
        }
        Some(here)
    }

    /// Why the key of a secret may not open.
    fn not_opened(&self, secret: &CortexAuthSecret) -> String {
        match secret.kek_version {
            Some(by) if by != self.kek_version => format!(
                "its key is sealed with kek_version {by}, and the password leads to {}",
                self.kek_version
            ),
            _ => "its key does not open".to_owned(),
        }
    }

    fn secret(&mut self, kek: &Secret<[u8; 32]>, secret: &CortexAuthSecret) -> Result<(), String> {
        let namespace = self.namespace(&secret.namespace).map_err(|error| {
            let typed = quoted(&format!("{}=NS", secret.namespace));
            format!("{error}; --map {typed} puts it elsewhere")
        })?;
        let path = self.path(&secret.key_path)?;
        let dek = unseal(kek, &secret.wrapped_dek).ok_or_else(|| self.not_opened(secret))?;
        let dek: [u8; 32] = dek
            .expose()
            .as_slice()
            .try_into()
            .map_err(|_| "its key is not of 32 bytes")?;
        let dek = Secret::new(dek);
        let value = unseal(&dek, &secret.encrypted_value).ok_or("its value does not open")?;
        if value.expose().len() > LONGEST {
            return Err("its value is longer than 1 MiB".to_owned());
        }
        let (kind, value) = match secret.secret_type.as_str() {
            "KEY_VALUE" => (SecretKind::KeyValue, value),
            "JSON_CONFIG" => {
                let text = std::str::from_utf8(value.expose()).ok();
                text.and_then(|text| serde_json::from_str::<IgnoredAny>(text).ok())
                    .ok_or("its value is no JSON")?;
                (SecretKind::Json, value)
            }
            "TEMPLATE_CONFIG" => (
                SecretKind::Template,
                self.template(&namespace, &path, &value)?,
            ),
            _ => {
                return Err(
                    "its type is none of KEY_VALUE, JSON_CONFIG and TEMPLATE_CONFIG".to_owned(),
                );
            }
        };
        let place = (namespace.clone(), path.clone());
        if !self.taken.insert(place.clone()) {
            return Err(format!("another one goes to {path} in {namespace} too"));
        }
        self.places
            .entry(secret.id.clone())
            .and_modify(|other| *other = None)
            .or_insert(Some(place));
        let description = self.description(&namespace, &path, secret);
        let contents = self.opened.namespaces.entry(namespace).or_default();
        if secret.is_honey {
            contents.honey.push(Decoy {
                path,
                value,
                kind,
                description,
            });
            return Ok(());
        }
        contents.secrets.push(PortableSecret {
            kind: Some(kind),
            description,
            ..PortableSecret::new(path, ValueB64::encode(value.expose()))
        });
        Ok(())
    }

    /// A template of there as one of here: `{{ NAME }}` becomes a variable, all else stays.
    fn template(
        &mut self,
        namespace: &Namespace,
        path: &SecretPath,
        value: &SecretBytes,
    ) -> Result<SecretBytes, String> {
        let text = std::str::from_utf8(value.expose()).map_err(|_| "its text is not UTF-8")?;
        let mut out = Secret::new(String::with_capacity(text.len() * 2));
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once("{{") {
            out.expose_mut().push_str(before);
            let inside = behind.split_once("}}");
            let name = inside.map(|(name, _)| name.trim());
            match (inside, name.map(str::parse::<EnvName>)) {
                (Some((_, after)), Some(Ok(name))) => {
                    out.expose_mut().push_str(&template::variable(&name));
                    self.used.insert((namespace.clone(), name.to_string()));
                    rest = after;
                }
                _ => {
                    // `{{procura:` of before is said so that it stays what it is.
                    let (open, after) = match behind.strip_prefix("procura:") {
                        Some(after) => ("{{procura:}}", after),
                        None => ("{{", behind),
                    };
                    out.expose_mut().push_str(open);
                    rest = after;
                    let note = format!(
                        "note: {{{{ in {path} of {namespace} is not followed by a name and }}}}; it stays as text"
                    );
                    if self.opened.notes.last() != Some(&note) {
                        self.opened.notes.push(note);
                    }
                }
            }
        }
        out.expose_mut().push_str(rest);
        let text = std::mem::take(out.expose_mut());
        Ok(SecretBytes::new(text.into_bytes()))
    }

    fn grant(&mut self, project: &str, secret: &str, env: &str) -> Result<(), String> {
        let (namespace, path) = self
            .places
            .get(secret)
            .ok_or("there is no such secret, or it is not brought in")?
            .as_ref()
            .ok_or("more than one secret has its id")?;
        let name: ForeignProject = project
            .parse()
            .map_err(|error: Malformed| error.to_string())?;
        let name = name.into_name();
        let env: EnvName = env.parse().map_err(|error: Malformed| error.to_string())?;
        env.deliverable().map_err(|error| error.to_string())?;
        let contents = self.opened.namespaces.entry(namespace.clone()).or_default();
        let mapping = contents.projects.entry(name).or_default();
        match mapping.insert(env, path.clone()) {
            Some(other) if other != *path => Err(format!("it is granted {other} and {path}")),
            _ => Ok(()),
        }
    }

    /// Two ids that would be one label are refused.
    fn labels(&mut self) {
        let mut labels = BTreeMap::new();
        for agent in &self.opened.agents {
            if let Some(other) = labels.insert(agent.label.clone(), agent.id.clone()) {
                self.wrong.push(format!(
                    "agents {other} and {} would both have the label {}",
                    agent.id, agent.label
                ));
            }
        }
    }

    /// A secret whose path is a name that a template uses declares it, so that the
    /// template finds it as it did.
    fn declare(&mut self) {
        for (namespace, contents) in &mut self.opened.namespaces {
            for secret in &mut contents.secrets {
                let used = (namespace.clone(), secret.path.to_string());
                if self.used.contains(&used) {
                    secret.env = secret.path.as_str().parse().ok();
                }
            }
        }
    }
}

/// None for one that proves itself by something else than a key, which nothing here is
/// made of.
fn read_agent(agent: &CortexAuthAgent) -> Result<Option<AgentFile>, String> {
    let id: ForeignId = agent
        .id
        .parse()
        .map_err(|error: Malformed| error.to_string())?;
    let Some(key) = &agent.public_key else {
        return Ok(None);
    };
    let key = encoding::from_b64url("agent_pub", key.trim_end_matches('='))
        .map_err(|error| error.to_string())?;
    let key = PublicKey::from_ed25519(&key).map_err(|error| error.to_string())?;
    let key = SshPublicKey::of(key);
    let label = names::label(&id).map_err(|error| error.to_string())?;
    Ok(Some(AgentFile {
        text: format!("{} {id}\n", key.line()).into_bytes(),
        id,
        label,
        key,
    }))
}
