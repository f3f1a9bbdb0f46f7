//! Web logins: what a browser holds after sign-in (`protocol.md` §10, ADR 35). The cookie
//! is 256 random bits; kept is its SHA-256. Each sign-in makes another, whatever the
//! browser brought along.

mod end;
mod start;

pub use end::{WebLoginEnd, WebLoginListing, WhichLogins, end_all_of, end_everybodys};
pub(crate) use end::{end_made_by, end_made_with};
pub use procura_types::Amr;
pub use procura_types::wire::WebLogin;
pub use start::{NewWebLogin, WebLoginStart};

use crate::error::IdentityError;
use crate::oidc::OidcClient;
use procura_policy::Op;
use procura_proof::KeptLogin;
use procura_record::RecordedBatch;
use procura_store::{Batch, Expected, Kind, Seq, Store, Table};
use procura_types::wire::RoleAssignment;
use procura_types::{ActorId, Duration, IdentityId, Label, Thumbprint, Timestamp, WebLoginId};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// SHA-256 of the cookie → the web login.
const LOGINS: Table<[u8; 32], LoginRow> = Table::new("web-login", Kind::Ordinary);
/// Operator → the SHA-256 of the cookies of all their web logins. Each change of the set
/// rewrites it, so that none can begin while all end.
const OF_OPERATOR: Table<String, Vec<[u8; 32]>> = Table::new("web-login-of", Kind::Ordinary);

/// Web logins of one operator at once; of more, the one that was used least lately ends.
const MOST: usize = 16;
/// How exactly is known when one was last used, if its limit is not short: it is written no
/// more often.
const SEEN_EVERY: Duration = Duration::from_secs(60);

/// For how long web logins go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebLoginTerms {
    /// When nothing is done with them.
    pub idle: Duration,
    /// Whatever is done with them.
    pub absolute: Duration,
}

impl Default for WebLoginTerms {
    /// 15 minutes and 12 hours.
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(15 * 60),
            absolute: Duration::from_secs(12 * 60 * 60),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginRow {
    id: WebLoginId,
    actor: ActorId,
    amr: Amr,
    began: Timestamp,
    authenticated: Timestamp,
    last_seen: Timestamp,
    idle_seconds: u64,
    until: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<IpAddr>,
    /// It ends with the passkey that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passkey: Option<Thumbprint>,
    /// It ends with the identity that it was made with, and with its provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<MadeBy>,
    /// What groups lend its person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    lent: Vec<RoleAssignment>,
}

/// The identity that a web login was made with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MadeBy {
    provider: Label,
    /// The digest of the client of that provider, as it was then.
    client: [u8; 32],
    id: IdentityId,
}

impl LoginRow {
    fn idle_until(&self) -> Timestamp {
        self.last_seen.plus(Duration::from_secs(self.idle_seconds))
    }

    /// How exactly is known when it was last used. Of a short limit by a part of it, so that
    /// nothing ends that is used.
    fn seen_every(&self) -> Duration {
        SEEN_EVERY.min(Duration::from_secs(self.idle_seconds / 4))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now || self.idle_until() <= now
    }

    fn shown(&self) -> WebLogin {
        WebLogin {
            id: self.id,
            actor: self.actor,
            amr: self.amr,
            began: self.began,
            authenticated: self.authenticated,
            last_seen: self.last_seen,
            ends: self.until,
            from: self.from,
        }
    }
}

/// A web login as it was found by its cookie. That it is good is for
/// [`Caller::web_login`](procura_proof::Caller::web_login) to say.
pub struct FoundLogin {
    digest: [u8; 32],
    version: Seq,
    row: LoginRow,
}

impl FoundLogin {
    /// What is kept under the SHA-256 of a cookie.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn of(store: &Store, digest: &[u8; 32]) -> Result<Option<Self>, IdentityError> {
        let row = LOGINS.get(store, digest)?;
        Ok(row.map(|row| Self {
            digest: *digest,
            version: row.version,
            row: row.value,
        }))
    }

    /// For its check.
    #[must_use]
    pub fn kept(&self) -> KeptLogin {
        let row = &self.row;
        KeptLogin {
            id: row.id,
            digest: self.digest,
            actor: row.actor,
            amr: row.amr,
            passkey: row.passkey,
            lent: row.lent.clone(),
            authenticated: row.authenticated,
            idle_until: row.idle_until(),
            until: row.until,
        }
    }

    /// The identity provider that it was made by, by its name in the configuration.
    #[must_use]
    pub fn provider(&self) -> Option<&Label> {
        Some(&self.row.identity.as_ref()?.provider)
    }

    /// Whether it was made by this provider: by one of this name, this issuer, and to which
    /// the server was this client.
    #[must_use]
    pub fn is_by(&self, client: &OidcClient<'_>) -> bool {
        let made = self.row.identity.as_ref();
        made.is_some_and(|made| made.provider == *client.provider && made.client == client.digest())
    }

    /// To be shown to whose it is.
    #[must_use]
    pub fn shown(&self) -> WebLogin {
        self.row.shown()
    }

    /// The write that says that it was used now, if it is time for one. It applies only if
    /// the web login is as it was found: one that was ended meanwhile stays ended. It
    /// gives nobody anything and stands in no entry ([ADR 10](../../../docs/adr/0010-own-work.md)).
    ///
    /// # Errors
    /// When there are no random bytes for the batch.
    pub fn seen(&self, store: &Store, now: Timestamp) -> Result<Option<Batch>, IdentityError> {
        if now < self.row.last_seen.plus(self.row.seen_every()) {
            return Ok(None);
        }
        let mut batch = store.batch()?;
        LOGINS.expect(&mut batch, &self.digest, Expected::At(self.version));
        let row = LoginRow {
            last_seen: now,
            ..self.row.clone()
        };
        LOGINS.put(&mut batch, &self.digest, &row);
        Ok(Some(batch))
    }
}

/// The cookies of an operator's web logins as this change finds them; nothing else may
/// change which there are meanwhile.
fn held<O: Op>(
    batch: &mut RecordedBatch<'_, O>,
    actor: &ActorId,
) -> Result<Vec<[u8; 32]>, IdentityError> {
    let key = actor.to_string();
    let row = OF_OPERATOR.get(batch.store(), &key)?;
    let expected = row
        .as_ref()
        .map_or(Expected::Absent, |row| Expected::At(row.version));
    OF_OPERATOR.expect(batch.rows(), &key, expected);
    Ok(row.map(|row| row.value).unwrap_or_default())
}

fn put<O: Op>(batch: &mut RecordedBatch<'_, O>, actor: &ActorId, all: &Vec<[u8; 32]>) {
    let key = actor.to_string();
    if all.is_empty() {
        OF_OPERATOR.delete(batch.rows(), &key);
    } else {
        OF_OPERATOR.put(batch.rows(), &key, all);
    }
}

/// The rows of these cookies.
fn rows(store: &Store, all: &[[u8; 32]]) -> Result<Vec<([u8; 32], LoginRow)>, IdentityError> {
    let mut found = Vec::with_capacity(all.len());
    for digest in all {
        if let Some(row) = LOGINS.get(store, digest)? {
            found.push((*digest, row.value));
        }
    }
    Ok(found)
}
