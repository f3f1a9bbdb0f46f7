//! `/v1/namespaces`.

use super::agreed;
use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_authority::{NamespaceDelete, NamespaceRead, namespace_detail};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, DisplayNamePut};
use procura_types::{Malformed, Namespace};
use procura_vault::{NamespaceCreate, NamespaceDisplayName, NamespaceListing, NamespaceQuota};

pub(super) struct List;

impl Endpoint for List {
    type Op = NamespaceListing;
    type Body = ();
    type Answer = wire::NamespaceList;
    const SUMMARY: &'static str = "Lists the namespaces that the caller has a part in";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(NamespaceListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&NamespaceListing::run(
            &permit,
            &context.open.directory.snapshot(),
        ))
    }
}

pub(super) struct Create;

impl Endpoint for Create {
    type Op = NamespaceCreate;
    type Body = wire::NamespaceCreate;
    type Answer = wire::NamespaceInfo;
    const SUMMARY: &'static str = "Makes a namespace";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::NamespaceCreate { name } = input.json::<Self::Body>()?;
        Ok(NamespaceCreate { name })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (vault, now) = (&context.open.vault, context.input.now);
        let made = context
            .change(permit, |batch| NamespaceCreate::run(vault, batch, now))
            .await?;
        Reply::with_status::<Self::Answer>(StatusCode::CREATED, &made)
    }
}

pub(super) struct Read;

impl Endpoint for Read {
    type Op = NamespaceRead;
    type Body = ();
    type Answer = wire::NamespaceDetail;
    const SUMMARY: &'static str = "Shows a namespace, its quota, and how much is in it";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(NamespaceRead {
            namespace: input.param("ns")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let Open {
            vault, directory, ..
        } = context.open;
        let (snapshot, now) = (directory.snapshot(), context.input.now);
        let detail = NamespaceRead::run(&permit, vault, &snapshot, now)?;
        Reply::json::<Self::Answer>(&detail)
    }
}

pub(super) struct Quota;

impl Endpoint for Quota {
    type Op = NamespaceQuota;
    type Body = wire::Quota;
    type Answer = wire::NamespaceDetail;
    const SUMMARY: &'static str =
        "Says how much a namespace may hold; what is not named has no bound";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/quota";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(NamespaceQuota {
            namespace: input.param("ns")?,
            quota: input.json::<Self::Body>()?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let Open {
            vault, directory, ..
        } = context.open;
        let namespace = permit.op().namespace.clone();
        let turn = context.open.turns.take(vault, &namespace).await?;
        context.change(permit, NamespaceQuota::run).await?;
        drop(turn);
        let (snapshot, now) = (directory.snapshot(), context.input.now);
        Reply::json::<Self::Answer>(&namespace_detail(vault, &snapshot, &namespace, now)?)
    }
}

pub(super) struct DisplayName;

impl Endpoint for DisplayName {
    type Op = NamespaceDisplayName;
    type Body = DisplayNamePut;
    type Answer = wire::NamespaceInfo;
    const SUMMARY: &'static str = "Says what people call a namespace";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/display-name";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let DisplayNamePut { display_name } = input.json::<Self::Body>()?;
        Ok(NamespaceDisplayName {
            namespace: input.param("ns")?,
            display_name,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let named = context.change(permit, NamespaceDisplayName::run).await?;
        Reply::json::<Self::Answer>(&named)
    }
}

pub(super) struct Delete;

impl Endpoint for Delete {
    type Op = NamespaceDelete;
    type Body = wire::NamespaceDelete;
    type Answer = wire::NamespaceDeleted;
    const SUMMARY: &'static str =
        "Ends a namespace and destroys its keys; with its name in confirm also one that is in use";
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Read::PATH;

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let namespace: Namespace = input.param("ns")?;
        let wire::NamespaceDelete { confirm, proposal } = match input.body.is_empty() {
            true => wire::NamespaceDelete::default(),
            false => input.json::<Self::Body>()?,
        };
        if confirm.as_ref().is_some_and(|name| *name != namespace) {
            return Err(Malformed::new("confirm", "must be the name of this namespace").into());
        }
        Ok(NamespaceDelete {
            namespace,
            confirmed: confirm.is_some(),
            by: agreed(open, proposal),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (vault, now) = (&context.open.vault, context.input.now);
        let ended: wire::NamespaceDeleted = context
            .change(permit, |batch| NamespaceDelete::run(vault, batch, now))
            .await?;
        // What is left of it is taken away from now on.
        context.open.upkeep.wake();
        Reply::json::<Self::Answer>(&ended)
    }
}
