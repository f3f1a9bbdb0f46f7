//! The beginning of a web login.

use super::{LOGINS, LoginRow, MOST, MadeBy, WebLogin, WebLoginTerms, held, put, rows};
use crate::account::{self, Block, SignInPassed, Used};
use crate::error::IdentityError;
use crate::passkey::PasskeyRefusal;
use procura_directory::Snapshot;
use procura_policy::{Action, Op, Resource};
use procura_proof::{Authenticated, Provided, WebLoginCookie};
use procura_record::RecordedBatch;
use procura_store::Expected;
use procura_types::{ActorId, Amr, Entropy, Label, Thumbprint, Timestamp, WebLoginId};

/// Makes a web login for a person who just proved who they are.
pub struct WebLoginStart {
    name: Label,
    actor: ActorId,
    amr: Amr,
    passkey: Option<Thumbprint>,
    provided: Option<Provided>,
    used: Option<Used>,
    replaces: Option<WebLoginId>,
}

impl Op for WebLoginStart {
    const ACTION: Action = Action::WebLoginStart;
    fn resource(&self) -> Resource {
        Resource::Operator(self.name.clone())
    }
}

/// A web login that was just made.
pub struct NewWebLogin {
    /// What the browser gets, once.
    pub cookie: WebLoginCookie,
    /// The rest.
    pub login: WebLogin,
}

impl WebLoginStart {
    /// For whom a passkey or an identity provider vouched; none when there is no such
    /// operator any more. `replaces` is the web login that the request came with, which
    /// ends: whoever signs in anew gets another cookie.
    #[must_use]
    pub fn vouched(
        person: &Authenticated,
        snapshot: &Snapshot,
        replaces: Option<WebLoginId>,
    ) -> Option<Self> {
        let actor = snapshot.actor(person.actor())?;
        // Agents have no web logins.
        actor.namespace().is_none().then(|| Self {
            name: actor.label().clone(),
            actor: actor.id,
            amr: person.amr(),
            passkey: person.passkey().copied(),
            provided: person.provided().cloned(),
            used: None,
            replaces,
        })
    }

    /// For whoever showed password and code, which is used up in the same commit.
    #[must_use]
    pub fn by_password(passed: &SignInPassed, replaces: Option<WebLoginId>) -> Self {
        Self {
            name: passed.name.clone(),
            actor: *passed.person.actor(),
            amr: passed.person.amr(),
            passkey: None,
            provided: None,
            used: Some(passed.used.clone()),
            replaces,
        }
    }

    /// Makes the web login of the permit.
    ///
    /// # Errors
    /// [`IdentityError::OtherCaller`]; [`PasskeyRefusal::Removed`];
    /// [`IdentityError::SignIn`] when the code was used meanwhile, or the account is
    /// another.
    pub fn run(
        batch: &mut RecordedBatch<'_, Self>,
        terms: &WebLoginTerms,
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<NewWebLogin, IdentityError> {
        let op = batch.op();
        let (actor, amr) = (op.actor, op.amr);
        let caller = batch.permit().caller();
        let from = caller.peer();
        if *caller.actor() != actor {
            return Err(IdentityError::OtherCaller);
        }
        // It may have been removed since it answered.
        let passkey = op.passkey;
        if passkey.is_some_and(|passkey| !batch.directory().passkey_may_act(&passkey)) {
            return Err(PasskeyRefusal::Removed.into());
        }
        let place = Block::of(from);
        let provided = op.provided.as_ref();
        let by = (
            op.used.as_ref(),
            provided.map(|provided| &provided.identity),
        );
        account::remember(batch, &actor, by, &place, now)?;
        let cookie = WebLoginCookie::generate(entropy)?;
        let row = LoginRow {
            id: WebLoginId::generate(now, entropy)?,
            actor,
            amr,
            began: now,
            authenticated: authenticated(provided, now),
            last_seen: now,
            idle_seconds: terms.idle.as_secs(),
            until: now.plus(terms.absolute),
            from,
            passkey,
            identity: provided.map(|provided| MadeBy {
                provider: provided.provider.clone(),
                client: provided.client,
                id: provided.identity,
            }),
            lent: provided
                .map(|provided| provided.lent.clone())
                .unwrap_or_default(),
        };
        let digest = cookie.digest();
        let mut all = make_room(batch, &actor, now)?;
        all.push(digest);
        put(batch, &actor, &all);
        LOGINS.expect(batch.rows(), &digest, Expected::Absent);
        LOGINS.put(batch.rows(), &digest, &row);
        let with = match provided {
            Some(provided) => words(provided),
            None => op.used.as_ref().map_or("", Used::words).to_owned(),
        };
        let words = format!("web_login/{} {amr} {with}", row.id);
        batch.details().with = Some(words.trim_end().to_owned());
        Ok(NewWebLogin {
            cookie,
            login: row.shown(),
        })
    }
}

/// When the person proved who they are: now, unless a provider vouched for them. Of one that
/// does not say when, nobody knows that it was a moment ago.
fn authenticated(provided: Option<&Provided>, now: Timestamp) -> Timestamp {
    let Some(provided) = provided else {
        return now;
    };
    let said = provided.authenticated;
    said.unwrap_or(Timestamp::from_millis(0)).min(now)
}

/// What the record says of an identity: which one, and what its groups lend.
fn words(provided: &Provided) -> String {
    let mut words = format!("oidc/{} identity/{}", provided.provider, provided.identity);
    if !provided.lent.is_empty() {
        let lent: Vec<String> = provided.lent.iter().map(ToString::to_string).collect();
        words = format!("{words} lent={}", lent.join(","));
    }
    words
}

/// Ends those of an operator that are over, the one that the new one takes the place of,
/// and of too many the ones that were used least lately; gives those that go on.
fn make_room(
    batch: &mut RecordedBatch<'_, WebLoginStart>,
    actor: &ActorId,
    now: Timestamp,
) -> Result<Vec<[u8; 32]>, IdentityError> {
    let replaces = batch.op().replaces;
    let all = held(batch, actor)?;
    let mut found = rows(batch.store(), &all)?;
    found.sort_by_key(|(_, row)| std::cmp::Reverse(row.last_seen));
    let mut kept = Vec::with_capacity(MOST);
    for (digest, row) in found {
        let goes_on = !row.is_over(now) && Some(row.id) != replaces && kept.len() + 1 < MOST;
        if goes_on {
            kept.push(digest);
        } else {
            LOGINS.delete(batch.rows(), &digest);
        }
    }
    Ok(kept)
}
