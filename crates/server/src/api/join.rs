//! `/v1/join`: the way in for a device with a link code; without one it is `crate::oauth`.

use crate::app::{App, Open};
use crate::events_log::{AgentEvent, Happened, agent_event};
use crate::framed::framed;
use crate::problem::Failure;
use crate::proving::{not_by_browser, refused};
use crate::serve::{Arrived, Input, Reply, SMALL_BODY, denial, natively, read};
use crate::server_id;
use axum::Router;
use axum::extract::{Request, State};
use axum::routing::post;
use procura_directory::{ActorKind, Snapshot};
use procura_identity::{DeviceJoin, IdentityError, Join, Joined, OperatorJoin};
use procura_policy::{Op, authorize};
use procura_proof::{Caller, Joining, Profile, verify_join};
use procura_record::{ChangeError, Origin, RecordedBatch, Refusal};
use procura_types::wire::{JoinAnswer, JoinRequest};
use procura_types::{ActorId, FieldTuple, Timestamp};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Joining has no device yet to prove itself, so it does not go through the
/// adapter; order and record are the same: prove, decide, record, run.
pub(super) fn route(router: Router<Arc<App>>) -> Router<Arc<App>> {
    let handler = |State(app): State<Arc<App>>, request: Request| {
        framed(app, "device.join", request, handle, natively)
    };
    router.route("/v1/join", post(handler))
}

async fn handle(app: Arc<App>, arrived: Arrived) -> Result<Reply, Failure> {
    let open = app.open()?;
    let input = read(&app, arrived, SMALL_BODY).await?;
    join(&app, &open, &input).await
}

async fn join(app: &App, open: &Open, input: &Input) -> Result<Reply, Failure> {
    not_by_browser(app, open, input)?;
    let request: JoinRequest = input.json()?;
    let snapshot = open.directory.snapshot();
    let server = server_id(&open.vault);
    let peer = input.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (joining, caller) = verify_join(&request, &server, &snapshot, input.now, peer)
        .map_err(|refusal| refused(app, open, &snapshot, input, &refusal))?;
    let agent = is_agent(&snapshot, joining.actor()).then(|| joining.actor().to_string());
    let tell = |what| {
        if let Some(agent) = &agent {
            agent_event(app, AgentEvent::new(what, input).agent(agent));
        }
    };
    tell(Happened::EnrollStarted);
    let opened = Join::resolve(open.vault.store(), &snapshot, &joining, input.now);
    let begun = &input.progress.begun;
    begun.store(opened.is_ok(), Ordering::Relaxed);
    let joined = match opened {
        Ok(Join::Device(op)) => bind(open, input, caller, op, DeviceJoin::run).await?,
        Ok(Join::Operator(op)) => bind(open, input, caller, op, OperatorJoin::run).await?,
        Err(error) => Err(error),
    };
    let joined = joined.map_err(|error| note(open, input, &joining, error))?;
    tell(Happened::EnrollCompleted);
    let ledger_vkey = open.vault.installation().ledger_vkey;
    let message = FieldTuple::new("procura.join.answer.v1")
        .bytes(server.as_bytes())
        .bytes(joining.code_sha256())
        .bytes(joined.actor.as_bytes())
        .bytes(joined.device.as_bytes())
        .text(&ledger_vkey);
    let server_signature = open
        .vault
        .server_key()
        .sign(message.as_bytes())
        .map_err(Failure::internal)?;
    Reply::json(&JoinAnswer {
        actor: joined.actor,
        name: joined.name,
        label: joined.label,
        device: joined.device,
        owner: joined.owner,
        server_key: open.vault.server_key().public().to_jwk(),
        namespace: joined.namespace,
        ledger_vkey,
        server_signature,
    })
}

/// People are no agents, and what they do stands in the record only.
fn is_agent(snapshot: &Snapshot, actor: &ActorId) -> bool {
    let actor = snapshot.actor(actor);
    actor.is_some_and(|actor| matches!(actor.kind, ActorKind::Agent { .. }))
}

async fn bind<O: Op>(
    open: &Open,
    input: &Input,
    caller: Caller,
    op: O,
    run: fn(&mut RecordedBatch<'_, O>, Timestamp) -> Result<Joined, IdentityError>,
) -> Result<Result<Joined, IdentityError>, Failure> {
    let snapshot = open.directory.snapshot();
    let permit = authorize(open.recorder.decider(), &snapshot, caller, op, input.now)
        .map_err(|(denied, _, _)| denial(denied))?;
    let now = input.now;
    match open
        .recorder
        .change(permit, &Origin::new(input.trace), |batch| run(batch, now))
        .await
    {
        Ok(joined) => Ok(Ok(joined)),
        Err(ChangeError::Domain(error)) => Ok(Err(error)),
        Err(ChangeError::Record(error)) => Err(error.into()),
    }
}

/// A code that does not let a device in stands in the record.
fn note(open: &Open, input: &Input, joining: &Joining, error: IdentityError) -> Failure {
    if let IdentityError::Join(refusal) = &error {
        open.recorder.refuse(Refusal {
            actor: Some(*joining.actor()),
            device: Some(joining.device()),
            resource: Some(format!("device/{}", joining.device())),
            ip: input.peer,
            ..Refusal::of_nobody(
                "device.join",
                refusal.as_str(),
                input.now,
                Profile::Join.as_str(),
                input.trace,
            )
        });
    }
    error.into()
}
