//! `/v1/events`: what happens, as it happens (`protocol.md` §9, ADR 18).

use super::event_stream::{Follower, Until};
use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use axum::body::Body;
use http::HeaderMap;
use procura_directory::Snapshot;
use procura_policy::{Action, Concerned, Op, Permit, Question, Resource};
use procura_proof::Caller;
use procura_types::ActorId;
use procura_types::wire::EVENT_STREAM;
use serde::Deserialize;
use std::sync::Arc;

/// The id of the last event that a client has (HTML Living Standard §9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// Follows what happens.
pub(crate) struct EventsFollow {
    /// What lets the caller follow at all: for as long as it does, the stream goes on.
    /// What of all it sees is decided event by event.
    scope: Resource,
    /// The caller, if it is an agent, which may always see what concerns itself.
    own: Option<ActorId>,
    /// The entry whose event is the last known.
    after: Option<u64>,
    /// Whether to wait for more when all was told.
    follow: bool,
}

impl Op for EventsFollow {
    const ACTION: Action = Action::EventsRead;
    fn resource(&self) -> Resource {
        self.scope.clone()
    }
    fn concerned(&self) -> Concerned<'_> {
        Concerned {
            own: self.own.as_ref(),
            ..Concerned::default()
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    after: Option<u64>,
    follow: Option<bool>,
}

pub(super) struct Follow;

impl Endpoint for Follow {
    type Op = EventsFollow;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Tells what happens as it happens, as server-sent events";
    const QUERY: &'static [&'static str] = &["after", "follow"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/events";

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let EventsQuery { after, follow } = input.query()?;
        let after = match (after, last_event_id(&input.parts.headers)?) {
            (Some(_), Some(_)) => {
                return Err(malformed(
                    "The last event is named by the query or by Last-Event-ID.",
                ));
            }
            (query, header) => query.or(header),
        };
        let snapshot = open.directory.snapshot();
        let actor = snapshot.actor(caller.actor());
        let (scope, own) = match actor.and_then(|actor| actor.namespace()) {
            Some(namespace) => (
                Resource::Namespace(namespace.clone()),
                Some(*caller.actor()),
            ),
            None => (scope(open, &snapshot, input, caller), None),
        };
        Ok(EventsFollow {
            scope,
            own,
            after,
            follow: follow.unwrap_or(true),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (after, follow) = (permit.op().after, permit.op().follow);
        let notices = &context.open.notices;
        let place = match after {
            Some(last) => last.saturating_add(1),
            // Who does not wait asks for what there is.
            None if follow => notices.place(),
            None => notices.first(),
        };
        let until = if follow {
            Until::Over
        } else {
            Until::AllIsTold
        };
        let follower = Follower::new(&context, permit, place, until);
        let version = context.input.parts.version;
        Ok(Reply::stream(EVENT_STREAM, version, Body::new(follower)))
    }
}

/// The installation if the operator may follow that, else the first namespace that they
/// may follow. If there is none, the refusal is about the installation.
pub(crate) fn scope(
    open: &Open,
    snapshot: &Arc<Snapshot>,
    input: &Input,
    caller: &Caller,
) -> Resource {
    let may = |resource: &Resource| {
        let question = Question {
            caller,
            action: Action::EventsRead,
            resource,
            concerned: Concerned::default(),
            now: input.now,
        };
        open.recorder.decider().decide(snapshot, &question).is_ok()
    };
    if may(&Resource::Installation) {
        return Resource::Installation;
    }
    let mut names: Vec<_> = snapshot
        .namespaces()
        .map(|namespace| namespace.name.clone())
        .collect();
    names.sort();
    names
        .into_iter()
        .map(Resource::Namespace)
        .find(may)
        .unwrap_or(Resource::Installation)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Failure> {
    let mut fields = headers.get_all(LAST_EVENT_ID).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    let id = field.to_str().ok().filter(|_| fields.next().is_none());
    // Browsers send it empty when they have seen none.
    match id {
        Some("") => Ok(None),
        Some(id) => id
            .parse()
            .map(Some)
            .map_err(|_| malformed("The Last-Event-ID is not the id of an event.")),
        None => Err(malformed("There must be at most one Last-Event-ID field.")),
    }
}

fn malformed(detail: &str) -> Failure {
    let mut failure = Failure::new(Code::Malformed, detail);
    failure.field = Some(LAST_EVENT_ID);
    failure
}
