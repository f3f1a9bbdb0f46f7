//! What a running server takes over from its configuration: `auth_mode`, on SIGHUP
//! ([decision 15](../../../docs/adr/0015-the-dial.md)). Whatever else was changed there
//! counts from the next start.

use crate::app::App;
use crate::config::{Config, ConfigError};
use arc_swap::ArcSwap;
use procura_ledger::Entry;
use procura_record::tables::LEDGER;
use procura_store::Batch;
use procura_types::dial::Mode;
use procura_types::{BatchId, TraceId};
use std::error::Error;
use std::io;
use std::sync::Arc;
use tokio::signal::unix::Signal;
use tokio::sync::watch::Receiver;

/// What it stands under in the record.
pub(crate) const ACTION: &str = "installation.auth_mode";

/// What of the configuration counts now.
pub(crate) struct InForce(ArcSwap<Taken>);

/// What the last reading left.
struct Taken {
    auth_mode: Option<Mode>,
    /// Whether it was refused.
    refused: bool,
}

impl InForce {
    /// As the server starts.
    pub(crate) fn new(config: &Config) -> Self {
        Self(ArcSwap::from_pointee(Taken {
            auth_mode: config.auth_mode,
            refused: false,
        }))
    }

    /// The mode of the agents' own routes, if environment or configuration say it.
    pub(crate) fn auth_mode(&self) -> Option<Mode> {
        self.0.load().auth_mode
    }

    /// That the configuration as it is now does not count. Strangers see this, so what
    /// stands in the file is in the log alone.
    pub(crate) fn problem(&self) -> Option<String> {
        let refused = self.0.load().refused;
        refused.then(|| {
            "configuration: it cannot be taken over, the log says why; what was read before counts"
                .to_owned()
        })
    }

    fn set(&self, auth_mode: Option<Mode>, refused: bool) {
        self.0.store(Arc::new(Taken { auth_mode, refused }));
    }
}

/// Reads the configuration again at each SIGHUP, until `stopping` is true or its sender
/// is gone. What the server would not start with changes nothing and stops nothing.
pub(crate) async fn follow<F>(
    app: Arc<App>,
    hangup: io::Result<Signal>,
    reread: F,
    mut stopping: Receiver<bool>,
) where
    F: Fn() -> Result<Config, ConfigError> + Send + Sync + 'static,
{
    let Ok(mut hangup) = hangup else {
        return;
    };
    let reread = Arc::new(reread);
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            asked = hangup.recv() => if asked.is_none() {
                return;
            }
        }
        let reread = Arc::clone(&reread);
        let read = tokio::task::spawn_blocking(move || {
            let config = reread()?;
            config.check()?;
            Ok::<_, ConfigError>(config.auth_mode)
        });
        match read.await {
            Ok(read) => take_over(&app, read.map_err(Into::into)).await,
            Err(error) => take_over(&app, Err(error.into())).await,
        }
    }
}

/// Boxed, since nobody tells the causes apart: they are shown.
type Cause = Box<dyn Error + Send + Sync>;

/// Puts what was read in force, recorded before; or keeps what was, and says why.
async fn take_over(app: &App, read: Result<Option<Mode>, Cause>) {
    let before = app.in_force.auth_mode();
    let taken = match read {
        Ok(after) if after == before => Ok(after),
        Ok(after) => record(app, before, after).await.map(|()| after),
        Err(cause) => Err(cause),
    };
    match taken {
        Ok(after) => {
            app.in_force.set(after, false);
            if after != before {
                tracing::warn!(
                    before = word(before),
                    after = word(after),
                    "auth_mode is another from here on"
                );
            }
        }
        Err(cause) => {
            tracing::error!(
                %cause,
                auth_mode = word(before),
                "the configuration cannot be taken over; what was read before counts"
            );
            app.in_force.set(before, true);
        }
    }
}

/// Puts the turn into the record, by nobody whom the server could name: whoever may
/// change its files and send it signals. Sealed it has no record to write to, and its log
/// has to do.
async fn record(app: &App, before: Option<Mode>, after: Option<Mode>) -> Result<(), Cause> {
    let Ok(open) = app.open() else {
        return Ok(());
    };
    let (now, entropy) = (app.clock.now(), app.entropy.as_ref());
    let entry = Entry {
        resource: Some(format!(
            "installation mode:{}>{}",
            word(before),
            word(after)
        )),
        ..Entry::new(now, entropy, ACTION, TraceId::generate(now, entropy)?)?
    };
    // A service has to be closed on a full disk as well.
    let mut batch = Batch::new(BatchId::generate(now, entropy)?).reserved();
    batch.append(LEDGER, entry.to_bytes()?);
    open.vault.store().commit(batch).await?;
    Ok(())
}

/// The mode as the record has it.
const fn word(mode: Option<Mode>) -> &'static str {
    match mode {
        Some(mode) => mode.as_str(),
        None => "none",
    }
}
