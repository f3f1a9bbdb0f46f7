//! Passkeys in the record (`spec/ledger.md`, "Passkeys"): what the entry of an enrolment
//! says, and a receipt that a passkey signed. Both are all that it takes to check a yes
//! later, without the server.

use crate::receipt_message;
use procura_crypto::webauthn::{Assertion, Flaw, RelyingParty, verify_assertion};
use procura_crypto::{PublicKey, sha256};
use procura_types::wire::{Receipt, ReceiptAssertion};
use procura_types::{ActorId, Thumbprint, encoding};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the entry of an enrolment says of its passkey, as the resource
/// `passkey/<thumbprint> key:<65 bytes, base64url> rp:<relying party>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyEnrolment {
    /// The public key, of P-256.
    pub key: PublicKey,
    /// The id of the relying party that the passkey answers for.
    pub relying_party: String,
}

impl PasskeyEnrolment {
    /// The words behind `passkey/<thumbprint>`.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "key:{} rp:{}",
            encoding::b64url(self.key.as_bytes()),
            self.relying_party
        )
    }

    /// Reads the resource of such an entry; `None` for any other text, and for a key that
    /// is not the one that the passkey is named by.
    #[must_use]
    pub fn of_resource(resource: &str) -> Option<Self> {
        let mut words = resource.split(' ');
        let mut word = |name: &str| words.next()?.strip_prefix(name);
        let id: Thumbprint = word("passkey/")?.parse().ok()?;
        let key = encoding::from_b64url("key", word("key:")?).ok()?;
        let said = Self {
            key: PublicKey::from_p256(&key).ok()?,
            relying_party: word("rp:")?.to_owned(),
        };
        // One way to write each.
        let same = said.key.thumbprint() == id && said.to_string() == resource;
        same.then_some(said)
    }
}

impl fmt::Display for PasskeyEnrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "passkey/{} {}", self.key.thumbprint(), self.words())
    }
}

/// A passkey as the entries so far leave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Passkey {
    pub(crate) actor: ActorId,
    pub(crate) relying_party: String,
    /// By which entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) removed: Option<u64>,
}

/// The challenge of an assertion that is the yes to these grant bytes:
/// `SHA-256(T("procura.receipt.v1", grant bytes))`.
#[must_use]
pub fn receipt_challenge(grant: &[u8]) -> [u8; 32] {
    sha256(&receipt_message(grant))
}

/// Whether a receipt is signed by the passkey with this key, for this relying party: over
/// just its grant, by a present and verified person, asked by a page of that site.
///
/// # Errors
/// The first [`Flaw`] of the assertion.
pub fn passkey_receipt(
    relying_party: &str,
    key: &PublicKey,
    receipt: &Receipt,
    assertion: &ReceiptAssertion,
) -> Result<(), Flaw> {
    let party = RelyingParty::of_id(relying_party);
    let signed = Assertion {
        authenticator_data: &assertion.authenticator_data,
        client_data: &assertion.client_data,
        signature: &receipt.signature,
    };
    verify_assertion(&party, &receipt_challenge(&receipt.grant), key, &signed).map(|_| ())
}
