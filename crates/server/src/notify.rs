//! Telling people where they are (ADR 40): by Slack, Discord, Telegram, e-mail or a signed
//! webhook. What happens stands in the record; from there it becomes rows that wait, one
//! for each channel that a route leads to, and those are sent behind everything else. No
//! request waits for any of it.
//!
//! What is kept: channels and routes of a namespace or of the installation
//! (`channel.rs`, `route.rs`), what waits and what was given up (`rows.rs`, `queue.rs`, `dead.rs`).
//! What is done: from entries to rows (`gathering.rs`, `facts.rs`), which turn a channel
//! has (`lane.rs`) and whose is next (`rota.rs`), the text (`message.rs`, `digest.rs`,
//! `template.rs`, `medium.rs`), the way out (`delivering.rs`, `sending.rs`,
//! `signature.rs`), the work that holds it together (`work.rs`), and how often somebody
//! may try a channel (`trying.rs`).

mod channel;
mod dead;
mod delivering;
mod digest;
mod error;
mod facts;
mod gathering;
mod lane;
mod medium;
mod message;
mod queue;
mod rota;
mod route;
mod rows;
mod sending;
mod signature;
mod template;
mod terms;
mod trying;
mod work;

pub(crate) use channel::{ChannelListing, ChannelRemove, ChannelTest, ChannelWrite};
pub(crate) use dead::{DeadListing, DeadRedeliver, QueueReading, fits, parsed_id};
pub(crate) use route::{RouteListing, RouteRemove, RouteWrite};
pub(crate) use signature::{KEY_ACTION, signing_key};
pub(crate) use terms::terms;
pub(crate) use trying::{NOTIFY_TESTS, Trying};

use crate::config::{Config, WebOrigin};
use crate::metrics::Notifications;
use procura_client::Outward;
use procura_record::{Directory, Events, Lease, Running};
use procura_store::Store;
use procura_types::{Cidr, Clock, Entropy, Namespace};
use sending::Sender;
use std::sync::Arc;
use tokio::sync::Notify;
use work::Work;

/// What it works on.
pub(crate) struct NotifyParts {
    pub(crate) store: Store,
    pub(crate) directory: Arc<Directory>,
    pub(crate) events: Arc<Events>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// What lets this server send, where there are several.
    pub(crate) lease: Option<Arc<Lease>>,
    /// What counts what becomes of it.
    pub(crate) counts: Notifications,
}

/// What the configuration says of receivers.
pub(crate) struct Limits {
    /// Networks that may be reached though they are not of the public internet.
    networks: Vec<Cidr>,
    /// Where bots of Telegram are instead.
    telegram: Option<String>,
}

/// The task that sends; it ends when this is dropped.
pub struct Notifier {
    running: Running,
    wake: Arc<Notify>,
    sender: Arc<Sender>,
    limits: Limits,
    trying: Trying,
}

impl Notifier {
    /// Begins at once. Must be called inside a Tokio runtime.
    pub(crate) fn start(parts: NotifyParts, config: &Config, public_url: &str) -> Self {
        let wake = Arc::new(Notify::new());
        let sender = Arc::new(Sender {
            store: parts.store.clone(),
            clock: Arc::clone(&parts.clock),
            entropy: Arc::clone(&parts.entropy),
            outward: Outward::new(config.notify_networks.clone()),
            telegram: config.danger_telegram_api.clone(),
            pages: pages(config, public_url),
        });
        let trying = Trying::new(parts.clock.steady());
        let work = Work::new(parts, Arc::clone(&sender), Arc::clone(&wake));
        Self {
            running: Running::start(|stopping| work.run(stopping)),
            wake,
            sender,
            limits: Limits {
                networks: config.notify_networks.clone(),
                telegram: config.danger_telegram_api.clone(),
            },
            trying,
        }
    }

    /// What a channel has to keep to.
    pub(crate) const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// There is something to do now.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// The way out, for a message that somebody waits for.
    pub(crate) fn sender(&self) -> &Sender {
        &self.sender
    }

    /// How often somebody may send such a message.
    pub(crate) const fn trying(&self) -> &Trying {
        &self.trying
    }

    /// Stops. What is on its way is sent once more later: nobody knows what became of it.
    pub(crate) async fn stop(&self) {
        self.running.stop().await;
    }
}

/// Where browsers find the pages, if there are any.
fn pages(config: &Config, public_url: &str) -> Option<String> {
    if !config.web.enabled {
        return None;
    }
    let said = config.web.origin.clone();
    let origin = said.or_else(|| WebOrigin::of(public_url))?;
    Some(origin.as_str().to_owned())
}

/// Whose channels and routes they are, as rows have it: a namespace, or nothing for the
/// installation.
fn scope(namespace: Option<&Namespace>) -> String {
    namespace.map_or_else(String::new, ToString::to_string)
}
