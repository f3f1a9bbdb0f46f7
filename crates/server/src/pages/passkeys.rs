//! What the script of our pages calls for passkeys ([ADR 36](../../../../docs/adr/0036-passkeys.md)),
//! and the page on which one is enrolled. What a ceremony asks for and what it proves is
//! for [`crate::passkeys`] to say; here is who may call it, from which page.

use super::LABEL;
use super::account::ACCOUNT;
use super::answer::Answer;
use super::form::{Form, LONGEST};
use super::layout::{Frame, Place};
use super::page::{Entered, Nothing, Way, enter, enter_call, frame, mount_call, mount_work};
use super::sign_in::Visited;
use super::site::Site;
use super::visit::Visit;
use crate::app::{App, Open};
use crate::input::{Arrived, Input};
use crate::passkeys;
use crate::problem::{Code, Failure};
use crate::serve::{Context, read};
use askama::Template;
use axum::Router;
use procura_proof::Caller;
use procura_types::wire::{
    ApprovalAsk, PasskeyAnswer, PasskeyApproval, PasskeyEnrol, PasskeyEnrolStart, PasskeyRequest,
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The field of a form in which the script says what a passkey answered.
pub(super) const ANSWER: &str = "answer";

/// Mounts them.
pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let router = mount_call(router, ("/passkey/sign-in/options", LABEL), sign_in_options);
    let router = mount_call(router, ("/passkey/sign-in", LABEL), sign_in);
    let router = mount_call(router, ("/passkey/again/options", LABEL), again_options);
    let router = mount_call(router, ("/passkey/again", LABEL), again);
    let router = mount_work(router, (Way::Look, "/passkey/enrol", LABEL), enrol_page);
    let router = mount_call(router, ("/passkey/enrol/options", LABEL), enrol_options);
    let router = mount_call(router, ("/passkey/enrol", LABEL), enrol);
    let router = mount_call(
        router,
        ("/account/passkeys/invite/options", LABEL),
        invite_options,
    );
    let router = mount_work(
        router,
        (Way::Form, "/account/passkeys/invite", LABEL),
        invite,
    );
    let router = mount_call(
        router,
        ("/account/passkeys/{id}/remove/options", LABEL),
        remove_options,
    );
    let router = mount_work(
        router,
        (Way::Form, "/account/passkeys/{id}/remove", LABEL),
        remove,
    );
    let router = mount_call(
        router,
        ("/requests/{ns}/{id}/approve/options", LABEL),
        approval_options,
    );
    mount_call(router, ("/requests/{ns}/{id}/approve", LABEL), approve)
}

const fn context<'a>(app: &'a App, open: &'a Open, input: &'a Input) -> Context<'a> {
    Context { app, open, input }
}

async fn sign_in_options(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let visited = Visited::read(&app, &open, arrived).await?;
    let Nothing {} = visited.json(&app, &open)?;
    let options = passkeys::sign_in_options(&context(&app, &open, &visited.input))?;
    Answer::json(&options)
}

async fn sign_in(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let visited = Visited::read(&app, &open, arrived).await?;
    let answer: PasskeyAnswer = visited.json(&app, &open)?;
    let started = passkeys::sign_in(&context(&app, &open, &visited.input), answer).await?;
    Ok(Answer::json(&Nothing {})?
        .with_cookie(started.set_cookie)
        .with_cookie(Visit::clearing(&visited.site)?))
}

/// What a passkey of whoever is signed in is asked with.
type Asking = fn(&Context<'_>, &Caller) -> Result<PasskeyRequest, Failure>;

/// Answers a call that says nothing with what a passkey of whoever makes it is asked with.
async fn asked(app: Arc<App>, arrived: Arrived, asking: Asking) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = enter_call(&app, &open, arrived).await?;
    let Nothing {} = entered.json(&app, &open)?;
    let context = context(&app, &open, &entered.input);
    Answer::json(&asking(&context, &entered.signed_in.caller)?)
}

async fn again_options(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    asked(app, arrived, passkeys::reauthenticate_options).await
}

async fn again(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = enter_call(&app, &open, arrived).await?;
    let answer: PasskeyAnswer = entered.json(&app, &open)?;
    let Entered {
        input, signed_in, ..
    } = entered;
    let context = context(&app, &open, &input);
    let started = passkeys::reauthenticate(&context, signed_in.caller, answer).await?;
    Ok(Answer::json(&Nothing {})?.with_cookie(started.set_cookie))
}

/// Where passkeys can be used.
pub(super) struct Bound {
    /// Whether the pages have a name that one can be bound to.
    pub(super) anywhere: bool,
    /// Where that is, if it is not here.
    pub(super) elsewhere: Option<String>,
}

impl Bound {
    pub(super) fn of(app: &App, site: &Site) -> Self {
        let there = app.web_origin();
        Self {
            anywhere: passkeys::relying_party(app).is_ok(),
            elsewhere: (there != site.origin()).then_some(there),
        }
    }
}

#[derive(Template)]
#[template(path = "enrol.html")]
struct Enrol {
    frame: Frame,
    /// The code, if the page gave it itself.
    code: Option<String>,
    bound: Bound,
}

impl Enrol {
    fn new(app: &App, site: &Site, frame: Frame, code: Option<String>) -> Self {
        Self {
            frame,
            code,
            bound: Bound::of(app, site),
        }
    }
}

/// For whoever has a code, signed in or not.
async fn enrol_page(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let input = read(&app, arrived, LONGEST).await?;
    let site = Site::of(&app, &open, &input)?;
    // A code is never part of an address.
    Form::of_query(input.parts.uri.query(), &[])?;
    let kept = Visit::of(&input.parts.headers, &site);
    let is_new = kept.is_none();
    let visit = match kept {
        Some(visit) => visit,
        None => Visit::begin(app.entropy.as_ref())?,
    };
    let frame = Frame::before_sign_in(visit.token()?);
    let answer = Answer::page(&Enrol::new(&app, &site, frame, None))?;
    if is_new {
        return Ok(answer.with_cookie(visit.set_cookie(&site)?));
    }
    Ok(answer)
}

async fn enrol_options(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let visited = Visited::read(&app, &open, arrived).await?;
    let ask: PasskeyEnrolStart = visited.json(&app, &open)?;
    let context = context(&app, &open, &visited.input);
    Answer::json(&passkeys::enrol_options(&context, &ask)?)
}

async fn enrol(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let visited = Visited::read(&app, &open, arrived).await?;
    let answer: PasskeyEnrol = visited.json(&app, &open)?;
    let context = context(&app, &open, &visited.input);
    Answer::json(&passkeys::enrol(&context, answer).await?)
}

/// What a passkey answered for a form; none where the page's script did not fill it in, which
/// what the form does refuses.
pub(super) fn answered<T: DeserializeOwned>(form: &Form) -> Result<Option<T>, Failure> {
    let text = form.text(ANSWER).filter(|text| !text.is_empty());
    text.map(serde_json::from_str).transpose().map_err(|error| {
        let detail = "The field is not what a passkey answered.";
        let mut failure = Failure::new(Code::Malformed, detail).because(error);
        failure.field = Some(ANSWER);
        failure
    })
}

async fn invite_options(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    asked(app, arrived, passkeys::invite_options).await
}

/// The page for one more passkey of whoever is signed in by one, and shows one for it.
async fn invite(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = match enter(&app, &open, arrived).await? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    let answer = answered(&entered.form(&app, &open, &[ANSWER])?)?;
    let Entered {
        input,
        site,
        snapshot,
        signed_in,
    } = entered;
    let mut frame = frame(
        &snapshot,
        &signed_in.caller,
        &signed_in.csrf,
        Place::Account,
    );
    // The enrolment itself is for whoever has the code, so it takes the cookie of before a
    // sign-in; signing out is not offered on this page.
    let kept = Visit::of(&input.parts.headers, &site);
    let visit = match kept {
        Some(visit) => visit,
        None => Visit::begin(app.entropy.as_ref())?,
    };
    frame.who = None;
    frame.csrf = visit.token()?;
    let context = context(&app, &open, &input);
    let made = passkeys::invite(&context, signed_in.caller, answer).await?;
    let page = Answer::page(&Enrol::new(&app, &site, frame, Some(made.code)))?;
    Ok(page.with_cookie(visit.set_cookie(&site)?))
}

async fn remove_options(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    asked(app, arrived, |context, caller| {
        passkeys::remove_options(context, caller, context.input.param("id")?)
    })
    .await
}

/// Removes a passkey of whoever is signed in, and shows one for it.
async fn remove(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = match enter(&app, &open, arrived).await? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    let answer = answered(&entered.form(&app, &open, &[ANSWER])?)?;
    let Entered {
        input, signed_in, ..
    } = entered;
    let id = input.param("id")?;
    let context = context(&app, &open, &input);
    passkeys::remove(&context, signed_in.caller, id, answer).await?;
    Answer::to(ACCOUNT)
}

async fn approval_options(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = enter_call(&app, &open, arrived).await?;
    let ask: ApprovalAsk = entered.json(&app, &open)?;
    let Entered {
        input, signed_in, ..
    } = entered;
    let (namespace, id) = (input.param("ns")?, input.param("id")?);
    let context = context(&app, &open, &input);
    let options = passkeys::approval_options(&context, signed_in.caller, namespace, id, ask)?;
    Answer::json(&options)
}

async fn approve(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = enter_call(&app, &open, arrived).await?;
    let answer: PasskeyApproval = entered.json(&app, &open)?;
    let Entered {
        input, signed_in, ..
    } = entered;
    let (namespace, id) = (input.param("ns")?, input.param("id")?);
    let context = context(&app, &open, &input);
    let caller = signed_in.caller;
    Answer::json(&passkeys::approve(&context, caller, namespace, id, answer).await?)
}
