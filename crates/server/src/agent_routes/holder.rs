//! Which agent makes a request, with which key, and the session that it says it is in.

use crate::key_server::{FileId, KeysNow, Public};
use crate::problem::{Code, Failure};
use crate::proving::either::Proven;
use crate::proving::refused_by;
use crate::serve::Context;
use procura_directory::Snapshot;
use procura_identity::agent_secrets;
use procura_proof::agent_session::{AgentKeyKind, AgentKeyMark, AgentSession};
use procura_proof::foreign::Foreign;
use procura_proof::{Case, Refusal};
use procura_types::{ForeignId, Thumbprint};
use serde::Deserialize;
use utoipa::ToSchema;

/// Whom a request is about. A proof of a foreign profile says so itself.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = AgentNamed)]
pub(super) struct Named {
    /// Needed by a native proof of an agent with more than one id.
    #[serde(default)]
    pub(super) agent_id: Option<ForeignId>,
}

/// The field of a session. Of the profiles of others only those with a MAC have it.
const SESSION: &str = "x-session-id";

/// A key that an agent has now.
#[derive(Debug, Clone)]
pub(super) enum HeldKey {
    Device(Thumbprint),
    File { key: Thumbprint, file: FileId },
    Secret { era: u64 },
}

impl HeldKey {
    pub(super) const fn mark(&self) -> AgentKeyMark<'_> {
        match self {
            Self::Device(device) => AgentKeyMark::Device(device),
            Self::File { key, file } => AgentKeyMark::File {
                key,
                file: file.as_bytes(),
            },
            Self::Secret { era } => AgentKeyMark::Secret { era: *era },
        }
    }
}

/// The id of who makes a request. A native proof is for an id of its own actor: the one
/// that it names, or the only one.
pub(super) fn id_of(
    snapshot: &Snapshot,
    proven: &Proven,
    named: Option<ForeignId>,
) -> Result<ForeignId, Failure> {
    match proven {
        Proven::Foreign(caller) => match named {
            Some(named) if named != *caller.agent() => Err(Failure::new(
                Code::Forbidden,
                "The proof is of another agent than the one that the body names.",
            )),
            _ => Ok(caller.agent().clone()),
        },
        Proven::Native(caller) => {
            let mut its = snapshot.foreign_of(caller.actor());
            match named {
                Some(named) => its
                    .any(|bound| bound.id == named)
                    .then_some(named)
                    .ok_or_else(no_such_id),
                None => match (its.next(), its.next()) {
                    (Some(bound), None) => Ok(bound.id.clone()),
                    (None, _) => Err(no_such_id()),
                    (Some(_), Some(_)) => {
                        let mut failure = Failure::new(
                            Code::Malformed,
                            "`agent_id` has to say which id is meant.",
                        );
                        failure.field = Some("agent_id");
                        Err(failure)
                    }
                },
            }
        }
    }
}

fn no_such_id() -> Failure {
    Failure::new(Code::NotFound, "The caller has no such id.")
}

/// The keys of a kind that stand for an id now.
fn held(
    context: &Context<'_>,
    snapshot: &Snapshot,
    id: &ForeignId,
    kind: AgentKeyKind,
) -> Result<Vec<HeldKey>, Refusal> {
    let Context { app, open, input } = context;
    let bound = snapshot.foreign(id);
    Ok(match kind {
        AgentKeyKind::Device => bound
            .into_iter()
            .flat_map(|bound| snapshot.devices_of(&bound.actor))
            .filter(|device| device.revoked.is_none())
            .map(|device| HeldKey::Device(device.thumbprint))
            .collect(),
        AgentKeyKind::File => {
            let keys = KeysNow::public(app, snapshot, input.now);
            match keys.public_key(id).map_err(|_| Case::KeysUnavailable)? {
                Some(Public::File(file)) => vec![HeldKey::File {
                    key: file.key().thumbprint(),
                    file: file.identity,
                }],
                Some(Public::Enrolled { .. }) | None => Vec::new(),
            }
        }
        AgentKeyKind::Secret if bound.is_some() => {
            let terms = app.config.agent_secret_terms();
            let secrets = agent_secrets(open.vault.store(), id, &terms, input.now);
            let secrets = secrets.map_err(|error| {
                tracing::error!(%error, "the secrets of an agent cannot be read");
                Case::KeysUnavailable
            })?;
            let era = secrets.era;
            let has_any = !secrets.texts.is_empty();
            has_any
                .then_some(HeldKey::Secret { era })
                .into_iter()
                .collect()
        }
        AgentKeyKind::Secret => Vec::new(),
    })
}

/// The key that a request was proven with.
pub(super) fn key_of(
    context: &Context<'_>,
    snapshot: &Snapshot,
    proven: &Proven,
    id: &ForeignId,
) -> Result<HeldKey, Failure> {
    let kind = match proven {
        Proven::Native(caller) => {
            let device = caller.device().copied();
            return device
                .map(HeldKey::Device)
                .ok_or_else(|| Failure::internal("a native proof without a device"));
        }
        Proven::Foreign(caller) => match caller.foreign() {
            Foreign::HmacV1 | Foreign::HmacV2 => AgentKeyKind::Secret,
            Foreign::KeyServerV1 | Foreign::GuideV1 => {
                match snapshot.foreign(id).and_then(|bound| bound.device) {
                    Some(device) => return Ok(HeldKey::Device(device)),
                    None => AgentKeyKind::File,
                }
            }
        },
    };
    let keys = held(context, snapshot, id, kind);
    // It was there when the proof was verified.
    keys.and_then(|keys| {
        keys.into_iter()
            .next()
            .ok_or_else(|| Case::AgentUnknown.into())
    })
    .map_err(|refusal| refused(context, snapshot, proven, refusal))
}

/// The session of this text, if it is a live one of one of these ids, and what it was
/// started with.
pub(super) fn find_session(
    context: &Context<'_>,
    snapshot: &Snapshot,
    ids: &[ForeignId],
    text: &str,
) -> Result<(AgentSession, HeldKey), Refusal> {
    let sessions = crate::opening::session_keys(&context.open.vault);
    let session = AgentSession::open(sessions.as_ref(), text)?;
    let kind = session.key_kind()?;
    for id in ids {
        let keys = held(context, snapshot, id, kind)?;
        let its = keys.into_iter().find(|key| session.is_of(id, &key.mark()));
        if let Some(key) = its {
            session.check_end(context.input.now)?;
            return Ok((session, key));
        }
    }
    Err(Case::SessionForeign.into())
}

/// What a request says it is in, if it says so.
pub(super) fn session_text(context: &Context<'_>) -> Result<Option<String>, Refusal> {
    let mut lines = context.input.parts.headers.get_all(SESSION).iter();
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    if lines.next().is_some() {
        return Err(Case::ForeignDoubled.into());
    }
    let text = line.to_str().map_err(|_| Case::AgentSessionForm)?;
    Ok(Some(text.trim_ascii().to_owned()))
}

/// The ids that a request can be of.
fn ids_of(snapshot: &Snapshot, proven: &Proven) -> Vec<ForeignId> {
    match proven {
        Proven::Foreign(caller) => vec![caller.agent().clone()],
        Proven::Native(caller) => {
            let its = snapshot.foreign_of(caller.actor());
            its.map(|bound| bound.id.clone()).collect()
        }
    }
}

/// Whether the session that a proven request says it is in, if any, is a live one of
/// its agent.
pub(super) fn sent_session(context: &Context<'_>, proven: &Proven) -> Result<(), Refusal> {
    let Some(text) = session_text(context)? else {
        return Ok(());
    };
    let snapshot = context.open.directory.snapshot();
    let ids = ids_of(&snapshot, proven);
    find_session(context, &snapshot, &ids, &text).map(|_| ())
}

/// The same, where a refusal is recorded.
pub(super) fn check_session(context: &Context<'_>, proven: &Proven) -> Result<(), Failure> {
    let snapshot = context.open.directory.snapshot();
    sent_session(context, proven).map_err(|refusal| refused(context, &snapshot, proven, refusal))
}

/// Records the refusal of somebody who was proven.
pub(super) fn refused(
    context: &Context<'_>,
    snapshot: &Snapshot,
    proven: &Proven,
    refusal: Refusal,
) -> Failure {
    let (profile, refusal) = match proven {
        Proven::Native(caller) => (
            caller.profile().as_str(),
            Refusal {
                actor: Some(*caller.actor()),
                device: caller.device().copied(),
                ..refusal
            },
        ),
        Proven::Foreign(caller) => (
            caller.profile().as_str(),
            Refusal {
                actor: snapshot.foreign(caller.agent()).map(|bound| bound.actor),
                agent: Some(caller.agent().clone()),
                ..refusal
            },
        ),
    };
    let of = (context.app, context.open);
    refused_by(profile, of, snapshot, context.input, &refusal)
}
