//! Secrets on their way out of the installation: encrypted, and in no other form.

use crate::about::About;
use crate::error::VaultError;
use crate::import::MAX_AT_ONCE;
use crate::secret::stored_path;
use crate::secret_rows::{HEADS, HeadRow};
use crate::vault::Vault;
use procura_crypto::age::{Recipient, encrypt};
use procura_policy::{Action, Op, Resource};
use procura_record::{Recorded, in_parts};
use procura_store::{KeyPrefix, Store};
use procura_types::wire::{ExportDocument, PortableSecret, ValueB64, VersionState};
use procura_types::{Namespace, Secret, SecretBytes, SecretPath, Timestamp};
use std::io::{self, Write};

/// Rows that are looked at together.
const PAGE: usize = 1000;

/// Most bytes of all values and descriptions of one export, so that one import takes it.
pub const MAX_EXPORT: u64 = 6 * 1024 * 1024;

/// Takes the newest versions of secrets out.
pub struct SecretExport {
    /// From where.
    pub namespace: Namespace,
    /// Beginning of the paths, possibly empty; need not be a whole segment.
    pub prefix: String,
    /// Who can read them; at least one.
    pub recipients: Vec<Recipient>,
}

impl Op for SecretExport {
    const ACTION: Action = Action::SecretExport;
    fn resource(&self) -> Resource {
        Resource::Namespace(self.namespace.clone())
    }
}

/// What an export takes along, as it was when it was looked at.
pub struct Leaving {
    secrets: Vec<(SecretPath, HeadRow)>,
    expired: Vec<SecretPath>,
}

impl SecretExport {
    /// What is there to be taken out: what can be read and has not expired.
    ///
    /// # Errors
    /// [`VaultError::TooMany`], [`VaultError::TooMuch`], the store's.
    pub fn look(&self, store: &Store, now: Timestamp) -> Result<Leaving, VaultError> {
        let snapshot = store.snapshot()?;
        let prefix = KeyPrefix::all()
            .part(&self.namespace.to_string())
            .text_start(&self.prefix);
        let mut leaving = Leaving {
            secrets: Vec::new(),
            expired: Vec::new(),
        };
        let (mut after, mut bytes) = (None, 0u64);
        loop {
            let rows = HEADS.scan(&snapshot, &prefix, after.as_ref(), PAGE)?;
            let whole = rows.len() < PAGE;
            after = rows.last().map(|(key, _)| key.clone());
            for (key, row) in rows {
                let head = row.value;
                if head.latest.state != VersionState::Live {
                    continue;
                }
                let path = stored_path(&key.1)?;
                if head.about.expires().is_some_and(|expires| expires <= now) {
                    leaving.expired.push(path);
                    continue;
                }
                let described = head.description.as_ref().map_or(0, String::len);
                bytes = bytes
                    .saturating_add(head.latest.size)
                    .saturating_add(u64::try_from(described).unwrap_or(u64::MAX));
                if leaving.secrets.len() == MAX_AT_ONCE {
                    return Err(VaultError::TooMany);
                }
                if bytes > MAX_EXPORT {
                    return Err(VaultError::TooMuch);
                }
                leaving.secrets.push((path, head));
            }
            if whole {
                return Ok(leaving);
            }
        }
    }
}

impl Leaving {
    /// What the entries of the export say: for whom, and each version that is taken out.
    #[must_use]
    pub fn words(&self, export: &SecretExport) -> Vec<String> {
        let recipients = export.recipients.iter();
        let to = recipients.map(|recipient| format!("to:{}", recipient.fingerprint()));
        let versions = self.secrets.iter();
        let versions = versions.map(|(path, head)| format!("{path}@{}", head.latest.version));
        in_parts(to.chain(versions))
    }

    /// How many are taken along.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.secrets.len()
    }

    /// Those that have expired, and so stay.
    #[must_use]
    pub fn expired(&self) -> &[SecretPath] {
        &self.expired
    }
}

impl Vault {
    /// The values of a recorded export, as one document that its recipients can open.
    ///
    /// # Errors
    /// [`VaultError::Damaged`], [`VaultError::NotFound`] for a version that was destroyed
    /// meanwhile, [`VaultError::Encrypt`].
    pub fn export(
        &self,
        recorded: &Recorded<SecretExport>,
        leaving: Leaving,
        now: Timestamp,
    ) -> Result<Vec<u8>, VaultError> {
        let op = recorded.op();
        let mut secrets = Vec::with_capacity(leaving.secrets.len());
        for (path, head) in leaving.secrets {
            let value = self.open_version(&op.namespace, &path, &head.latest)?;
            secrets.push(portable(path, head, &value));
        }
        let document = ExportDocument {
            format: ExportDocument::FORMAT.to_owned(),
            namespace: op.namespace.to_string(),
            exported: now,
            secrets,
        };
        // Counted first: memory that grows leaves copies behind.
        let mut length = Length(0);
        serde_json::to_writer(&mut length, &document).map_err(|_| VaultError::TooMuch)?;
        let mut text = Text(Secret::new(Vec::with_capacity(length.0)));
        serde_json::to_writer(&mut text, &document).map_err(|_| VaultError::TooMuch)?;
        drop(document);
        Ok(encrypt(&op.recipients, text.0.expose(), self.entropy())?)
    }
}

fn portable(path: SecretPath, head: HeadRow, value: &SecretBytes) -> PortableSecret {
    let About {
        tags,
        owner,
        expires,
        rotate_by,
        delivery,
    } = head.about;
    PortableSecret {
        env: head.env,
        kind: (!head.kind.is_default()).then_some(head.kind),
        description: head.description,
        tags: (!tags.is_empty()).then_some(tags),
        owner,
        expires: expires.map(|date| date.at),
        rotate_by: rotate_by.map(|date| date.at),
        delivery: (!delivery.is_default()).then_some(delivery),
        ..PortableSecret::new(path, ValueB64::encode(value.expose()))
    }
}

/// Counts what is written to it.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Text(SecretBytes);

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.expose_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
