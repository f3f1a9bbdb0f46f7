//! `/v1/namespaces/{ns}/device-grants`: operators look at devices that ask, and answer. The
//! code that a host shows comes in bodies, never in a URL.

use crate::app::Open;
use crate::device_grants::{approve_permitted, deny_permitted, show_permitted};
use crate::problem::Failure;
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_identity::{
    DeviceGrantApprove, DeviceGrantDeny, DeviceGrantDraft, DeviceGrantListing, DeviceGrantShow,
    DeviceGrantYes,
};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_types::wire;

pub(super) struct List;

impl Endpoint for List {
    type Op = DeviceGrantListing;
    type Body = ();
    type Answer = wire::DeviceGrantList;
    const SUMMARY: &'static str =
        "Lists the devices that ask to be let in and that nobody answered";
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/device-grants";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(DeviceGrantListing {
            namespace: input.param("ns")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let (store, now) = (context.open.vault.store(), context.input.now);
        Reply::json::<Self::Answer>(&DeviceGrantListing::run(&permit, store, now)?)
    }
}

pub(super) struct Show;

impl Endpoint for Show {
    type Op = DeviceGrantShow;
    type Body = wire::DeviceGrantCode;
    type Answer = wire::DeviceGrant;
    const SUMMARY: &'static str = "Shows the device whose host shows this code";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/device-grants/show";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::DeviceGrantCode { user_code } = input.json::<Self::Body>()?;
        Ok(DeviceGrantShow {
            namespace: input.param("ns")?,
            code: user_code,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&show_permitted(&context, &permit)?)
    }
}

pub(super) struct Approve;

impl Endpoint for Approve {
    type Op = DeviceGrantApprove;
    type Body = wire::DeviceGrantApprove;
    type Answer = wire::DeviceGrant;
    const SUMMARY: &'static str = "Lets the device become one of this agent's";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/device-grants/approve";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let body = input.json::<Self::Body>()?;
        let draft = DeviceGrantDraft {
            namespace: input.param("ns")?,
            agent: body.agent,
            code: body.user_code,
            device: body.device,
        };
        Ok(DeviceGrantApprove {
            draft,
            yes: DeviceGrantYes::Device,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&approve_permitted(&context, permit).await?)
    }
}

pub(super) struct Deny;

impl Endpoint for Deny {
    type Op = DeviceGrantDeny;
    type Body = wire::DeviceGrantCode;
    type Answer = wire::DeviceGrant;
    const SUMMARY: &'static str = "Says no to the device whose host shows this code";
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/namespaces/{ns}/device-grants/deny";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let wire::DeviceGrantCode { user_code } = input.json::<Self::Body>()?;
        Ok(DeviceGrantDeny {
            namespace: input.param("ns")?,
            code: user_code,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        Reply::json::<Self::Answer>(&deny_permitted(&context, permit).await?)
    }
}
