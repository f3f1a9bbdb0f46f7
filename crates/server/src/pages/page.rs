//! The adapter that carries every page, as [`crate::serve`] carries every call of the API:
//! who has the web login, whether the form is ours, what policy says, and then the page.
//!
//! A [`Page`] declares its operation, which is the same that the API has for it, and says
//! how it looks.

use super::answer::{Answer, told, worded};
use super::form::{Form, LONGEST};
use super::layout::{Frame, Place};
use super::refused::{Unfit, refuse_form};
use super::shown::Shown;
use super::sign_in::{first_sign_in, look_again};
use super::site::{Site, came_from_elsewhere};
use crate::app::{App, Open};
use crate::framed::framed;
use crate::input::{Arrived, Input};
use crate::problem::{Code, Failure};
use crate::serve::{BoxFuture, Context, permitted, read, refuse_unfound};
use crate::web_login::{CsrfToken, NotSignedIn, SignedIn, clearing, signed_in};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::Method;
use procura_directory::Snapshot;
use procura_policy::{Op, Permit, roles_of};
use procura_proof::{Caller, Reason};
use procura_types::wire::{RoleAssignment, WebLogin};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The field of every form that says that it is ours.
pub(crate) const CSRF: &str = "csrf";

/// The field in which the script says it.
const CSRF_FIELD: &str = "x-procura-csrf";

/// Whether a page is looked at or does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By GET: nothing changes, however often it is loaded.
    Look,
    /// By POST, from a form of ours.
    Form,
}

/// A page, or what its form does, for somebody who is signed in.
pub(crate) trait Page: Send + Sync + 'static {
    /// What it does, as data.
    type Op: Op;
    /// How it is asked for.
    const WAY: Way;
    /// The path, with `{parameters}`.
    const PATH: &'static str;
    /// Where it stands in the navigation.
    const PLACE: Place;
    /// The fields of its form; of one that is looked at, the keys of its query.
    const FIELDS: &'static [&'static str] = &[];

    /// From the request to the operation.
    fn parse(asked: &Asked<'_>) -> Result<Self::Op, Failure>;

    /// Runs what was permitted, and shows it.
    fn run(
        visit: Visit<'_>,
        permit: Permit<Self::Op>,
    ) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// What a page is asked for.
pub(crate) struct Asked<'a> {
    /// The open vault.
    pub(crate) open: &'a Open,
    /// The directory at this moment.
    pub(crate) snapshot: &'a Arc<Snapshot>,
    /// The request.
    pub(crate) input: &'a Input,
    /// Its form, or its query.
    pub(crate) form: &'a Form,
    /// Who asks.
    pub(crate) caller: &'a Caller,
}

/// What a page is made of.
pub(crate) struct Visit<'a> {
    /// As an endpoint of the API has it.
    pub(crate) context: Context<'a>,
    /// The directory that the permit was decided on.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What surrounds the page.
    pub(crate) frame: Frame,
    /// Its form, or its query.
    pub(crate) form: Form,
    /// Where the browser believes it is.
    pub(crate) site: Site,
    /// The web login that the request came with.
    pub(crate) login: WebLogin,
    /// The roles of who asks, and those that groups lend them in this web login.
    pub(crate) roles: Vec<RoleAssignment>,
}

impl Visit<'_> {
    /// Decides on an operation beside that of the page; a no is recorded. Nothing is known
    /// any more of who asked, once a permit has it, so it is found out anew.
    pub(crate) async fn permitted<O: Op>(&self, op: O) -> Result<Permit<O>, Failure> {
        let Context { app, open, input } = self.context;
        let signed_in = signed_in(app, open, &self.snapshot, input).await;
        let caller = signed_in.map_err(not_any_more)?.caller;
        permitted(&self.context, &self.snapshot, caller, op)
    }
}

/// Of a web login that ended while its page was made.
fn not_any_more(why: NotSignedIn) -> Failure {
    match why {
        NotSignedIn::Refused(failure) => failure,
        NotSignedIn::Nobody => Failure::internal("the cookie of a request is gone"),
    }
}

/// Mounts a page.
pub(super) fn mount<P: Page>(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let filter = match P::WAY {
        Way::Look => MethodFilter::GET,
        Way::Form => MethodFilter::POST,
    };
    let handler = |State(app): State<Arc<App>>, request: Request| serve::<P>(app, request);
    router.route(P::PATH, on(filter, handler))
}

fn serve<P: Page>(app: Arc<App>, request: Request) -> BoxFuture<Response> {
    framed(app, P::Op::ACTION.as_str(), request, handle::<P>, worded)
}

async fn handle<P: Page>(app: Arc<App>, arrived: Arrived) -> Result<Answer, Failure> {
    let open = app.open()?;
    let entered = match enter(&app, &open, arrived).await? {
        Ok(entered) => entered,
        Err(answer) => return Ok(answer),
    };
    let form = match P::WAY {
        Way::Form => entered.form(&app, &open, P::FIELDS)?,
        Way::Look => Form::of_query(entered.input.parts.uri.query(), P::FIELDS)?,
    };
    let Entered {
        input,
        site,
        snapshot,
        signed_in,
    } = entered;
    let SignedIn {
        caller,
        login,
        csrf,
    } = signed_in;
    let op = P::parse(&Asked {
        open: &open,
        snapshot: &snapshot,
        input: &input,
        form: &form,
        caller: &caller,
    })
    .inspect_err(|failure| {
        // As of calls: looking for what is not there is in the record.
        if failure.code == Code::NotFound {
            refuse_unfound(&open, &input, &caller, P::Op::ACTION.as_str());
        }
    })?;
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    let frame = frame(&snapshot, &caller, &csrf, P::PLACE);
    let roles = roles_of(&snapshot, &caller).cloned().collect();
    let permit = permitted(&context, &snapshot, caller, op)?;
    let visit = Visit {
        context,
        snapshot,
        frame,
        form,
        site,
        login,
        roles,
    };
    P::run(visit, permit).await
}

/// What surrounds a page of somebody.
pub(super) fn frame(snapshot: &Snapshot, caller: &Caller, csrf: &CsrfToken, place: Place) -> Frame {
    Frame {
        who: Some(Shown::of(snapshot.lineage(caller.actor()))),
        here: Some(place),
        csrf: csrf.as_str().to_owned(),
    }
}

/// A request of somebody who is signed in.
pub(super) struct Entered {
    pub(super) input: Input,
    pub(super) site: Site,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) signed_in: SignedIn,
}

/// Reads a request and finds out whose it is; whoever is not signed in is shown where to
/// sign in.
pub(super) async fn enter(
    app: &App,
    open: &Open,
    arrived: Arrived,
) -> Result<Result<Entered, Answer>, Failure> {
    let (input, found) = find(app, open, arrived).await?;
    let looks = matches!(input.parts.method, Method::GET | Method::HEAD);
    match found {
        Ok((site, snapshot, signed_in)) => Ok(Ok(Entered {
            input,
            site,
            snapshot,
            signed_in,
        })),
        // A link in a message leads here without the cookie: led on from here, it is there.
        Err(NotSignedIn::Nobody) if looks && came_from_elsewhere(&input.parts.headers) => {
            Ok(Err(look_again(&input)?))
        }
        Err(NotSignedIn::Nobody) => Ok(Err(first_sign_in(&input)?)),
        Err(NotSignedIn::Refused(failure)) if failure.code == Code::Unauthorized => {
            let answer = first_sign_in(&input)?;
            Ok(Err(answer.with_cookie(clearing(app, &input))))
        }
        Err(NotSignedIn::Refused(failure)) => Err(failure),
    }
}

/// The same for the script, which is told why not.
pub(super) async fn enter_call(
    app: &App,
    open: &Open,
    arrived: Arrived,
) -> Result<Entered, Failure> {
    let (input, found) = find(app, open, arrived).await?;
    match found {
        Ok((site, snapshot, signed_in)) => Ok(Entered {
            input,
            site,
            snapshot,
            signed_in,
        }),
        Err(NotSignedIn::Refused(failure)) => Err(failure),
        Err(NotSignedIn::Nobody) => Err(Failure::new(
            Code::Unauthorized,
            "You are not signed in any more. Load the page anew, and sign in.",
        )
        .with_reason(Reason::WebLoginUnknown.as_str())),
    }
}

type Found = Result<(Site, Arc<Snapshot>, SignedIn), NotSignedIn>;

async fn find(app: &App, open: &Open, arrived: Arrived) -> Result<(Input, Found), Failure> {
    let input = read(app, arrived, LONGEST).await?;
    let site = Site::of(app, open, &input)?;
    let snapshot = open.directory.snapshot();
    let found = signed_in(app, open, &snapshot, &input).await;
    Ok((input, found.map(|signed_in| (site, snapshot, signed_in))))
}

impl Entered {
    /// The fields of a form that one of our pages sent for this web login.
    pub(super) fn form(
        &self,
        app: &App,
        open: &Open,
        fields: &[&'static str],
    ) -> Result<Form, Failure> {
        let parts = &self.input.parts;
        let refuse =
            |unfit| refuse_form(app, open, &self.input, Some(&self.signed_in.caller), unfit);
        self.site
            .is_own(&parts.headers)
            .map_err(|foreign| refuse(Unfit::Foreign(foreign)))?;
        let known: Vec<&'static str> = [CSRF].iter().chain(fields).copied().collect();
        let form = Form::of_body(&parts.headers, &self.input.body, &known)?;
        Form::of_query(parts.uri.query(), &[])?;
        match form.text(CSRF) {
            None | Some("") => Err(refuse(Unfit::NoToken)),
            Some(token) if !self.signed_in.csrf.is(token) => Err(refuse(Unfit::OtherToken)),
            Some(_) => Ok(form),
        }
    }

    /// The body of a call that the script of one of our pages makes for this web login.
    pub(super) fn json<T: DeserializeOwned>(&self, app: &App, open: &Open) -> Result<T, Failure> {
        let parts = &self.input.parts;
        let refuse =
            |unfit| refuse_form(app, open, &self.input, Some(&self.signed_in.caller), unfit);
        self.site
            .is_own(&parts.headers)
            .map_err(|foreign| refuse(Unfit::Foreign(foreign)))?;
        Form::of_query(parts.uri.query(), &[])?;
        match sent_token(&self.input) {
            None => Err(refuse(Unfit::NoToken)),
            Some(token) if !self.signed_in.csrf.is(token) => Err(refuse(Unfit::OtherToken)),
            Some(_) => self.input.json(),
        }
    }
}

/// A call that says nothing, and an answer that does not either.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// What the script says that its page was given.
pub(super) fn sent_token(input: &Input) -> Option<&str> {
    let mut tokens = input.parts.headers.get_all(CSRF_FIELD).iter();
    let (Some(token), None) = (tokens.next(), tokens.next()) else {
        return None;
    };
    token.to_str().ok().filter(|token| !token.is_empty())
}

/// Something of a page that is no [`Page`], since nobody need be signed in for it, or it
/// decides inside.
pub(super) type Work<F> = fn(Arc<App>, Arrived) -> F;

/// Mounts what answers with a page.
pub(super) fn mount_work<F>(
    router: Router<Arc<App>>,
    (way, path, label): (Way, &'static str, &'static str),
    work: Work<F>,
) -> Router<Arc<App>>
where
    F: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    let filter = match way {
        Way::Look => MethodFilter::GET,
        Way::Form => MethodFilter::POST,
    };
    let handler = move |State(app): State<Arc<App>>, request: Request| {
        framed(app, label, request, work, worded)
    };
    router.route(path, on(filter, handler))
}

/// Mounts what the script calls.
pub(super) fn mount_call<F>(
    router: Router<Arc<App>>,
    (path, label): (&'static str, &'static str),
    work: Work<F>,
) -> Router<Arc<App>>
where
    F: Future<Output = Result<Answer, Failure>> + Send + 'static,
{
    let handler = move |State(app): State<Arc<App>>, request: Request| {
        framed(app, label, request, work, told)
    };
    router.route(path, on(MethodFilter::POST, handler))
}
