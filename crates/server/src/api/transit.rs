//! `/v1/namespaces/{ns}/transit`: keys that wrap small things for devices of agents, such
//! as the key of an unseal source of another installation.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_directory::Snapshot;
use procura_policy::{Op, Permit};
use procura_proof::Caller;
use procura_record::{Details, Recorded};
use procura_types::Malformed;
use procura_types::wire::{self, ValueB64};
use procura_vault::{
    MAX_TRANSIT, TransitListing, TransitRemove, TransitUnwrapping, TransitUse, TransitWrapping,
    TransitWrite, Vault, VaultError,
};

pub(super) struct List;

impl Endpoint for List {
    type Op = TransitListing;
    type Body = ();
    type Answer = wire::TransitKeyList;
    const SUMMARY: &'static str = "Lists transit keys and who may use them";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/transit";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(TransitListing {
            namespace: input.param("ns")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&TransitListing::run(
            &permit,
            &context.open.directory.snapshot(),
            context.open.vault.store(),
        )?)
    }
}

pub(super) struct Write;

impl Endpoint for Write {
    type Op = TransitWrite;
    type Body = wire::TransitPut;
    type Answer = wire::TransitKey;
    const SUMMARY: &'static str = "Makes a transit key, or says anew who may use it";
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/namespaces/{ns}/transit/{key}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::TransitPut { agents } = input.json::<Self::Body>()?;
        Ok(TransitWrite {
            namespace: input.param("ns")?,
            name: input.param("key")?,
            agents,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (vault, now) = (&context.open.vault, context.input.now);
        let key = context
            .change(permit, |batch| TransitWrite::run(vault, batch, now))
            .await?;
        Reply::json::<Self::Answer>(&key)
    }
}

pub(super) struct Remove;

impl Endpoint for Remove {
    type Op = TransitRemove;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Removes a transit key: what it wrapped stays wrapped";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Write::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(TransitRemove {
            namespace: input.param("ns")?,
            name: input.param("key")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let vault = &context.open.vault;
        context
            .change(permit, |batch| TransitRemove::run(vault, batch))
            .await?;
        Ok(Reply::nothing())
    }
}

fn used(open: &Open, input: &Input) -> Result<TransitUse, Failure> {
    let directory = open.directory.snapshot();
    let (namespace, name) = (input.param("ns")?, input.param("key")?);
    Ok(open.vault.transit_use(&directory, namespace, name)?)
}

fn checked(context: &[u8]) -> Result<(), Failure> {
    if context.len() > MAX_TRANSIT {
        return Err(Malformed::new("context", "has 256 bytes at the most").into());
    }
    Ok(())
}

/// Does what is permitted once the intent is durable, and not before; of what fails the
/// record has the word as well.
async fn done<O: Op, T>(
    context: &Context<'_>,
    permit: Permit<O>,
    failed: &'static str,
    run: impl FnOnce(&Vault, &Snapshot, &Recorded<O>) -> Result<T, VaultError>,
) -> Result<T, Failure> {
    let open = context.open;
    let recorded = open
        .recorder
        .record(permit, context.origin(), Details::default())
        .await?;
    let directory = open.directory.snapshot();
    match run(&open.vault, &directory, &recorded) {
        Ok(done) => Ok(done),
        Err(error) => {
            open.recorder.failed(&recorded, failed).await?;
            Err(error.into())
        }
    }
}

pub(super) struct Wrap;

impl Endpoint for Wrap {
    type Op = TransitWrapping;
    type Body = wire::TransitWrap;
    type Answer = wire::TransitWrapped;
    const SUMMARY: &'static str = "Wraps something small with a transit key";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/transit/{key}/wrap";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::TransitWrap { value_b64, context } = input.json::<Self::Body>()?;
        let value = value_b64.decode()?;
        if value.expose().is_empty() || value.expose().len() > MAX_TRANSIT {
            return Err(Malformed::new("value_b64", "has 1 to 256 bytes").into());
        }
        checked(&context)?;
        Ok(TransitWrapping {
            with: used(open, input)?,
            value,
            context,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let wrapped = done(&context, permit, "not_wrapped", Vault::transit_wrap).await?;
        Reply::json::<Self::Answer>(&wire::TransitWrapped { wrapped })
    }
}

pub(super) struct Unwrap;

impl Endpoint for Unwrap {
    type Op = TransitUnwrapping;
    type Body = wire::TransitUnwrap;
    type Answer = wire::TransitUnwrapped;
    const SUMMARY: &'static str =
        "Unwraps what a transit key wrapped; the intent is in the ledger before";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/transit/{key}/unwrap";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::TransitUnwrap { wrapped, context } = input.json::<Self::Body>()?;
        checked(&context)?;
        Ok(TransitUnwrapping {
            with: used(open, input)?,
            wrapped,
            context,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let value = done(&context, permit, "not_unwrapped", Vault::transit_unwrap).await?;
        let value_b64 = ValueB64::encode(value.expose());
        let length = value_b64.len();
        Reply::secret::<Self::Answer>(&wire::TransitUnwrapped { value_b64 }, length)
    }
}
