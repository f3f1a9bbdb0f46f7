//! `/v1/notify/…`: whom people are told by, of what, and what waits (ADR 40). Each call is
//! about the installation, or about the namespace that its query names.

use crate::app::Open;
use crate::notify::{
    ChannelListing, ChannelRemove, ChannelTest, ChannelWrite, DeadListing, DeadRedeliver,
    NOTIFY_TESTS, QueueReading, RouteListing, RouteRemove, RouteWrite, fits, parsed_id, terms,
};
use crate::problem::{Code, Failure};
use crate::serve::{Context, Endpoint, Input, Reply};
use procura_policy::Permit;
use procura_proof::Caller;
use procura_record::Details;
use procura_types::Namespace;
use procura_types::wire::{self, NotifyDeadPick};
use serde::Deserialize;

/// Whose channels and routes it is about.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfQuery {
    namespace: Option<Namespace>,
}

fn of(input: &Input) -> Result<Option<Namespace>, Failure> {
    let OfQuery { namespace } = input.query()?;
    Ok(namespace)
}

pub(super) struct Channels;

impl Endpoint for Channels {
    type Op = ChannelListing;
    type Body = ();
    type Answer = wire::ChannelList;
    const SUMMARY: &'static str = "Lists the channels that people are told by";
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/notify/channels";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ChannelListing {
            namespace: of(input)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let list = ChannelListing::run(&permit, context.open.vault.store())?;
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct WriteChannel;

impl Endpoint for WriteChannel {
    type Op = ChannelWrite;
    type Body = wire::ChannelPut;
    type Answer = wire::Channel;
    const SUMMARY: &'static str =
        "Makes a channel or replaces all of it; its credential is never shown again";
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/notify/channels/{name}";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let put = input.json::<Self::Body>()?;
        Ok(ChannelWrite {
            namespace: of(input)?,
            name: input.param("name")?,
            terms: terms(put, open.notifier.limits(), input.now)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let channel = context.change(permit, ChannelWrite::run).await?;
        context.open.notifier.wake();
        Reply::json::<Self::Answer>(&channel)
    }
}

pub(super) struct RemoveChannel;

impl Endpoint for RemoveChannel {
    type Op = ChannelRemove;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Removes a channel, and all that waits in it";
    const STATUS: u16 = 204;
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = WriteChannel::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ChannelRemove {
            namespace: of(input)?,
            name: input.param("name")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.change(permit, ChannelRemove::run).await?;
        context.open.notifier.wake();
        Ok(Reply::nothing())
    }
}

/// Whoever asks waits for the receiver: that it answers is what they ask. So nothing
/// queues, and what is more than may be at once or in a minute is refused.
pub(super) struct TestChannel;

impl Endpoint for TestChannel {
    type Op = ChannelTest;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Sends a message through a channel, and says what came of it";
    const STATUS: u16 = 204;
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/notify/channels/{name}/test";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(ChannelTest {
            namespace: of(input)?,
            name: input.param("name")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let open = context.open;
        let place = permit.op().place(open.vault.store())?;
        let (app, operator) = (context.app, permit.caller().actor());
        let trying = open.notifier.trying();
        let begun = trying.begin(operator, &place.0, app.clock.steady());
        let _until_it_ended = begun.inspect_err(|_| app.metrics.limited(NOTIFY_TESTS))?;
        let details = Details {
            with: Some(format!("channel:{}", permit.op().name)),
            ..Details::default()
        };
        let origin = context.origin();
        let recorded = open.recorder.record(permit, origin, details).await?;
        let sent = open.notifier.sender().test(&place, context.input.trace);
        if let Err(failed) = sent.await {
            let reason = Code::ReceiverFailed.as_str();
            open.recorder.failed(&recorded, reason).await?;
            let detail = format!("The message did not arrive: {}.", failed.reason);
            return Err(Failure::new(Code::ReceiverFailed, detail));
        }
        Ok(Reply::nothing())
    }
}

pub(super) struct Routes;

impl Endpoint for Routes {
    type Op = RouteListing;
    type Body = ();
    type Answer = wire::NotifyRouteList;
    const SUMMARY: &'static str = "Lists of what the channels are told";
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/notify/routes";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(RouteListing {
            namespace: of(input)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let list = RouteListing::run(&permit, context.open.vault.store())?;
        Reply::json::<Self::Answer>(&list)
    }
}

pub(super) struct WriteRoute;

impl Endpoint for WriteRoute {
    type Op = RouteWrite;
    type Body = wire::NotifyRoutePut;
    type Answer = wire::NotifyRoute;
    const SUMMARY: &'static str =
        "Says of what a channel is told from here on, or replaces what was said";
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "PUT";
    const PATH: &'static str = "/v1/notify/routes/{name}";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(RouteWrite {
            put: input.json::<Self::Body>()?,
            namespace: of(input)?,
            name: input.param("name")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let route = context.change(permit, RouteWrite::run).await?;
        context.open.notifier.wake();
        Reply::json::<Self::Answer>(&route)
    }
}

pub(super) struct RemoveRoute;

impl Endpoint for RemoveRoute {
    type Op = RouteRemove;
    type Body = ();
    type Answer = ();
    const SUMMARY: &'static str = "Removes a route; what waits is sent still";
    const STATUS: u16 = 204;
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "DELETE";
    const PATH: &'static str = WriteRoute::PATH;

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(RouteRemove {
            namespace: of(input)?,
            name: input.param("name")?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        context.change(permit, RouteRemove::run).await?;
        context.open.notifier.wake();
        Ok(Reply::nothing())
    }
}

pub(super) struct Queue;

impl Endpoint for Queue {
    type Op = QueueReading;
    type Body = ();
    type Answer = wire::NotifyQueue;
    const SUMMARY: &'static str = "Shows what waits to be sent, channel by channel";
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/notify/queue";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(QueueReading {
            namespace: of(input)?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let queue = QueueReading::run(&permit, context.open.vault.store())?;
        Reply::json::<Self::Answer>(&queue)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadQuery {
    namespace: Option<Namespace>,
    after: Option<String>,
}

pub(super) struct Dead;

impl Endpoint for Dead {
    type Op = DeadListing;
    type Body = ();
    type Answer = wire::NotifyDeadList;
    const SUMMARY: &'static str = "Lists messages that were given up, 200 at a time";
    const QUERY: &'static [&'static str] = &["namespace", "after"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/notify/dead";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let DeadQuery { namespace, after } = input.query()?;
        Ok(DeadListing {
            namespace,
            after: after.as_deref().map(parsed_id).transpose()?,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let list = DeadListing::run(&permit, context.open.vault.store())?;
        Reply::json::<Self::Answer>(&list)
    }
}

/// What both calls about given-up messages do.
async fn redeliver(context: Context<'_>, permit: Permit<DeadRedeliver>) -> Result<Reply, Failure> {
    let now = context.input.now;
    let done = context
        .change(permit, |batch| DeadRedeliver::run(batch, now))
        .await?;
    context.open.notifier.wake();
    Reply::json::<wire::NotifyDeadDone>(&done)
}

pub(super) struct Retry;

impl Endpoint for Retry {
    type Op = DeadRedeliver;
    type Body = NotifyDeadPick;
    type Answer = wire::NotifyDeadDone;
    const SUMMARY: &'static str = "Has messages tried again that were given up";
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/notify/dead/retry";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(DeadRedeliver {
            pick: fits(input.json::<Self::Body>()?)?,
            namespace: of(input)?,
            drop: false,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        redeliver(context, permit).await
    }
}

pub(super) struct Drop;

impl Endpoint for Drop {
    type Op = DeadRedeliver;
    type Body = NotifyDeadPick;
    type Answer = wire::NotifyDeadDone;
    const SUMMARY: &'static str = "Forgets messages that were given up";
    const QUERY: &'static [&'static str] = &["namespace"];
    const METHOD_NAME: &'static str = "POST";
    const PATH: &'static str = "/v1/notify/dead/drop";

    fn parse(_: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        Ok(DeadRedeliver {
            pick: fits(input.json::<Self::Body>()?)?,
            namespace: of(input)?,
            drop: true,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        redeliver(context, permit).await
    }
}
