//! A JSON object: its keys, and those of objects in it joined by `/`, are paths; its
//! strings are values. What is neither is refused, for a number has more than one
//! spelling and a value only one.

use super::{Plan, not_in_order, path, source};
use crate::failure::Failure;
use procura_types::Secret;
use procura_types::wire::{PortableSecret, ValueB64};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;
use std::path::Path;

/// What stands behind a key.
enum Node {
    Text(Secret<String>),
    Object(Vec<(String, Node)>),
    /// Anything else, by its name.
    Other(&'static str),
}

struct Reader;

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E: Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Other("true or false"))
    }
    fn visit_i64<E: Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Other("a number"))
    }
    fn visit_u64<E: Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Other("a number"))
    }
    fn visit_f64<E: Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Other("a number"))
    }
    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(Node::Other("null"))
    }
    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(Node::Text(Secret::new(text.to_owned())))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<Node, E> {
        Ok(Node::Text(Secret::new(text)))
    }
    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        while list.next_element::<serde::de::IgnoredAny>()?.is_some() {}
        Ok(Node::Other("a list"))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<String, Node>()? {
            entries.push(entry);
        }
        Ok(Node::Object(entries))
    }
}

/// What the file says, or everything that is wrong with it.
pub(super) fn plan(file: &Path, prefix: &str) -> Result<Plan, Failure> {
    let name = file.display().to_string();
    let bytes = source(file)?;
    let failed = |why: String| {
        Failure::usage(format!("nothing was written: {name} is no JSON object")).because(why)
    };
    // serde_json quotes what it met; a value could stand there.
    let node: Node = serde_json::from_slice(bytes.expose()).map_err(|error| {
        failed(format!(
            "at line {}, column {}",
            error.line(),
            error.column()
        ))
    })?;
    let Node::Object(entries) = node else {
        return Err(failed("its keys are the paths".to_owned()));
    };
    let mut reading = Reading {
        prefix,
        secrets: Vec::new(),
        wrong: Vec::new(),
    };
    reading.object("", entries);
    if !reading.wrong.is_empty() {
        return Err(not_in_order(&name, &reading.wrong));
    }
    Ok(Plan {
        secrets: reading.secrets,
        notes: Vec::new(),
    })
}

struct Reading<'a> {
    prefix: &'a str,
    secrets: Vec<PortableSecret>,
    wrong: Vec<String>,
}

impl Reading<'_> {
    fn object(&mut self, folder: &str, entries: Vec<(String, Node)>) {
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        keys.sort_unstable();
        for twice in keys.windows(2).filter(|pair| pair.first() == pair.last()) {
            if let [key, ..] = twice {
                self.wrong.push(format!("{folder}{key} stands there twice"));
            }
        }
        for (key, node) in entries {
            let at = format!("{folder}{key}");
            if key.contains('/') {
                self.wrong.push(format!(
                    "{at}: a key has no /; objects in objects make folders"
                ));
                continue;
            }
            match node {
                Node::Object(entries) => self.object(&format!("{at}/"), entries),
                Node::Other(what) => self
                    .wrong
                    .push(format!("{at} is {what}; values are strings, in quotes")),
                Node::Text(text) => match path(self.prefix, &at) {
                    Err(error) => self.wrong.push(format!("{at}: {error}")),
                    Ok(path) => {
                        let value = ValueB64::encode(text.expose().as_bytes());
                        self.secrets.push(PortableSecret::new(path, value));
                    }
                },
            }
        }
    }
}
