//! Sign-in by identity providers ([ADR 44](../../../docs/adr/0044-identity-providers.md),
//! `protocol.md` §12): what a browser is sent to a provider with, and what becomes of the
//! answer. The pages call this, after they saw that it is one of them who asks; what is
//! refused stands in the record.
//!
//! - `discovery.rs`: what a provider says of itself, looked at.
//! - `provider.rs`: one provider: what it was last heard to say, and the way to it.
//! - `exchange.rs`: the code for tokens, and questions that are pushed.
//! - `returned.rs`: what a browser brings back.
//! - `ways.rs`: what came of those who went there.

mod discovery;
mod exchange;
mod fault;
mod provider;
mod returned;
mod ways;

pub(crate) use provider::{Oidc, Provider, check};

use crate::app::App;
use crate::opening::session_keys;
use crate::problem::{Code, Failure};
use crate::serve::{Context, permitted};
use crate::web_login::{Started, start_in_place_of};
use discovery::Metadata;
use exchange::{Tokens, Unredeemed};
use fault::Fault;
use procura_identity::IdentityError;
use procura_identity::oidc::{
    Again, Answer, Answered, Flow, OidcClient, OidcRefusal, OidcUse, ProvenIdentity,
};
use procura_policy::Action;
use procura_proof::Profile;
use procura_record::{ChangeError, Refusal};
use procura_token::{IdTokenRefusal, ProviderKeys};
use procura_types::{Amr, Duration, Label, Secret};
use returned::Returned;
use ways::Passage;

/// A sign-in that began.
pub(crate) struct Begun {
    /// Where the browser goes on.
    pub(crate) url: String,
    /// What it keeps meanwhile.
    pub(crate) cookie: Secret<String>,
}

/// What became of an answer.
pub(crate) enum Outcome {
    /// Somebody is signed in, and goes on to this page.
    SignedIn(Started, String),
    /// Whom the provider vouched for is linked to nobody.
    Unlinked(Unlinked),
}

/// Somebody whom a provider vouched for and nobody linked.
pub(crate) struct Unlinked {
    /// Who.
    pub(crate) proven: ProvenIdentity,
    /// What their operator links them by.
    pub(crate) proof: String,
    /// Why they are not signed in.
    pub(crate) failure: Failure,
}

/// The provider of this name.
fn provider<'a>(context: &Context<'a>, name: &Label) -> Result<&'a Provider, Failure> {
    let found = context.app.oidc.get(name);
    found.ok_or_else(|| Failure::new(Code::NotFound, "There is no such identity provider."))
}

/// Where a provider leads back to: one address for each, exactly.
fn redirect_uri(app: &App, provider: &Provider) -> String {
    format!("{}/oidc/{}/callback", app.web_origin(), provider.name())
}

/// How long ago a person may have proven to a provider who they are: no longer than a web
/// login lasts.
fn max_age(app: &App) -> Duration {
    Duration::from_secs(app.config.web_login_hours.saturating_mul(60 * 60))
}

/// Begins a sign-in by a provider, to go on to the page `next` afterwards. Whoever is
/// signed in already proves anew who they are.
pub(crate) async fn begin(
    context: &Context<'_>,
    name: &Label,
    again: Option<Again>,
    next: &str,
) -> Result<Begun, Failure> {
    let Context { app, open, input } = *context;
    let provider = provider(context, name)?;
    let _place = provider.enter(input.peer)?;
    let metadata = provider
        .metadata(app)
        .await
        .map_err(|fault| away(app, fault))?;
    let keys = session_keys(&open.vault);
    let flow = Flow::begin(
        provider.client(),
        again,
        next,
        input.now,
        app.entropy.as_ref(),
    )?;
    let asked = question(app, provider, &flow);
    let url = match &metadata.push {
        None => metadata.authorization_url(&asked),
        Some(_) => {
            let mark = (flow.digest(), flow.ends());
            if !provider.ways().push(mark, input.peer, input.now) {
                return Err(spent(app));
            }
            let pushed = provider.push(&metadata, &asked).await;
            let request_uri = pushed.map_err(|fault| away(app, fault))?;
            let client_id = provider.client().client_id;
            metadata.authorization_url(&[
                ("client_id", client_id.to_owned()),
                ("request_uri", request_uri),
            ])
        }
    };
    Ok(Begun {
        url,
        cookie: flow.cookie(keys.as_ref())?,
    })
}

/// What a provider is asked (OpenID Connect Core §3.1.2.1).
fn question(app: &App, provider: &Provider, flow: &Flow) -> Vec<(&'static str, String)> {
    let max_age = match flow.again() {
        Some(_) => 0,
        None => max_age(app).as_secs(),
    };
    let mut asked = vec![
        ("response_type", "code".to_owned()),
        ("client_id", provider.client().client_id.to_owned()),
        ("redirect_uri", redirect_uri(app, provider)),
        ("scope", provider.scope()),
        ("state", flow.state()),
        ("nonce", flow.nonce()),
        ("code_challenge", flow.challenge()),
        ("code_challenge_method", "S256".to_owned()),
        ("max_age", max_age.to_string()),
    ];
    if flow.again().is_some() {
        asked.push(("prompt", "login".to_owned()));
    }
    asked
}

/// Finishes a sign-in by what a browser brought back from a provider.
pub(crate) async fn finish(
    context: &Context<'_>,
    name: &Label,
    cookie: Option<&str>,
) -> Result<Outcome, Failure> {
    let provider = provider(context, name)?;
    let (flow, answered) = match answered(context, provider, cookie).await {
        Ok(answered) => answered,
        Err(NotAnswered::Refused(refusal)) => {
            return Err(refused(context, name, refusal, None));
        }
        Err(NotAnswered::Away(fault)) => return Err(away(context.app, fault)),
        Err(NotAnswered::Failed(failure)) => return Err(failure),
    };
    let proven = answered.proven().clone();
    match sign_in(context, provider, answered).await {
        Ok(started) => {
            provider.ways().arrived(&flow.digest());
            context.app.metrics.signed_in_by_provider("accepted");
            Ok(Outcome::SignedIn(started, flow.next().to_owned()))
        }
        Err(NotAnswered::Refused(OidcRefusal::NotLinked)) => unlinked(context, proven),
        Err(NotAnswered::Refused(refusal)) => Err(refused(context, name, refusal, Some(&proven))),
        Err(NotAnswered::Away(fault)) => Err(away(context.app, fault)),
        Err(NotAnswered::Failed(failure)) => Err(failure),
    }
}

/// Counts a provider that cannot be used, and words it.
fn away(app: &App, fault: Fault) -> Failure {
    app.metrics.signed_in_by_provider("unavailable");
    fault.into()
}

/// Counts an address of which too many sign-ins came to nothing, and words it.
fn spent(app: &App) -> Failure {
    app.metrics.limited("oidc");
    Fault::Spent.into()
}

/// Uses a flow up, right before its code is sent and whatever comes of that: who makes codes
/// up has to begin anew for each, and can do so only so often. That somebody was signed in by
/// it is known for certain, by whichever server; the rest is in the memory of this one.
fn use_up(context: &Context<'_>, provider: &Provider, flow: &Flow) -> Result<(), NotAnswered> {
    let Context { app, open, input } = *context;
    if flow.is_used(open.vault.store())? {
        return Err(OidcRefusal::FlowUsed.into());
    }
    let mark = (flow.digest(), flow.ends());
    match provider.ways().send(mark, input.peer, input.now) {
        Passage::Free => Ok(()),
        Passage::Used => Err(OidcRefusal::FlowUsed.into()),
        Passage::Full => Err(NotAnswered::Failed(spent(app))),
    }
}

/// Why nobody is signed in.
enum NotAnswered {
    /// What was brought is not accepted; it is to be recorded.
    Refused(OidcRefusal),
    /// The provider cannot be used.
    Away(Fault),
    /// It cannot be found out, or is recorded.
    Failed(Failure),
}

impl From<OidcRefusal> for NotAnswered {
    fn from(refusal: OidcRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<IdentityError> for NotAnswered {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Oidc(refusal) => Self::Refused(refusal),
            other => Self::Failed(other.into()),
        }
    }
}

impl From<Failure> for NotAnswered {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Fault> for NotAnswered {
    fn from(fault: Fault) -> Self {
        Self::Away(fault)
    }
}

/// Who signed in at the provider, if what was brought back is the answer to what this
/// browser asked.
async fn answered(
    context: &Context<'_>,
    provider: &Provider,
    cookie: Option<&str>,
) -> Result<(Flow, Answered), NotAnswered> {
    let Context { app, open, input } = *context;
    let keys = session_keys(&open.vault);
    let cookie = cookie.ok_or(OidcRefusal::FlowMissing)?;
    let flow = Flow::read(keys.as_ref(), provider.client(), cookie, input.now)?;
    let returned = Returned::read(input.parts.uri.query())?;
    if !flow.is_answered_by(returned.state.expose()) {
        return Err(OidcRefusal::WrongState.into());
    }
    // That it is busy says nothing of whether it can be used.
    let _place = provider.enter(input.peer).map_err(Failure::from)?;
    let metadata = provider.metadata(app).await?;
    // RFC 9207 §2.4: before anything of the answer counts.
    match &returned.issuer {
        Some(issuer) if issuer != provider.client().issuer => {
            return Err(OidcRefusal::WrongIssuer.into());
        }
        None if metadata.says_issuer => return Err(OidcRefusal::MissingIssuer.into()),
        _ => {}
    }
    let code = returned.code()?;
    use_up(context, provider, &flow)?;
    let redirect_uri = redirect_uri(app, provider);
    let tokens = provider
        .redeem(&metadata, code, &redirect_uri, &flow.verifier())
        .await
        .map_err(|unredeemed| match unredeemed {
            Unredeemed::Refused => NotAnswered::Refused(OidcRefusal::CodeRefused),
            Unredeemed::Fault(fault) => NotAnswered::Away(fault),
        })?;
    let answered = believed(context, provider, &metadata, (&flow, &tokens)).await?;
    Ok((flow, answered))
}

/// What an ID token says, if it is believed. A key that is not known yet is looked for
/// once more.
async fn believed(
    context: &Context<'_>,
    provider: &Provider,
    metadata: &Metadata,
    (flow, tokens): (&Flow, &Tokens),
) -> Result<Answered, NotAnswered> {
    let Context { app, input, .. } = *context;
    let of = |keys: &ProviderKeys| {
        let answer = Answer {
            id_token: tokens.id_token.expose(),
            access_token: &tokens.access_token,
            keys,
            groups_claim: provider.groups_claim(),
            max_age: max_age(app),
        };
        flow.answered(&answer, input.now)
    };
    let keys = provider.keys(app, metadata).await?;
    let unknown = OidcRefusal::Token(IdTokenRefusal::UnknownKey);
    match of(keys.as_ref()) {
        Err(refusal) if refusal == unknown => {
            let keys = provider.newer_keys(app, metadata).await?;
            Ok(of(keys.as_ref())?)
        }
        other => Ok(other?),
    }
}

/// Signs in whose identity it is.
async fn sign_in(
    context: &Context<'_>,
    provider: &Provider,
    answered: Answered,
) -> Result<Started, NotAnswered> {
    let Context { open, input, .. } = *context;
    let snapshot = open.directory.snapshot();
    let lent = provider.lent(answered.groups());
    let op = OidcUse::check((open.vault.store(), &snapshot), answered, lent)?;
    let replaces = op.again().map(|again| again.login);
    let caller = op.caller(&snapshot, input.now, input.peer);
    let permit = permitted(context, &snapshot, caller, op)?;
    let now = input.now;
    let person = context
        .change(permit, |batch| OidcUse::run(batch, now))
        .await
        .map_err(|error| match error {
            ChangeError::Domain(error) => NotAnswered::from(error),
            ChangeError::Record(error) => NotAnswered::Failed(error.into()),
        })?;
    Ok(start_in_place_of(context, &person, replaces).await?)
}

/// Records that nobody linked an identity, and gives what its operator links it by.
fn unlinked(context: &Context<'_>, proven: ProvenIdentity) -> Result<Outcome, Failure> {
    let keys = session_keys(&context.open.vault);
    let proof = proven.link_proof(keys.as_ref(), context.input.now)?;
    let refusal = OidcRefusal::NotLinked;
    let failure = refused(context, proven.provider(), refusal, Some(&proven));
    Ok(Outcome::Unlinked(Unlinked {
        proven,
        proof,
        failure,
    }))
}

/// Records why an answer is not accepted, and gives it.
fn refused(
    context: &Context<'_>,
    provider: &Label,
    refusal: OidcRefusal,
    of: Option<&ProvenIdentity>,
) -> Failure {
    let input = context.input;
    context.app.metrics.signed_in_by_provider(match refusal {
        OidcRefusal::NotLinked => "unlinked",
        _ => "refused",
    });
    let about = of.map_or_else(String::new, |proven| format!(" identity/{}", proven.id()));
    let action = Action::OperatorOidcUse.as_str();
    let profile = Profile::SigningIn(Amr::Oidc).as_str();
    context.open.recorder.refuse(Refusal {
        resource: Some(format!("oidc/{provider}{about}")),
        ip: input.peer,
        ..Refusal::of_nobody(action, refusal.as_str(), input.now, profile, input.trace)
    });
    IdentityError::from(refusal).into()
}

/// What the server is to a provider, for whoever reads what it made.
impl Provider {
    /// As it is configured.
    pub(crate) fn client(&self) -> OidcClient<'_> {
        OidcClient {
            provider: self.name(),
            issuer: self.issuer(),
            client_id: self.client_id(),
        }
    }
}
