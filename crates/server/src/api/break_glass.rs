//! `/v1/break-glass`: accounts for emergencies.

use super::{agreed, new_key};
use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use http::StatusCode;
use procura_identity::{BreakGlassCreate, BreakGlassListing, BreakGlassUse};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::Label;
use procura_types::wire::{self, Recovery};
use procura_vault::Vault;

pub(super) struct List;

impl Endpoint for List {
    type Op = BreakGlassListing;
    type Body = ();
    type Answer = wire::BreakGlassList;
    const SUMMARY: &'static str = "Lists break-glass accounts, those that are over too";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/break-glass";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(BreakGlassListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (snapshot, now) = (context.open.directory.snapshot(), context.input.now);
        Reply::json::<Self::Answer>(&BreakGlassListing::run(&permit, &snapshot, now))
    }
}

pub(super) struct Create;

impl Endpoint for Create {
    type Op = BreakGlassCreate;
    type Body = wire::BreakGlassCreate;
    type Answer = wire::BreakGlass;
    const SUMMARY: &'static str =
        "Makes a break-glass account, sealed, with a proof by the device's own key";
    const STATUS: u16 = 201;
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = List::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::BreakGlassCreate {
            name,
            key,
            signature,
            minutes,
            renews,
        } = input.json::<Self::Body>()?;
        Ok(BreakGlassCreate {
            name,
            key: new_key(&key)?,
            signature,
            minutes,
            renews,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let installation = context.open.vault.installation().id;
        let made = context
            .change(permit, |batch| {
                BreakGlassCreate::run(batch, &installation, now)
            })
            .await?;
        Reply::with_status::<Self::Answer>(StatusCode::CREATED, &made)
    }
}

pub(super) struct Use;

impl Endpoint for Use {
    type Op = BreakGlassUse;
    type Body = wire::BreakGlassUse;
    type Answer = wire::BreakGlass;
    const SUMMARY: &'static str =
        "Opens a break-glass account, once, with a proof by its own key; everybody is told";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/break-glass/{name}/use";
    const HIDDEN_AS: Option<fn() -> Failure> = Some(missing);

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::BreakGlassUse { proposal } = input.json::<Self::Body>()?;
        let name: Label = input.param("name")?;
        let by = agreed(open, proposal);
        BreakGlassUse::resolve(&open.directory.snapshot(), &name, by).ok_or_else(missing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (vault, now) = (&context.open.vault, context.input.now);
        let name: Label = context.input.param("name")?;
        // Every operator is told, at each of their devices.
        let told = Recovery {
            break_glass: true,
            ..vault.recovery(&name, now)?
        };
        let used = context
            .change(permit, |batch| {
                Vault::put_recovery(batch.rows(), &told);
                BreakGlassUse::run(batch, now)
            })
            .await?;
        Reply::json::<Self::Answer>(&used)
    }
}

/// Who has not its key does not learn which accounts there are.
fn missing() -> Failure {
    Failure::new(
        Code::NotFound,
        "There is no such break-glass account, or it is not for you to know.",
    )
}
