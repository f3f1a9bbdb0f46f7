//! `/v1/honey`, `/v1/quarantine`: decoys, and what touched them.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_directory::Suspect;
use procura_identity::{QuarantineLift, QuarantineListing};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, HoneyFound};
use procura_types::{CanaryId, ForeignId, Malformed, Namespace, SecretPath, Thumbprint};
use procura_vault::{HoneyListing, HoneyPlant, HoneyRemove, HoneyWhich, Planted};

pub(super) struct List;

impl Endpoint for List {
    type Op = HoneyListing;
    type Body = ();
    type Answer = wire::HoneyList;
    const SUMMARY: &'static str = "Lists honey secrets, and who touched them";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/honey";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(HoneyListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let list = HoneyListing::run(&permit, &open.directory.snapshot(), open.vault.store())?;
        Reply::json::<Self::Answer>(&list)
    }
}

/// A decoy that is to be planted at a path of a namespace.
pub(super) fn planting(
    open: &Open,
    input: &Input,
    (namespace, path): (Namespace, SecretPath),
    body: wire::HoneyPlant,
) -> Result<HoneyPlant, Failure> {
    let wire::HoneyPlant {
        shape,
        value_b64,
        mode,
        env,
        description,
        kind,
        tags,
    } = body;
    if let Some(name) = &env {
        name.deliverable()?;
    }
    let decoy = match (shape, value_b64) {
        (Some(shape), None) => Planted::Made(shape),
        (None, Some(value)) => Planted::Brought(value.decode()?),
        (None, None) => {
            return Err(Malformed::new("shape", "or value_b64 says what is planted").into());
        }
        (Some(_), Some(_)) => {
            return Err(Malformed::new("shape", "and value_b64 exclude each other").into());
        }
    };
    let entropy = open.recorder.entropy();
    Ok(HoneyPlant {
        namespace,
        path,
        canary: CanaryId::generate(input.now, entropy).map_err(Failure::internal)?,
        mode,
        decoy,
        env,
        description,
        kind,
        tags,
    })
}

pub(super) struct Plant;

impl Endpoint for Plant {
    type Op = HoneyPlant;
    type Body = wire::HoneyPlant;
    type Answer = wire::HoneyPlanted;
    const SUMMARY: &'static str = "Plants a honey secret: made in a shape, or brought; whoever asks for it is put into quarantine";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/honey/{ns}/{*path}";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let body = input.json::<Self::Body>()?;
        planting(
            open,
            input,
            (input.param("ns")?, input.param("path")?),
            body,
        )
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (entropy, now) = (context.app.entropy.as_ref(), context.input.now);
        let planted: wire::HoneyPlanted = context
            .change(permit, |batch| HoneyPlant::run(batch, entropy, now))
            .await?;
        Reply::secret_with_status(StatusCode::CREATED, &planted, planted.value_b64.len())
    }
}

pub(super) struct Remove;

impl Endpoint for Remove {
    type Op = HoneyRemove;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Removes a honey secret; a value that was found is still known";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Plant::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(HoneyRemove {
            namespace: input.param("ns")?,
            path: input.param("path")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        context
            .change(permit, |batch| HoneyRemove::run(batch, now))
            .await?;
        Ok(Reply::nothing())
    }
}

pub(super) struct Which;

impl Endpoint for Which {
    type Op = HoneyWhich;
    type Body = wire::HoneyFound;
    type Answer = wire::HoneyMatches;
    const SUMMARY: &'static str = "Says which honey secret a value is that was found";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/honey/which";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let HoneyFound { value_b64 } = input.json::<Self::Body>()?;
        Ok(HoneyWhich {
            found: value_b64.decode()?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let matches = HoneyWhich::run(&permit, &context.open.directory.snapshot())?;
        Reply::json::<Self::Answer>(&matches)
    }
}

pub(super) struct Quarantine;

impl Endpoint for Quarantine {
    type Op = QuarantineListing;
    type Body = ();
    type Answer = wire::QuarantineList;
    const SUMMARY: &'static str = "Lists what is in quarantine since it touched a honey secret";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/quarantine";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(QuarantineListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let snapshot = context.open.directory.snapshot();
        Reply::json::<Self::Answer>(&QuarantineListing::run(&permit, &snapshot))
    }
}

async fn lift(context: Context<'_>, permit: Permit<QuarantineLift>) -> Result<Reply, Failure> {
    let now = context.input.now;
    context
        .change(permit, |batch| QuarantineLift::run(batch, now))
        .await?;
    Ok(Reply::nothing())
}

pub(super) struct ReinstateDevice;

impl Endpoint for ReinstateDevice {
    type Op = QuarantineLift;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str =
        "Lets a device out of quarantine; sessions and tokens from before stay over";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/devices/{thumbprint}/reinstate";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let device: Thumbprint = input.param("thumbprint")?;
        Ok(QuarantineLift {
            suspect: Suspect::Device(device),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        lift(context, permit).await
    }
}

pub(super) struct ReinstateId;

impl Endpoint for ReinstateId {
    type Op = QuarantineLift;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Lets an id of another system out of quarantine";
    const STATUS: u16 = 204;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/quarantine/{agent_id}/reinstate";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let id: ForeignId = input.param("agent_id")?;
        Ok(QuarantineLift {
            suspect: Suspect::Foreign(id),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        lift(context, permit).await
    }
}
