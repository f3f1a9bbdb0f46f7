//! Challenges: 256 random bits, good for one ceremony, five minutes and one answer.
//!
//! Asking for one is open to anybody, so none is stored: beside the challenge the browser
//! gets a state, which says under a key of the server what the challenge is for and until
//! when, and brings both back. Stored is, until then, that one was answered.

use super::PasskeyRefusal;
use crate::error::IdentityError;
use procura_crypto::webauthn::challenge_in;
use procura_crypto::{MacKey, sha256};
use procura_policy::Op;
use procura_proof::SessionKeys;
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, Kind, Table};
use procura_types::{Duration, Entropy, FieldTuple, Thumbprint, Timestamp, encoding};

/// How long a challenge can be answered.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(300);

/// Whose key the states are made under; no gate has keys of it.
const AUDIENCE: &str = "procura:passkey";

/// Epoch, end, tag.
const STATE_BYTES: usize = 4 + 8 + 32;

/// Answered challenges of which one answer clears away those that are over.
const SWEEP: usize = 256;

/// SHA-256 of a challenge that was answered → when it would have been over.
const ANSWERED: Table<[u8; 32], Timestamp> = Table::new("passkey-challenge", Kind::Ordinary);

/// What a challenge is for. An answer for one thing is none for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceremony {
    /// A passkey is enrolled by the code with this SHA-256.
    Enrol([u8; 32]),
    /// Somebody signs in.
    SignIn,
    /// The person of the web login with this id proves once more who they are.
    Again([u8; 16]),
    /// The person of this web login makes a code for one more passkey.
    Invite([u8; 16]),
    /// The person of this web login removes this passkey.
    Remove([u8; 16], Thumbprint),
}

impl Ceremony {
    const fn word(&self) -> &'static str {
        match self {
            Self::Enrol(_) => "enrol",
            Self::SignIn => "sign_in",
            Self::Again(_) => "again",
            Self::Invite(_) => "invite",
            Self::Remove(..) => "remove",
        }
    }

    fn bound_to(&self) -> Vec<u8> {
        match self {
            Self::Enrol(code) => code.to_vec(),
            Self::SignIn => Vec::new(),
            Self::Again(login) | Self::Invite(login) => login.to_vec(),
            Self::Remove(login, passkey) => [&login[..], passkey.as_bytes()].concat(),
        }
    }

    /// What the tag of a state is over.
    fn message(&self, challenge: &[u8; 32], expires: Timestamp) -> Vec<u8> {
        FieldTuple::new("procura.passkey.challenge.v1")
            .text(self.word())
            .bytes(&self.bound_to())
            .u64(expires.as_millis())
            .bytes(challenge)
            .into_bytes()
    }
}

/// A challenge that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedChallenge {
    /// The 256 bits.
    pub challenge: [u8; 32],
    /// What the browser brings back beside the answer.
    pub state: String,
}

/// Makes a challenge.
///
/// # Errors
/// [`IdentityError::Entropy`], [`IdentityError::Locked`]; a store that is sealed.
pub fn issue(
    keys: &dyn SessionKeys,
    ceremony: &Ceremony,
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<IssuedChallenge, IdentityError> {
    let mut challenge = [0; 32];
    entropy.fill(&mut challenge)?;
    let expires = now.plus(CHALLENGE_LIFE);
    let epoch = keys.current().ok_or(procura_store::StoreError::Sealed)?;
    let key = mac_key(keys, epoch)?.ok_or(procura_store::StoreError::Sealed)?;
    let tag = key.sign(&[&ceremony.message(&challenge, expires)]);
    let state = [
        &epoch.to_be_bytes()[..],
        &expires.as_millis().to_be_bytes(),
        &tag,
    ]
    .concat();
    Ok(IssuedChallenge {
        challenge,
        state: encoding::b64url(&state),
    })
}

fn mac_key(keys: &dyn SessionKeys, epoch: u32) -> Result<Option<MacKey>, IdentityError> {
    let key = keys.audience_key(epoch, AUDIENCE);
    Ok(key
        .map(|key| MacKey::from_bytes(key.expose()))
        .transpose()?)
}

/// A challenge of ours for this ceremony that is not over; whether it was answered before
/// is seen when it is used up.
#[derive(Debug)]
pub(super) struct Answering {
    challenge: [u8; 32],
    expires: Timestamp,
}

impl Answering {
    /// The challenge that client data answers, if the state that came with it says that it
    /// is one of ours for this.
    pub(super) fn check(
        keys: &dyn SessionKeys,
        ceremony: &Ceremony,
        client_data: &[u8],
        state: &str,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let challenge = challenge_in(client_data).map_err(PasskeyRefusal::from)?;
        let unknown = PasskeyRefusal::ChallengeUnknown;
        let state: [u8; STATE_BYTES] =
            encoding::from_b64url_fixed("state", state).map_err(|_| unknown)?;
        let (epoch, rest) = state.split_first_chunk::<4>().ok_or(unknown)?;
        let (expires, tag) = rest.split_first_chunk::<8>().ok_or(unknown)?;
        let expires = Timestamp::from_millis(u64::from_be_bytes(*expires));
        let key = mac_key(keys, u32::from_be_bytes(*epoch))?.ok_or(unknown)?;
        if !key.verify(&[&ceremony.message(&challenge, expires)], tag) {
            return Err(unknown.into());
        }
        if expires <= now {
            return Err(PasskeyRefusal::ChallengeExpired.into());
        }
        Ok(Self { challenge, expires })
    }

    pub(super) const fn challenge(&self) -> &[u8; 32] {
        &self.challenge
    }

    /// Uses the challenge up, in the commit of what it is answered for.
    pub(super) fn consume<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let key = sha256(&self.challenge);
        if ANSWERED.get(batch.store(), &key)?.is_some() {
            return Err(PasskeyRefusal::ChallengeUsed.into());
        }
        let rows = ANSWERED.scan(&batch.store().snapshot()?, &KeyPrefix::all(), None, SWEEP)?;
        for (over, _) in rows.iter().filter(|(_, row)| row.value <= now) {
            ANSWERED.delete(batch.rows(), over);
        }
        // Of two answers at once the second finds the row when it runs anew.
        ANSWERED.expect(batch.rows(), &key, Expected::Absent);
        ANSWERED.put(batch.rows(), &key, &self.expires);
        Ok(())
    }
}
