//! A `.env` file: names in lower case are paths, and the names are declared.

use super::{Plan, not_in_order, path, source};
use crate::failure::Failure;
use procura_types::wire::{PortableSecret, ValueB64};
use procura_types::{Dotenv, EnvName, SecretPath};
use std::collections::BTreeMap;
use std::path::Path;

/// What the file says, or everything that is wrong with it.
pub(super) fn plan(file: &Path, prefix: &str) -> Result<Plan, Failure> {
    let name = file.display().to_string();
    let bytes = source(file)?;
    let dotenv = Dotenv::parse(bytes.expose())
        .map_err(|error| Failure::usage(format!("nothing was written: {name}")).because(error))?;
    let mut secrets = Vec::new();
    let mut taken: BTreeMap<SecretPath, EnvName> = BTreeMap::new();
    let mut wrong: Vec<String> = Vec::new();
    for entry in dotenv.into_entries() {
        let line = entry.line;
        // Of a file that is none of these, a line without = may be a value.
        let Some(value) = entry.value else {
            wrong.push(format!("line {line} has no ="));
            continue;
        };
        let env: EnvName = match entry.name.parse() {
            Ok(env) => env,
            Err(error) => {
                wrong.push(format!("line {line}: {error}"));
                continue;
            }
        };
        match path(prefix, &env.as_str().to_ascii_lowercase()) {
            Err(error) => wrong.push(format!("line {line}: {env}: {error}")),
            Ok(path) => {
                // API_KEY and api_key are two names and one path.
                if let Some(other) = taken.get(&path) {
                    wrong.push(format!("line {line}: {env} and {other} both become {path}"));
                    continue;
                }
                taken.insert(path.clone(), env.clone());
                secrets.push(PortableSecret {
                    env: Some(env),
                    ..PortableSecret::new(path, ValueB64::encode(value.expose().as_bytes()))
                });
            }
        }
    }
    if !wrong.is_empty() {
        return Err(not_in_order(&name, &wrong));
    }
    Ok(Plan {
        secrets,
        notes: Vec::new(),
    })
}
