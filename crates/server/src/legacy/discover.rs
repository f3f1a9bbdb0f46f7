//! `POST /agent/discover`: a token of a project for the names of a `.env` file.

use super::answer::Refused;
use super::asking::{DELIVERY, ask, asks, came_of, holder, namespace_of};
use super::found::Asked;
use super::proving::{not_had, prove};
use crate::api::project_token::Making;
use crate::attested::attesting;
use crate::problem::Failure;
use crate::rates::count_call;
use crate::serve::{Context, Reply, turned_away};
use axum::response::Response;
use procura_authority::{AuthorityError, Matched, RunQuery, TokenIssue, TokenTerms};
use procura_directory::{Snapshot, TokenRecord};
use procura_policy::{DenyReason, Op as _, Permit, authorize};
use procura_proof::Caller;
use procura_proof::foreign::legacy::AuthProof;
use procura_types::wire::ProjectTokenKind;
use procura_types::{
    Duration, EnvName, ForeignId, ForeignProject, Namespace, Secret, SecretPath, TokenId,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use utoipa::ToSchema;

/// How long a token counts, as it did there.
const TOKEN_LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// Who asks for what.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyDiscover)]
pub(super) struct Discover {
    agent_id: ForeignId,
    /// By the agent's own key over `ts|nonce|agent_id|/agent/discover`: base64url.
    auth_proof: String,
    /// Seconds since 1970.
    ts: u64,
    /// Good once.
    nonce: String,
    context: File,
    /// Whether the token is to be a signed one. A new one is made in any case.
    #[serde(default)]
    signed_token: bool,
}

/// What the names are for.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyDiscoverContext)]
struct File {
    project_name: String,
    /// A `.env` file: names count, values are not looked at. One of nothing but comments
    /// asks for all that the project maps.
    #[schema(value_type = String)]
    file_content: Secret<String>,
}

/// A token, and what it is for.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyDiscovered)]
pub(super) struct Discovered<'a> {
    mapped_keys: BTreeMap<EnvName, SecretPath>,
    full_matched: bool,
    project_token: &'a str,
    token_expires_at: String,
    token_ttl_seconds: u64,
    /// Names that stand for nothing here.
    unmatched_keys: Vec<String>,
    namespace: Namespace,
    /// Where what it opens lies.
    scope: Vec<SecretPath>,
    /// The same as `project_token`, where it is a signed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_project_token: Option<&'a str>,
}

/// Answers with a token. Without a grant the question waits for a person.
pub(super) async fn discover(context: &Context<'_>) -> Result<Response, Refused> {
    let Context { app, open, input } = context;
    let said: Discover = input.object()?;
    let auth = AuthProof {
        agent: &said.agent_id,
        ts: said.ts,
        nonce: &said.nonce,
        signature: &said.auth_proof,
    };
    let token = format!("agent:{}", said.agent_id);
    let caller = prove(context, &token, Some(&auth)).await?;
    let project: ForeignProject = said.context.project_name.parse()?;
    let project = project.into_name();
    let snapshot = open.directory.snapshot();
    let action = TokenIssue::ACTION;
    count_call(app, &snapshot, caller.actor(), action, input)?;
    let names: Vec<String> = match Asked::of(said.context.file_content.expose()) {
        Asked::All => Vec::new(),
        Asked::Names(names) if names.is_empty() => {
            return Err(AuthorityError::NothingToDeliver(Vec::new()).into());
        }
        Asked::Names(names) => names.into_iter().map(String::from).collect(),
    };
    let query = RunQuery {
        namespace: namespace_of(&snapshot, &caller)?,
        project,
        names,
        delivery: DELIVERY,
        report: None,
        attesting: attesting(open, &caller, input.now),
    };
    let asks = asks(&snapshot, &caller, action, &query);
    let kind = match said.signed_token {
        true => ProjectTokenKind::Signed,
        false => ProjectTokenKind::Opaque,
    };
    let result = issue(context, &snapshot, caller, query, kind).await;
    came_of(context, asks, result).await
}

async fn issue(
    context: &Context<'_>,
    snapshot: &Snapshot,
    caller: Caller,
    query: RunQuery,
    kind: ProjectTokenKind,
) -> Result<Response, Refused> {
    let Context { open, input, .. } = context;
    let (vault, now) = (&open.vault, input.now);
    let holder = holder(&caller, query.attesting)?;
    let matched = Matched::resolve(vault, snapshot, caller.actor(), query.clone(), now)
        .map_err(|error| not_had(context, &caller, TokenIssue::ACTION, error))?;
    if !matched.unmatched().is_empty() {
        input.progress.unfound.store(true, Ordering::Relaxed);
    }
    let found = RunQuery {
        names: matched.handed().map(|item| item.name.to_string()).collect(),
        ..query
    };
    let terms = TokenTerms {
        id: TokenId::generate(now, open.recorder.entropy()).map_err(Failure::internal)?,
        life: Some(TOKEN_LIFE),
    };
    let op = TokenIssue::resolve(vault, snapshot, holder, kind, found, terms, now)?;
    match authorize(open.recorder.decider(), snapshot, caller, op, now) {
        Ok(permit) => Ok(issued(context, permit, &matched).await?),
        Err((denied, caller, _)) if denied.reason == DenyReason::NoGrant => {
            Err(ask(context, caller, matched).await)
        }
        Err((denied, caller, op)) => Err(turned_away(context, &caller, &op, denied).into()),
    }
}

/// Makes the token, and shows it once.
async fn issued(
    context: &Context<'_>,
    permit: Permit<TokenIssue>,
    matched: &Matched,
) -> Result<Response, Failure> {
    let now = context.input.now;
    let making = Making::begin(context, permit.op().kind())?;
    let turn = context.app.legacy_issuing.lock().await;
    let (token, record) = context
        .change(permit, |batch| -> Result<_, Failure> {
            let record = TokenIssue::run(batch, making.hash(), now)?;
            Ok((making.text(context, &record)?, record))
        })
        .await?;
    drop(turn);
    let text = token.expose().as_str();
    let is_signed = record.kind == ProjectTokenKind::Signed;
    let answer = Discovered {
        mapped_keys: matched
            .handed()
            .map(|item| (item.name.clone(), item.path.clone()))
            .collect(),
        full_matched: matched.unmatched().is_empty(),
        project_token: text,
        token_expires_at: record.until.to_string(),
        token_ttl_seconds: record.until.as_secs().saturating_sub(now.as_secs()),
        unmatched_keys: unmatched(matched),
        namespace: record.namespace.clone(),
        scope: scope(&record),
        signed_project_token: is_signed.then_some(text),
    };
    let reply = Reply::secret(&answer, text.len().saturating_mul(2))?;
    Ok(reply.into_response(context.input.trace, None))
}

fn unmatched(matched: &Matched) -> Vec<String> {
    let names = matched.unmatched().iter();
    names.map(|unmatched| unmatched.name.clone()).collect()
}

/// Where what a token opens lies, each place once.
fn scope(record: &TokenRecord) -> Vec<SecretPath> {
    let paths = record.items.iter().map(|item| item.path.clone());
    let paths: BTreeSet<SecretPath> = paths.collect();
    paths.into_iter().collect()
}
