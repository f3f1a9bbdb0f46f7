//! What a request asks for, as far as it may be a decoy, and who asks.

use crate::input::Input;
use procura_authority::{HoneyQuery, MAX_NAMES};
use procura_directory::{Snapshot, Suspect};
use procura_policy::Action;
use procura_proof::foreign::Foreign;
use procura_proof::{Caller, Profile};
use procura_types::{
    ActorId, CanaryId, Delivery, EnvName, Namespace, ProjectName, SecretPath, Timestamp, TraceId,
};
use procura_vault::{MissedAsk, MissedKey, MissedRow};
use serde::Deserialize;
use std::net::IpAddr;

/// Who asked, as far as a touch needs it.
#[derive(Clone)]
pub(crate) struct Who {
    pub(super) suspect: Suspect,
    pub(super) actor: ActorId,
    pub(super) profile: &'static str,
    pub(super) session: Option<[u8; 16]>,
}

impl Who {
    /// Of a caller whose proof is evidence of something.
    pub(crate) fn of(caller: &Caller) -> Option<Self> {
        let weak = matches!(caller.profile(), Profile::Foreign(profile) if profile.is_weak());
        let suspect = Suspect::of(caller.device(), caller.foreign_id());
        Some(Self {
            suspect: suspect.filter(|_| !weak)?,
            actor: *caller.actor(),
            profile: caller.profile().as_str(),
            session: caller.session().copied(),
        })
    }

    /// Of a proof that was good, but for the quarantine of what made it.
    pub(super) fn of_held(refusal: &procura_proof::Refusal, profile: &'static str) -> Option<Self> {
        Some(Self {
            suspect: Suspect::of(refusal.device.as_ref(), refusal.agent.as_ref())?,
            actor: refusal.actor?,
            // A native proof is refused before it is said which one it is.
            profile: match profile {
                "none" => Profile::Native.as_str(),
                foreign => foreign,
            },
            session: None,
        })
        .filter(|_| profile != Foreign::HmacV1.as_str())
    }
}

/// Something that was asked for.
#[derive(Clone)]
pub(super) enum Asked {
    Path(Namespace, SecretPath),
    Decoy(CanaryId),
    Names(HoneyQuery),
}

/// A request that may have touched a decoy.
#[derive(Clone)]
pub(super) struct Missed {
    pub(super) who: Who,
    pub(super) how: &'static str,
    pub(super) asked: Asked,
    pub(super) time: Timestamp,
    /// The sequence of the directory when it was asked. Where that is not known it counts as
    /// asked now, whoever was let out meanwhile.
    pub(super) seq: Option<u64>,
    pub(super) ip: Option<IpAddr>,
    pub(super) trace: TraceId,
    /// What is kept of it until it was looked at.
    pub(super) kept: Option<MissedKey>,
}

impl Missed {
    /// Asked when the directory was at `seq`.
    pub(super) fn new(who: Who, how: Action, asked: Asked, seq: u64, input: &Input) -> Self {
        Self {
            who,
            how: how.as_str(),
            asked,
            time: input.now,
            seq: Some(seq),
            ip: input.peer,
            trace: input.trace,
            kept: None,
        }
    }

    /// As it is kept.
    pub(super) fn row(&self) -> MissedRow {
        let Who {
            suspect,
            actor,
            profile,
            session,
        } = self.who.clone();
        MissedRow {
            suspect,
            actor,
            profile: profile.to_owned(),
            session,
            how: self.how.to_owned(),
            asked: match self.asked.clone() {
                Asked::Path(namespace, path) => MissedAsk::Path(namespace, path),
                Asked::Decoy(canary) => MissedAsk::Decoy(canary),
                Asked::Names(query) => MissedAsk::Names {
                    namespace: query.namespace,
                    project: query.project,
                    names: query.names,
                    delivery: query.delivery,
                    refused: query.refused,
                },
            },
            time: self.time,
            seq: self.seq,
            ip: self.ip,
            trace: self.trace,
        }
    }

    /// From what was kept; none of what this program does not know.
    pub(super) fn of(kept: MissedKey, row: MissedRow) -> Option<Self> {
        let others = [Profile::Native, Profile::Session, Profile::Legacy];
        let foreign = Foreign::ALL.into_iter().map(Profile::Foreign);
        let mut profiles = others.into_iter().chain(foreign).map(Profile::as_str);
        let mut actions = Action::ALL.iter().map(|action| action.as_str());
        Some(Self {
            who: Who {
                suspect: row.suspect,
                actor: row.actor,
                profile: profiles.find(|word| *word == row.profile)?,
                session: row.session,
            },
            how: actions.find(|word| *word == row.how)?,
            asked: match row.asked {
                MissedAsk::Path(namespace, path) => Asked::Path(namespace, path),
                MissedAsk::Decoy(canary) => Asked::Decoy(canary),
                MissedAsk::Names {
                    namespace,
                    project,
                    names,
                    delivery,
                    refused,
                } => Asked::Names(HoneyQuery {
                    namespace,
                    project,
                    names,
                    delivery,
                    refused,
                }),
            },
            time: row.time,
            seq: row.seq,
            ip: row.ip,
            trace: row.trace,
            kept: Some(kept),
        })
    }
}

/// The secret that a request is about, by its path.
pub(super) fn path_asked(input: &Input) -> Option<(Namespace, SecretPath)> {
    Some((input.param("ns").ok()?, input.param("path").ok()?))
}

/// The names that a request asks a project for. The use of a project token is none: what
/// it opens was a secret when it was issued, and it looks for nothing else.
#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    names: Vec<String>,
    delivery: Option<Delivery>,
}

pub(super) fn names_asked(input: &Input) -> Option<HoneyQuery> {
    let last = input.parts.uri.path().rsplit('/').next()?;
    if !matches!(last, "runs" | "tokens") || input.parts.method != http::Method::POST {
        return None;
    }
    let namespace = input.param("ns").ok()?;
    let project: ProjectName = input.param("name").ok()?;
    let Names { names, delivery } = input.object().ok()?;
    Some(HoneyQuery {
        namespace,
        project,
        names,
        delivery: delivery.unwrap_or(Delivery::Env),
        refused: false,
    })
}

/// What of these names is looked for: what is no name finds nothing, and of too many none
/// is looked for.
pub(super) fn looked_for(input: &Input) -> Option<HoneyQuery> {
    let mut query = names_asked(input)?;
    let all = query.names.is_empty();
    if query.names.len() > MAX_NAMES {
        return None;
    }
    query.names.retain(|name| name.parse::<EnvName>().is_ok());
    (all || !query.names.is_empty()).then_some(query)
}

/// The key of an agent's namespace that a path of another system's shape names.
pub(super) fn key_asked(
    snapshot: &Snapshot,
    actor: &ActorId,
    path: &str,
) -> Option<(Namespace, SecretPath)> {
    let path = path.strip_prefix("/keys/")?.parse().ok()?;
    let namespace = snapshot.actor(actor)?.namespace()?.clone();
    Some((namespace, path))
}
