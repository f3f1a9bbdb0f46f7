//! Web logins: what a browser holds after sign-in (`protocol.md` §10). Its cookie is 256
//! random bits, of which the server keeps the SHA-256; whoever shows it is the person who
//! signed in, in a browser, without any device.

use crate::caller::{Caller, Profile};
use crate::reason::{Case, Refusal};
use procura_crypto::sha256;
use procura_directory::{ActorKind, Snapshot};
use procura_types::wire::RoleAssignment;
use procura_types::{
    ActorId, Amr, Entropy, EntropyError, FieldTuple, IdentityId, Label, Secret, Thumbprint,
    Timestamp, WebLoginId, encoding,
};
use std::net::IpAddr;

/// The text of a cookie: 32 bytes as base64url.
const TEXT: usize = 43;

/// A person whose authentication was checked a moment ago, by a password and a code, a
/// passkey's assertion or an identity provider's token. It is for one web login and
/// cannot be copied.
#[derive(Debug)]
pub struct Authenticated {
    actor: ActorId,
    amr: Amr,
    passkey: Option<Thumbprint>,
    provided: Option<Provided>,
}

/// What an identity provider said of a person who signed in there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provided {
    /// The provider, by its name in the configuration.
    pub provider: Label,
    /// The SHA-256 of its issuer and of who the server is to it: another provider may have
    /// that name tomorrow.
    pub client: [u8; 32],
    /// Which of their identities it vouched for.
    pub identity: IdentityId,
    /// When they proved to it who they are, if it says so.
    pub authenticated: Option<Timestamp>,
    /// The roles that their groups there lend them.
    pub lent: Vec<RoleAssignment>,
}

impl Authenticated {
    /// What the verifiers of such proofs give, once every check was made: those of
    /// `procura-identity`, and nobody else.
    #[must_use]
    pub const fn vouched(actor: ActorId, amr: Amr) -> Self {
        Self {
            actor,
            amr,
            passkey: None,
            provided: None,
        }
    }

    /// The same of whoever answered with this passkey.
    #[must_use]
    pub const fn by_passkey(actor: ActorId, passkey: Thumbprint) -> Self {
        Self {
            actor,
            amr: Amr::Passkey,
            passkey: Some(passkey),
            provided: None,
        }
    }

    /// The same of whom an identity provider vouched for.
    #[must_use]
    pub const fn by_provider(actor: ActorId, provided: Provided) -> Self {
        Self {
            actor,
            amr: Amr::Oidc,
            passkey: None,
            provided: Some(provided),
        }
    }

    /// Who.
    #[must_use]
    pub const fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// By what.
    #[must_use]
    pub const fn amr(&self) -> Amr {
        self.amr
    }

    /// By which passkey.
    #[must_use]
    pub const fn passkey(&self) -> Option<&Thumbprint> {
        self.passkey.as_ref()
    }

    /// By which identity, and what its provider said.
    #[must_use]
    pub const fn provided(&self) -> Option<&Provided> {
        self.provided.as_ref()
    }
}

/// The cookie of a web login.
pub struct WebLoginCookie(Secret<[u8; 32]>);

impl WebLoginCookie {
    /// A fresh one.
    ///
    /// # Errors
    /// [`EntropyError`].
    pub fn generate(entropy: &dyn Entropy) -> Result<Self, EntropyError> {
        let mut bytes = Secret::new([0; 32]);
        entropy.fill_secret(bytes.expose_mut())?;
        Ok(Self(bytes))
    }

    /// From the value of a cookie, which has one spelling.
    ///
    /// # Errors
    /// [`Case::WebLoginForm`].
    pub fn read(value: &str) -> Result<Self, Refusal> {
        if value.len() != TEXT {
            return Err(Case::WebLoginForm.into());
        }
        encoding::from_b64url_fixed("cookie", value)
            .map(|bytes| Self(Secret::new(bytes)))
            .map_err(|_| Case::WebLoginForm.into())
    }

    /// The one cookie of this name in the lines of a `Cookie` field (RFC 6265 §5.4). Cookies
    /// of others are let be, whatever they look like: on one machine many share a name.
    ///
    /// # Errors
    /// [`Case::WebLoginForm`] when there are two, or it is none.
    pub fn find<'a>(
        lines: impl IntoIterator<Item = &'a [u8]>,
        name: &str,
    ) -> Result<Option<Self>, Refusal> {
        let mut found = None;
        for line in lines {
            for pair in line.split(|byte| *byte == b';') {
                // A name without a value, in another case or with a space behind it is
                // nothing that a server of ours set.
                let value = pair
                    .trim_ascii()
                    .strip_prefix(name.as_bytes())
                    .and_then(|rest| rest.strip_prefix(b"="));
                let Some(value) = value else { continue };
                let value = std::str::from_utf8(value).map_err(|_| Case::WebLoginForm)?;
                if found.replace(Self::read(value)?).is_some() {
                    return Err(Case::WebLoginForm.into());
                }
            }
        }
        Ok(found)
    }

    /// The value of the cookie.
    #[must_use]
    pub fn text(&self) -> Secret<String> {
        Secret::new(encoding::b64url(self.0.expose()))
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(self.0.expose())
    }

    /// What a form of this web login has to bring along, so that no other site can send it
    /// (`T("procura.csrf.v1", cookie)`). Nobody learns the cookie from it.
    #[must_use]
    pub fn form_token(&self) -> Secret<String> {
        let message = FieldTuple::new("procura.csrf.v1").bytes(self.0.expose());
        Secret::new(encoding::b64url(&sha256(message.as_bytes())))
    }
}

/// A web login as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLogin {
    /// Its id.
    pub id: WebLoginId,
    /// The SHA-256 of its cookie.
    pub digest: [u8; 32],
    /// Whose it is.
    pub actor: ActorId,
    /// By what they signed in.
    pub amr: Amr,
    /// By which passkey: it ends with that.
    pub passkey: Option<Thumbprint>,
    /// The roles that their groups at an identity provider lend them in it.
    pub lent: Vec<RoleAssignment>,
    /// When they last proved who they are.
    pub authenticated: Timestamp,
    /// When it ends if nothing is done with it.
    pub idle_until: Timestamp,
    /// When it ends whatever is done with it.
    pub until: Timestamp,
}

impl Caller {
    /// The person whose web login this cookie is of, by what is `kept` under its digest.
    ///
    /// # Errors
    /// [`Case::WebLoginUnknown`] when nothing is kept, or something else;
    /// [`Case::WebLoginOver`], [`Case::WebLoginIdle`]; [`Case::ActorRevoked`];
    /// [`Case::PasskeyRemoved`].
    pub fn web_login(
        cookie: &WebLoginCookie,
        kept: Option<&KeptLogin>,
        directory: &Snapshot,
        now: Timestamp,
        peer: Option<IpAddr>,
    ) -> Result<Self, Refusal> {
        let kept = kept
            .filter(|kept| kept.digest == cookie.digest())
            .ok_or(Case::WebLoginUnknown)?;
        let refuse = |case: Case| Refusal {
            actor: Some(kept.actor),
            ..case.into()
        };
        // Only people have browsers.
        let is_owner = directory
            .actor(&kept.actor)
            .is_some_and(|actor| matches!(actor.kind, ActorKind::Owner { .. }));
        if !is_owner {
            return Err(refuse(Case::WebLoginUnknown));
        }
        if !directory.is_active(&kept.actor) {
            return Err(refuse(Case::ActorRevoked));
        }
        let passkey = kept.passkey.as_ref();
        if passkey.is_some_and(|passkey| !directory.passkey_may_act(passkey)) {
            return Err(refuse(Case::PasskeyRemoved));
        }
        if kept.until <= now {
            return Err(refuse(Case::WebLoginOver));
        }
        if kept.idle_until <= now {
            return Err(refuse(Case::WebLoginIdle));
        }
        // No other sign-in says anything of groups.
        let lends = kept.amr == Amr::Oidc && !kept.lent.is_empty();
        Ok(Self {
            session: Some(*kept.id.as_bytes()),
            authenticated: Some(kept.authenticated),
            passkey: kept.passkey.map(Box::new),
            lent: lends.then(|| kept.lent.as_slice().into()),
            ..Self::person(
                kept.actor,
                Profile::WebLogin(kept.amr),
                directory,
                now,
                peer,
            )
        })
    }

    /// The person who is about to get a web login. It is good for nothing else.
    #[must_use]
    pub fn signing_in(
        person: &Authenticated,
        directory: &Snapshot,
        now: Timestamp,
        peer: Option<IpAddr>,
    ) -> Self {
        Self {
            authenticated: Some(now),
            passkey: person.passkey.map(Box::new),
            ..Self::person(
                person.actor,
                Profile::SigningIn(person.amr),
                directory,
                now,
                peer,
            )
        }
    }

    /// The person who is about to enrol a passkey, by a code that was made for it. It is
    /// good for nothing else.
    #[must_use]
    pub fn enrolling(
        person: &Authenticated,
        directory: &Snapshot,
        now: Timestamp,
        peer: Option<IpAddr>,
    ) -> Self {
        Self::person(person.actor, Profile::Join, directory, now, peer)
    }

    /// An owner, without any device.
    fn person(
        actor: ActorId,
        profile: Profile,
        directory: &Snapshot,
        now: Timestamp,
        peer: Option<IpAddr>,
    ) -> Self {
        Self {
            peer,
            ..Self::bare((actor, actor), profile, directory.seq(), now)
        }
    }
}
