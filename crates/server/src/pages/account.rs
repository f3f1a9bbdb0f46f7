//! `/account`: the caller's own web logins and passkeys.

use super::answer::Answer;
use super::layout::{Frame, Place};
use super::moment::Moment;
use super::page::{Asked, Page, Visit, Way, mount};
use super::shown::Shown;
use crate::app::App;
use crate::problem::{Code, Failure};
use crate::web_login::clearing;
use askama::Template;
use axum::Router;
use procura_directory::Snapshot;
use procura_identity::passkey::{PasskeyListing, PasskeyRename};
use procura_identity::web_login::{WebLoginEnd, WebLoginListing, WhichLogins};
use procura_policy::Permit;
use procura_types::wire::{Passkey, WebLogin};
use procura_types::{Amr, DisplayName, Label, Thumbprint, Timestamp, WebLoginId};
use std::sync::Arc;

/// Where it is.
pub(super) const ACCOUNT: &str = "/account";

/// A web login in the list.
struct Login {
    id: String,
    by: &'static str,
    began: Moment,
    seen: Moment,
    ends: Moment,
    from: Shown,
    /// The one that looks.
    this: bool,
}

/// A passkey in the list.
struct Key {
    id: String,
    name: Shown,
    site: Shown,
    created: Moment,
    used: Option<Moment>,
    /// Whether a provider may hold copies.
    copied: bool,
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    frame: Frame,
    logins: Vec<Login>,
    passkeys: Vec<Key>,
    /// Whether this web login may ask for one more passkey, and name those there are.
    by_passkey: bool,
}

/// Mounts the page and its forms.
pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let router = mount::<Look>(router);
    let router = mount::<EndOne>(router);
    let router = mount::<EndAll>(router);
    mount::<Rename>(router)
}

/// The name of who asks.
fn name(asked: &Asked<'_>) -> Result<Label, Failure> {
    let actor = asked.snapshot.actor(asked.caller.actor());
    let actor = actor.ok_or_else(|| Failure::internal("a caller whom the directory forgot"))?;
    Ok(actor.label().clone())
}

fn nobody() -> Failure {
    Failure::new(Code::NotFound, "There is no such operator any more.")
}

/// `GET /account`.
struct Look;

impl Page for Look {
    type Op = WebLoginListing;
    const WAY: Way = Way::Look;
    const PATH: &'static str = ACCOUNT;
    const PLACE: Place = Place::Account;

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        WebLoginListing::resolve(asked.snapshot, &name(asked)?).ok_or_else(nobody)
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let now = visit.context.input.now;
        let store = visit.context.open.vault.store();
        let found = WebLoginListing::run(&permit, store, now)?;
        let passkeys = passkeys(&visit, &permit).await?;
        let this = visit.login.id;
        Answer::page(&Account {
            frame: visit.frame,
            logins: found
                .logins
                .iter()
                .map(|login| shown(login, this, now))
                .collect(),
            passkeys: passkeys.iter().map(|found| key(found, now)).collect(),
            by_passkey: visit.login.amr == Amr::Passkey,
        })
    }
}

/// The caller's passkeys that were not removed.
async fn passkeys(
    visit: &Visit<'_>,
    permit: &Permit<WebLoginListing>,
) -> Result<Vec<Passkey>, Failure> {
    let snapshot: &Snapshot = &visit.snapshot;
    let actor = snapshot.actor(permit.caller().actor());
    let listing = actor.and_then(|actor| PasskeyListing::resolve(snapshot, actor.label()));
    let permit = visit.permitted(listing.ok_or_else(nobody)?).await?;
    let store = visit.context.open.vault.store();
    let mut found = PasskeyListing::run(&permit, snapshot, store)?.passkeys;
    found.retain(|passkey| passkey.removed.is_none());
    Ok(found)
}

fn shown(login: &WebLogin, this: WebLoginId, now: Timestamp) -> Login {
    Login {
        id: login.id.to_string(),
        by: match login.amr {
            Amr::Password => "password and code",
            Amr::Passkey => "passkey",
            Amr::Oidc => "identity provider",
        },
        began: Moment::of(login.began, now),
        seen: Moment::of(login.last_seen, now),
        ends: Moment::of(login.ends, now),
        from: login
            .from
            .map_or_else(|| Shown::of("this machine"), Shown::of),
        this: login.id == this,
    }
}

fn key(passkey: &Passkey, now: Timestamp) -> Key {
    Key {
        id: passkey.id.to_string(),
        name: Shown::of(&passkey.name),
        site: Shown::of(&passkey.relying_party),
        created: Moment::of(passkey.created, now),
        used: passkey.used.map(|used| Moment::of(used, now)),
        copied: passkey.backup_eligible,
    }
}

/// `POST /account/logins/{id}/end`.
struct EndOne;

impl Page for EndOne {
    type Op = WebLoginEnd;
    const WAY: Way = Way::Form;
    const PATH: &'static str = "/account/logins/{id}/end";
    const PLACE: Place = Place::Account;

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        let which = WhichLogins::One(asked.input.param("id")?);
        WebLoginEnd::resolve(asked.snapshot, &name(asked)?, which).ok_or_else(nobody)
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        let ended: WebLoginId = visit.context.input.param("id")?;
        visit.context.change(permit, WebLoginEnd::run).await?;
        if ended == visit.login.id {
            return signed_out(&visit);
        }
        Answer::to(ACCOUNT)
    }
}

/// `POST /account/logins/end`.
struct EndAll;

impl Page for EndAll {
    type Op = WebLoginEnd;
    const WAY: Way = Way::Form;
    const PATH: &'static str = "/account/logins/end";
    const PLACE: Place = Place::Account;

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        let name = name(asked)?;
        WebLoginEnd::resolve(asked.snapshot, &name, WhichLogins::All).ok_or_else(nobody)
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        visit.context.change(permit, WebLoginEnd::run).await?;
        signed_out(&visit)
    }
}

/// The answer to who just ended the web login that it came with.
fn signed_out(visit: &Visit<'_>) -> Result<Answer, Failure> {
    Ok(Answer::to("/sign-in")?.with_cookie(clearing(visit.context.app, visit.context.input)))
}

/// The passkey that a path names, as far as it is the caller's.
fn own_passkey(asked: &Asked<'_>) -> Result<Thumbprint, Failure> {
    let id: Thumbprint = asked.input.param("id")?;
    let found = asked.snapshot.passkey(&id);
    let own = found.is_some_and(|passkey| passkey.actor == *asked.caller.actor());
    own.then_some(id).ok_or_else(no_passkey)
}

fn no_passkey() -> Failure {
    Failure::new(Code::NotFound, "You have no such passkey.")
}

/// `POST /account/passkeys/{id}/name`.
struct Rename;

impl Page for Rename {
    type Op = PasskeyRename;
    const WAY: Way = Way::Form;
    const PATH: &'static str = "/account/passkeys/{id}/name";
    const PLACE: Place = Place::Account;
    const FIELDS: &'static [&'static str] = &["name"];

    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure> {
        let id = own_passkey(asked)?;
        let text = asked.form.text("name").unwrap_or_default();
        let name: DisplayName = text.parse()?;
        PasskeyRename::resolve(asked.snapshot, &id, name).ok_or_else(no_passkey)
    }

    async fn run(visit: Visit<'_>, permit: Permit<Self::Op>) -> Result<Answer, Failure> {
        visit.context.change(permit, PasskeyRename::run).await?;
        Answer::to(ACCOUNT)
    }
}
