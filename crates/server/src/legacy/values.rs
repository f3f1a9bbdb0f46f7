//! `GET /project/secrets/PROJECT` and `GET /project/config/PROJECT/APP`: what a project token
//! opens for the process that it was given to, and a template with its values.

use super::answer::Refused;
use super::asking::{DELIVERY, ask, asks, came_of, holder, namespace_of};
use super::proving::{BadToken, not_had, prove, token_id};
use crate::api::project_token::{PROJECT, record, shown};
use crate::api::run::handed_of;
use crate::attested::attesting;
use crate::problem::{Code, Failure};
use crate::rates::count_call;
use crate::serve::{Context, Reply, permitted, turned_away};
use axum::response::Response;
use procura_authority::{
    AuthorityError, Matched, RunDeliver, RunQuery, TokenHolder, TokenUse, mapped_template,
};
use procura_directory::{Snapshot, TokenRecord, TokenRefusal};
use procura_policy::{Action, DenyReason, Op as _, authorize};
use procura_proof::Caller;
use procura_types::{EnvName, ForeignProject, RunId, SecretPath};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Values by name.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacySecrets)]
pub(super) struct Secrets<'a> {
    #[schema(value_type = BTreeMap<String, String>)]
    env_vars: BTreeMap<&'a EnvName, &'a str>,
}

/// A daemon that shows a token which was given to it, for the project that it names. Whether
/// the token still opens anything is not looked at.
struct Shown {
    snapshot: Arc<Snapshot>,
    caller: Caller,
    holder: TokenHolder,
    token: Arc<TokenRecord>,
}

impl Shown {
    async fn by(context: &Context<'_>, action: Action) -> Result<Self, Failure> {
        let Context { app, open, input } = context;
        let project: ForeignProject = input.param("project")?;
        let nobodys = |reason| {
            let bad = BadToken {
                action,
                reason,
                caller: None,
                record: None,
            };
            bad.refused(context)
        };
        let text = shown(input).map_err(nobodys)?;
        let caller = prove(context, &token_id(text), None).await?;
        let snapshot = open.directory.snapshot();
        count_call(app, &snapshot, caller.actor(), action, input)?;
        let no = |reason, record| {
            let bad = BadToken {
                action,
                reason,
                caller: Some(&caller),
                record,
            };
            bad.refused(context)
        };
        let token = record(open, &snapshot, text, input.now)?;
        let token = token.map_err(|reason| no(reason, None))?;
        let holder = holder(&caller, attesting(open, &caller, input.now))?;
        // Whether it is theirs at all comes before what it is for.
        let is_theirs = token.agent == holder.agent && token.foreign == holder.foreign;
        if !is_theirs {
            return Err(no(TokenRefusal::Device.as_str(), Some(token.as_ref())));
        }
        // These clients keep tokens in a file, so each one that was started again shows what
        // it had before. It ended with that process, and there is nothing to be alarmed at.
        if token.device != holder.device {
            return Err(no(TokenRefusal::Revoked.as_str(), Some(token.as_ref())));
        }
        let namespace = namespace_of(&snapshot, &caller)?;
        if token.namespace != namespace || token.project != project.into_name() {
            return Err(no(PROJECT, Some(token.as_ref())));
        }
        Ok(Self {
            snapshot,
            caller,
            holder,
            token,
        })
    }

    /// Records why the token does not open what it is shown for, and words it.
    fn no(&self, context: &Context<'_>, action: Action, error: AuthorityError) -> Failure {
        let failure = not_had(context, &self.caller, action, error);
        if matches!(failure.code, Code::TokenRefused | Code::TokenScope) {
            let bad = BadToken {
                action,
                reason: failure.reason.unwrap_or_default(),
                caller: Some(&self.caller),
                record: Some(&self.token),
            };
            bad.note(context);
        }
        failure
    }
}

fn run_id(context: &Context<'_>) -> Result<RunId, Failure> {
    let entropy = context.open.recorder.entropy();
    RunId::generate(context.input.now, entropy).map_err(Failure::internal)
}

/// Answers with all values of a token.
pub(super) async fn secrets(context: &Context<'_>) -> Result<Response, Refused> {
    let Context { open, input, .. } = context;
    let (action, now) = (TokenUse::ACTION, input.now);
    let shown = Shown::by(context, action).await?;
    let op = TokenUse::resolve(
        &open.vault,
        &shown.snapshot,
        &shown.token,
        &shown.holder,
        &[],
        run_id(context)?,
        now,
    )
    .map_err(|error| shown.no(context, action, error))?;
    let permit = permitted(context, &shown.snapshot, shown.caller, op)?;
    let details = permit.op().details();
    // The intent is durable when this returns; only then are values opened.
    let recorder = &open.recorder;
    let recorded = recorder.record(permit, context.origin(), details).await?;
    let handed = handed_of(open, &recorded, now, |op, released| op.hand(released)).await?;
    let values = handed.iter().map(|handed| {
        let text = std::str::from_utf8(handed.value.expose()).ok()?;
        Some((&handed.item.name, text))
    });
    let values: Option<BTreeMap<&EnvName, &str>> = values.collect();
    let Some(env_vars) = values else {
        recorder.failed(&recorded, NOT_TEXT).await?;
        let detail = "A value is no text, which these clients cannot be given; nothing was.";
        let failure = Failure::new(Code::DeliveryNotAllowed, detail);
        return Err(failure.with_reason(NOT_TEXT).into());
    };
    let length = env_vars.values().map(|value| value.len()).sum();
    let reply = Reply::secret(&Secrets { env_vars }, length)?;
    Ok(reply.into_response(input.trace, None))
}

/// Why a value cannot be had in JSON.
const NOT_TEXT: &str = "not_text";

/// Answers with a template of the project, rendered. It is a run of the name that the project
/// maps it under, and needs a grant as any run does.
pub(super) async fn config(context: &Context<'_>) -> Result<Response, Refused> {
    let Context { open, input, .. } = context;
    let (action, now) = (RunDeliver::ACTION, input.now);
    let shown = Shown::by(context, action).await?;
    let (agent, device) = (&shown.holder.agent, &shown.holder.device);
    shown
        .snapshot
        .token_opens(&shown.token, agent, Some(device), &[], now)
        .map_err(|refusal| shown.no(context, action, refusal.into()))?;
    let (namespace, project) = (&shown.token.namespace, &shown.token.project);
    let path: Option<SecretPath> = input.param("app").ok();
    let name = match &path {
        Some(path) => {
            let place = (namespace, project);
            mapped_template(&open.vault, &shown.snapshot, agent, place, path, now)?
        }
        None => None,
    };
    let Some(name) = name else {
        let place = path.map(|path| (namespace.clone(), path));
        let (snapshot, caller) = (&shown.snapshot, &shown.caller);
        open.honey
            .missed_path(snapshot, caller, action, place, input)
            .await?;
        let detail = "The project maps no name to a template there.";
        let failure = Failure::new(Code::NotFound, detail);
        return Err(not_had(context, caller, action, failure).into());
    };
    let query = RunQuery {
        namespace: namespace.clone(),
        project: project.clone(),
        names: vec![name.to_string()],
        delivery: DELIVERY,
        report: None,
        attesting: shown.holder.attesting,
    };
    let asks = asks(&shown.snapshot, &shown.caller, action, &query);
    let result = rendered(context, shown, query, &name).await;
    came_of(context, asks, result).await
}

async fn rendered(
    context: &Context<'_>,
    shown: Shown,
    query: RunQuery,
    name: &EnvName,
) -> Result<Response, Refused> {
    let Context { open, input, .. } = context;
    let (action, now) = (RunDeliver::ACTION, input.now);
    let Shown {
        snapshot, caller, ..
    } = shown;
    let matched = Matched::resolve(&open.vault, &snapshot, caller.actor(), query, now)
        .map_err(|error| not_had(context, &caller, action, error))?;
    let op = matched.deliver(run_id(context)?);
    let permit = match authorize(open.recorder.decider(), &snapshot, caller, op, now) {
        Ok(permit) => permit,
        Err((denied, caller, _)) if denied.reason == DenyReason::NoGrant => {
            return Err(ask(context, caller, matched).await);
        }
        Err((denied, caller, op)) => {
            return Err(turned_away(context, &caller, &op, denied).into());
        }
    };
    let details = permit.op().details();
    let recorder = &open.recorder;
    let recorded = recorder.record(permit, context.origin(), details).await?;
    let handed = handed_of(open, &recorded, now, |op, released| op.hand(released)).await?;
    let text = handed.into_iter().find(|handed| handed.item.name == *name);
    let text = text.ok_or_else(|| Failure::internal("a template was not rendered"))?;
    let reply = Reply::secret_raw("text/plain; charset=utf-8", text.value);
    Ok(reply.into_response(input.trace, None))
}
