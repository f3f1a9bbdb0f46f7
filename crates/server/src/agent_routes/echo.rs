//! `POST /agent/protected/echo`: what a service of an agent's would do. Whether callers
//! have to prove who they are, the dial says (`protocol.md` §3.5): `AUTH_MODE` of the
//! environment over the stored dial of `agent_service` over `off`.

use super::holder::{check_session, sent_session};
use super::{allowed, answer, dialled};
use crate::app::{App, Open};
use crate::foreign::{Proven, examine, prove};
use crate::problem::Failure;
use crate::proving::addressed;
use crate::serve::{Context, Input};
use axum::response::Response;
use procura_proof::{Reason, Refusal};
use procura_types::dial::{Asked, Dial, Mode};

/// The mode of a path as the configuration alone says it.
fn configured(app: &App) -> Option<Mode> {
    match (app.config.auth_mode, &app.config.agent_service) {
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

/// Writes down what enforcing would do. It refuses nobody, so nothing of it is in the
/// record; a proof is used up all the same.
async fn observe(context: &Context<'_>) {
    let Context { app, open, input } = context;
    let log = &app.agents.observed;
    let snapshot = open.directory.snapshot();
    let (authority, allowed) = match (addressed(app, open, input), allowed(context)) {
        (Ok(authority), Ok(allowed)) => (authority, allowed),
        (Err(failure), _) | (_, Err(failure)) => {
            let reason = failure.reason.unwrap_or(failure.code.as_str());
            return log.would_refuse(input, (reason, None), None);
        }
    };
    let examined = examine(app, open, &snapshot, (&authority, input), &allowed).await;
    let (refusal, profile) = match examined {
        Ok(proven) => match sent_session(context, &proven) {
            Ok(()) => return log.would_pass(),
            Err(refusal) => match &proven {
                Proven::Native(caller) => (refusal, Some(caller.profile().as_str())),
                Proven::Foreign(caller) => (
                    Refusal {
                        agent: Some(caller.agent().clone()),
                        ..refusal
                    },
                    Some(caller.profile().as_str()),
                ),
            },
        },
        Err(unproven) => (unproven.refusal().clone(), unproven.profile()),
    };
    let reason = refusal.reason().as_str();
    log.would_refuse(input, (reason, profile), refusal.agent);
}
