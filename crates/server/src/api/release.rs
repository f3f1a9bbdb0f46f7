//! `/v1/release-keys` and `/v1/releases` (ADR 39).

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_identity::{
    ReleaseAdd, ReleaseKeyAdd, ReleaseKeyListing, ReleaseKeyRemove, ReleaseListing, ReleaseWithdraw,
};
use procura_ledger::Vkey;
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::{Malformed, wire};
use serde::Deserialize;

pub(super) struct Keys;

impl Endpoint for Keys {
    type Op = ReleaseKeyListing;
    type Body = ();
    type Answer = wire::ReleaseKeyList;
    const SUMMARY: &'static str = "Lists the keys that sign releases of the daemon";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/release-keys";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ReleaseKeyListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let snapshot = context.open.directory.snapshot();
        Reply::json::<Self::Answer>(&ReleaseKeyListing::run(&permit, &snapshot)?)
    }
}

pub(super) struct AddKey;

impl Endpoint for AddKey {
    type Op = ReleaseKeyAdd;
    type Body = wire::ReleaseKeyAdd;
    type Answer = wire::ReleaseKeyList;
    const SUMMARY: &'static str = "Enrols a key that signs releases of the daemon";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = Keys::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ReleaseKeyAdd { vkey } = input.json::<Self::Body>()?;
        let malformed = || {
            Malformed::new(
                "vkey",
                "is not <name>+<id>+<key>, the verifier key of an Ed25519 key (C2SP signed-note)",
            )
        };
        let vkey: Vkey = vkey.parse().map_err(|_| malformed())?;
        // It is shown on terminals.
        let is_plain = |byte: u8| byte.is_ascii_graphic();
        if vkey.name().len() > 64 || !vkey.name().bytes().all(is_plain) {
            return Err(Malformed::new(
                "vkey",
                "its name is not 1 to 64 characters of printable ASCII",
            )
            .into());
        }
        Ok(ReleaseKeyAdd { vkey })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let list = context
            .change(permit, |batch| ReleaseKeyAdd::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&list)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

pub(super) struct RemoveKey;

impl Endpoint for RemoveKey {
    type Op = ReleaseKeyRemove;
    type Body = ();
    type Answer = wire::ReleaseKeyList;
    const SUMMARY: &'static str = "Removes a key that signs releases, and all that it vouches for";
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = Keys::PATH;
    const QUERY: &'static [&'static str] = &["name"];

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let Named { name } = input.query()?;
        Ok(ReleaseKeyRemove::resolve(&open.directory.snapshot(), &name))
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let list = context
            .change(permit, |batch| ReleaseKeyRemove::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct List;

impl Endpoint for List {
    type Op = ReleaseListing;
    type Body = ();
    type Answer = wire::ReleaseList;
    const SUMMARY: &'static str = "Lists the programs that release keys vouch for";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/releases";

    fn parse(_: &Open, _: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ReleaseListing)
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let snapshot = context.open.directory.snapshot();
        Reply::json::<Self::Answer>(&ReleaseListing::run(&permit, &snapshot))
    }
}

pub(super) struct Add;

impl Endpoint for Add {
    type Op = ReleaseAdd;
    type Body = wire::ReleaseAdd;
    type Answer = wire::ReleaseList;
    const SUMMARY: &'static str = "Adds the programs of a list that a release key signed";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = List::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::ReleaseAdd { note } = input.json::<Self::Body>()?;
        Ok(ReleaseAdd { note })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let list = context
            .change(permit, |batch| ReleaseAdd::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct Withdraw;

impl Endpoint for Withdraw {
    type Op = ReleaseWithdraw;
    type Body = ();
    type Answer = wire::ReleaseList;
    const SUMMARY: &'static str = "Withdraws a program for good: what it attested stops at once";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/releases/{sha256}/withdraw";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ReleaseWithdraw {
            sha256: input.param("sha256")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let now = context.input.now;
        let list = context
            .change(permit, |batch| ReleaseWithdraw::run(batch, now))
            .await?;
        Reply::json::<Self::Answer>(&list)
    }
}
