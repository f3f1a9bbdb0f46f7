//! `/v1/namespaces/{ns}/services/{name}/verify` (`protocol.md` §3.4): a gate verifies
//! native proofs and sessions by itself, and asks here about the profiles of other
//! systems, whose keys and used proofs only the server has.

use crate::app::Open;
use crate::events_log::{AgentEvent, Happened, violation};
use crate::key_server::KeysNow;
use crate::problem::Failure;
use crate::rates::retry_after;
use crate::serve::{Context, Endpoint, Input, MAX_BODY, Reply};
use procura_authority::{Dialled, ServiceVerify};
use procura_directory::Snapshot;
use procura_policy::{Op as _, Permit};
use procura_proof::foreign::{Allowed, ForeignCaller, HmacV1, Shown, recognise};
use procura_proof::{Caller, Case, Headers, Refusal, RequestView};
use procura_record::Details;
use procura_types::Namespace;
use procura_types::wire::{
    self, BodyRead, ProofField, ProvenAgent, RefusedProof, VerifyAnswer, VerifyQuestion,
};

/// The fields of a question as `proof` reads them.
struct Lines<'a>(&'a [ProofField]);

impl Headers for Lines<'_> {
    fn for_each<'h>(&'h self, visit: &mut dyn FnMut(&'h str, &'h [u8])) {
        for field in self.0 {
            visit(&field.name, field.value.as_bytes());
        }
    }
}

pub(super) struct Verify;

impl Endpoint for Verify {
    type Op = ServiceVerify;
    type Body = wire::VerifyQuestion;
    type Answer = wire::VerifyAnswer;
    const SUMMARY: &'static str = "Tells the gate of a service whether a proof by a profile of another system is good, and uses it up";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/services/{name}/verify";
    const BODY: usize = MAX_BODY;

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let (namespace, name) = (input.param("ns")?, input.param("name")?);
        let dialled = Dialled::read(open.vault.store(), &namespace, &name)?;
        let question = input.json::<Self::Body>()?;
        Ok(ServiceVerify {
            namespace,
            name,
            gates: dialled.gates,
            hmac_v1: dialled.hmac_v1,
            body: question.body.decode()?,
            question,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let judged = judge(&context, permit.op()).await?;
        let answer = match judged {
            Ok(agent) => {
                if agent.profile == WEAK {
                    // It stands in the record that somebody was let in by next to nothing.
                    let details = Details {
                        with: Some(format!("weak:{WEAK} agent:{}", agent.agent_id)),
                        ..Details::default()
                    };
                    let origin = context.origin();
                    context
                        .open
                        .recorder
                        .record(permit, origin, details)
                        .await?;
                }
                VerifyAnswer::Proven(agent)
            }
            Err(refusal) => {
                refused(&context, permit.op(), &refusal);
                VerifyAnswer::Refused(RefusedProof {
                    reason: refusal.reason().as_str().to_owned(),
                    retry_after: refusal.retry_after.map(retry_after),
                })
            }
        };
        Reply::json::<Self::Answer>(&answer)
    }
}

/// The profile that protects next to nothing.
const WEAK: &str = procura_proof::foreign::Foreign::HmacV1.as_str();

/// Who made the request, or why that is refused.
async fn judge(
    context: &Context<'_>,
    op: &ServiceVerify,
) -> Result<Result<ProvenAgent, Refusal>, Failure> {
    let question = &op.question;
    let allowed = Allowed {
        hmac_v1: op
            .hmac_v1
            .map(|terms| HmacV1::new(terms.window_seconds(), terms.nonce_required()))
            .transpose()
            .map_err(Failure::internal)?,
    };
    let lines = Lines(&question.fields);
    let view = |body| RequestView {
        method: &question.method,
        authority: &question.authority,
        scheme: None,
        path: &question.path,
        query: question.query.as_deref(),
        headers: &lines,
        body,
    };
    let (app, open, now) = (context.app, context.open, context.input.now);
    let peer = question.peer.to_canonical();
    let directory = open.directory.snapshot();
    // What is looked at must not be held while the guard is asked.
    let pending = {
        let keys = match recognise(&lines) {
            Ok(Shown::Foreign(profile)) => KeysNow::of(profile, app, open, &directory, now),
            Ok(Shown::Native) | Err(_) => KeysNow::public(app, &directory, now),
        };
        let verifier = &open.foreign;
        match &op.body {
            BodyRead::Bytes(body) => verifier.prepare(&keys, &view(body), &allowed, now, peer),
            BodyRead::Sha256(hash) => {
                verifier.prepare_hashed(&keys, &view(&[]), *hash, &allowed, now, peer)
            }
        }
    };
    let proven = match pending {
        Ok(pending) => open.foreign.finish(pending).await,
        Err(refusal) => Err(refusal),
    };
    let placed = proven.and_then(|agent| place(&directory, &op.namespace, agent));
    Ok(placed.inspect(|_| app.metrics.accepted(profile(&lines))))
}

/// The agent with its place in the tree, if it has one. An id that is bound to nobody
/// is of the whole installation; one that is bound to an agent of another namespace
/// has no part in this one, as that agent has none.
fn place(
    directory: &Snapshot,
    namespace: &Namespace,
    agent: ForeignCaller,
) -> Result<ProvenAgent, Refusal> {
    let proven = ProvenAgent {
        agent_id: agent.agent().clone(),
        profile: agent.foreign().as_str().to_owned(),
        actor: None,
        owner: None,
        device: None,
    };
    let Some(bound) = directory.foreign(&proven.agent_id) else {
        return Ok(proven);
    };
    let is_here = directory
        .actor(&bound.actor)
        .is_some_and(|actor| actor.namespace() == Some(namespace));
    if !is_here {
        return Err(Refusal {
            agent: Some(proven.agent_id),
            ..Case::AgentUnknown.into()
        });
    }
    let caller = Caller::foreign(agent, directory)?;
    Ok(ProvenAgent {
        actor: Some(*caller.actor()),
        owner: Some(*caller.owner()),
        device: caller.device().copied(),
        ..proven
    })
}

/// The profile that a request shows, as far as one is asked about here.
fn profile(fields: &Lines<'_>) -> &'static str {
    match recognise(fields) {
        Ok(Shown::Foreign(profile)) => profile.as_str(),
        Ok(Shown::Native) | Err(_) => "none",
    }
}

/// Counts, records and tells of a proof that was refused.
fn refused(context: &Context<'_>, op: &ServiceVerify, refusal: &Refusal) {
    let (app, input) = (context.app, context.input);
    let VerifyQuestion { fields, peer, .. } = &op.question;
    let peer = peer.to_canonical();
    let reason = refusal.reason();
    app.metrics.refused(reason.as_str());
    context.open.recorder.refuse(procura_record::Refusal {
        action: ServiceVerify::ACTION.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        time: input.now,
        actor: refusal.actor,
        owner: None,
        device: refusal.device,
        token: None,
        namespace: Some(op.namespace.clone()),
        resource: Some(refusal.agent.as_ref().map_or_else(
            || op.resource().to_string(),
            |agent| format!("foreign/{agent}"),
        )),
        profile: profile(&Lines(fields)),
        ip: Some(peer),
        trace: input.trace,
    });
    // The address is that of whoever asked the gate.
    let event = AgentEvent::new(Happened::AuthViolation, input).at(peer);
    match &refusal.agent {
        Some(agent) => violation(app, event.agent(agent.as_str()), reason),
        None => violation(app, event, reason),
    }
}
