//! `/v1/signing-keys`: the keys that sign tokens.

use crate::app::Open;
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_identity::{SigningKeyListing, SigningKeyRetire, SigningKeyRoll};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire::{self, TokenType};

/// Which tokens' keys a call is about; those of agents, when it does not say.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default)]
    tokens: TokenType,
}

pub(super) struct List;

impl Endpoint for List {
    type Op = SigningKeyListing;
    type Body = ();
    type Answer = wire::SigningKeyList;
    const SUMMARY: &'static str = "Lists the keys that sign tokens, and where each stands";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/signing-keys";
    const QUERY: &'static [&'static str] = &["tokens"];

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let Which { tokens } = input.query()?;
        Ok(SigningKeyListing { tokens })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let keys = context.open.tokens.keys(permit.op().tokens);
        let list = SigningKeyListing::run(&permit, keys, context.input.now)?;
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct Roll;

impl Endpoint for Roll {
    type Op = SigningKeyRoll;
    type Body = ();
    type Answer = wire::SigningKeyList;
    const SUMMARY: &'static str = "Has the next key sign tokens; the one before stays in the key set until its tokens are over";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/signing-keys/roll";
    const QUERY: &'static [&'static str] = &["tokens"];

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let Which { tokens } = input.query()?;
        Ok(SigningKeyRoll { tokens })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let list = context
            .change(permit, |batch| SigningKeyRoll::run(batch, now, entropy))
            .await?;
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct Retire;

impl Endpoint for Retire {
    type Op = SigningKeyRetire;
    type Body = ();
    type Answer = wire::SigningKeyList;
    const SUMMARY: &'static str =
        "Takes a key out of the key set at once, since it may be in other hands";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/signing-keys/{kid}/retire";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let kid = input.param("kid").map_err(|mut failure| {
            failure.field = Some("kid");
            failure
        })?;
        Ok(SigningKeyRetire { kid })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (now, entropy) = (context.input.now, context.app.entropy.as_ref());
        let list = context
            .change(permit, |batch| SigningKeyRetire::run(batch, now, entropy))
            .await?;
        Reply::json::<Self::Answer>(&list)
    }
}
