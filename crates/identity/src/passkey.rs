//! Passkeys: authenticators of operators, with which a person signs in in a browser and
//! says yes there ([ADR 36](../../../docs/adr/0036-passkeys.md)).
//!
//! What is decided by lies in the directory ([`procura_directory::PasskeyRecord`]); here is
//! how one comes in ([`PasskeyInvite`], [`PasskeyEnrol`]), how it proves who is there
//! ([`PasskeyUse`], [`accept`]), and how it goes ([`PasskeyRemove`]).

mod challenge;
mod enrol;
mod listing;
mod refusal;
mod using;

pub use challenge::{CHALLENGE_LIFE, Ceremony, IssuedChallenge, issue};
pub use enrol::{
    MAX_PASSKEYS, NewPasskey, PasskeyEnrol, PasskeyInvite, enrolling, parse_code, written_code,
};
pub(crate) use listing::remove_vouched;
pub use listing::{PasskeyListing, PasskeyRemove, PasskeyRename};
pub use refusal::{PasskeyRefusal, PasskeyRefused};
use using::signed_by;
pub use using::{PasskeyAnswer, PasskeyUse, ShownPasskey, accept};

use procura_store::{Kind, Table};
use procura_types::Timestamp;
use serde::{Deserialize, Serialize};

/// Thumbprint → how the passkey was used. Apart from the directory, which no sign-in
/// moves on.
const USES: Table<[u8; 32], UseRow> = Table::new("passkey-use", Kind::Ordinary);

/// How a passkey was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UseRow {
    /// The highest count that it showed.
    counter: u32,
    /// Whether it was in a backup when it was used last.
    backed_up: bool,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<Timestamp>,
}
