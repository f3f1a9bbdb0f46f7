//! What an activation has recorded so far: its own entries, behind those of before. They
//! say what was done, however often it was broken off and run again.

use super::error::RestoreError;
use procura_directory::Snapshot;
use procura_ledger::Entry;
use procura_policy::{Action, Resource};
use procura_record::tables::LEDGER;
use procura_types::ActorId;
use procura_vault::Vault;

/// Entries that are read at once.
const PAGE: usize = 1024;

/// The words of its entries, in their order.
#[derive(Debug, Default)]
pub(super) struct Done(Vec<String>);

impl Done {
    /// Reads the entries from `reached` on, where the record of before ends.
    pub(super) fn read(vault: &Vault, reached: u64) -> Result<Self, RestoreError> {
        let store = vault.store();
        let length = store.log_len(LEDGER)?;
        let prefix = format!("{} ", Resource::Installation);
        let mut words = Vec::new();
        let mut next = reached;
        while next < length {
            let page = store.log_read(LEDGER, next, PAGE)?;
            if page.is_empty() {
                return Err(RestoreError::NotWhole(vec![format!(
                    "the record ends at entry {next} of {length}"
                )]));
            }
            for entry in page {
                next = entry.index.saturating_add(1);
                let parsed = Entry::parse(entry.bytes.expose()).map_err(RestoreError::internal)?;
                let said = parsed.resource.as_deref();
                let said = said.and_then(|said| said.strip_prefix(prefix.as_str()));
                if parsed.action == Action::InstallationRestore.as_str()
                    && let Some(said) = said
                {
                    words.push(said.to_owned());
                }
            }
        }
        Ok(Self(words))
    }

    /// The words of the first entry, if there is one.
    pub(super) fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// What was taken away once more, for people.
    pub(super) fn again(&self, snapshot: &Snapshot) -> Vec<String> {
        let told = |words: &String| {
            let (word, what) = words.split_once(':')?;
            match (word, what.split_once('/')) {
                ("revoked", Some(("device", device))) => {
                    Some(format!("device {device} is revoked"))
                }
                ("removed", Some(("passkey", passkey))) => {
                    Some(format!("passkey {passkey} is removed"))
                }
                ("revoked", None) => {
                    let actor: ActorId = what.parse().ok()?;
                    Some(format!("{} is revoked", snapshot.lineage(&actor)))
                }
                ("withdrawn", Some(("grant", grant))) => {
                    Some(format!("grant {grant} is withdrawn"))
                }
                ("withdrawn", Some(("release", sha256))) => {
                    Some(format!("program {sha256} is withdrawn"))
                }
                ("removed", Some(("release_key", key))) => {
                    Some(format!("release key {key} is removed"))
                }
                ("removed", Some(("baseline", device))) => {
                    Some(format!("nothing is accepted of the host of {device}"))
                }
                ("destroyed" | "deleted", Some((namespace, rest))) => {
                    let secret = rest.strip_prefix("secret/")?;
                    Some(match secret.split_once('@') {
                        None => format!("secret {secret} in {namespace} is {word}"),
                        Some((path, version)) => {
                            format!("version {version} of secret {path} in {namespace} is {word}")
                        }
                    })
                }
                ("ended", Some(("namespace", name))) => Some(format!("namespace {name} has ended")),
                ("takes", Some(("approval_rule", rule))) => {
                    let (act, needs) = rule.split_once(':')?;
                    Some(format!(
                        "{act} takes {needs} stewards, as was said last; procura proposal approvals {act} N is how to change it"
                    ))
                }
                _ => None,
            }
        };
        self.0.iter().filter_map(told).collect()
    }

    /// How many grants were ended.
    pub(super) fn grants_ended(&self) -> u64 {
        self.count("grants_ended:")
    }

    /// How many proposals were ended.
    pub(super) fn proposals_ended(&self) -> u64 {
        self.count("proposals_ended:")
    }

    /// The steward who got another device.
    pub(super) fn seated(&self) -> Option<String> {
        let mut names = self.0.iter();
        let name = names.find_map(|words| words.strip_prefix("seated:operator/"))?;
        Some(name.to_owned())
    }

    fn count(&self, what: &str) -> u64 {
        let numbers = self.0.iter().filter_map(|words| {
            let number = words.strip_prefix(what)?;
            number.parse::<u64>().ok()
        });
        numbers.fold(0, u64::saturating_add)
    }

    pub(super) fn into_words(self) -> Vec<String> {
        self.0
    }
}
