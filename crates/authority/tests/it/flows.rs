//! Asking, answering and running, as the server goes these ways.

use crate::world::{Actor, Failure, World, change, origin, project, shop};
use procura_authority::{
    Attesting, AuthorityError, GrantWithdraw, Matched, RequestApprove, RequestCreate, RequestDeny,
    RequestRead, RunDeliver, RunQuery, Yes,
};
use procura_crypto::SystemEntropy;
use procura_ledger::{GrantTerms, grant_bytes, receipt_message};
use procura_policy::{DenyReason, Permit};
use procura_record::{ChangeError, Origin, RecordError};
use procura_store::Batch;
use procura_types::wire::{AccessRequest, CallerReport, Grant};
use procura_types::{Delivery, Duration, GrantId, RequestId, RunId, Timestamp};

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// Names with their values.
    Values {
        run: RunId,
        grant: GrantId,
        values: Vec<(String, String)>,
    },
    Pending(RequestId),
}

impl Ran {
    pub(crate) fn pending(self) -> RequestId {
        match self {
            Self::Pending(id) => id,
            Self::Values { .. } => panic!("not pending"),
        }
    }
    pub(crate) fn values(self) -> Vec<(String, String)> {
        match self {
            Self::Values { values, .. } => values,
            Self::Pending(_) => panic!("pending"),
        }
    }
    pub(crate) fn run(&self) -> RunId {
        match self {
            Self::Values { run, .. } => *run,
            Self::Pending(_) => panic!("pending"),
        }
    }
}

/// The terms that an approver chooses.
#[derive(Clone)]
pub(crate) struct Terms {
    pub(crate) names: Option<Vec<&'static str>>,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

impl World {
    pub(crate) fn resolve(
        &self,
        agent: &Actor,
        name: &str,
        names: &[&str],
    ) -> Result<Matched, AuthorityError> {
        self.resolve_with(agent, name, names, None)
    }

    fn resolve_with(
        &self,
        agent: &Actor,
        name: &str,
        names: &[&str],
        report: Option<CallerReport>,
    ) -> Result<Matched, AuthorityError> {
        let query = RunQuery {
            namespace: shop(),
            project: project(name),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            delivery: Delivery::Env,
            report,
            attesting: Attesting::With(None),
        };
        Matched::resolve(&self.vault, &self.snapshot(), &agent.id, query, self.now())
    }

    /// The whole way of a run, as the server goes it.
    pub(crate) async fn run(
        &self,
        agent: &Actor,
        name: &str,
        names: &[&str],
    ) -> Result<Ran, Failure> {
        self.go(
            agent,
            self.resolve(agent, name, names).map_err(Failure::Domain)?,
        )
        .await
    }

    /// A run for the whole mapping with the longest report that there can be.
    pub(crate) async fn run_from_everywhere(
        &self,
        agent: &Actor,
        name: &str,
    ) -> Result<Ran, Failure> {
        let text = Some("\"".repeat(10_000));
        let report = CallerReport {
            pid: Some(u32::MAX),
            exe_sha256: text.clone(),
            argv_sha256: text.clone(),
            cwd: text.clone(),
            git: text.clone(),
            host: text.clone(),
            os: text,
            traced: Some(true),
            danger_same_uid: Some(true),
        };
        self.go(
            agent,
            self.resolve_with(agent, name, &[], Some(report))
                .map_err(Failure::Domain)?,
        )
        .await
    }

    async fn go(&self, agent: &Actor, matched: Matched) -> Result<Ran, Failure> {
        let origin = Origin {
            report: matched.report().cloned(),
            ..origin()
        };
        let run = RunId::generate(self.now(), &SystemEntropy).unwrap();
        match self.permit(agent, matched.deliver(run)) {
            Ok(permit) => self.deliver_from(permit, origin).await,
            Err(DenyReason::NoGrant) => {
                let permit = self.permit(agent, matched.ask()).map_err(Failure::Denied)?;
                if let Some(id) = RequestCreate::waiting(&permit, self.store(), self.now()).unwrap()
                {
                    return Ok(Ran::Pending(id));
                }
                self.ask(permit).await.map(Ran::Pending)
            }
            Err(reason) => Err(Failure::Denied(reason)),
        }
    }

    pub(crate) async fn ask(&self, permit: Permit<RequestCreate>) -> Result<RequestId, Failure> {
        change(&self.recorder, permit, |batch| {
            RequestCreate::run(batch, self.now(), &SystemEntropy)
        })
        .await
    }

    pub(crate) async fn deliver(&self, permit: Permit<RunDeliver>) -> Result<Ran, Failure> {
        self.deliver_from(permit, origin()).await
    }

    async fn deliver_from(
        &self,
        permit: Permit<RunDeliver>,
        origin: Origin,
    ) -> Result<Ran, Failure> {
        let details = permit.op().details();
        let put = |permit: &Permit<RunDeliver>, rows: &mut Batch| {
            permit
                .op()
                .put(permit.basis(), permit.caller().device(), rows, self.now())
        };
        let recorded = match self
            .recorder
            .record_with(permit, origin, details, put)
            .await
        {
            Ok(recorded) => recorded,
            Err(ChangeError::Domain(error)) => return Err(Failure::Domain(error)),
            Err(ChangeError::Record(RecordError::Denied(denied))) => {
                return Err(Failure::Denied(denied.reason));
            }
            Err(ChangeError::Record(error)) => panic!("not recorded: {error}"),
        };
        let released = self.vault.release(&recorded, self.now()).unwrap();
        let values = recorded
            .op()
            .items()
            .iter()
            .zip(released)
            .map(|(item, released)| {
                let value = String::from_utf8(released.value.expose().clone()).unwrap();
                (item.name.to_string(), value)
            })
            .collect();
        let grant = RunDeliver::grant(recorded.permit().basis()).unwrap();
        Ok(Ran::Values {
            run: recorded.op().run(),
            grant,
            values,
        })
    }

    pub(crate) fn request(&self, id: RequestId) -> AccessRequest {
        let op = RequestRead {
            namespace: shop(),
            id,
            agent: None,
        };
        let permit = self.permit(&self.alice, op).ok().unwrap();
        RequestRead::run(&permit, &self.snapshot(), self.store(), self.now()).unwrap()
    }

    /// All that was asked for, for a day from now.
    pub(crate) fn terms(&self) -> Terms {
        let from = self.now();
        Terms {
            names: None,
            from,
            until: from.plus(Duration::from_secs(24 * 60 * 60)),
        }
    }

    /// The message that an approver signs for these terms of a request.
    pub(crate) fn message(&self, id: RequestId, terms: &Terms) -> Vec<u8> {
        let request = self.request(id);
        let items = request
            .items
            .into_iter()
            .filter(|item| {
                terms
                    .names
                    .as_ref()
                    .is_none_or(|names| names.contains(&item.name.as_str()))
            })
            .collect();
        receipt_message(&grant_bytes(&GrantTerms {
            installation: self.installation,
            grant: GrantId::from_bytes(*id.as_bytes()),
            namespace: request.namespace,
            agent: request.agent,
            project: request.project,
            delivery: request.delivery,
            from: terms.from,
            until: terms.until,
            items,
        }))
    }

    pub(crate) async fn approve(
        &self,
        approver: &Actor,
        id: RequestId,
        terms: &Terms,
    ) -> Result<Grant, Failure> {
        let signature = approver.key.sign(&self.message(id, terms)).unwrap();
        self.approve_signed(approver, id, terms, signature).await
    }

    pub(crate) async fn approve_signed(
        &self,
        approver: &Actor,
        id: RequestId,
        terms: &Terms,
        signature: Vec<u8>,
    ) -> Result<Grant, Failure> {
        let names = terms.names.as_ref();
        let op = RequestApprove {
            namespace: shop(),
            id,
            names: names.map(|names| names.iter().map(|name| name.parse().unwrap()).collect()),
            from: terms.from,
            until: terms.until,
            yes: Yes::Device(signature),
        };
        self.act(approver, op, |batch| {
            RequestApprove::run(batch, &self.installation, self.now())
        })
        .await
    }

    pub(crate) async fn deny(&self, approver: &Actor, id: RequestId) -> Result<(), Failure> {
        let op = RequestDeny {
            namespace: shop(),
            id,
        };
        self.act(approver, op, |batch| RequestDeny::run(batch, self.now()))
            .await
    }

    pub(crate) async fn withdraw(&self, id: GrantId) -> Result<Grant, Failure> {
        let op = GrantWithdraw {
            namespace: shop(),
            id,
        };
        self.act(&self.alice, op, |batch| {
            GrantWithdraw::run(batch, self.now())
        })
        .await
    }
}
