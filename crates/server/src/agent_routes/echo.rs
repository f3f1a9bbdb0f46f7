//! `POST /agent/protected/echo`: what a service of an agent's would do. Whether callers
//! have to prove who they are, the dial says (`protocol.md` §3.5): `AUTH_MODE` of the
//! environment over `auth_mode` of the configuration over the stored dial of
//! `agent_service` over `off`.

use super::holder::{check_session, sent_session};
use super::{allowed, answer, dialled};
use crate::app::{App, Open};
use crate::problem::Failure;
use crate::proving::addressed;
use crate::proving::either::{Proven, charge, examine, prove};
use crate::serve::{Context, Input};
use axum::response::Response;
use procura_proof::Reason;
use procura_types::dial::{Asked, Dial, Mode};

/// The mode of a path as environment and configuration alone say it.
fn configured(app: &App) -> Option<Mode> {
    match (app.in_force.auth_mode(), &app.config.agent_service) {
        (Some(mode), _) => Some(mode),
        (None, None) => Some(Mode::default()),
        (None, Some(_)) => None,
    }
}

/// Whether the answer is the same whatever a proof says, so that it is given also while
/// sealed: nothing is checked, or nothing can be and it does not matter. A dial that
/// cannot be read says neither.
pub(super) fn passes_unopened(app: &App, path: &str) -> bool {
    match (configured(app), app.open()) {
        (Some(mode), Err(_)) => mode != Mode::Enforce,
        (Some(mode), Ok(_)) => mode == Mode::Off,
        (None, Ok(open)) => mode(app, &open, path).is_ok_and(|mode| mode == Mode::Off),
        (None, Err(_)) => false,
    }
}

/// The answer without a look at the proof.
pub(super) fn unopened(app: &App, input: &Input) -> Response {
    if configured(app) == Some(Mode::Observe) {
        let reason = Reason::VerifierUnavailable.as_str();
        app.agents
            .observed
            .would_refuse(input, (reason, None), None);
    }
    answer::echo(&input.body)
}

/// The mode of a path, whichever of its prefixes it was asked by. A service that there
/// is not is no reason to let anybody in.
fn mode(app: &App, open: &Open, path: &str) -> Result<Mode, Failure> {
    if let Some(mode) = configured(app) {
        return Ok(mode);
    }
    let dialled = dialled(app, open)?.filter(|dialled| dialled.version > 0);
    let Some(dialled) = dialled else {
        return Ok(Mode::Enforce);
    };
    let dial = Dial {
        mode: dialled.mode,
        routes: dialled.routes,
    };
    let asked = Asked {
        method: "POST",
        path,
        cors: false,
        bare: false,
    };
    Ok(dial.resolve(None, &asked).mode)
}

/// Answers with the body, to whom the dial lets through.
pub(super) async fn echo(context: &Context<'_>, path: &str) -> Result<Response, Failure> {
    match mode(context.app, context.open, path)? {
        Mode::Off => {}
        Mode::Observe => observe(context).await,
        Mode::Enforce => {
            let proven =
                prove(context.app, context.open, context.input, &allowed(context)?).await?;
            check_session(context, &proven)?;
        }
    }
    Ok(answer::echo(&context.input.body))
}

/// Writes down what enforcing would do, the agent's rate included. It refuses nobody, so
/// nothing of a refusal is in the record. What comes of a good proof comes of it all the
/// same: it is used up, it counts, and a weak one is recorded.
async fn observe(context: &Context<'_>) {
    let Context { app, open, input } = context;
    let log = &app.agents.observed;
    let snapshot = open.directory.snapshot();
    let word = |failure: &Failure| failure.reason.unwrap_or(failure.code.as_str());
    let (authority, allowed) = match (addressed(app, open, input), allowed(context)) {
        (Ok(authority), Ok(allowed)) => (authority, allowed),
        (Err(failure), _) | (_, Err(failure)) => {
            return log.would_refuse(input, (word(&failure), None), None);
        }
    };
    let examined = examine(app, open, &snapshot, (&authority, input), &allowed).await;
    let proven = match examined {
        Ok(proven) => proven,
        Err(unproven) => {
            let refusal = unproven.refusal();
            let found = (refusal.reason().as_str(), unproven.profile());
            return log.would_refuse(input, found, refusal.agent.clone());
        }
    };
    let charged = charge(app, open, &snapshot, input, &proven).await;
    let judged = charged
        .map_err(|failure| word(&failure))
        .and_then(|()| sent_session(context, &proven).map_err(|refusal| refusal.reason().as_str()));
    let (profile, agent) = match &proven {
        Proven::Native(caller) => (caller.profile(), None),
        Proven::Foreign(caller) => (caller.profile(), Some(caller.agent().clone())),
    };
    match judged {
        Ok(()) => log.would_pass(),
        Err(reason) => log.would_refuse(input, (reason, Some(profile.as_str())), agent),
    }
}
