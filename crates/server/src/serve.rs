//! The one adapter that carries every endpoint: read, prove, decide, run, render.
//!
//! An [`Endpoint`] declares its operation and a few lines; authentication,
//! authorization, the record of refusals, limits and errors are here and nowhere
//! else.

use crate::app::{App, Open};
use crate::attested::required;
use crate::framed::{Frame, framed};
use crate::honey::bait_run;
pub use crate::input::{Arrived, Input, LARGE_BODIES, MAX_BODY, Peer, Progress, SMALL_BODY, read};
use crate::problem::{Code, Failure};
use crate::proving;
use crate::rates::count_call;
pub use crate::reply::Reply;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use procura_directory::{ApiKeyRefusal, BreakGlassClosed, Snapshot};
use procura_policy::{Action, Denied, DenyReason, Op, Permit, PolicyRefusal, authorize};
use procura_proof::Caller;
use procura_record::{ChangeError, Origin, RecordedBatch, Refusal};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use utoipa::ToSchema;

/// A future on the heap.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What an endpoint knows besides the permit.
pub struct Context<'a> {
    /// The application.
    pub app: &'a App,
    /// The open vault.
    pub open: &'a Open,
    /// The request.
    pub input: &'a Input,
}

impl Context<'_> {
    /// Where the request came from, for the record. Nothing is recorded or changed
    /// without it: from here on the request may have its effect, answered or not.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.input.progress.begun.store(true, Ordering::Relaxed);
        Origin::new(self.input.trace)
    }

    /// Makes the change that is permitted, together with its entry in the record.
    ///
    /// # Errors
    /// What `build` says, or that it could not be recorded; nothing was changed then.
    pub async fn change<O: Op, T, E>(
        &self,
        permit: Permit<O>,
        build: impl Fn(&mut RecordedBatch<'_, O>) -> Result<T, E>,
    ) -> Result<T, ChangeError<E>> {
        let recorder = &self.open.recorder;
        recorder.change(permit, &self.origin(), build).await
    }
}

/// One call of the native API.
pub trait Endpoint: Send + Sync + 'static {
    /// What it does, as data.
    type Op: Op;
    /// The method.
    const METHOD_NAME: &'static str;
    /// The path, with `{parameters}`.
    const PATH: &'static str;
    /// What the body is read as; `()` for none.
    type Body: ToSchema;
    /// What it answers in JSON; `()` for nothing or for another form.
    type Answer: ToSchema;
    /// What it does, in one line.
    const SUMMARY: &'static str;
    /// The status of success.
    const STATUS: u16 = 200;
    /// The keys that its query may have.
    const QUERY: &'static [&'static str] = &[];
    /// The longest body that it takes.
    const BODY: usize = SMALL_BODY;
    /// What is told to whoever has no role for it and whose it is not, so that they do not
    /// learn what there is; none where a refusal says which role it takes.
    const HIDDEN_AS: Option<fn() -> Failure> = None;

    /// From the request to the operation: untyped input becomes types here. May
    /// read the directory or the store to learn whom the operation concerns.
    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure>;

    /// Runs what was permitted.
    fn run(
        context: Context<'_>,
        permit: Permit<Self::Op>,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send;

    /// What follows a no; by default the refusal.
    fn denied(
        context: Context<'_>,
        denied: Denied,
        caller: Caller,
        op: Self::Op,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send {
        async move {
            let Some(missing) = Self::HIDDEN_AS else {
                return Err(turned_away(&context, &caller, &op, denied));
            };
            refuse(&context, &caller, &op, &denied);
            Err(match denied.reason {
                DenyReason::NoRole | DenyReason::NotOwn => missing(),
                _ => denial(denied),
            })
        }
    }
}

/// The refusal of policy, for the caller.
#[must_use]
pub fn denial(denied: Denied) -> Failure {
    if denied.reason == DenyReason::Revoked {
        return Failure::new(Code::Unauthorized, "The device or its actor is revoked.")
            .with_reason("revoked");
    }
    if let DenyReason::Attestation { needs } = denied.reason {
        return required(needs);
    }
    if denied.reason == DenyReason::Reauthenticate {
        return Failure::new(
            Code::Reauthenticate,
            "Prove once more who you are before you do this.",
        );
    }
    if denied.reason == DenyReason::OwnKey {
        return Failure::new(
            Code::Reauthenticate,
            "This takes a signature by the device's own key; one within a session is not enough.",
        )
        .with_reason("own_key");
    }
    if let DenyReason::Token(refusal) = denied.reason {
        return token_refused(refusal.as_str());
    }
    if denied.reason == DenyReason::Quarantined {
        return quarantined();
    }
    if let DenyReason::ApiKey(refusal) = denied.reason {
        return api_key_refused(refusal);
    }
    if let DenyReason::BreakGlass(closed) = denied.reason {
        return break_glass_closed(closed);
    }
    if let DenyReason::Policy(refusal) = denied.reason {
        return policy_refused(refusal).because(denied);
    }
    if denied.visible {
        Failure::new(Code::Forbidden, "Your roles and grants do not allow this.").because(denied)
    } else {
        Failure::new(
            Code::NotFound,
            "There is no such thing here, or it is not for you to know.",
        )
        .because(denied)
    }
}

/// The refusal of policies in force, for whoever roles and grants would allow it.
fn policy_refused(refusal: PolicyRefusal) -> Failure {
    let (detail, reason) = match refusal {
        PolicyRefusal::Forbids => ("A policy that is in force forbids this.", "policy_forbids"),
        PolicyRefusal::NonePermits => (
            "Policies are in force here, and none of them permits this.",
            "no_policy_permits",
        ),
        PolicyRefusal::Unusable => (
            "The policies that are in force here cannot be used, so they allow nothing.",
            "policies_unusable",
        ),
    };
    Failure::new(Code::Forbidden, detail).with_reason(reason)
}

/// The refusal of an API key, or of its device without it.
fn api_key_refused(refusal: ApiKeyRefusal) -> Failure {
    let (code, detail) = match refusal {
        ApiKeyRefusal::Missing => (
            Code::ApiKeyRefused,
            "This device is bound to an API key and shows none: its token belongs into the Authorization field.",
        ),
        ApiKeyRefusal::Unknown | ApiKeyRefusal::Device => (
            Code::ApiKeyRefused,
            "The API key opens nothing for the device that shows it.",
        ),
        ApiKeyRefusal::Maker => (
            Code::ApiKeyRefused,
            "The device that the API key was made with is revoked or on hold, so it opens nothing.",
        ),
        ApiKeyRefusal::Expired => (Code::ApiKeyRefused, "The API key is over."),
        ApiKeyRefusal::Scope => (
            Code::Forbidden,
            "The API key was not made for this, or not for it there.",
        ),
    };
    Failure::new(code, detail).with_reason(refusal.as_str())
}

/// The refusal of a break-glass account that does not act.
fn break_glass_closed(closed: BreakGlassClosed) -> Failure {
    let detail = match closed {
        BreakGlassClosed::Sealed => "This break-glass account is sealed: it does nothing but open.",
        BreakGlassClosed::Over => "This break-glass account was used, and its time is over.",
        BreakGlassClosed::Maker => {
            "Whoever made this break-glass account is no steward any more, and it ended with that."
        }
    };
    Failure::new(Code::BreakGlassClosed, detail).with_reason(closed.as_str())
}

/// The refusal of a project token: the word says which check it failed.
pub(crate) fn token_refused(reason: &'static str) -> Failure {
    Failure::new(
        Code::TokenRefused,
        "The project token opens nothing here and now.",
    )
    .with_reason(reason)
}

/// The refusal of whoever touched a decoy.
#[must_use]
pub(crate) fn quarantined() -> Failure {
    let case = procura_proof::Case::DeviceQuarantined;
    Failure::new(Code::DeviceQuarantined, case.detail()).with_reason(case.reason().as_str())
}

/// Puts a refusal of policy into the record.
pub fn refuse<O: Op>(context: &Context<'_>, caller: &Caller, op: &O, denied: &Denied) {
    let resource = op.resource();
    let refusal = Refusal {
        action: O::ACTION.as_str().to_owned(),
        reason: denied.reason.to_string(),
        time: context.input.now,
        actor: Some(*caller.actor()),
        owner: Some(*caller.owner()),
        device: caller.device().copied(),
        token: op.concerned().token.map(|need| *need.token),
        namespace: resource.namespace().cloned(),
        resource: Some(resource.to_string()),
        profile: caller.profile().as_str(),
        ip: context.input.peer,
        trace: context.input.trace,
    };
    let by = denied.policies.clone();
    context.open.recorder.refuse_by(refusal, by);
}

/// Puts a refusal of policy into the record and gives it, for a caller who learns which
/// role the operation takes.
pub(crate) fn turned_away<O: Op>(
    context: &Context<'_>,
    caller: &Caller,
    op: &O,
    denied: Denied,
) -> Failure {
    refuse(context, caller, op, &denied);
    // No role opens what a policy closes, nor what somebody is kept from with all roles.
    if matches!(
        denied.reason,
        DenyReason::Policy(_) | DenyReason::ApiKey(_) | DenyReason::BreakGlass(_)
    ) {
        return denial(denied);
    }
    denial(denied).needing(O::ACTION, op.resource().namespace())
}

/// Decides on an operation beside that of the endpoint, and records a no.
pub(crate) fn permitted<O: Op>(
    context: &Context<'_>,
    snapshot: &Snapshot,
    caller: Caller,
    op: O,
) -> Result<Permit<O>, Failure> {
    let decider = context.open.recorder.decider();
    authorize(decider, snapshot, caller, op, context.input.now)
        .map_err(|(denied, caller, op)| turned_away(context, &caller, &op, denied))
}

/// Puts into the record that somebody looked for what is not there.
pub(crate) fn refuse_unfound(open: &Open, input: &Input, caller: &Caller, action: &str) {
    refuse_because(open, input, caller, action, Code::NotFound);
}

/// Puts into the record that somebody asked for what this error refuses.
fn refuse_because(open: &Open, input: &Input, caller: &Caller, action: &str, reason: Code) {
    open.recorder.refuse(Refusal {
        action: action.to_owned(),
        reason: reason.as_str().to_owned(),
        time: input.now,
        actor: Some(*caller.actor()),
        owner: Some(*caller.owner()),
        device: caller.device().copied(),
        token: None,
        namespace: input.param("ns").ok(),
        resource: Some(proving::http_resource(&input.parts.uri)),
        profile: caller.profile().as_str(),
        ip: input.peer,
        trace: input.trace,
    });
}

const fn filter<E: Endpoint>() -> MethodFilter {
    match E::METHOD_NAME.as_bytes() {
        b"PUT" => MethodFilter::PUT,
        b"POST" => MethodFilter::POST,
        b"DELETE" => MethodFilter::DELETE,
        _ => MethodFilter::GET,
    }
}

/// Mounts an endpoint.
pub fn mount<E: Endpoint>(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let handler = |State(app): State<Arc<App>>, request: Request| serve::<E>(app, request);
    router.route(E::PATH, on(filter::<E>(), handler))
}

/// Mounts two operations that share method and path: `Special` where the value of
/// the query's `key` says so, `Plain` elsewhere. Which one it is decides what is
/// authorized, so only one of them ever sees the request.
pub fn mount_either<Plain: Endpoint, Special: Endpoint>(
    router: Router<Arc<App>>,
    key: &'static str,
    is_special: fn(&str) -> bool,
) -> Router<Arc<App>> {
    let handler = move |State(app): State<Arc<App>>, request: Request| {
        if is_said(&request, key, is_special) {
            serve::<Special>(app, request)
        } else {
            serve::<Plain>(app, request)
        }
    };
    router.route(Plain::PATH, on(filter::<Plain>(), handler))
}

/// As [`mount_either`], with two that are special: the first whose key says so.
pub fn mount_one_of<Plain: Endpoint, First: Endpoint, Second: Endpoint>(
    router: Router<Arc<App>>,
    first: (&'static str, fn(&str) -> bool),
    second: (&'static str, fn(&str) -> bool),
) -> Router<Arc<App>> {
    let handler = move |State(app): State<Arc<App>>, request: Request| {
        if is_said(&request, first.0, first.1) {
            serve::<First>(app, request)
        } else if is_said(&request, second.0, second.1) {
            serve::<Second>(app, request)
        } else {
            serve::<Plain>(app, request)
        }
    };
    router.route(Plain::PATH, on(filter::<Plain>(), handler))
}

/// Whether the query has the key, as it is written, with a value that says so.
fn is_said(request: &Request, key: &str, says: fn(&str) -> bool) -> bool {
    request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .any(|(name, value)| name == key && says(value))
}

/// Serves one request by its endpoint.
pub fn serve<E: Endpoint>(app: Arc<App>, request: Request) -> BoxFuture<Response> {
    let action = E::Op::ACTION.as_str();
    framed(app, action, request, handle::<E>, natively)
}

/// What came of a call, in the words of the native API. A refusal is not signed:
/// whoever holds the port can refuse as well.
pub(crate) fn natively(result: Result<Reply, Failure>, frame: &Frame<'_>) -> Response {
    match result {
        Ok(reply) => reply.into_response(frame.trace, frame.progress.answering.get()),
        Err(failure) => failure.into_response_in(frame.part_of, frame.trace),
    }
}

pub(crate) async fn handle<E: Endpoint>(app: Arc<App>, arrived: Arrived) -> Result<Reply, Failure> {
    let open = app.open()?;
    let input = read(&app, arrived, E::BODY).await?;
    let snapshot = open.directory.snapshot();
    let caller = proving::prove(&app, &open, &snapshot, &input).await?;
    if let Some(answering) = caller.answering() {
        input.progress.answering.get_or_init(|| answering.clone());
    }
    count_call(&app, &snapshot, caller.actor(), E::Op::ACTION, &input)?;
    let context = Context {
        app: &app,
        open: &open,
        input: &input,
    };
    let watching = open
        .honey
        .watching(&snapshot, &caller, E::Op::ACTION, &input)
        .await?;
    let result = proven::<E>(context, &snapshot, caller).await;
    if let Some(watching) = watching {
        let refusal = result.as_ref().err();
        watching.ended(&open.honey, &input, refusal).await?;
    }
    result
}

/// What a caller gets who is proven.
async fn proven<E: Endpoint>(
    context: Context<'_>,
    snapshot: &Snapshot,
    caller: Caller,
) -> Result<Reply, Failure> {
    let Context { open, input, .. } = context;
    if E::Op::ACTION == Action::RunDeliver
        && let Some(baits) = bait_run(open, snapshot, &caller, input)?
    {
        return Box::pin(baits.hand(&context, snapshot, caller)).await;
    }
    let op = E::parse(open, input, &caller).inspect_err(|failure| {
        // Looking for what is not there is refused like looking for what is not
        // for the caller, so it stands in the record as well.
        // So does asking for what the daemon's attestation does not open.
        if matches!(failure.code, Code::NotFound | Code::AttestationRequired) {
            let (action, reason) = (E::Op::ACTION.as_str(), failure.code);
            refuse_because(open, input, &caller, action, reason);
        }
    })?;
    match authorize(open.recorder.decider(), snapshot, caller, op, input.now) {
        Ok(permit) => E::run(context, permit).await,
        Err((denied, caller, op)) => Box::pin(E::denied(context, denied, caller, op)).await,
    }
}
