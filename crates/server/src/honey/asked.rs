//! What a request asks for, as far as it may be a decoy, and who asks.

use crate::input::Input;
use procura_authority::HoneyQuery;
use procura_directory::{Snapshot, Suspect};
use procura_proof::foreign::Foreign;
use procura_proof::{Caller, Profile};
use procura_types::{ActorId, Delivery, Namespace, ProjectName, SecretPath, Timestamp, TraceId};
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
    Names(HoneyQuery),
}

/// A request that may have touched a decoy.
pub(super) struct Missed {
    pub(super) who: Who,
    pub(super) how: &'static str,
    pub(super) asked: Asked,
    pub(super) time: Timestamp,
    pub(super) ip: Option<IpAddr>,
    pub(super) trace: TraceId,
}

/// The secret that a request is about, by its path.
pub(super) fn path_asked(input: &Input) -> Option<(Namespace, SecretPath)> {
    Some((input.param("ns").ok()?, input.param("path").ok()?))
}

/// The names that a request asks a project for.
#[derive(Deserialize)]
struct Names {
    #[serde(default)]
    names: Vec<String>,
    delivery: Option<Delivery>,
}

pub(super) fn names_asked(input: &Input) -> Option<HoneyQuery> {
    let last = input.parts.uri.path().rsplit('/').next()?;
    if !matches!(last, "runs" | "tokens" | "values") || input.parts.method != http::Method::POST {
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
    })
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
