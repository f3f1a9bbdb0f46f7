//! ID tokens of identity providers (OpenID Connect Core 1.0 §2, §3.1.3.7): what a provider
//! says of who signed in there, checked in full.
//!
//! Nothing of a token counts before all of it was checked, and the key says which
//! algorithm signs, never the token (RFC 8725 §3.1).

mod provider_keys;
mod refusal;

pub use provider_keys::{MAX_PROVIDER_KEYS, ProviderKeys};
pub use refusal::IdTokenRefusal;

use crate::claims::SKEW;
use crate::json;
use procura_crypto::{sha256, sha512};
use procura_types::{Duration, Secret, Timestamp, encoding};
use provider_keys::Signing;
use serde::Deserialize;

/// The longest ID token that is looked at, in bytes: one with some hundred groups.
pub const MAX_ID_TOKEN: usize = 32 * 1024;
/// How long ago an ID token may have been made: a sign-in takes no longer.
pub const ID_TOKEN_AGE: Duration = Duration::from_secs(600);

/// The longest subject (OpenID Connect Core §2).
const LONGEST_SUBJECT: usize = 255;
/// Groups of one person that are looked at, and the longest name of one.
const MOST_GROUPS: usize = 1024;
const LONGEST_GROUP: usize = 256;
/// Characters of a name that are shown.
const SHOWN: usize = 128;

/// What an ID token has to say to be believed.
#[derive(Clone, Copy)]
pub struct IdTokenTerms<'a> {
    /// Who makes it, exactly.
    pub issuer: &'a str,
    /// For whom, and for nobody else.
    pub client_id: &'a str,
    /// What was asked for.
    pub nonce: &'a str,
    /// What came along, for `at_hash`.
    pub access_token: &'a Secret<String>,
    /// Since when the person has to have proven who they are, if that was asked for.
    pub anew_since: Option<Timestamp>,
    /// How long ago that may be in any case, where the provider says when it was.
    pub max_age: Duration,
    /// The claim with groups.
    pub groups_claim: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
}

/// Who signed in at a provider, by an ID token that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdToken {
    /// Who, among all of this issuer's, for good.
    pub subject: String,
    /// When they proved it, if the provider says so.
    pub auth_time: Option<Timestamp>,
    /// The groups that they are in.
    pub groups: Vec<String>,
    /// What the provider calls them, for people: nothing is decided by it.
    pub called: Option<String>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default, deserialize_with = "json::text")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "json::text")]
    typ: Option<String>,
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: u64,
    iat: u64,
    #[serde(default)]
    nbf: Option<u64>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    at_hash: Option<String>,
    #[serde(default)]
    auth_time: Option<u64>,
    #[serde(default)]
    preferred_username: Option<serde_json::Value>,
    #[serde(default)]
    email: Option<serde_json::Value>,
    #[serde(default)]
    name: Option<serde_json::Value>,
}

impl IdToken {
    /// Who a token is about, if a key of the provider's signed it and it says all that it
    /// has to.
    ///
    /// # Errors
    /// The first thing that does not hold, in the order of [`IdTokenRefusal`].
    pub fn verify(
        token: &str,
        keys: &ProviderKeys,
        terms: &IdTokenTerms<'_>,
    ) -> Result<Self, IdTokenRefusal> {
        let (signing, payload) = signed(token, keys)?;
        let claims: Claims = json::object(&payload).ok_or(IdTokenRefusal::Claims)?;
        claims.check(terms)?;
        check_access_token(claims.at_hash.as_deref(), signing, terms.access_token)?;
        let auth_time = claims.proven(terms)?;
        let groups = match terms.groups_claim {
            Some(claim) => groups(&payload, claim)?,
            None => Vec::new(),
        };
        let called = [&claims.preferred_username, &claims.email, &claims.name];
        let called = called
            .into_iter()
            .filter_map(|value| value.as_ref()?.as_str())
            .find(|text| !text.is_empty());
        Ok(Self {
            auth_time,
            groups,
            called: called.map(|text| text.chars().take(SHOWN).collect()),
            subject: claims.sub,
        })
    }
}

/// What a token says, if a key of the set signed it, and by what.
fn signed(token: &str, keys: &ProviderKeys) -> Result<(Signing, Vec<u8>), IdTokenRefusal> {
    let malformed = IdTokenRefusal::Malformed;
    if token.len() > MAX_ID_TOKEN {
        return Err(malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(malformed)?;
    // A further dot is no letter of base64url, so there are three parts.
    let part = |text| encoding::from_b64url("id_token", text).map_err(|_| malformed);
    let (header, payload, signature) = (part(header)?, part(payload)?, part(signature)?);
    let header: Header = json::object(&header).ok_or(IdTokenRefusal::Header)?;
    // RFC 7515 §4.1.9: case does not count. Keys that come with a token prove nothing and
    // are not read.
    let typ = header.typ.as_deref();
    if header.crit.is_some() || typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
        return Err(IdTokenRefusal::Header);
    }
    let signing = Signing::of(&header.alg).ok_or(IdTokenRefusal::Algorithm)?;
    let key = keys.find(header.kid.as_deref(), signing)?;
    if !key.verify(signed.as_bytes(), &signature) {
        return Err(IdTokenRefusal::BadSignature);
    }
    Ok((signing, payload))
}

impl Claims {
    fn check(&self, terms: &IdTokenTerms<'_>) -> Result<(), IdTokenRefusal> {
        let (client, now) = (terms.client_id, terms.now);
        let is_subject = (1..=LONGEST_SUBJECT).contains(&self.sub.len())
            && self.sub.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !is_subject {
            return Err(IdTokenRefusal::Claims);
        }
        if self.iss != terms.issuer {
            return Err(IdTokenRefusal::WrongIssuer);
        }
        // None beside this one is trusted (§3.1.3.7, 3).
        let is_ours = match &self.aud {
            Audience::One(one) => one == client,
            Audience::Several(all) => matches!(all.as_slice(), [one] if one == client),
        };
        if !is_ours {
            return Err(IdTokenRefusal::WrongAudience);
        }
        if self.azp.as_deref().is_some_and(|azp| azp != client) {
            return Err(IdTokenRefusal::WrongAzp);
        }
        if Timestamp::from_secs(self.exp).plus(SKEW) <= now {
            return Err(IdTokenRefusal::Expired);
        }
        let latest = now.plus(SKEW);
        let begins = self.nbf.unwrap_or(self.iat).max(self.iat);
        if latest < Timestamp::from_secs(begins) {
            return Err(IdTokenRefusal::NotYet);
        }
        if Timestamp::from_secs(self.iat).plus(ID_TOKEN_AGE).plus(SKEW) <= now {
            return Err(IdTokenRefusal::TooOld);
        }
        if self.nonce.as_deref() != Some(terms.nonce) {
            return Err(IdTokenRefusal::WrongNonce);
        }
        Ok(())
    }

    /// When the person proved who they are, if that is recent enough. Who was asked to do
    /// it anew has to have been said to have done it.
    fn proven(&self, terms: &IdTokenTerms<'_>) -> Result<Option<Timestamp>, IdTokenRefusal> {
        let not_anew = IdTokenRefusal::NotAnew;
        let Some(proven) = self.auth_time.map(Timestamp::from_secs) else {
            return match terms.anew_since {
                Some(_) => Err(not_anew),
                None => Ok(None),
            };
        };
        if terms.now.plus(SKEW) < proven {
            return Err(IdTokenRefusal::NotYet);
        }
        let is_late = terms
            .anew_since
            .is_some_and(|since| proven.plus(SKEW) < since);
        if is_late || proven.plus(terms.max_age).plus(SKEW) < terms.now {
            return Err(not_anew);
        }
        Ok(Some(proven.min(terms.now)))
    }
}

/// `at_hash`, if it is there: the left half of the hash of the access token, by the hash
/// of the algorithm that signed (§3.1.3.6); Ed25519 has SHA-512 inside.
fn check_access_token(
    at_hash: Option<&str>,
    signing: Signing,
    access_token: &Secret<String>,
) -> Result<(), IdTokenRefusal> {
    let Some(at_hash) = at_hash else {
        return Ok(());
    };
    let token = access_token.expose().as_bytes();
    let whole = match signing {
        Signing::Rs256 | Signing::Es256 => sha256(token).to_vec(),
        Signing::Ed25519 => sha512(token).to_vec(),
    };
    let (half, _) = whole.split_at(whole.len() / 2);
    if at_hash == encoding::b64url(half) {
        Ok(())
    } else {
        Err(IdTokenRefusal::AtHash)
    }
}

/// The groups in a claim: a list of texts, or one text. A claim that is not there is no
/// group; one of another form is refused, since what it means nobody said.
fn groups(payload: &[u8], claim: &str) -> Result<Vec<String>, IdTokenRefusal> {
    let malformed = IdTokenRefusal::Claims;
    let mut all: serde_json::Map<String, serde_json::Value> =
        json::object(payload).ok_or(malformed)?;
    let found = match all.remove(claim) {
        None | Some(serde_json::Value::Null) => return Ok(Vec::new()),
        Some(serde_json::Value::String(one)) => vec![one],
        Some(list) => serde_json::from_value::<Vec<String>>(list).map_err(|_| malformed)?,
    };
    if found.len() > MOST_GROUPS || found.iter().any(|name| name.len() > LONGEST_GROUP) {
        return Err(malformed);
    }
    Ok(found)
}
