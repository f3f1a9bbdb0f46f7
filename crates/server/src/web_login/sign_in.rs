//! Sign-in by a name, a password and a code. Whoever is refused learns that they are, and
//! not why; why stands in the record.

use super::hashing::{Busy, Lane};
use super::{Started, replaced, started, terms};
use crate::problem::{Code, Failure};
use crate::rates::retry_after;
use crate::serve::{Context, permitted};
use procura_identity::IdentityError;
use procura_identity::account::{
    Block, RightPassword, SignInError, SignInPassed, SignInRefusal, SignInTry,
};
use procura_identity::web_login::WebLoginStart;
use procura_policy::{Action, Resource};
use procura_proof::{Caller, Profile};
use procura_record::{ChangeError, Refusal};
use procura_types::{ActorId, Amr, Duration, Label, Secret};
use std::sync::Arc;

/// The word in the record of somebody who has to wait after wrong tries.
const SLOWED_DOWN: &str = "slowed_down";
/// The word where too many sign in at once.
const BUSY: &str = "busy";

/// What somebody typed.
pub(crate) struct PasswordForm {
    /// The name of an operator.
    pub(crate) name: String,
    /// The password.
    pub(crate) password: Secret<String>,
    /// Six digits of the authenticator app, or a recovery code.
    pub(crate) code: Secret<String>,
}

/// Why there is no web login.
pub(crate) enum SignInRefused {
    /// Something of what was typed is wrong.
    Wrong,
    /// It is worth another try after so many seconds.
    Later(u64),
    /// It could not be found out or recorded.
    Failed(Failure),
}

impl From<SignInRefused> for Failure {
    fn from(refused: SignInRefused) -> Self {
        match refused {
            SignInRefused::Wrong => Self::new(
                Code::Unauthorized,
                "The name, the password or the code is wrong.",
            ),
            SignInRefused::Later(seconds) => Self {
                retry_after: Some(seconds),
                ..Self::new(
                    Code::RateLimited,
                    "Wait a little before you try again; a passkey or a device key need not wait.",
                )
            },
            SignInRefused::Failed(failure) => failure,
        }
    }
}

impl From<Failure> for SignInRefused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Signs somebody in, or records that they were refused.
pub(crate) async fn sign_in(
    context: &Context<'_>,
    form: PasswordForm,
) -> Result<Started, SignInRefused> {
    let Context { app, open, input } = *context;
    let snapshot = open.directory.snapshot();
    let (place, now) = (Block::of(input.peer), input.now);
    let tried = SignInTry::of(open.vault.store(), &snapshot, &form.name, &place, now)
        .map_err(Failure::from)?;
    let (actor, known) = (tried.actor().copied(), tried.is_known_place());
    let name = form.name.clone();
    let slow_down = &app.sign_ins.slow_down;
    let charge = slow_down
        .admit(&name, place, known, app.clock.steady())
        .map_err(|wait| later(context, &name, actor, SLOWED_DOWN, wait))?;
    let nobodys = app.sign_ins.hashing.nobodys().map_err(Failure::internal)?;
    let lane = if known { Lane::Known } else { Lane::Strangers };
    // Until its turn comes the charge goes with the work: if the client hangs up, or too
    // many wait, both are dropped, and the try was not made.
    let verify = move || {
        let charge = charge.hashing();
        let typed = (form.password.expose().as_str(), form.code.expose().as_str());
        (charge, tried.verify(&form.name, typed, &nobodys, now))
    };
    let (charge, verified) = match app.sign_ins.hashing.run(lane, verify).await {
        Ok(done) => done,
        Err(Busy) => {
            let wait = Duration::from_secs(2);
            return Err(later(context, &name, actor, BUSY, wait));
        }
    };
    let passed = match verified {
        Ok(passed) => passed,
        Err(SignInError::Refused(refusal)) => {
            count(context, None);
            return Err(wrong(context, &name, actor, refusal));
        }
        Err(SignInError::HalfRight(refusal, right)) => {
            count(context, Some(right));
            return Err(wrong(context, &name, actor, refusal));
        }
        Err(SignInError::Failed(error)) => {
            charge.not_made();
            return Err(Failure::from(error).into());
        }
    };
    let started = begin(context, &passed, &name).await?;
    charge.right();
    app.metrics.signed_in("accepted");
    Ok(started)
}

/// Counts a try whose password was right, behind the answer, which waits for none of it: the
/// time that it takes must not tell a right password from a wrong one. A task is begun for
/// every try that is refused, and what it does is done apart from whoever tried.
fn count(context: &Context<'_>, right: Option<RightPassword>) {
    let Context { app, open, .. } = *context;
    let store = open.vault.store().clone();
    let (clock, entropy) = (Arc::clone(&app.clock), Arc::clone(&app.entropy));
    tokio::spawn(async move {
        let Some(right) = right else { return };
        let counted = right.count(&store, clock.now(), entropy.as_ref()).await;
        if let Err(error) = counted {
            tracing::error!(%error, "a wrong code behind a right password was not counted");
        }
    });
}

/// Makes the web login, and uses up in the same commit what it took.
async fn begin(
    context: &Context<'_>,
    passed: &SignInPassed,
    name: &str,
) -> Result<Started, SignInRefused> {
    let Context { app, open, input } = *context;
    let snapshot = open.directory.snapshot();
    let actor = *passed.person().actor();
    let op = WebLoginStart::by_password(passed, replaced(context, &actor));
    let caller = Caller::signing_in(passed.person(), &snapshot, input.now, input.peer);
    let permit = permitted(context, &snapshot, caller, op)?;
    let (terms, entropy) = (terms(app), app.entropy.as_ref());
    let made = open
        .recorder
        .change(permit, &context.origin(), |batch| {
            WebLoginStart::run(batch, &terms, input.now, entropy)
        })
        .await;
    match made {
        Ok(made) => Ok(started(context, made)?),
        Err(ChangeError::Domain(IdentityError::SignIn(refusal))) => {
            Err(wrong(context, name, Some(actor), refusal))
        }
        Err(error) => Err(Failure::from(error).into()),
    }
}

/// Records a try that was wrong.
fn wrong(
    context: &Context<'_>,
    name: &str,
    actor: Option<ActorId>,
    refusal: SignInRefusal,
) -> SignInRefused {
    context.app.metrics.signed_in("refused");
    record(context, name, actor, refusal.to_string());
    SignInRefused::Wrong
}

/// Records a try that was not made.
fn later(
    context: &Context<'_>,
    name: &str,
    actor: Option<ActorId>,
    reason: &'static str,
    wait: Duration,
) -> SignInRefused {
    context.app.metrics.signed_in(reason);
    record(context, name, actor, reason.to_owned());
    SignInRefused::Later(retry_after(wait))
}

/// Of a name that nobody has nothing is written: people type passwords there.
fn record(context: &Context<'_>, name: &str, actor: Option<ActorId>, reason: String) {
    let input = context.input;
    let name = actor.and_then(|_| name.parse::<Label>().ok());
    let profile = Profile::SigningIn(Amr::Password).as_str();
    let action = Action::WebLoginStart.as_str();
    context.open.recorder.refuse(Refusal {
        actor,
        owner: actor,
        resource: name.map(|name| Resource::Operator(name).to_string()),
        ip: input.peer,
        ..Refusal::of_nobody(action, reason, input.now, profile, input.trace)
    });
}
