//! `/v1/namespaces/{ns}/policies`: which policies there are, and which of them count; and
//! `/v1/policies`, those of the installation.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, MAX_BODY, Reply};
use http::StatusCode;
use procura_cedar::{
    PolicyExplaining, PolicyListing, PolicyPut, PolicyReading, PolicyReporting, PolicyRollback,
    PolicyStateSet, explain,
};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, PolicyQuestion, PolicyStatePut};
use procura_types::{Malformed, Namespace, Scope};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

/// Whose policies a call is about.
pub(super) trait Whose: Send + Sync + 'static {
    const ALL: &'static str;
    const ONE: &'static str;
    const STATE: &'static str;
    const ROLLBACK: &'static str;
    const EXPLAIN: &'static str;
    const REPORT: &'static str;
    fn namespace(input: &Input) -> Result<Option<Namespace>, Failure>;
}

/// Those of a namespace.
pub(super) struct OfNamespace;

impl Whose for OfNamespace {
    const ALL: &'static str = "/v1/namespaces/{ns}/policies";
    const ONE: &'static str = "/v1/namespaces/{ns}/policies/{version}";
    const STATE: &'static str = "/v1/namespaces/{ns}/policies/{version}/state";
    const ROLLBACK: &'static str = "/v1/namespaces/{ns}/policies/{version}/rollback";
    const EXPLAIN: &'static str = "/v1/namespaces/{ns}/policies/explain";
    const REPORT: &'static str = "/v1/namespaces/{ns}/policies/report";
    fn namespace(input: &Input) -> Result<Option<Namespace>, Failure> {
        input.param("ns").map(Some)
    }
}

/// Those of the installation.
pub(super) struct OfInstallation;

impl Whose for OfInstallation {
    const ALL: &'static str = "/v1/policies";
    const ONE: &'static str = "/v1/policies/{version}";
    const STATE: &'static str = "/v1/policies/{version}/state";
    const ROLLBACK: &'static str = "/v1/policies/{version}/rollback";
    const EXPLAIN: &'static str = "/v1/policies/explain";
    const REPORT: &'static str = "/v1/policies/report";
    fn namespace(_: &Input) -> Result<Option<Namespace>, Failure> {
        Ok(None)
    }
}

/// The number of a version, in a path.
struct Number(u32);

impl FromStr for Number {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.parse::<u32>()
            .ok()
            .filter(|number| *number > 0 && number.to_string() == text)
            .map(Self)
            .ok_or(Malformed::new("version", "is a whole number from 1"))
    }
}

fn number(input: &Input) -> Result<u32, Failure> {
    input.param("version").map(|Number(number)| number)
}

/// Work that takes a while, where nobody else waits for it.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(Failure::internal)
}

pub(super) struct List<W>(PhantomData<W>);

impl<W: Whose> Endpoint for List<W> {
    type Op = PolicyListing;
    type Body = ();
    type Answer = wire::PolicyVersionList;
    const SUMMARY: &'static str = "Lists the versions of policies, and which of them counts";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = W::ALL;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(PolicyListing {
            namespace: W::namespace(input)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let snapshot = open.directory.snapshot();
        let mut list = PolicyListing::run(&permit, &snapshot, open.vault.store())?;
        let namespace = permit.op().namespace.clone();
        let scope = namespace.map_or(Scope::Installation, Scope::Namespace);
        let policies = Arc::clone(&open.policies);
        let unusable = apart(move || policies.unusable(&snapshot)).await?;
        list.unusable = unusable
            .into_iter()
            .find(|found| found.scope == scope)
            .map(|found| format!("version {}: {}", found.version, found.why));
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct Put<W>(PhantomData<W>);

impl<W: Whose> Endpoint for Put<W> {
    type Op = PolicyPut;
    type Body = wire::PolicyPut;
    type Answer = wire::PolicyVersion;
    const SUMMARY: &'static str =
        "Stores another version of policies, which is checked and counts for nothing yet";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = W::ALL;
    const BODY: usize = MAX_BODY;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::PolicyPut { text } = input.json::<Self::Body>()?;
        Ok(PolicyPut {
            namespace: W::namespace(input)?,
            text: text.into(),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (namespace, text) = (permit.op().namespace.clone(), Arc::clone(&permit.op().text));
        let set = apart(move || PolicyPut::check(namespace.as_ref(), &text)).await??;
        let now = context.input.now;
        let made = context
            .change(permit, |batch| PolicyPut::run(batch, &set, now))
            .await?;
        Reply::with_status(StatusCode::CREATED, &made)
    }
}

pub(super) struct Read<W>(PhantomData<W>);

impl<W: Whose> Endpoint for Read<W> {
    type Op = PolicyReading;
    type Body = ();
    type Answer = wire::PolicyText;
    const SUMMARY: &'static str = "Reads a version of policies with its text";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = W::ONE;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(PolicyReading {
            namespace: W::namespace(input)?,
            version: number(input)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let snapshot = open.directory.snapshot();
        Reply::json::<Self::Answer>(&PolicyReading::run(&permit, &snapshot, open.vault.store())?)
    }
}

pub(super) struct State<W>(PhantomData<W>);

impl<W: Whose> Endpoint for State<W> {
    type Op = PolicyStateSet;
    type Body = PolicyStatePut;
    type Answer = wire::PolicyVersion;
    const SUMMARY: &'static str =
        "Says what a version of policies counts for: nothing, to be observed, or to decide";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = W::STATE;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let PolicyStatePut { state } = input.json::<Self::Body>()?;
        Ok(PolicyStateSet {
            namespace: W::namespace(input)?,
            version: number(input)?,
            state,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (open, now) = (context.open, context.input.now);
        let op = permit.op();
        let (store, asked) = (
            open.vault.store().clone(),
            PolicyStateSet {
                namespace: op.namespace.clone(),
                version: op.version,
                state: op.state,
            },
        );
        apart(move || asked.check(&store)).await??;
        let about = context
            .change(permit, |batch| PolicyStateSet::run(batch, now))
            .await?;
        // Made ready now, so that the next request need not wait for it.
        let (policies, snapshot) = (Arc::clone(&open.policies), open.directory.snapshot());
        apart(move || drop(policies.unusable(&snapshot))).await?;
        Reply::json::<Self::Answer>(&about)
    }
}

pub(super) struct Rollback<W>(PhantomData<W>);

impl<W: Whose> Endpoint for Rollback<W> {
    type Op = PolicyRollback;
    type Body = ();
    type Answer = wire::PolicyVersion;
    const SUMMARY: &'static str =
        "Stores another version of policies with the text of an old one; it counts for nothing yet";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = W::ROLLBACK;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(PolicyRollback {
            namespace: W::namespace(input)?,
            version: number(input)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (store, asked) = (
            context.open.vault.store().clone(),
            PolicyRollback {
                namespace: permit.op().namespace.clone(),
                version: permit.op().version,
            },
        );
        let (text, set) = apart(move || asked.check(&store)).await??;
        let now = context.input.now;
        let made = context
            .change(permit, |batch| {
                PolicyRollback::run(batch, (&text, &set), now)
            })
            .await?;
        Reply::with_status(StatusCode::CREATED, &made)
    }
}

pub(super) struct Explain<W>(PhantomData<W>);

impl<W: Whose> Endpoint for Explain<W> {
    type Op = PolicyExplaining;
    type Body = PolicyQuestion;
    type Answer = wire::PolicyExplained;
    const SUMMARY: &'static str =
        "What the policies that count would say to a question that roles and grants allow, and why";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = W::EXPLAIN;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(PolicyExplaining {
            question: input.json::<Self::Body>()?,
            namespace: W::namespace(input)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (policies, snapshot) = (
            Arc::clone(&context.open.policies),
            context.open.directory.snapshot(),
        );
        let (question, namespace) = (permit.op().question.clone(), permit.op().namespace.clone());
        let now = context.input.now;
        let told = apart(move || explain(&policies, &snapshot, namespace.as_ref(), &question, now));
        Reply::json::<Self::Answer>(&told.await??)
    }
}

pub(super) struct Report<W>(PhantomData<W>);

impl<W: Whose> Endpoint for Report<W> {
    type Op = PolicyReporting;
    type Body = ();
    type Answer = wire::PolicyReport;
    const SUMMARY: &'static str =
        "What enforcing the policies that are observed would change, as this server saw it";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = W::REPORT;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(PolicyReporting {
            namespace: W::namespace(input)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (policies, snapshot) = (&context.open.policies, context.open.directory.snapshot());
        let report = policies.report(&snapshot, permit.op().namespace.as_ref());
        Reply::json::<Self::Answer>(&report)
    }
}
