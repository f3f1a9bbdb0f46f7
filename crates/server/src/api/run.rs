//! `/v1/namespaces/{ns}/projects/{name}/runs`: the main job.

use crate::app::Open;
use crate::attested::attesting;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply, permitted, turned_away};
use http::StatusCode;
use procura_authority::{
    AuthorityError, Handed, Matched, RequestCreate, RunDeliver, RunEnd, RunQuery,
};
use procura_policy::{Concerned, Denied, DenyReason, Op, Permit, Resource};
use procura_proof::Caller;
use procura_record::{Origin, Recorded};
use procura_types::wire::{self, RunPending, RunRequest, RunValue, RunValues, ValueB64};
use procura_types::{Delivery, EnvName, Malformed, Namespace, ProjectName, RunId, Timestamp};
use procura_vault::{Released, Releases, VaultError, Wanted};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// A run with all that was found out about it before it was decided on.
pub(crate) struct Run {
    deliver: RunDeliver,
    matched: Matched,
}

impl Op for Run {
    const ACTION: procura_policy::Action = RunDeliver::ACTION;
    fn resource(&self) -> Resource {
        self.deliver.resource()
    }
    fn concerned(&self) -> Concerned<'_> {
        self.deliver.concerned()
    }
}

impl Releases for Run {
    fn wanted(&self) -> Vec<Wanted<'_>> {
        self.deliver.wanted()
    }
}

/// All the values of a hand-over that is recorded. What keeps one of them from being had
/// keeps all, and is recorded.
pub(crate) async fn handed_of<'r, O: Releases>(
    open: &Open,
    recorded: &'r Recorded<O>,
    now: Timestamp,
    hand: impl FnOnce(&'r O, Vec<Released>) -> Result<Vec<Handed<'r>>, AuthorityError>,
) -> Result<Vec<Handed<'r>>, Failure> {
    let released = match open.vault.release(recorded, now) {
        Ok(released) => released,
        Err(error) => {
            open.recorder.failed(recorded, "value_unreadable").await?;
            return Err(match error {
                VaultError::NotFound(path) => Failure::new(
                    Code::ValueMissing,
                    format!("{path} cannot be read any more; nothing was delivered."),
                ),
                other => other.into(),
            });
        }
    };
    match hand(recorded.op(), released) {
        Ok(handed) => Ok(handed),
        Err(error) => {
            open.recorder.failed(recorded, "not_rendered").await?;
            Err(error.into())
        }
    }
}

/// The same by name, and how long they are in the answer.
pub(super) async fn values_of<O: Releases>(
    open: &Open,
    recorded: &Recorded<O>,
    now: Timestamp,
    hand: impl for<'a> FnOnce(&'a O, Vec<Released>) -> Result<Vec<Handed<'a>>, AuthorityError>,
) -> Result<(BTreeMap<EnvName, RunValue>, usize), Failure> {
    let handed = handed_of(open, recorded, now, hand).await?;
    let values: BTreeMap<_, RunValue> = handed
        .into_iter()
        .map(|handed| {
            let value = RunValue {
                path: handed.item.path.clone(),
                version: handed.version,
                value_b64: ValueB64::encode(handed.value.expose()),
            };
            (handed.item.name.clone(), value)
        })
        .collect();
    let length = values.values().map(|value| value.value_b64.len()).sum();
    Ok((values, length))
}

pub(super) struct Deliver;

impl Endpoint for Deliver {
    type Op = Run;
    type Body = wire::RunRequest;
    type Answer = wire::RunAnswer;
    const SUMMARY: &'static str =
        "Asks for the values of a project: 200 with values, 202 with the request that waits";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}/runs";

    fn parse(open: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let RunRequest {
            names,
            delivery,
            caller: report,
        } = input.json::<Self::Body>()?;
        if !delivery.is_of_a_run() {
            // A grant for another way does not open this one, nor may one be asked for.
            return Err(Malformed::new("delivery", "must be env, file or stdin").into());
        }
        if delivery == Delivery::Stdin && names.len() != 1 {
            return Err(Malformed::new("names", "must be one name when delivery is stdin").into());
        }
        let query = RunQuery {
            namespace: input.param("ns")?,
            project: input.param("name")?,
            names,
            delivery,
            report,
            attesting: attesting(open, caller, input.now),
        };
        let matched = Matched::resolve(
            &open.vault,
            &open.directory.snapshot(),
            caller.actor(),
            query,
            input.now,
        )?;
        let run = RunId::generate(input.now, open.recorder.entropy()).map_err(Failure::internal)?;
        Ok(Run {
            deliver: matched.deliver(run),
            matched,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let now = context.input.now;
        let op = permit.op();
        let origin = Origin {
            report: op.matched.report().cloned(),
            ..context.origin()
        };
        let details = op.deliver.details();
        // Intent and the row of the run are durable when this returns; only then
        // are values opened.
        let recorded = open
            .recorder
            .record_with(permit, origin, details, |permit, rows| {
                permit
                    .op()
                    .deliver
                    .put(permit.basis(), permit.caller().device(), rows, now)
            })
            .await?;
        let (values, length) = values_of(open, &recorded, now, |op, released| {
            op.deliver.hand(released)
        })
        .await?;
        let op = recorded.op();
        tell_unfound(&context, op.matched.unmatched());
        let answer = RunValues {
            run: op.deliver.run(),
            grant: RunDeliver::grant(recorded.permit().basis())?,
            values,
            unmatched: op.matched.unmatched().to_vec(),
        };
        Reply::secret(&answer, length)
    }

    /// Without a covering grant the run becomes a request, which a person answers.
    async fn denied(
        context: Context<'_>,
        denied: Denied,
        caller: Caller,
        op: Self::Op,
    ) -> Result<Reply, Failure> {
        if denied.reason != DenyReason::NoGrant {
            return Err(turned_away(&context, &caller, &op, denied));
        }
        let open = context.open;
        let now = context.input.now;
        let (asked, unmatched) = (op.matched.items().to_vec(), op.matched.unmatched().to_vec());
        tell_unfound(&context, &unmatched);
        let origin = Origin {
            report: op.matched.report().cloned(),
            ..context.origin()
        };
        let ask: RequestCreate = op.matched.ask();
        let snapshot = open.directory.snapshot();
        let permit = permitted(&context, &snapshot, caller, ask)?;
        let request = match RequestCreate::waiting(&permit, open.vault.store(), now)? {
            Some(waiting) => waiting,
            None => {
                open.recorder
                    .change(permit, &origin, |batch| {
                        RequestCreate::run(batch, now, context.app.entropy.as_ref())
                    })
                    .await?
            }
        };
        Reply::with_status(
            StatusCode::ACCEPTED,
            &RunPending {
                request,
                asked,
                unmatched,
            },
        )
    }
}

/// Says whether something that was asked for was not there.
fn tell_unfound(context: &Context<'_>, unmatched: &[wire::Unmatched]) {
    if !unmatched.is_empty() {
        let unfound = &context.input.progress.unfound;
        unfound.store(true, Ordering::Relaxed);
    }
}

pub(super) struct End;

impl Endpoint for End {
    type Op = RunEnd;
    type Body = wire::RunEnd;
    type Answer = ();
    const SUMMARY: &'static str = "Reports that the process of a run ended";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/projects/{name}/runs/{run}/end";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let (namespace, project): (Namespace, ProjectName) =
            (input.param("ns")?, input.param("name")?);
        RunEnd::resolve(
            open.vault.store(),
            &namespace,
            &project,
            input.param("run")?,
        )?
        .ok_or_else(|| Failure::new(Code::NotFound, "There is no such run, or it is not yours."))
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| RunEnd::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}
