//! `/oidc/{provider}` and `/oidc/{provider}/callback`: to an identity provider and back
//! ([ADR 44](../../../../docs/adr/0044-identity-providers.md)). What is asked there and what
//! the answer proves is for [`crate::oidc`] to say; here is which browser it is.

use super::LABEL;
use super::answer::{Answer, what_to_do};
use super::form::LONGEST;
use super::layout::Frame;
use super::next::Next;
use super::page::{Way, mount_work};
use super::shown::Shown;
use super::sign_in::{HOME, Visited, lead_on};
use super::site::Site;
use super::visit::{Visit, one_cookie};
use crate::app::{App, Open};
use crate::input::{Arrived, Input};
use crate::oidc::{Outcome, Unlinked, begin, finish};
use crate::problem::{Code, Failure};
use crate::serve::{Context, read};
use crate::web_login::signed_in;
use askama::Template;
use axum::Router;
use http::{HeaderName, HeaderValue, Method};
use procura_identity::oidc::{Again, FLOW_LIFE, OidcRefusal};
use procura_types::{Label, Secret};
use std::sync::Arc;

/// The name of the cookie of a sign-in that is under way, over TLS (RFC 6265bis §4.1.3.2).
const SECURE: &str = "__Host-procura-oidc";
/// Its name on this machine without TLS.
const PLAIN: &str = "procura-oidc";

/// Mounts them.
pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let router = mount_work(router, (Way::Form, "/oidc/{provider}", LABEL), start);
    mount_work(
        router,
        (Way::Look, "/oidc/{provider}/callback", LABEL),
        callback,
    )
}

/// A provider on the sign-in page.
pub(super) struct Offer {
    pub(super) name: String,
    pub(super) title: Shown,
}

/// The providers that a sign-in page offers, and where they lead back to if that is not
/// here.
pub(super) struct Offers {
    pub(super) all: Vec<Offer>,
    pub(super) elsewhere: Option<String>,
}

impl Offers {
    pub(super) fn of(app: &App, site: &Site) -> Self {
        let there = app.web_origin();
        let offer = |provider: &crate::oidc::Provider| Offer {
            name: provider.name().to_string(),
            title: Shown::of(provider.title()),
        };
        Self {
            all: app.oidc.all().map(offer).collect(),
            elsewhere: (there != site.origin()).then_some(there),
        }
    }
}

/// The page that leads on to a provider. It is an answer and no redirect: browsers hold a
/// form to `form-action` wherever it is redirected to.
#[derive(Template)]
#[template(path = "oidc_go.html")]
struct Go {
    frame: Frame,
    title: Shown,
    url: String,
}

#[derive(Template)]
#[template(path = "oidc_unlinked.html")]
struct NotLinked {
    frame: Frame,
    title: Shown,
    subject: Shown,
    called: Option<Shown>,
    proof: String,
}

#[derive(Template)]
#[template(path = "oidc_refused.html")]
struct Refused {
    frame: Frame,
    detail: Shown,
    what_to_do: &'static str,
    code: &'static str,
    reason: Option<&'static str>,
}

/// What people call a provider.
fn title(app: &App, name: &Label) -> Shown {
    let provider = app.oidc.get(name);
    provider.map_or_else(|| Shown::of(name), |provider| Shown::of(provider.title()))
}

/// `POST /oidc/{provider}`.
async fn start(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let visited = Visited::read(&app, &open, arrived).await?;
    let form = visited.form(&app, &open, &["next"])?;
    let Visited { input, site, .. } = visited;
    let there = app.web_origin();
    if there != site.origin() {
        return Err(Failure::new(
            Code::Conflict,
            format!("Identity providers lead back to {there}: sign in there."),
        )
        .with_reason("elsewhere"));
    }
    let name: Label = input.param("provider")?;
    let next = form.text("next").and_then(Next::read);
    let again = again(&app, &open, &input).await;
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    let next = next.as_ref().map_or("", Next::as_str);
    let begun = begin(&context, &name, again, next).await?;
    let refresh = HeaderValue::from_str(&format!("0; url={}", begun.url));
    let page = Go {
        frame: Frame::of_nobody(),
        title: title(&app, &name),
        url: begun.url,
    };
    let life = FLOW_LIFE.as_secs();
    let cookie = cookie(&site, begun.cookie.expose(), life)?;
    Ok(Answer::page(&page)?
        .with_field(
            HeaderName::from_static("refresh"),
            refresh.map_err(Failure::internal)?,
        )
        .with_cookie(cookie))
}

/// Whoever is signed in already proves anew who they are, and nobody else in their place.
async fn again(app: &App, open: &Open, input: &Input) -> Option<Again> {
    let snapshot = open.directory.snapshot();
    let found = signed_in(app, open, &snapshot, input).await.ok()?;
    Some(Again {
        login: found.login.id,
        actor: found.login.actor,
    })
}

/// `GET /oidc/{provider}/callback`.
async fn callback(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let input = read(&app, arrived, LONGEST).await?;
    let site = Site::of(&app, &open, &input)?;
    // Whoever only looks at the head of a page uses nothing up.
    if input.parts.method != Method::GET {
        let detail = "An answer of an identity provider comes by GET.";
        return Err(Failure::new(Code::MethodNotAllowed, detail));
    }
    let name: Label = input.param("provider")?;
    let kept = one_cookie(&input.parts.headers, name_of(&site));
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    match finish(&context, &name, kept).await {
        Ok(Outcome::SignedIn(started, next)) => {
            let next = Next::read(&next);
            let there = next.as_ref().map_or(HOME, Next::as_str);
            // The cookie of the web login is left out as long as a site of others led here,
            // so the browser is led on from a page of ours.
            Ok(lead_on(there.to_owned())?
                .with_cookie(started.set_cookie)
                .with_cookie(Visit::clearing(&site)?)
                .with_cookie(cookie(&site, "", 0)?))
        }
        Ok(Outcome::Unlinked(unlinked)) => {
            let Unlinked {
                proven,
                proof,
                failure,
            } = unlinked;
            let page = NotLinked {
                frame: Frame::of_nobody(),
                title: title(&app, &name),
                subject: Shown::of(proven.subject()),
                called: proven.called().map(Shown::of),
                proof,
            };
            Ok(Answer::page(&page)?
                .refusing(&failure)
                .with_cookie(cookie(&site, "", 0)?))
        }
        Err(failure) => not_signed_in(&site, failure),
    }
}

/// The page of an answer that was not accepted. What answers another question than the one
/// that is open ends nothing: anybody can lead a browser here. Nor does what has to wait:
/// whoever loads that page anew in a moment is signed in.
fn not_signed_in(site: &Site, failure: Failure) -> Result<Answer, Failure> {
    if !matches!(
        failure.code,
        Code::OidcRefused | Code::ProviderUnavailable | Code::RateLimited
    ) {
        return Err(failure);
    }
    let page = Refused {
        frame: Frame::of_nobody(),
        detail: Shown::of(&failure.detail),
        what_to_do: what_to_do(failure.code),
        code: failure.code.as_str(),
        reason: failure.reason,
    };
    let answer = Answer::page(&page)?.refusing(&failure);
    let is_other = failure.reason == Some(OidcRefusal::WrongState.as_str());
    if is_other || failure.code == Code::RateLimited {
        return Ok(answer);
    }
    Ok(answer.with_cookie(cookie(site, "", 0)?))
}

const fn name_of(site: &Site) -> &'static str {
    if site.is_secure() { SECURE } else { PLAIN }
}

/// The field that gives or, with no time, takes away the cookie of a sign-in that is under
/// way. `Lax`, alone of ours: it has to be there when the provider leads back.
fn cookie(site: &Site, value: &str, seconds: u64) -> Result<HeaderValue, Failure> {
    let secure = if site.is_secure() { "; Secure" } else { "" };
    let text = Secret::new(format!(
        "{}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Lax{secure}",
        name_of(site),
    ));
    let mut field = HeaderValue::from_str(text.expose()).map_err(Failure::internal)?;
    field.set_sensitive(true);
    Ok(field)
}
