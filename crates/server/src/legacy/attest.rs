//! `POST /daemon/attest`: a session for the key of a daemon's process, by the token of a
//! login.

use super::answer::Refused;
use super::proving::{BadToken, logged_in, refused};
use crate::api::project_token::{shown, word};
use crate::events_log::{AgentEvent, Happened, agent_event};
use crate::opening::session_keys;
use crate::problem::{Code, Failure, printable};
use crate::rates::{count_agent, count_call};
use crate::serve::{Context, Reply, permitted};
use axum::response::Response;
use procura_crypto::PublicKey;
use procura_directory::{Snapshot, TokenRefusal};
use procura_policy::{Action, Concerned, Op, Resource};
use procura_proof::Caller;
use procura_proof::foreign::legacy::{LEGACY_SESSION_LIFE, LegacyKey, LegacySubject, issue_legacy};
use procura_proof::session::IssueError;
use procura_record::Details;
use procura_types::{ActorId, ExeDigest, ForeignId, Malformed, Namespace, encoding};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a daemon says of itself. Its word for all but the key proves nothing.
#[derive(Deserialize, ToSchema)]
#[schema(as = LegacyAttest)]
pub(super) struct Attest {
    /// The key of its process: Ed25519, base64url.
    attestation_pub: String,
    /// SHA-256 of its program, in hexadecimal digits.
    #[schema(value_type = String)]
    binary_sha256: ExeDigest,
    #[serde(default)]
    daemon_version: String,
    #[serde(default)]
    daemon_pid: u32,
    #[serde(default)]
    daemon_uid: u32,
    #[serde(default)]
    hostname: String,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyAttested)]
pub(super) struct Attested<'a> {
    session_id: &'a str,
    /// In seconds.
    expires_in: u64,
    /// Always false: no grade comes of what such a daemon says.
    allowlist_enforced: bool,
}

/// Gives a daemon a session.
struct LegacyAttest {
    namespace: Namespace,
    id: ForeignId,
    actor: ActorId,
}

impl Op for LegacyAttest {
    const ACTION: Action = Action::LegacyAttest;
    fn resource(&self) -> Resource {
        Resource::Foreign(self.namespace.clone(), self.id.clone())
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned::own(&self.actor)
    }
}

/// Answers with a session.
pub(super) async fn attest(context: &Context<'_>) -> Result<Response, Refused> {
    let Context { app, open, input } = context;
    let said: Attest = input.object()?;
    let process = process_key(&said.attestation_pub)?;
    let snapshot = open.directory.snapshot();
    let (caller, key, id) = whose(context, &snapshot)?;
    app.metrics.accepted(caller.profile().as_str());
    let actor = *caller.actor();
    count_agent(app, &snapshot, &actor, input)?;
    count_call(app, &snapshot, &actor, LegacyAttest::ACTION, input)?;
    let namespace = snapshot
        .actor(&actor)
        .and_then(|actor| actor.namespace().cloned());
    let op = LegacyAttest {
        namespace: namespace.ok_or_else(|| Failure::internal("an id of no agent"))?,
        id: id.clone(),
        actor,
    };
    let permit = permitted(context, &snapshot, caller, op)?;
    let details = Details {
        with: Some(format!(
            "key:{} exe:{} version:{} host:{} pid:{} uid:{}",
            process.thumbprint(),
            said.binary_sha256,
            printable(&said.daemon_version),
            printable(&said.hostname),
            said.daemon_pid,
            said.daemon_uid,
        )),
        ..Details::default()
    };
    let bound = snapshot.foreign(&id);
    let bound = bound.ok_or_else(|| Failure::internal("an id that is not bound"))?;
    let subject = LegacySubject {
        binding: bound,
        mark: &key.mark,
        process: &process,
        directory_seq: snapshot.seq(),
    };
    let entropy = app.entropy.as_ref();
    let sessions = session_keys(&open.vault);
    let issued = issue_legacy(sessions.as_ref(), &subject, input.now, entropy).map_err(
        |error| match error {
            IssueError::Sealed => Failure::new(Code::Sealed, "The vault was sealed meanwhile."),
            other => Failure::internal(other),
        },
    )?;
    // It leaves this server once it is on record.
    let recorder = &open.recorder;
    recorder.record(permit, context.origin(), details).await?;
    app.metrics.session_started();
    let event = AgentEvent::new(Happened::SessionStarted, input);
    agent_event(app, event.agent(id.as_str()));
    let answer = Attested {
        session_id: &issued.session_id,
        expires_in: LEGACY_SESSION_LIFE.as_secs(),
        allowlist_enforced: false,
    };
    let reply = Reply::secret(&answer, issued.session_id.len())?;
    Ok(reply.into_response(input.trace, None))
}

fn process_key(text: &str) -> Result<PublicKey, Failure> {
    const FIELD: &str = "attestation_pub";
    let bytes = encoding::from_b64url(FIELD, text.trim_end_matches('='))?;
    let key = PublicKey::from_ed25519(&bytes);
    key.map_err(|_| Malformed::new(FIELD, "is not the 32 bytes of an Ed25519 key").into())
}

/// Whose login is shown, by which id, and the key that the agent has now: the one that it
/// logged in with.
fn whose(
    context: &Context<'_>,
    snapshot: &Snapshot,
) -> Result<(Caller, LegacyKey, ForeignId), Failure> {
    let Context { open, input, .. } = context;
    let no = |reason| {
        BadToken {
            action: LegacyAttest::ACTION,
            reason,
            caller: None,
            record: None,
        }
        .refused(context)
    };
    let token = shown(input).map_err(no)?;
    let claims = open.tokens.read_legacy(token, input.now)?;
    let claims = claims.map_err(|error| no(word(error)))?;
    let (caller, key) = logged_in(context, snapshot, &claims.sub)
        .map_err(|refusal| refused(context, snapshot, &refusal))?;
    if *caller.actor() != claims.actor || key.public.thumbprint() != claims.cnf.jkt {
        return Err(no(TokenRefusal::Revoked.as_str()));
    }
    Ok((caller, key, claims.sub))
}
