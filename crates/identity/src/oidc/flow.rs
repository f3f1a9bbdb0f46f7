//! The way of one browser to a provider and back: 32 random bytes, which the browser alone
//! keeps, and what is derived of them.
//!
//! Anybody may begin one, so none is stored: the cookie has a MAC of ours over what it is
//! for. Stored is, until it would have been over, that somebody was signed in by one; that a
//! code was sent for one, the server keeps in mind.

use super::{OidcRefusal, ProvenIdentity, current, mac_key};
use crate::error::IdentityError;
use procura_crypto::{hkdf_sha256, sha256};
use procura_policy::Op;
use procura_proof::SessionKeys;
use procura_record::RecordedBatch;
use procura_store::{Expected, KeyPrefix, Kind, Store, Table};
use procura_token::{IdToken, IdTokenTerms, ProviderKeys};
use procura_types::{
    ActorId, Duration, Entropy, FieldTuple, Label, Secret, Timestamp, WebLoginId, encoding,
};

/// How long a sign-in by a provider may take.
pub const FLOW_LIFE: Duration = Duration::from_secs(600);

/// The longest page to go on to.
const LONGEST_NEXT: usize = 512;
/// The longest cookie that is looked at.
const LONGEST_COOKIE: usize = 2048;
/// Used flows of which one use clears away those that are over.
const SWEEP: usize = 256;

/// SHA-256 of the bytes of a flow that was used → when it would have been over.
const USED: Table<[u8; 32], Timestamp> = Table::new("oidc-flow", Kind::Ordinary);

/// What this server is to a provider, as it is configured.
#[derive(Debug, Clone, Copy)]
pub struct OidcClient<'a> {
    /// The provider, by its name in the configuration.
    pub provider: &'a Label,
    /// The provider, by its own.
    pub issuer: &'a str,
    /// Who this server is to it.
    pub client_id: &'a str,
}

impl OidcClient<'_> {
    /// SHA-256 of issuer and client: another provider under the same name has another.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let tuple = FieldTuple::new("procura.oidc.client.v1")
            .text(self.issuer)
            .text(self.client_id);
        sha256(tuple.as_bytes())
    }
}

/// Somebody who is signed in and proves once more who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// In place of this web login.
    pub login: WebLoginId,
    /// Who they are.
    pub actor: ActorId,
}

/// A sign-in by a provider that is under way.
pub struct Flow {
    seed: Secret<[u8; 32]>,
    began: Timestamp,
    again: Option<Again>,
    next: String,
    provider: Label,
    issuer: String,
    client_id: String,
}

/// What came back from the provider for the code, and what it is held against.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The ID token.
    pub id_token: &'a str,
    /// What came along.
    pub access_token: &'a Secret<String>,
    /// The provider's keys.
    pub keys: &'a ProviderKeys,
    /// The claim with groups.
    pub groups_claim: Option<&'a str>,
    /// How long ago the person may have proven who they are.
    pub max_age: Duration,
}

/// A flow that a provider answered well: who signed in there.
pub struct Answered {
    pub(super) way: Way,
    pub(super) proven: ProvenIdentity,
    pub(super) auth_time: Option<Timestamp>,
    /// The [`OidcClient::digest`] of the client that it was answered to.
    pub(super) client: [u8; 32],
    groups: Vec<String>,
}

impl Answered {
    /// Who.
    #[must_use]
    pub const fn proven(&self) -> &ProvenIdentity {
        &self.proven
    }

    /// The groups that the provider says they are in.
    #[must_use]
    pub fn groups(&self) -> &[String] {
        &self.groups
    }
}

impl Flow {
    /// Begins one, to go on to the page `next` afterwards.
    ///
    /// # Errors
    /// [`IdentityError::Entropy`].
    pub fn begin(
        client: OidcClient<'_>,
        again: Option<Again>,
        next: &str,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, IdentityError> {
        let mut seed = Secret::new([0; 32]);
        entropy.fill_secret(seed.expose_mut())?;
        let next = if next.len() > LONGEST_NEXT { "" } else { next };
        Ok(Self::of(client, seed, now, again, next.to_owned()))
    }

    fn of(
        client: OidcClient<'_>,
        seed: Secret<[u8; 32]>,
        began: Timestamp,
        again: Option<Again>,
        next: String,
    ) -> Self {
        Self {
            seed,
            began,
            again,
            next,
            provider: client.provider.clone(),
            issuer: client.issuer.to_owned(),
            client_id: client.client_id.to_owned(),
        }
    }

    fn derived(&self, what: &'static str) -> Secret<[u8; 32]> {
        let info = FieldTuple::new(what);
        hkdf_sha256(self.seed.expose(), &[], info.as_bytes())
    }

    /// `state` (RFC 6749 §10.12).
    #[must_use]
    pub fn state(&self) -> String {
        encoding::b64url(self.derived("procura.oidc.state.v1").expose())
    }

    /// `nonce` (OpenID Connect Core §3.1.2.1).
    #[must_use]
    pub fn nonce(&self) -> String {
        encoding::b64url(self.derived("procura.oidc.nonce.v1").expose())
    }

    /// `code_verifier` (RFC 7636 §4.1).
    #[must_use]
    pub fn verifier(&self) -> Secret<String> {
        let bytes = self.derived("procura.oidc.verifier.v1");
        Secret::new(encoding::b64url(bytes.expose()))
    }

    /// `code_challenge` for `S256` (RFC 7636 §4.2).
    #[must_use]
    pub fn challenge(&self) -> String {
        encoding::b64url(&sha256(self.verifier().expose().as_bytes()))
    }

    /// Who proves once more who they are, if somebody does.
    #[must_use]
    pub const fn again(&self) -> Option<&Again> {
        self.again.as_ref()
    }

    /// The page to go on to.
    #[must_use]
    pub fn next(&self) -> &str {
        &self.next
    }

    /// When it is over.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.began.plus(FLOW_LIFE)
    }

    /// The SHA-256 of its bytes: which one it is, for whoever keeps in mind what became of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.seed.expose())
    }

    /// Whether somebody was signed in by it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_used(&self, store: &Store) -> Result<bool, IdentityError> {
        Ok(USED.get(store, &self.digest())?.is_some())
    }

    fn client(&self) -> OidcClient<'_> {
        OidcClient {
            provider: &self.provider,
            issuer: &self.issuer,
            client_id: &self.client_id,
        }
    }

    fn again_bytes(&self) -> Vec<u8> {
        match &self.again {
            None => Vec::new(),
            Some(again) => [&again.login.as_bytes()[..], again.actor.as_bytes()].concat(),
        }
    }

    /// What the MAC of a cookie is over.
    fn message(&self) -> Vec<u8> {
        FieldTuple::new("procura.oidc.flow.v1")
            .text(self.provider.as_str())
            .text(&self.issuer)
            .text(&self.client_id)
            .u64(self.began.as_millis())
            .bytes(&self.again_bytes())
            .text(&self.next)
            .bytes(self.seed.expose())
            .into_bytes()
    }

    /// The value of its cookie.
    ///
    /// # Errors
    /// [`IdentityError::Locked`]; a store that is sealed.
    pub fn cookie(&self, keys: &dyn SessionKeys) -> Result<Secret<String>, IdentityError> {
        let (epoch, key) = current(keys)?;
        let message = Secret::new(self.message());
        let tag = key.sign(&[message.expose()]);
        let again = self.again_bytes();
        let bytes = Secret::new(
            [
                &epoch.to_be_bytes()[..],
                &tag,
                self.seed.expose(),
                &self.began.as_millis().to_be_bytes(),
                &[u8::from(self.again.is_some())],
                &again,
                self.next.as_bytes(),
            ]
            .concat(),
        );
        Ok(Secret::new(encoding::b64url(bytes.expose())))
    }

    /// The flow of a cookie, if it is one of ours to this provider that is not over. That
    /// it was used before is seen when it is used.
    ///
    /// # Errors
    /// [`OidcRefusal::FlowUnknown`], [`OidcRefusal::FlowExpired`].
    pub fn read(
        keys: &dyn SessionKeys,
        client: OidcClient<'_>,
        cookie: &str,
        now: Timestamp,
    ) -> Result<Self, IdentityError> {
        let unknown = OidcRefusal::FlowUnknown;
        if cookie.len() > LONGEST_COOKIE {
            return Err(unknown.into());
        }
        let bytes = encoding::from_b64url("cookie", cookie).map_err(|_| unknown)?;
        let bytes = Secret::new(bytes);
        let parts = Parts::read(bytes.expose()).ok_or(unknown)?;
        let flow = Self::of(client, parts.seed, parts.began, parts.again, parts.next);
        let key = mac_key(keys, parts.epoch)?.ok_or(unknown)?;
        let message = Secret::new(flow.message());
        if !key.verify(&[message.expose()], &parts.tag) {
            return Err(unknown.into());
        }
        if flow.ends() <= now {
            return Err(OidcRefusal::FlowExpired.into());
        }
        Ok(flow)
    }

    /// Whether an answer is to this. Compared in constant time.
    #[must_use]
    pub fn is_answered_by(&self, state: &str) -> bool {
        let own = self.derived("procura.oidc.state.v1");
        encoding::from_b64url_fixed::<32>("state", state)
            .is_ok_and(|state| Secret::new(state) == own)
    }

    /// Who signed in, by what came back for the code.
    ///
    /// # Errors
    /// [`OidcRefusal::Token`].
    pub fn answered(&self, answer: &Answer<'_>, now: Timestamp) -> Result<Answered, OidcRefusal> {
        let nonce = self.nonce();
        let terms = IdTokenTerms {
            issuer: &self.issuer,
            client_id: &self.client_id,
            nonce: &nonce,
            access_token: answer.access_token,
            anew_since: self.again.map(|_| self.began),
            max_age: answer.max_age,
            groups_claim: answer.groups_claim,
            now,
        };
        let token = IdToken::verify(answer.id_token, answer.keys, &terms)?;
        Ok(Answered {
            proven: ProvenIdentity::vouched(&self.provider, &self.issuer, &token),
            auth_time: token.auth_time,
            client: self.client().digest(),
            groups: token.groups,
            way: Way {
                digest: self.digest(),
                ends: self.ends(),
                again: self.again,
            },
        })
    }
}

/// What is left of a flow that was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// The SHA-256 of its bytes.
    digest: [u8; 32],
    ends: Timestamp,
    pub(super) again: Option<Again>,
}

impl Way {
    /// Uses it up, in the commit of what it is used for.
    pub(super) fn consume<O: Op>(
        &self,
        batch: &mut RecordedBatch<'_, O>,
        now: Timestamp,
    ) -> Result<(), IdentityError> {
        let key = self.digest;
        if USED.get(batch.store(), &key)?.is_some() {
            return Err(OidcRefusal::FlowUsed.into());
        }
        let rows = USED.scan(&batch.store().snapshot()?, &KeyPrefix::all(), None, SWEEP)?;
        for (over, _) in rows.iter().filter(|(_, row)| row.value <= now) {
            USED.delete(batch.rows(), over);
        }
        // Of two answers at once the second finds the row when it runs anew.
        USED.expect(batch.rows(), &key, Expected::Absent);
        USED.put(batch.rows(), &key, &self.ends);
        Ok(())
    }
}

/// What is in a cookie, before anybody vouches for it.
struct Parts {
    epoch: u32,
    tag: [u8; 32],
    seed: Secret<[u8; 32]>,
    began: Timestamp,
    again: Option<Again>,
    next: String,
}

impl Parts {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk::<4>()?;
        let (tag, rest) = rest.split_first_chunk::<32>()?;
        let (seed, rest) = rest.split_first_chunk::<32>()?;
        let (began, rest) = rest.split_first_chunk::<8>()?;
        let (is_again, rest) = rest.split_first()?;
        let (again, next) = match is_again {
            0 => (None, rest),
            1 => {
                let (login, rest) = rest.split_first_chunk::<16>()?;
                let (actor, rest) = rest.split_first_chunk::<32>()?;
                let again = Again {
                    login: WebLoginId::from_bytes(*login),
                    actor: ActorId::from_bytes(*actor),
                };
                (Some(again), rest)
            }
            _ => return None,
        };
        Some(Self {
            epoch: u32::from_be_bytes(*epoch),
            tag: *tag,
            seed: Secret::new(*seed),
            began: Timestamp::from_millis(u64::from_be_bytes(*began)),
            again,
            next: std::str::from_utf8(next).ok()?.to_owned(),
        })
    }
}
