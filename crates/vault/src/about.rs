//! What is said of a secret beside its values: tags, owner, dates, delivery. It lies in
//! the head row behind the barrier, and changes without a new version.

use crate::MAX_DESCRIPTION;
use crate::error::VaultError;
use crate::secret_rows::HeadRow;
use procura_types::wire::SecretField;
use procura_types::{DeliveryRules, SecretOwner, Tags, Timestamp};
use serde::{Deserialize, Serialize};

/// A date that a secret has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deadline {
    /// When it is.
    pub(crate) at: Timestamp,
    /// Whether the record says that it is over.
    #[serde(default)]
    pub(crate) told: bool,
}

impl Deadline {
    const fn new(at: Timestamp) -> Self {
        Self { at, told: false }
    }
}

/// What is said of a secret, as it lies in the head row. Rows from before there was
/// any of it read as if nothing had been said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub(crate) tags: Tags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<SecretOwner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Deadline>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rotate_by: Option<Deadline>,
    #[serde(default, skip_serializing_if = "DeliveryRules::is_default")]
    pub(crate) delivery: DeliveryRules,
}

impl About {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Both dates, as far as there are any.
    pub(crate) fn deadlines(&self) -> impl Iterator<Item = Deadline> {
        [self.expires, self.rotate_by].into_iter().flatten()
    }

    /// Both dates, to say that the record has them.
    pub(crate) fn deadlines_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut Deadline)> {
        let expires = self.expires.as_mut().map(|date| ("expires", date));
        let rotate_by = self.rotate_by.as_mut().map(|date| ("rotate_by", date));
        expires.into_iter().chain(rotate_by)
    }

    /// Whether a date of it is `by` then or before.
    pub(crate) fn is_due(&self, by: Timestamp) -> bool {
        self.deadlines().any(|date| date.at <= by)
    }

    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.expires.map(|date| date.at)
    }
}

/// What is to be said of a secret from now on; what is not named stays.
#[derive(Debug, Clone, Default)]
pub struct SecretAbout {
    /// For people.
    pub description: Option<String>,
    /// All of its tags.
    pub tags: Option<Tags>,
    /// Who it belongs to, for people.
    pub owner: Option<SecretOwner>,
    /// From when on it is not handed over any more.
    pub expires: Option<Timestamp>,
    /// Until when it should be replaced.
    pub rotate_by: Option<Timestamp>,
    /// In which ways it may be handed over.
    pub delivery: Option<DeliveryRules>,
    /// What is not said any more.
    pub clear: Vec<SecretField>,
}

impl SecretAbout {
    /// Refuses what cannot be said.
    ///
    /// # Errors
    /// [`VaultError::BadDescription`].
    pub(crate) fn check(&self) -> Result<(), VaultError> {
        let bad = self.description.as_ref().is_some_and(|text| {
            text.chars().count() > MAX_DESCRIPTION || text.chars().any(char::is_control)
        });
        if bad {
            return Err(VaultError::BadDescription);
        }
        Ok(())
    }

    /// Changes the row.
    pub(crate) fn apply(&self, head: &mut HeadRow) {
        let about = &mut head.about;
        for field in &self.clear {
            match field {
                SecretField::Description => head.description = None,
                SecretField::Tags => about.tags = Tags::default(),
                SecretField::Owner => about.owner = None,
                SecretField::Expires => about.expires = None,
                SecretField::RotateBy => about.rotate_by = None,
                SecretField::Delivery => about.delivery = DeliveryRules::default(),
            }
        }
        if let Some(description) = &self.description {
            head.description = Some(description.clone());
        }
        if let Some(tags) = &self.tags {
            about.tags = tags.clone();
        }
        if let Some(owner) = &self.owner {
            about.owner = Some(owner.clone());
        }
        // A date that is said once more is told of once more.
        if let Some(expires) = self.expires {
            about.expires = Some(Deadline::new(expires));
        }
        if let Some(rotate_by) = self.rotate_by {
            about.rotate_by = Some(Deadline::new(rotate_by));
        }
        if let Some(delivery) = self.delivery {
            about.delivery = delivery;
        }
    }
}

/// What the entry of a change says (`spec/ledger.md`): which of it is different, and
/// what decides on a release in full. Nothing when all is as it was.
pub(crate) fn said(before: &HeadRow, after: &HeadRow) -> Option<String> {
    let (old, new) = (&before.about, &after.about);
    let date =
        |date: Option<Deadline>| date.map_or_else(|| "none".to_owned(), |date| date.at.to_string());
    let mut words = Vec::new();
    if before.description != after.description {
        words.push("description".to_owned());
    }
    if old.tags != new.tags {
        words.push("tags".to_owned());
    }
    if old.owner != new.owner {
        words.push("owner".to_owned());
    }
    if old.expires() != new.expires() {
        words.push(format!("expires:{}", date(new.expires)));
    }
    if old.rotate_by.map(|date| date.at) != new.rotate_by.map(|date| date.at) {
        words.push(format!("rotate_by:{}", date(new.rotate_by)));
    }
    if old.delivery != new.delivery {
        let ways: Vec<&str> = new.delivery.ways().map(|way| way.as_str()).collect();
        words.push(format!("delivery:{}", ways.join(",")));
    }
    (!words.is_empty()).then(|| words.join(" "))
}
