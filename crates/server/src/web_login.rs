//! Web logins: from the cookie of a browser to a [`Caller`], and from a password, a passkey
//! or an identity provider's word to a cookie (ADR 35). The pages use it; the calls of
//! `/v1` keep to proofs, and know no cookie.

mod cookie;
mod hashing;
mod sign_in;

pub(crate) use cookie::{CsrfToken, clearing};
pub(crate) use hashing::{Hashing, NotSet};
pub(crate) use sign_in::{PasswordForm, sign_in};

use crate::app::{App, Open};
use crate::input::Input;
use crate::problem::{Code, Failure};
use crate::proving::refused;
use crate::serve::{Context, permitted};
use http::HeaderValue;
use procura_directory::Snapshot;
use procura_identity::web_login::{
    FoundLogin, NewWebLogin, WebLogin, WebLoginEnd, WebLoginStart, WebLoginTerms,
};
use procura_proof::{Authenticated, Caller, Case, KeptLogin, Refusal, WebLoginCookie};
use procura_types::{ActorId, Duration, WebLoginId};

/// What sign-ins share.
pub(crate) struct SignIns {
    slow_down: procura_identity::account::SlowDown,
    /// Passwords are hashed here, and nowhere else.
    pub(crate) hashing: Hashing,
}

impl SignIns {
    /// Nobody has tried anything yet.
    pub(crate) fn new(metrics: &crate::metrics::Metrics) -> Self {
        Self {
            slow_down: procura_identity::account::SlowDown::default(),
            hashing: Hashing::new(metrics.password_hashes()),
        }
    }
}

/// Somebody who is signed in, for one request.
pub(crate) struct SignedIn {
    /// Who.
    pub(crate) caller: Caller,
    /// Their web login.
    pub(crate) login: WebLogin,
    /// What its forms carry.
    pub(crate) csrf: CsrfToken,
}

/// Why a request is nobody's.
pub(crate) enum NotSignedIn {
    /// It has no cookie of a web login.
    Nobody,
    /// It has one that is not good; it is recorded, and to be cleared if nobody is proven.
    Refused(Failure),
}

/// Finds out whose web login a request comes with, or records that it is nobody's. What is
/// written is that it was used, at most once a minute.
pub(crate) async fn signed_in(
    app: &App,
    open: &Open,
    snapshot: &Snapshot,
    input: &Input,
) -> Result<SignedIn, NotSignedIn> {
    let refuse = |refusal: &Refusal| {
        let failure = refused(app, open, snapshot, input, refusal);
        NotSignedIn::Refused(failure)
    };
    let cookie = cookie::of(app, input)
        .map_err(|refusal| refuse(&refusal))?
        .ok_or(NotSignedIn::Nobody)?;
    let found = found(open, &cookie).map_err(NotSignedIn::Refused)?;
    let kept = found
        .as_ref()
        .and_then(|found| still_configured(app, found));
    let caller = Caller::web_login(&cookie, kept.as_ref(), snapshot, input.now, input.peer)
        .map_err(|refusal| refuse(&refusal))?;
    let found = found.ok_or_else(|| refuse(&Case::WebLoginUnknown.into()))?;
    app.metrics.accepted(caller.profile().as_str());
    note_use(open, &found, input).await;
    Ok(SignedIn {
        caller,
        login: found.shown(),
        csrf: CsrfToken::of(&cookie),
    })
}

/// What is kept of a web login, held against the configuration: one by an identity provider
/// that is not there any more is none, nor is one by another that had its name, and what no
/// group lends any more is not lent.
fn still_configured(app: &App, found: &FoundLogin) -> Option<KeptLogin> {
    let mut kept = found.kept();
    if let Some(name) = found.provider() {
        let provider = app.oidc.get(name)?;
        if !found.is_by(&provider.client()) {
            return None;
        }
        kept.lent.retain(|role| provider.lends(role));
    }
    Some(kept)
}

fn found(open: &Open, cookie: &WebLoginCookie) -> Result<Option<FoundLogin>, Failure> {
    Ok(FoundLogin::of(open.vault.store(), &cookie.digest())?)
}

/// Writes that a web login was used. Where that cannot be written it ends a little
/// earlier, and the request goes on.
async fn note_use(open: &Open, found: &FoundLogin, input: &Input) {
    let store = open.vault.store();
    match found.seen(store, input.now) {
        Ok(None) => {}
        Ok(Some(batch)) => {
            // A conflict is another request that wrote it, or the end of the web login.
            if let Err(error) = store.commit(batch).await {
                tracing::debug!(%error, "the use of a web login was not written");
            }
        }
        Err(error) => tracing::debug!(%error, "the use of a web login was not written"),
    }
}

/// A web login that began.
pub(crate) struct Started {
    /// Gives the cookie to the browser.
    pub(crate) set_cookie: HeaderValue,
}

/// Begins a web login for whom a passkey or an identity provider vouched. The cookie is
/// new whatever the request came with; a web login of the same operator that it came with
/// ends in the same commit.
pub(crate) async fn start(
    context: &Context<'_>,
    person: &Authenticated,
) -> Result<Started, Failure> {
    let replaces = replaced(context, person.actor());
    start_in_place_of(context, person, replaces).await
}

/// The same, in place of a web login of the same operator that is known otherwise: a browser
/// that another site leads here leaves its cookie out.
pub(crate) async fn start_in_place_of(
    context: &Context<'_>,
    person: &Authenticated,
    replaces: Option<WebLoginId>,
) -> Result<Started, Failure> {
    let snapshot = context.open.directory.snapshot();
    let op = WebLoginStart::vouched(person, &snapshot, replaces).ok_or_else(|| {
        Failure::new(Code::Unauthorized, "The operator is revoked.").with_reason("revoked")
    })?;
    let input = context.input;
    let caller = Caller::signing_in(person, &snapshot, input.now, input.peer);
    let permit = permitted(context, &snapshot, caller, op)?;
    let (terms, entropy) = (terms(context.app), context.app.entropy.as_ref());
    let made = context
        .change(permit, |batch| {
            WebLoginStart::run(batch, &terms, input.now, entropy)
        })
        .await?;
    started(context, made)
}

fn started(context: &Context<'_>, made: NewWebLogin) -> Result<Started, Failure> {
    Ok(Started {
        set_cookie: cookie::setting(context.app, context.input, &made.cookie)?,
    })
}

/// The web login of the same operator that a request came with, good or over: its cookie
/// is replaced in the browser, so nobody has it any more.
fn replaced(context: &Context<'_>, actor: &ActorId) -> Option<WebLoginId> {
    let cookie = cookie::of(context.app, context.input).ok().flatten()?;
    let found = found(context.open, &cookie).ok().flatten()?.shown();
    (found.actor == *actor).then_some(found.id)
}

/// For how long web logins go on, as it is configured.
fn terms(app: &App) -> WebLoginTerms {
    let config = &app.config;
    WebLoginTerms {
        idle: Duration::from_secs(config.web_login_idle_minutes.saturating_mul(60)),
        absolute: Duration::from_secs(config.web_login_hours.saturating_mul(60 * 60)),
    }
}

/// Ends the web login that a request came with.
pub(crate) async fn sign_out(
    context: &Context<'_>,
    signed_in: SignedIn,
) -> Result<HeaderValue, Failure> {
    let snapshot = context.open.directory.snapshot();
    let cleared = clearing(context.app, context.input);
    if let Some(op) = WebLoginEnd::own(&snapshot, &signed_in.login) {
        let permit = permitted(context, &snapshot, signed_in.caller, op)?;
        context.change(permit, WebLoginEnd::run).await?;
    }
    Ok(cleared)
}
