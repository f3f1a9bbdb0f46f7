//! `/v1/recoveries`: unseals with shares, of which operators hear when they start a
//! session.

use crate::app::Open;
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;
use procura_vault::{RecoverySeen, VaultError};

pub(super) struct Seen;

impl Endpoint for Seen {
    type Op = RecoverySeen;
    type Body = wire::RecoverySeen;
    type Answer = ();
    const SUMMARY: &'static str =
        "Says that this device of the operator was told of the unseals with shares until a time";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/recoveries/seen";

    fn parse(_: &Open, input: &Input, caller: &Caller) -> Result<Self::Op, Failure> {
        let wire::RecoverySeen { until } = input.json::<Self::Body>()?;
        if caller.actor() != caller.owner() {
            return Err(Failure::new(
                Code::NotFound,
                "Agents are told of no unseals.",
            ));
        }
        // What has not happened yet is not known to anybody.
        Ok(RecoverySeen {
            until: until.min(input.now),
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context
            .change(permit, |batch| {
                RecoverySeen::run(batch);
                Ok::<(), VaultError>(())
            })
            .await?;
        Ok(Reply::nothing())
    }
}
