//! Whether a TPM has signed for a process, and how its host had started.

use super::AttestationRefusal;
use procura_crypto::sha256;
use procura_directory::{BaselineRecord, Snapshot};
use procura_tpm::{AttestationKey, Credential, EndorsementKey, Quote};
use procura_types::wire::{QuoteSeen, TpmCredential, TpmKeys, TpmQuote};
use procura_types::{Entropy, ExeDigest, Thumbprint};
use serde::{Deserialize, Serialize};

/// The registers that are quoted where no baseline says which: what firmware, boot loader
/// and the choice of them were, and whether they had to be signed (PC Client platform
/// firmware profile, 3.3.4).
const USUAL: [u8; 4] = [0, 2, 4, 7];

/// Most bytes of a public area, of what was quoted and of a signature.
const LONGEST: usize = 1024;

/// What a challenge was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    ek: ExeDigest,
    ak: ExeDigest,
    /// The SHA-256 of what the credential held, where one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<ExeDigest>,
}

/// The keys, if they are of the two kinds that they have to be.
fn read(keys: &TpmKeys) -> Result<(EndorsementKey, AttestationKey), AttestationRefusal> {
    if keys.ek.len() > LONGEST || keys.ak.len() > LONGEST {
        return Err(AttestationRefusal::BadQuote);
    }
    EndorsementKey::read(&keys.ek)
        .zip(AttestationKey::read(&keys.ak))
        .ok_or(AttestationRefusal::BadQuote)
}

/// The baseline that holds for a device.
fn baseline<'a>(directory: &'a Snapshot, device: &Thumbprint) -> Option<&'a BaselineRecord> {
    let found = directory.baseline(device)?.as_ref();
    found.removed.is_none().then_some(found)
}

/// What is asked of the chip of a device: which registers, and, until its keys were
/// accepted, that it opens a credential which only the chip of both keys can.
pub(super) fn ask(
    directory: &Snapshot,
    device: &Thumbprint,
    keys: &TpmKeys,
    entropy: &dyn Entropy,
) -> Result<(Asked, Vec<u8>, Option<TpmCredential>), AttestationRefusal> {
    let (ek, ak) = read(keys)?;
    let mut asked = Asked {
        ek: ExeDigest::from_bytes(ek.sha256()),
        ak: ExeDigest::from_bytes(ak.sha256()),
        secret: None,
    };
    let accepted = baseline(directory, device);
    let pcrs = accepted.map_or_else(|| USUAL.to_vec(), |accepted| accepted.pcrs.clone());
    if accepted
        .is_some_and(|accepted| accepted.ek_sha256 == asked.ek && accepted.ak_sha256 == asked.ak)
    {
        return Ok((asked, pcrs, None));
    }
    let (credential, held) =
        Credential::make(&ek, &ak, entropy).map_err(|_| AttestationRefusal::BadQuote)?;
    asked.secret = Some(ExeDigest::from_bytes(sha256(held.expose())));
    let credential = TpmCredential {
        blob: credential.blob,
        secret: credential.secret,
    };
    Ok((asked, pcrs, Some(credential)))
}

/// What the chip of a device said of its host, and whether that is as was accepted.
/// `message` is what it has to have signed along.
pub(super) fn check(
    directory: &Snapshot,
    device: &Thumbprint,
    message: &[u8],
    quote: &TpmQuote,
    asked: Option<&Asked>,
) -> Result<(QuoteSeen, bool), AttestationRefusal> {
    let (ek, ak) = read(&quote.keys)?;
    let ek_sha256 = ExeDigest::from_bytes(ek.sha256());
    let ak_sha256 = ExeDigest::from_bytes(ak.sha256());
    let accepted = baseline(directory, device);
    let is_enrolled = accepted
        .is_some_and(|accepted| accepted.ek_sha256 == ek_sha256 && accepted.ak_sha256 == ak_sha256);
    if accepted.is_some() && !is_enrolled {
        return Err(AttestationRefusal::WrongAk);
    }
    if !is_enrolled {
        is_activated(quote, asked, (ek_sha256, ak_sha256))?;
    }
    if quote.quoted.len() > LONGEST || !ak.has_signed(&quote.quoted, &quote.signature) {
        return Err(AttestationRefusal::BadQuote);
    }
    let said = Quote::read(&quote.quoted).ok_or(AttestationRefusal::BadQuote)?;
    if said.extra != sha256(message) {
        return Err(AttestationRefusal::StaleQuote);
    }
    let seen = QuoteSeen {
        ek_sha256,
        ak_sha256,
        pcrs: said.pcrs,
        pcr_digest: ExeDigest::from_bytes(said.pcr_digest),
        clock: said.clock,
        reset_count: said.reset_count,
        restart_count: said.restart_count,
    };
    let Some(accepted) = accepted else {
        return Ok((seen, false));
    };
    if !accepted.is_met(&seen) {
        return Err(AttestationRefusal::WrongPcr);
    }
    let mut before = directory
        .attestations_of(device)
        .filter(|record| record.renewed >= accepted.since)
        .filter_map(|record| record.quote.as_ref());
    // A chip's count of starts never goes back, nor its clock within one.
    let went_back = before.any(|before| {
        before.ek_sha256 == seen.ek_sha256
            && (before.reset_count, before.clock) > (seen.reset_count, seen.clock)
    });
    if went_back {
        return Err(AttestationRefusal::StaleQuote);
    }
    Ok((seen, true))
}

/// Whether the credential of the challenge was opened, which was made for these keys.
fn is_activated(
    quote: &TpmQuote,
    asked: Option<&Asked>,
    (ek, ak): (ExeDigest, ExeDigest),
) -> Result<(), AttestationRefusal> {
    let not = AttestationRefusal::NotActivated;
    let asked = asked
        .filter(|asked| asked.ek == ek && asked.ak == ak)
        .ok_or(not)?;
    let held = quote
        .activated
        .as_ref()
        .ok_or(not)?
        .decode()
        .map_err(|_| not)?;
    // What is compared are two digests, of which neither opens anything.
    let opened = ExeDigest::from_bytes(sha256(held.expose()));
    if asked.secret == Some(opened) {
        Ok(())
    } else {
        Err(not)
    }
}
