//! The durable steps of a rotation, and of adding an unseal source, by name
//! (`protocol.md` §5). Whatever ends the process after one of them, the next unseal goes
//! on from there.

use procura_types::Malformed;
use serde::{Deserialize, Serialize};
use std::str::FromStr;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// A step that has become durable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum RotationStep { $($(#[$doc])* $name,)* }

        impl RotationStep {
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
    /// The next root's keyring and namespace keys are beside the old ones.
    RootPrepared = "root-prepared";
    /// `installation.json` names the next root.
    FileReplaced = "file-replaced";
    /// The next root's keys seal what is new.
    KeysInUse = "keys-in-use";
    /// The old root's rows are gone.
    OldRootGone = "old-root-gone";
    /// A namespace has another key, beside the one of before.
    NamespaceKeyMade = "namespace-key-made";
    /// Some DEKs of a namespace are wrapped by its newest key.
    PageWrapped = "page-wrapped";
    /// All DEKs of a namespace are.
    NamespaceWrapped = "namespace-wrapped";
    /// The older keys of a namespace are gone.
    OldNamespaceKeysGone = "old-namespace-keys-gone";
    /// A new unseal source has its key, which its keeper keeps; the vault knows nothing
    /// of it.
    SourceMade = "source-made";
    /// That the source is added is in the record; the list is the one of before.
    SourceRecorded = "source-recorded";
    /// The list has it.
    SourceAdded = "source-added";
}

impl FromStr for RotationStep {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let found = Self::ALL.iter().find(|step| step.as_str() == text);
        found
            .copied()
            .ok_or(Malformed::new("step", "is no step of a rotation"))
    }
}

impl TryFrom<String> for RotationStep {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<RotationStep> for String {
    fn from(step: RotationStep) -> Self {
        step.as_str().to_owned()
    }
}
