//! Which profile a request shows: told by the shape of its header fields alone.

use super::Foreign;
use super::parsed::{self, AGENT, AGENT_ID, NONCE, SESSION, SIGNATURE, TIMESTAMP, VERSION, line};
use super::timestamp;
use crate::input;
use crate::message::{Fields, Headers};
use crate::native::TAG;
use crate::reason::Case;
use procura_types::ForeignId;

/// The profile that a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// RFC 9421 fields: for [`crate::Verifier`], which says whether one of the
    /// signatures is ours.
    Native,
    /// For [`super::ForeignVerifier`].
    Foreign(Foreign),
}

/// Which profile a request shows (`protocol.md` §3.2). That it is whole and of
/// good form is for the profile to say.
///
/// # Errors
/// [`Case::NoProof`] and [`Case::ForeignMissing`] when it shows none,
/// [`Case::MixedProfiles`] when it shows two, and cases of form where those
/// fields cannot be read by which profiles differ.
pub fn recognise(headers: &dyn Headers) -> Result<Shown, Case> {
    shown(&Fields::of(headers))
}

/// The fields by which browsers say who had them send something (Fetch Standard §3.2, Fetch
/// Metadata §2.3). A page cannot leave them out, and programs do not send them.
const SAID_BY: [&str; 2] = ["origin", "sec-fetch-site"];

/// Whether a browser sent it, and nobody proved anything by it: any page could have it sent
/// by whoever opens that page, so it is held against no address. A page cannot write the
/// fields of a proof; who shows one is judged by that.
#[must_use]
pub fn is_by_browser(headers: &dyn Headers) -> bool {
    let fields = Fields::of(headers);
    SAID_BY.iter().any(|name| fields.has(name)) && matches!(shown(&fields), Err(Case::NoProof))
}

/// The agent that a request names, proven or not; none that can be one, or two of a
/// kind, is nobody.
#[must_use]
pub fn named(headers: &dyn Headers) -> Option<ForeignId> {
    let fields = Fields::of(headers);
    let name = if fields.has(AGENT_ID) {
        AGENT_ID
    } else {
        AGENT
    };
    parsed::agent(&fields, name).ok()
}

/// What [`recognise`] says, of fields that were taken in already.
pub(super) fn shown(fields: &Fields<'_>) -> Result<Shown, Case> {
    let (by_id, by_name) = (fields.has(AGENT_ID), fields.has(AGENT));
    if !by_id && !by_name {
        if fields.has("signature-input") || fields.has("signature") {
            return Ok(Shown::Native);
        }
        let begun = [TIMESTAMP, NONCE, SIGNATURE, VERSION];
        return Err(if begun.iter().any(|name| fields.has(name)) {
            Case::ForeignMissing
        } else {
            Case::NoProof
        });
    }
    // Signatures of others may be there for others.
    if let Some(input) = fields.joined("signature-input")
        && input::parse_input(&input)?
            .iter()
            .any(|member| member.text("tag") == Some(TAG))
    {
        return Err(Case::MixedProfiles);
    }
    let version = line(fields, VERSION, Case::VersionForm)?;
    let of_macs = version.is_some() || fields.has(SESSION);
    if by_name {
        return if by_id || of_macs {
            Err(Case::MixedProfiles)
        } else {
            Ok(Shown::Foreign(Foreign::GuideV1))
        };
    }
    let moment = line(fields, TIMESTAMP, Case::TimestampForm)?.ok_or(Case::ForeignMissing)?;
    let profile = if timestamp::is_digits(moment) {
        match version {
            None => Foreign::HmacV1,
            Some("2") => Foreign::HmacV2,
            Some(_) => return Err(Case::VersionForm),
        }
    } else if timestamp::iso(moment).is_none() {
        return Err(Case::TimestampForm);
    } else if of_macs {
        return Err(Case::MixedProfiles);
    } else {
        Foreign::KeyServerV1
    };
    Ok(Shown::Foreign(profile))
}
