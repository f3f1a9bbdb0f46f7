//! The durable steps of an activation, by name (`spec/backup.md`). Whatever ends the
//! process after one of them, the same activation goes on from there when it is run again.

use procura_types::Malformed;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A step that has become durable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum ActivationStep { $($(#[$doc])* $name,)* }

        impl ActivationStep {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

steps! {
    /// `restored.json` says what is to be done.
    Planned = "planned";
    /// The store's sequence stands ahead of every one that is known.
    SequenceAhead = "sequence-ahead";
    /// Some entries of the copies are in the record.
    PageAppended = "page-appended";
    /// All of them are.
    CopiesAppended = "copies-appended";
    /// The record has the first entry of the activation.
    Begun = "begun";
    /// The proposals that were open in the backup have ended.
    ProposalsEnded = "proposals-ended";
    /// One thing was taken away once more.
    OneTakenAway = "one-taken-away";
    /// Everything was.
    TakenAway = "taken-away";
    /// The key that was brought is a device of a steward, if one was.
    Seated = "seated";
    /// Some of those who are to be held are.
    PageHeld = "page-held";
    /// All of them are.
    Held = "held";
    /// Under another origin: the grants have ended.
    GrantsEnded = "grants-ended";
    /// The keyring has the other origin and its key.
    KeyChanged = "key-changed";
    /// `installation.json` has the key too.
    FileReplaced = "file-replaced";
}

impl FromStr for ActivationStep {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let found = Self::ALL.iter().find(|step| step.as_str() == text);
        found
            .copied()
            .ok_or(Malformed::new("step", "is no step of an activation"))
    }
}

impl TryFrom<String> for ActivationStep {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<ActivationStep> for String {
    fn from(step: ActivationStep) -> Self {
        step.as_str().to_owned()
    }
}
