//! `POST /agent/enroll/start` and `/agent/enroll/complete`.

use super::token::SCOPES;
use super::{allowed, body, permit};
use crate::app::App;
use crate::events_log::{AgentEvent, Happened, agent_event};
use crate::key_server::has_key_file;
use crate::problem::{Code, Failure};
use crate::proving::either::{Proven, prove};
use crate::proving::{LOCAL, addressed, not_by_browser, refused, refused_by};
use crate::serve::{Context, Reply};
use axum::response::Response;
use procura_crypto::sha256;
use procura_directory::Snapshot;
use procura_identity::{CODE_LIFE, EnrolComplete, EnrolStart, Enrolment, IdentityError};
use procura_policy::Op as _;
use procura_proof::{Caller, Case, Enrolling, Profile, verify_enrolment};
use procura_record::{ChangeError, Refusal as Recorded};
use procura_types::{
    ActorId, Entropy, ForeignId, Label, Malformed, Namespace, Role, Secret, Timestamp, encoding,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use utoipa::ToSchema;

/// Wrong signatures that a code takes; then it waits for its end.
const ATTEMPTS: u32 = 10;

/// Which agent is to be enrolled. An empty body makes another agent.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EnrolmentStart)]
pub(super) struct Start {
    /// Where; not needed by whoever is admin of one namespace.
    #[serde(default)]
    namespace: Option<Namespace>,
    /// The agent; without it one is made below the caller.
    #[serde(default, alias = "label")]
    agent: Option<Label>,
    /// The id that it gets; without it the agent's label.
    #[serde(default)]
    agent_id: Option<ForeignId>,
    /// The owner whom the agent is of, by name or id: what it is is not changed by
    /// this, but whoever is mistaken is told so.
    #[serde(default, alias = "owner_user_id")]
    owner: Option<String>,
}

/// A code, and what is to be signed with it.
#[derive(Serialize, ToSchema)]
#[schema(as = EnrolmentStarted)]
pub(super) struct Started<'a> {
    enroll_code: &'a str,
    challenge: &'a str,
    expires_in_sec: u64,
    agent_id: &'a ForeignId,
}

/// Makes a code for an admin.
pub(super) async fn start(context: &Context<'_>) -> Result<Response, Failure> {
    let Context { app, open, input } = context;
    let proven = prove(app, open, input, &allowed(context)?).await?;
    let snapshot = open.directory.snapshot();
    let caller = match proven {
        Proven::Native(caller) => caller,
        // No such proof opens it: policy says so, and records it.
        Proven::Foreign(foreign) => {
            let profile = foreign.profile().as_str();
            Caller::foreign(foreign, &snapshot)
                .map_err(|refusal| refused_by(profile, (app, open), &snapshot, input, &refusal))?
        }
    };
    let wanted: Start = body(input)?;
    let owner = wanted.owner.clone();
    let op = operation(&snapshot, &caller, wanted, app.entropy.as_ref())?;
    let permit = permit(context, caller, op)?;
    // After the decision: who has no part in the namespace learns nothing of it.
    if let Some(owner) = owner {
        check_owner(&snapshot, permit.caller(), permit.op(), &owner)?;
    }
    let id = permit.op().id.clone();
    refuse_filed(app, &id)?;
    let (now, entropy) = (input.now, app.entropy.as_ref());
    let made = context
        .change(permit, |batch| EnrolStart::run(batch, now, entropy))
        .await?;
    let event = AgentEvent::new(Happened::EnrollStarted, input);
    agent_event(app, event.agent(id.as_str()));
    let code = Secret::new(encoding::b64url(made.issued.code.expose()));
    let answer = Started {
        enroll_code: code.expose(),
        challenge: &made.challenge,
        expires_in_sec: made.issued.expires.since(now).as_secs(),
        agent_id: &id,
    };
    let length = code.expose().len() + made.challenge.len() + id.as_str().len();
    Ok(Reply::secret(&answer, length)?.into_response(input.trace, None))
}

/// Refuses an id that has a key file, whoever asks: a key that is enrolled takes the
/// place of the file everywhere, so an admin of any namespace would become that agent.
fn refuse_filed(app: &App, id: &ForeignId) -> Result<(), Failure> {
    if !has_key_file(app, id)? {
        return Ok(());
    }
    let detail = format!(
        "The id {id} has a key file in keys/agents of the server's home; who enrols it under another key has that file removed first."
    );
    Err(Failure::new(Code::Conflict, detail).with_reason("id_has_key_file"))
}

/// What is asked for, with what was left out.
fn operation(
    snapshot: &Snapshot,
    caller: &Caller,
    wanted: Start,
    entropy: &dyn Entropy,
) -> Result<EnrolStart, Failure> {
    let namespace = match wanted.namespace {
        Some(namespace) => namespace,
        None => administered(snapshot, caller)?,
    };
    let (agent, make) = match wanted.agent {
        Some(agent) => (agent, false),
        None => (new_label(entropy)?, true),
    };
    let id = match wanted.agent_id {
        Some(id) => id,
        // Every label is such an id.
        None => agent.as_str().parse()?,
    };
    Ok(EnrolStart {
        namespace,
        agent,
        make,
        id,
    })
}

/// The one namespace that the caller is admin of. Of an agent its own, where policy
/// will say no.
fn administered(snapshot: &Snapshot, caller: &Caller) -> Result<Namespace, Failure> {
    let its = snapshot.actor(caller.actor());
    if let Some(namespace) = its.and_then(|agent| agent.namespace()) {
        return Ok(namespace.clone());
    }
    let held = snapshot.roles(caller.actor());
    let mut admin = held
        .iter()
        .flat_map(|held| held.roles.iter())
        .filter(|held| held.role == Role::Admin)
        .filter_map(|held| held.namespace.clone());
    match (admin.next(), admin.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Malformed::new("namespace", "has to be named").into()),
    }
}

fn new_label(entropy: &dyn Entropy) -> Result<Label, Failure> {
    let mut random = [0; 8];
    entropy.fill(&mut random).map_err(Failure::internal)?;
    Ok(format!("agent-{}", encoding::hex(&random)).parse()?)
}

/// Whether the agent is, or will be, of the owner that the request names.
fn check_owner(
    snapshot: &Snapshot,
    caller: &Caller,
    op: &EnrolStart,
    owner: &str,
) -> Result<(), Failure> {
    let is = |id: &ActorId| {
        let name = snapshot.actor(id).map(|actor| actor.label().as_str());
        name == Some(owner) || id.to_string() == owner
    };
    let found = if op.make {
        Some(*caller.owner())
    } else {
        snapshot
            .agent_named(&op.namespace, &op.agent)
            .map(|agent| agent.owner)
    };
    // An agent that there is not is told of where it is looked for.
    if found.is_none_or(|id| is(&id)) {
        Ok(())
    } else {
        Err(Malformed::new("owner", "is another one of this agent").into())
    }
}

/// The code, and a key that signed the challenge.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = EnrolmentComplete)]
pub(super) struct Complete {
    #[serde(default)]
    enroll_code: String,
    /// Ed25519, base64url.
    #[serde(default)]
    public_key: String,
    /// Over the bytes of the challenge's text, base64url.
    #[serde(default)]
    signature: String,
}

/// Who the agent is from here on; the secret is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = AgentEnrolled)]
pub(super) struct Enrolled<'a> {
    agent_id: &'a ForeignId,
    agent_secret: &'a str,
    agent_jwt: &'a str,
}

/// Enrols whoever shows a code and signed its challenge. A wrong signature does not use
/// the code up.
pub(super) async fn complete(context: &Context<'_>) -> Result<Response, Failure> {
    let Context { app, open, input } = context;
    addressed(app, open, input)?;
    not_by_browser(app, open, input)?;
    let shown: Complete = body(input)?;
    let snapshot = open.directory.snapshot();
    let refuse = |refusal| refused(app, open, &snapshot, input, &refusal);
    let code = encoding::from_b64url_fixed::<16>("enroll_code", &shown.enroll_code);
    let code = Secret::new(code.map_err(|_| refuse(Case::JoinForm.into()))?);
    let code_sha256 = sha256(code.expose());
    let enrolment = Enrolment::resolve(open.vault.store(), &snapshot, code_sha256, input.now)
        .map_err(|error| note(context, None, error))?;
    let attempts = &app.agents.attempts;
    if attempts.are_over(&code_sha256, input.now) {
        return Err(Failure::new(
            Code::RateLimited,
            "Too many wrong signatures came with this code; make another one.",
        )
        .with_reason("rate_limited"));
    }
    let enrolling = Enrolling {
        actor: enrolment.actor(),
        challenge: enrolment.challenge(),
        public_key: &shown.public_key,
        signature: &shown.signature,
    };
    let peer = input.peer.unwrap_or(LOCAL);
    let (key, caller) =
        verify_enrolment(&enrolling, &snapshot, input.now, peer).map_err(|refusal| {
            // Who shows no key has not tried one.
            if refusal.case == Case::JoinRefused {
                attempts.count(code_sha256, input.now);
            }
            refuse(refusal)
        })?;
    let (id, actor, owner) = (enrolment.id().clone(), *caller.actor(), *caller.owner());
    // Before the code is used up: what cannot be given is not begun. A file may have
    // come since the start.
    refuse_filed(app, &id)?;
    let jwt = open
        .tokens
        .agent_jwt(id.as_str(), &actor, &owner, &SCOPES, input.now)?;
    let permit = permit(context, caller, enrolment.by(key))?;
    let (terms, entropy) = (app.config.agent_secret_terms(), app.entropy.as_ref());
    let made = context
        .change(permit, |batch| {
            EnrolComplete::run(batch, &terms, input.now, entropy)
        })
        .await;
    let made = match made {
        Ok(made) => made,
        Err(ChangeError::Domain(error)) => return Err(note(context, Some(&id), error)),
        Err(ChangeError::Record(error)) => return Err(error.into()),
    };
    let event = AgentEvent::new(Happened::EnrollCompleted, input);
    agent_event(app, event.agent(id.as_str()));
    let (secret, token) = (made.text.expose(), jwt.token.expose());
    let answer = Enrolled {
        agent_id: &id,
        agent_secret: secret,
        agent_jwt: token,
    };
    let length = secret.len() + token.len();
    Ok(Reply::secret(&answer, length)?.into_response(input.trace, None))
}

/// A code that enrols nobody stands in the record.
fn note(context: &Context<'_>, id: Option<&ForeignId>, error: IdentityError) -> Failure {
    if let IdentityError::Join(refusal) = &error {
        let input = context.input;
        context.open.recorder.refuse(Recorded {
            resource: id.map(|id| format!("foreign/{id}")),
            ip: input.peer,
            ..Recorded::of_nobody(
                EnrolComplete::ACTION.as_str(),
                refusal.as_str(),
                input.now,
                Profile::Join.as_str(),
                input.trace,
            )
        });
    }
    error.into()
}

/// How many wrong signatures came with a code. Only codes that there are have a place
/// here, for as long as they live.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<[u8; 32], (u32, Timestamp)>>);

impl Attempts {
    fn are_over(&self, code_sha256: &[u8; 32], now: Timestamp) -> bool {
        // Whole between any two lines.
        let attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = attempts.get(code_sha256);
        made.is_some_and(|(made, until)| *made >= ATTEMPTS && now < *until)
    }

    fn count(&self, code_sha256: [u8; 32], now: Timestamp) {
        let mut attempts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.retain(|_, (_, until)| now < *until);
        let until = now.plus(CODE_LIFE);
        let (made, _) = attempts.entry(code_sha256).or_insert((0, until));
        *made = made.saturating_add(1);
    }
}
