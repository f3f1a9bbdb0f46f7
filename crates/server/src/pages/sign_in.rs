//! `/sign-in` and `/sign-out`.

use super::answer::Answer;
use super::form::{Form, LONGEST};
use super::layout::Frame;
use super::next::Next;
use super::oidc::Offers;
use super::page::{CSRF, Entered, enter, sent_token};
use super::passkeys::Bound;
use super::refused::{Unfit, refuse_form};
use super::shown::Shown;
use super::site::Site;
use super::visit::Visit;
use crate::app::{App, Open};
use crate::input::{Arrived, Input};
use crate::problem::{Code, Failure};
use crate::serve::{Context, read};
use crate::web_login::{self, PasswordForm};
use askama::Template;
use http::{HeaderName, HeaderValue};
use procura_types::Secret;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Where somebody goes who did not want to go anywhere else.
pub(super) const HOME: &str = "/requests";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    frame: Frame,
    /// The page to go on to.
    next: String,
    /// The name that was typed.
    name: Shown,
    /// What was wrong with what was sent.
    problem: Option<Shown>,
    bound: Bound,
    offers: Offers,
}

/// A page that leads on to itself, so that the browser brings the cookie which it leaves
/// out where another site led it here.
#[derive(Template)]
#[template(path = "go_on.html")]
struct GoOn {
    frame: Frame,
    path: String,
}

/// Leads on from a link of another site.
pub(super) fn look_again(input: &Input) -> Result<Answer, Failure> {
    let Some(next) = Next::of(&input.parts.uri) else {
        return first_sign_in(input);
    };
    lead_on(next.as_str().to_owned())
}

/// A page that leads on to another of ours.
pub(super) fn lead_on(path: String) -> Result<Answer, Failure> {
    let frame = Frame::of_nobody();
    let refresh = HeaderValue::from_str(&format!("0; url={path}")).map_err(Failure::internal)?;
    let answer = Answer::page(&GoOn { frame, path })?;
    Ok(answer.with_field(HeaderName::from_static("refresh"), refresh))
}

/// Leads to where to sign in, and from there to where the request wanted to go.
pub(super) fn first_sign_in(input: &Input) -> Result<Answer, Failure> {
    let looks = matches!(input.parts.method, http::Method::GET | http::Method::HEAD);
    let next = looks.then(|| Next::of(&input.parts.uri)).flatten();
    Answer::to(&Next::sign_in(next.as_ref()))
}

/// The form, with what it was sent with before if that was wrong.
fn form(
    app: &App,
    site: &Site,
    visit: &Visit,
    (next, name, problem): (Option<&Next>, &str, Option<&str>),
) -> Result<Answer, Failure> {
    Answer::page(&SignIn {
        frame: Frame::before_sign_in(visit.token()?),
        next: next.map_or("", Next::as_str).to_owned(),
        name: Shown::of(name),
        problem: problem.map(Shown::of),
        bound: Bound::of(app, site),
        offers: Offers::of(app, site),
    })
}

/// `GET /sign-in`.
pub(super) async fn show(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let input = read(&app, arrived, LONGEST).await?;
    let site = Site::of(&app, &open, &input)?;
    let query = Form::of_query(input.parts.uri.query(), &["next"])?;
    let next = query.text("next").and_then(Next::read);
    let kept = Visit::of(&input.parts.headers, &site);
    let of = (next.as_ref(), "", None);
    match kept {
        Some(visit) => form(&app, &site, &visit, of),
        None => {
            let visit = Visit::begin(app.entropy.as_ref())?;
            let answer = form(&app, &site, &visit, of)?;
            Ok(answer.with_cookie(visit.set_cookie(&site)?))
        }
    }
}

/// A request of somebody who need not be signed in, from one of our pages.
pub(super) struct Visited {
    pub(super) input: Input,
    pub(super) site: Site,
    pub(super) visit: Visit,
}

impl Visited {
    /// Reads it; what is from elsewhere is refused.
    pub(super) async fn read(app: &App, open: &Open, arrived: Arrived) -> Result<Self, Failure> {
        let input = read(app, arrived, LONGEST).await?;
        let site = Site::of(app, open, &input)?;
        let refuse = |unfit| Err(refuse_form(app, open, &input, None, unfit));
        if let Err(foreign) = site.is_own(&input.parts.headers) {
            return refuse(Unfit::Foreign(foreign));
        }
        let Some(visit) = Visit::of(&input.parts.headers, &site) else {
            return refuse(Unfit::NoVisit);
        };
        Form::of_query(input.parts.uri.query(), &[])?;
        Ok(Self { input, site, visit })
    }

    /// Its form.
    pub(super) fn form(
        &self,
        app: &App,
        open: &Open,
        fields: &[&'static str],
    ) -> Result<Form, Failure> {
        let known: Vec<&'static str> = [CSRF].iter().chain(fields).copied().collect();
        let form = Form::of_body(&self.input.parts.headers, &self.input.body, &known)?;
        self.carries(app, open, form.text(CSRF))?;
        Ok(form)
    }

    /// Its body, if the script sent it.
    pub(super) fn json<T: DeserializeOwned>(&self, app: &App, open: &Open) -> Result<T, Failure> {
        self.carries(app, open, sent_token(&self.input))?;
        self.input.json()
    }

    /// That it comes from a page of this browser, if the script sent it without a body.
    pub(super) fn carries(
        &self,
        app: &App,
        open: &Open,
        token: Option<&str>,
    ) -> Result<(), Failure> {
        let refuse = |unfit| Err(refuse_form(app, open, &self.input, None, unfit));
        match token {
            None | Some("") => refuse(Unfit::NoToken),
            Some(token) if !self.visit.is(token)? => refuse(Unfit::OtherToken),
            Some(_) => Ok(()),
        }
    }
}

/// `POST /sign-in`.
pub(super) async fn submit(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let visited = Visited::read(&app, &open, arrived).await?;
    let mut sent = visited.form(&app, &open, &["name", "password", "code", "next"])?;
    let Visited { input, site, visit } = visited;
    let next = sent.text("next").and_then(Next::read);
    let name = sent.text("name").unwrap_or_default().to_owned();
    let mut secret = |field| {
        sent.take(field)
            .unwrap_or_else(|| Secret::new(String::new()))
    };
    let typed = PasswordForm {
        name: name.clone(),
        password: secret("password"),
        code: secret("code"),
    };
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    match web_login::sign_in(&context, typed).await {
        Ok(started) => {
            let there = next.as_ref().map_or(HOME, Next::as_str);
            Ok(Answer::to(there)?
                .with_cookie(started.set_cookie)
                // The cookie from before the sign-in is of no use any more.
                .with_cookie(Visit::clearing(&site)?))
        }
        Err(refused) => {
            let failure = Failure::from(refused);
            if !matches!(failure.code, Code::Unauthorized | Code::RateLimited) {
                return Err(failure);
            }
            let of = (next.as_ref(), name.as_str(), Some(failure.detail.as_str()));
            Ok(form(&app, &site, &visit, of)?.refusing(&failure))
        }
    }
}

/// `POST /sign-out`.
pub(super) async fn out(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = match enter(&app, &open, arrived).await? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    entered.form(&app, &open, &[])?;
    let Entered {
        input, signed_in, ..
    } = entered;
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    let cleared = web_login::sign_out(&context, signed_in).await?;
    Ok(Answer::to("/sign-in")?.with_cookie(cleared))
}
