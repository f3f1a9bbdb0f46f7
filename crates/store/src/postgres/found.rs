//! What there is in a database before anything of it is opened.

use super::fault::PostgresFault;
use super::io::IoThread;
use super::schema;
use super::server::Server;
use super::session::{Listener, Session};
use super::wait::within;
use super::{ANSWERING, OPENING, PostgresEngine, PostgresOptions};
use crate::writer::Fault;
use procura_types::InstallationId;
use std::future::Future;
use std::sync::Arc;
use tokio::time::timeout;

/// Nothing that is told besides the answer matters.
struct Deaf;

impl Listener for Deaf {
    fn notified(&self, _by: i32) {}
    fn closed(&self) {}
}

impl PostgresEngine {
    /// Whose store is in the database; `None` when there is none. Nothing is changed.
    ///
    /// # Errors
    /// Why the database cannot be used: see [`PostgresFault`].
    pub fn find(options: PostgresOptions) -> Result<Option<InstallationId>, PostgresFault> {
        asked(options, |session: Session| async move {
            schema::owner(&session).await
        })
    }

    /// Removes the tables of a store in which nothing was ever committed, as one that
    /// was being made leaves them when its server ends in the middle.
    ///
    /// # Errors
    /// [`PostgresFault::AlreadyExists`] when something was committed there; why the
    /// database cannot be used.
    pub fn discard_untouched(options: PostgresOptions) -> Result<(), PostgresFault> {
        let at = options.url.to_string();
        let gone = asked(options, |session: Session| async move {
            schema::discard(&session).await
        });
        match gone? {
            true => Ok(()),
            false => Err(PostgresFault::AlreadyExists { at }),
        }
    }
}

/// Connects, asks, and ends the connection.
fn asked<T: Send + 'static, F>(
    options: PostgresOptions,
    question: impl FnOnce(Session) -> F + Send + 'static,
) -> Result<T, PostgresFault>
where
    F: Future<Output = Result<T, Fault>> + Send,
{
    let io = IoThread::start().map_err(|error| PostgresFault::Own(error.to_string()))?;
    let server = Server::new(options)?;
    let at = server.at();
    let late = |at: String| PostgresFault::Unreachable {
        at,
        cause: "it does not answer in time".to_owned(),
    };
    let there = at.clone();
    let asking = io.handle().spawn(async move {
        let session = server.connect(Arc::new(Deaf)).await?;
        match timeout(ANSWERING, question(session)).await {
            Ok(answer) => answer.map_err(|fault| PostgresFault::of(&there, fault)),
            Err(_) => Err(late(there)),
        }
    });
    match within(OPENING, asking) {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => Err(PostgresFault::Own(error.to_string())),
        None => Err(late(at)),
    }
}
