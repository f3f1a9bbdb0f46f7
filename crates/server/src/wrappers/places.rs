//! Where a wrapper is looked for: where the configuration says (`unseal_at`), or, of a
//! source that was added since the server started, where whoever opened the vault for
//! that said. The list of sources names keys; what it says of places is for people.

use crate::config::{Config, UnsealAt};
use procura_types::Label;
use procura_types::wire::Wrapper;
use procura_vault::WrapError;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Where the kernel shows a TPM: looked for there without a configuration.
const TPM: &str = "/dev/tpmrm0";

/// The longest file of authorities, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Where the wrappers of all sources are.
pub(crate) struct Places {
    configured: BTreeMap<Label, UnsealAt>,
    added: Mutex<BTreeMap<Label, Wrapper>>,
}

impl Places {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            configured: config.unseal_at.clone(),
            added: Mutex::default(),
        }
    }

    fn added(&self) -> MutexGuard<'_, BTreeMap<Label, Wrapper>> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The wrapper that the list names, at the place that the configuration names.
    ///
    /// # Errors
    /// [`WrapError::NotConfigured`] when it names none, or one of another kind.
    pub(super) fn of(&self, source: &Label, listed: &Wrapper) -> Result<Wrapper, WrapError> {
        if let Some(at) = self.configured.get(source) {
            return configured(source, at, listed);
        }
        let added = self.added().get(source).cloned();
        match (added, listed) {
            (Some(at), _) => moved(listed, &at).ok_or_else(|| {
                WrapError::NotConfigured(format!(
                    "the source {source} is of another kind than when it was added"
                ))
            }),
            // The address and the key of the other server are in the credentials.
            (None, Wrapper::Transit { .. }) => Ok(listed.clone()),
            (None, Wrapper::Tpm { device, .. }) if device == TPM => Ok(listed.clone()),
            (None, _) => Err(WrapError::NotConfigured(format!(
                "unseal_at.{source} of the configuration does not say where it is, and the list of sources is not believed about that before the vault is open; procura unseal-source list shows the lines to add, once it is"
            ))),
        }
    }

    /// Whether a source may be added whose wrapper is there: the next start would look
    /// for it where the configuration says.
    ///
    /// # Errors
    /// [`WrapError::NotConfigured`] when that is another place.
    pub(super) fn agrees(&self, source: &Label, asked: &Wrapper) -> Result<(), WrapError> {
        let Some(at) = self.configured.get(source) else {
            return Ok(());
        };
        if configured(source, at, asked)? == *asked {
            return Ok(());
        }
        Err(WrapError::NotConfigured(format!(
            "unseal_at.{source} of the configuration names another place than this; correct it and start the server again, or add the source by another name"
        )))
    }

    /// Remembers where the wrapper of a source is that somebody added who opened the
    /// vault for it.
    pub(crate) fn learn(&self, source: &Label, by: &Wrapper) {
        self.added().insert(source.clone(), by.clone());
    }

    /// The source is none any more.
    pub(crate) fn forget(&self, source: &Label) {
        self.added().remove(source);
    }

    /// The lines that the configuration has to have for a source, unless it has them or
    /// needs none. What the list says is shown in them: call it while the vault is open.
    pub(crate) fn lines(&self, source: &Label, listed: &Wrapper) -> Option<String> {
        if self.configured.contains_key(source) {
            return None;
        }
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let lines = match listed {
            Wrapper::Pkcs11 { module, .. } => format!("module = {}", quoted(module)),
            Wrapper::Tpm { device, .. } if device != TPM => format!("device = {}", quoted(device)),
            Wrapper::Kms {
                region,
                endpoint,
                ca_pem,
                ..
            } => {
                let mut lines = format!("region = {}", quoted(region));
                if let Some(endpoint) = endpoint {
                    lines.push_str(&format!("\nendpoint = {}", quoted(endpoint)));
                }
                if ca_pem.is_some() {
                    lines.push_str("\nca = \"/THE/FILE/OF/ENDPOINT-CA.pem\"");
                }
                lines
            }
            Wrapper::Tpm { .. } | Wrapper::Transit { .. } => return None,
        };
        Some(format!("[unseal_at.{source}]\n{lines}"))
    }
}

/// What the configuration says, in the form of a wrapper.
fn configured(source: &Label, at: &UnsealAt, listed: &Wrapper) -> Result<Wrapper, WrapError> {
    let mut found = listed.clone();
    match (&mut found, at) {
        (Wrapper::Pkcs11 { module, .. }, UnsealAt::Module(path)) => module.clone_from(path),
        (Wrapper::Tpm { device, .. }, UnsealAt::Device(path)) => device.clone_from(path),
        (
            Wrapper::Kms {
                region,
                endpoint,
                ca_pem,
                ..
            },
            UnsealAt::Kms {
                region: its_region,
                endpoint: its_endpoint,
                ca,
            },
        ) => {
            region.clone_from(its_region);
            endpoint.clone_from(its_endpoint);
            *ca_pem = ca.as_deref().map(|path| pem(source, path)).transpose()?;
        }
        _ => {
            return Err(WrapError::NotConfigured(format!(
                "unseal_at.{source} of the configuration is of another kind than the source"
            )));
        }
    }
    Ok(found)
}

/// The authorities in a file.
fn pem(source: &Label, path: &str) -> Result<String, WrapError> {
    let unfit = |why: &dyn std::fmt::Display| {
        WrapError::Unfit(format!("ca of unseal_at.{source}: {path}: {why}"))
    };
    let mut text = String::new();
    let file = File::open(path).map_err(|error| unfit(&error))?;
    let read = file.take(LONGEST).read_to_string(&mut text);
    read.map_err(|error| unfit(&error))?;
    Ok(text)
}

/// What one wrapper is, where the other is; nothing if they are of two kinds.
fn moved(what: &Wrapper, place: &Wrapper) -> Option<Wrapper> {
    let mut found = what.clone();
    match (&mut found, place) {
        (Wrapper::Pkcs11 { module, .. }, Wrapper::Pkcs11 { module: at, .. }) => {
            module.clone_from(at);
        }
        (Wrapper::Tpm { device, .. }, Wrapper::Tpm { device: at, .. }) => device.clone_from(at),
        (
            Wrapper::Kms {
                region,
                endpoint,
                ca_pem,
                ..
            },
            Wrapper::Kms {
                region: its_region,
                endpoint: its_endpoint,
                ca_pem: its_ca,
                ..
            },
        ) => {
            region.clone_from(its_region);
            endpoint.clone_from(its_endpoint);
            ca_pem.clone_from(its_ca);
        }
        (Wrapper::Transit { .. }, Wrapper::Transit { .. }) => {}
        _ => return None,
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn label(text: &str) -> Label {
        text.parse().unwrap()
    }

    fn token(module: &str) -> Wrapper {
        Wrapper::Pkcs11 {
            module: module.to_owned(),
            token: "serial".to_owned(),
            key: "key".to_owned(),
            mechanism: None,
        }
    }

    fn chip(device: &str) -> Wrapper {
        Wrapper::Tpm {
            device: device.to_owned(),
            pcrs: vec![7],
        }
    }

    fn service(region: &str, endpoint: Option<&str>, ca_pem: Option<&str>) -> Wrapper {
        Wrapper::Kms {
            key: "arn:key".to_owned(),
            region: region.to_owned(),
            endpoint: endpoint.map(str::to_owned),
            ca_pem: ca_pem.map(str::to_owned),
        }
    }

    fn places(configured: &[(&str, UnsealAt)]) -> Places {
        let mut config = Config::defaults(PathBuf::from("/nowhere"));
        config.unseal_at = configured
            .iter()
            .map(|(name, at)| (label(name), at.clone()))
            .collect();
        Places::new(&config)
    }

    fn refusal(found: Result<Wrapper, WrapError>) -> String {
        match found.unwrap_err() {
            WrapError::NotConfigured(why) => why,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn the_list_names_keys_and_the_configuration_places() {
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, "theirs").unwrap();
        let places = places(&[
            ("hsm", UnsealAt::Module("/lib/good.so".to_owned())),
            ("chip", UnsealAt::Device("/dev/tpmrm1".to_owned())),
            (
                "cloud",
                UnsealAt::Kms {
                    region: "eu-central-1".to_owned(),
                    endpoint: Some("https://good.example".to_owned()),
                    ca: Some(ca.to_str().unwrap().to_owned()),
                },
            ),
            (
                "aws",
                UnsealAt::Kms {
                    region: "eu-central-1".to_owned(),
                    endpoint: None,
                    ca: None,
                },
            ),
        ]);
        let evil = service("evil-1", Some("https://evil.example"), Some("evil"));
        for (name, listed, expected) in [
            ("hsm", token("/tmp/evil.so"), token("/lib/good.so")),
            ("chip", chip("/tmp/evil"), chip("/dev/tpmrm1")),
            (
                "cloud",
                evil.clone(),
                service("eu-central-1", Some("https://good.example"), Some("theirs")),
            ),
            ("aws", evil, service("eu-central-1", None, None)),
        ] {
            assert_eq!(places.of(&label(name), &listed).unwrap(), expected);
        }
        std::fs::remove_file(&ca).unwrap();
        let error = places.of(&label("cloud"), &service("x", None, None));
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("ca of unseal_at.cloud: "), "{error}");
    }

    #[test]
    fn without_a_configuration_a_place_is_believed_of_nobody_who_did_not_open_the_vault() {
        let places = places(&[]);
        for listed in [
            token("/tmp/evil.so"),
            chip("/tmp/evil"),
            service("eu-central-1", None, None),
        ] {
            let why = refusal(places.of(&label("one"), &listed));
            assert!(
                why.starts_with("unseal_at.one of the configuration does not say where it is"),
                "{why}"
            );
        }
        assert_eq!(
            places.of(&label("one"), &chip(TPM)).unwrap(),
            chip(TPM),
            "the place that every machine has"
        );
        places.learn(&label("one"), &token("/lib/good.so"));
        assert_eq!(
            places.of(&label("one"), &token("/tmp/evil.so")).unwrap(),
            token("/lib/good.so")
        );
        let why = refusal(places.of(&label("one"), &chip(TPM)));
        assert_eq!(
            why,
            "the source one is of another kind than when it was added"
        );
        places.forget(&label("one"));
        refusal(places.of(&label("one"), &token("/lib/good.so")));
    }

    #[test]
    fn a_source_is_not_added_at_another_place_than_the_configuration_names() {
        let places = places(&[("hsm", UnsealAt::Module("/lib/good.so".to_owned()))]);
        places
            .agrees(&label("hsm"), &token("/lib/good.so"))
            .unwrap();
        places
            .agrees(&label("other"), &token("/lib/other.so"))
            .unwrap();
        let other = places.agrees(&label("hsm"), &token("/lib/other.so"));
        assert!(
            matches!(&other, Err(WrapError::NotConfigured(why)) if why.contains("names another place")),
            "{other:?}"
        );
        let kind = places.agrees(&label("hsm"), &chip(TPM));
        assert!(
            matches!(&kind, Err(WrapError::NotConfigured(why)) if why.ends_with("is of another kind than the source")),
            "{kind:?}"
        );
    }

    #[test]
    fn the_lines_to_add_are_read_as_they_are_shown() {
        let places = places(&[("known", UnsealAt::Module("/lib/m.so".to_owned()))]);
        assert_eq!(places.lines(&label("known"), &token("/lib/m.so")), None);
        assert_eq!(places.lines(&label("chip"), &chip(TPM)), None);
        for (listed, expected) in [
            (
                token("/lib/a \"b\".so"),
                UnsealAt::Module("/lib/a \"b\".so".to_owned()),
            ),
            (chip("/dev/tpm9"), UnsealAt::Device("/dev/tpm9".to_owned())),
            (
                service("eu-central-1", Some("https://k.example"), Some("pem")),
                UnsealAt::Kms {
                    region: "eu-central-1".to_owned(),
                    endpoint: Some("https://k.example".to_owned()),
                    ca: Some("/THE/FILE/OF/ENDPOINT-CA.pem".to_owned()),
                },
            ),
        ] {
            #[derive(serde::Deserialize)]
            struct File {
                unseal_at: BTreeMap<Label, UnsealAt>,
            }
            let lines = places.lines(&label("one"), &listed).unwrap();
            let file: File = toml::from_str(&lines).unwrap();
            assert_eq!(file.unseal_at[&label("one")], expected, "{lines}");
        }
    }
}
