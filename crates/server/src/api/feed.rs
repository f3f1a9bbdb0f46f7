//! `/v1/namespaces/{ns}/services/{name}/feed` (`protocol.md` §3.4): what a gate has to
//! know to verify by itself, as it changes.

use crate::app::Open;
use crate::followers::{Asking, Place};
use crate::problem::{Code, Failure};
use crate::reply::secret_json;
use crate::serve::{Context, Endpoint, Input, Reply, denial, refuse};
use procura_authority::{Dialled, Following, ServiceFollow};
use procura_directory::Snapshot;
use procura_policy::{Op as _, Permit, Question};
use procura_proof::Caller;
use procura_proof::session::audience_key;
use procura_record::Details;
use procura_types::wire::{self, FeedKey, FeedTerms, SignedFeed, ValueB64};
use procura_types::{Audience, Duration, InstanceId, encoding};
use procura_vault::SessionRoots;
use serde::Deserialize;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::time::Instant;

/// The longest that a question waits for news, far within the time of a request.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// How soon a change of the dial or of the session roots is news, and a seal the end;
/// changes of the directory are at once.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FeedQuery {
    instance: InstanceId,
    nonce: String,
    after: Option<u64>,
    mark: Option<String>,
    /// Seconds.
    wait: Option<u64>,
    /// The memory of used proofs that the gate shares.
    guard: Option<String>,
}

pub(super) struct Follow;

impl Endpoint for Follow {
    type Op = ServiceFollow;
    type Body = ();
    type Answer = wire::SignedFeed;
    const SUMMARY: &'static str =
        "Gives the gate of a service what it has to know, signed; waits for news";
    const QUERY: &'static [&'static str] = &["instance", "nonce", "after", "mark", "wait", "guard"];
    const METHOD_NAME: &'static str = "GET";
    const PATH: &'static str = "/v1/namespaces/{ns}/services/{name}/feed";

    fn parse(open: &Open, input: &Input, _: &Caller) -> Result<Self::Op, Failure> {
        let FeedQuery {
            instance,
            nonce,
            after,
            mark,
            wait,
            guard,
        } = input.query()?;
        let (namespace, name) = (input.param("ns")?, input.param("name")?);
        let gates = Dialled::read(open.vault.store(), &namespace, &name)?.gates;
        Ok(ServiceFollow {
            namespace,
            name,
            instance,
            nonce: encoding::from_b64url_fixed("nonce", &nonce)?,
            after,
            mark,
            wait: wait.map_or(LONGEST_WAIT, Duration::from_secs),
            guard: guard.map(|guard| guard.parse()).transpose()?,
            gates,
        })
    }

    async fn run(context: Context<'_>, permit: Permit<Self::Op>) -> Result<Reply, Failure> {
        let op = permit.op();
        if context.open.others.is_some() && op.guard.is_none() {
            // Which gates follow at the other servers is not known here.
            return Err(Failure::new(
                Code::AlreadyFollowed,
                "Several servers share the database, and a gate may follow at another: give it their --guard-url.",
            ));
        }
        let asking = Asking {
            instance: op.instance,
            guard: op.guard,
            now: context.app.clock.steady(),
        };
        let place = context
            .app
            .followers
            .place(&op.namespace, &op.name, &asking);
        if place == Place::Its {
            return answer(&context, &permit).await;
        }
        if place == Place::Taken {
            return Err(taken());
        }
        // That another gate holds the keys from now on is recorded before it gets them.
        let details = Details {
            with: Some(format!("instance:{}", op.instance)),
            ..Details::default()
        };
        let origin = context.origin();
        let recorded = context
            .open
            .recorder
            .record(permit, origin, details)
            .await?;
        answer(&context, recorded.permit()).await
    }
}

fn taken() -> Failure {
    Failure::new(
        Code::AlreadyFollowed,
        "Another gate follows this service, or did less than a minute ago, and they share no replay guard.",
    )
}

/// Answers when there is news, or when it was waited for long enough.
async fn answer(context: &Context<'_>, permit: &Permit<ServiceFollow>) -> Result<Reply, Failure> {
    let (op, app, open) = (permit.op(), context.app, context.open);
    let limit = LONGEST_WAIT.min(app.config.request_time() / 2);
    let until = Instant::now() + op.wait.min(limit);
    let mut stopping = app.stopping.subscribe();
    loop {
        // A seal ends it, also one that was followed by an unseal.
        if !std::ptr::eq(Arc::as_ptr(&app.open()?), open) {
            return Err(Failure::new(
                Code::Sealed,
                "The vault was sealed meanwhile.",
            ));
        }
        let asking = Asking {
            instance: op.instance,
            guard: op.guard,
            now: app.clock.steady(),
        };
        let place = app.followers.take(&op.namespace, &op.name, &asking);
        if place == Place::Taken {
            return Err(taken());
        }
        let snapshot = open.directory.snapshot();
        let dialled = Dialled::read(open.vault.store(), &op.namespace, &op.name)?;
        decide(context, permit, &snapshot, &dialled)?;
        let roots = open.vault.session_roots();
        let mark = mark(&dialled, &roots);
        let is_news = op.after != Some(snapshot.seq()) || op.mark.as_ref() != Some(&mark);
        if is_news || Instant::now() >= until || *stopping.borrow_and_update() {
            return render(context, op, &snapshot, dialled, &roots, mark);
        }
        let seq = snapshot.seq();
        // Nothing of this moment is held while nothing happens.
        drop((snapshot, roots));
        tokio::select! {
            () = open.directory.moved(seq) => {}
            _ = stopping.changed() => {}
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK)) => {}
        }
    }
}

/// Decides once more, on what is so now: the gate may have been revoked or taken off
/// the service while it waited.
fn decide(
    context: &Context<'_>,
    permit: &Permit<ServiceFollow>,
    snapshot: &Snapshot,
    dialled: &Dialled,
) -> Result<(), Failure> {
    let mut concerned = permit.op().concerned();
    concerned.members = &dialled.gates;
    let question = Question {
        caller: permit.caller(),
        action: ServiceFollow::ACTION,
        resource: permit.resource(),
        concerned,
        now: context.app.clock.now(),
    };
    let decided = context.open.recorder.decider().decide(snapshot, &question);
    decided.map(drop).map_err(|denied| {
        refuse(context, permit.caller(), permit.op(), &denied);
        denial(denied)
    })
}

/// What stands for the dial and the keys.
fn mark(dialled: &Dialled, roots: &SessionRoots) -> String {
    let mut mark = dialled.version.to_string();
    for (epoch, _) in roots.iter() {
        // Writing to a String cannot fail.
        let _ = write!(mark, ".{epoch}");
    }
    mark
}

fn render(
    context: &Context<'_>,
    op: &ServiceFollow,
    snapshot: &Snapshot,
    dialled: Dialled,
    roots: &SessionRoots,
    mark: String,
) -> Result<Reply, Failure> {
    let open = context.open;
    let changes = op
        .after
        .and_then(|after| open.directory.changes(after, snapshot));
    let Following {
        full,
        actors,
        devices,
        foreign,
        quarantined,
    } = changes.map_or_else(
        || Following::whole(snapshot, &op.namespace),
        |changes| Following::changed(snapshot, &op.namespace, &changes),
    );
    let audience = Audience::Gate(op.namespace.clone(), op.name.clone()).to_string();
    let keys = roots
        .iter()
        .map(|(epoch, root)| FeedKey {
            epoch,
            key: ValueB64::encode(audience_key(root, &audience).expose()),
        })
        .collect();
    let feed = secret_json(&wire::Feed {
        time: context.app.clock.now(),
        seq: snapshot.seq(),
        full,
        mark,
        actors,
        devices,
        foreign,
        quarantined,
        mode: dialled.mode,
        routes: dialled.routes,
        keys,
    })?;
    let terms = FeedTerms {
        installation: &open.vault.installation().id,
        namespace: &op.namespace,
        service: &op.name,
        instance: &op.instance,
        nonce: &op.nonce,
    };
    // The message holds the keys as well.
    let message = procura_types::SecretBytes::new(terms.message(feed.expose()));
    let signature = open
        .vault
        .server_key()
        .sign(message.expose())
        .map_err(Failure::internal)?;
    let feed = ValueB64::encode(feed.expose());
    let length = feed.len();
    Reply::secret::<SignedFeed>(&SignedFeed { feed, signature }, length)
}
