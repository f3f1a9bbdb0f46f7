//! One connection to the database.

use super::fault::PostgresFault;
use super::server::Server;
use crate::writer::Fault;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Row, Statement};

/// Who wants to know of what happens on a connection besides answers.
pub(super) trait Listener: Send + Sync {
    /// Another connection, of this server process, has committed.
    fn notified(&self, by: i32);
    /// The connection is no more.
    fn closed(&self);
}

/// What a parameter of a statement is.
pub(super) type Parameter<'a> = &'a (dyn ToSql + Sync);

/// A connection whose settings make commits durable. Statements that are begun one after
/// the other are answered in this order, and need not wait for each other.
pub(super) struct Session {
    client: Client,
    prepared: Mutex<HashMap<&'static str, Statement>>,
    warnings: Arc<AtomicU64>,
    closed: AtomicBool,
    driver: AbortHandle,
    /// `on`, or what is stricter.
    synchronous_commit: String,
    process: i32,
    /// Which of the address's servers it is to.
    place: usize,
}

/// Settings that hold whatever the server, the database or the role has:
/// * a commit is durable when it is acknowledged, on the standbys that are waited for
///   too;
/// * the server gives up nothing by itself, as a commit that is given up while it waits
///   for a standby is reported done; how long to wait is known here;
/// * who waits for the head waits for a while, and a transaction of a process that was
///   stopped in the middle does not hold the head for ever;
/// * every query goes along an index, in its order: a plan that was made while a table was
///   small is kept when it has grown.
const SETTINGS: &str = "
    SELECT set_config('synchronous_commit',
               CASE current_setting('synchronous_commit')
                   WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false),
           pg_backend_pid(),
           set_config('statement_timeout', '0', false),
           set_config('lock_timeout', '8s', false),
           set_config('idle_in_transaction_session_timeout', '5s', false),
           set_config('default_transaction_isolation', 'read committed', false),
           set_config('default_transaction_read_only', 'off', false),
           set_config('plan_cache_mode', 'force_generic_plan', false),
           set_config('enable_seqscan', 'off', false),
           set_config('enable_bitmapscan', 'off', false),
           set_config('enable_sort', 'off', false),
           set_config('jit', 'off', false)";

impl Session {
    /// Connects by a configuration of one of the servers. Must be called on the thread of
    /// the connections.
    pub(super) async fn connect(
        server: &Server,
        config: &Config,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, PostgresFault> {
        let at = server.at();
        let (client, mut connection) = config
            .connect(server.tls())
            .await
            .map_err(|error| PostgresFault::connecting(&at, &error))?;
        let warnings = Arc::new(AtomicU64::new(0));
        let heard = Arc::clone(&warnings);
        let driver = tokio::spawn(async move {
            // Told also when the task is aborted.
            let told = AtEnd(listener);
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                match message {
                    AsyncMessage::Notice(notice)
                        if notice.parsed_severity() == Some(Severity::Warning) =>
                    {
                        tracing::warn!(warning = notice.message(), "the database warns");
                        heard.fetch_add(1, Ordering::AcqRel);
                    }
                    AsyncMessage::Notification(news) => told.0.notified(news.process_id()),
                    _ => {}
                }
            }
        })
        .abort_handle();
        let mut session = Self {
            client,
            prepared: Mutex::default(),
            warnings,
            closed: AtomicBool::new(false),
            driver,
            synchronous_commit: String::new(),
            process: 0,
            place: 0,
        };
        let refused = |error| PostgresFault::connecting(&at, &error);
        let row = session.client.query_one(SETTINGS, &[]).await;
        let row = row.map_err(refused)?;
        session.synchronous_commit = row.try_get(0).map_err(refused)?;
        session.process = row.try_get(1).map_err(refused)?;
        Ok(session)
    }

    /// Whether nothing can be asked any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) || self.client.is_closed()
    }

    /// Ends the connection at once, in the middle of whatever it does.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.driver.abort();
    }

    /// The warnings that were heard until now.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }

    /// The connection is to the server that has this place in the address.
    pub(super) const fn to(mut self, place: usize) -> Self {
        self.place = place;
        self
    }

    /// Which of the address's servers it is to.
    pub(super) const fn place(&self) -> usize {
        self.place
    }

    /// The number of the server's process.
    pub(super) const fn process(&self) -> i32 {
        self.process
    }

    /// What begins a transaction that writes: durable whatever was set since.
    pub(super) fn begin(&self) -> String {
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; \
             SET LOCAL synchronous_commit = {}",
            self.synchronous_commit
        )
    }

    fn prepared(&self) -> MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the statements ready, so that using them takes one way there and back.
    pub(super) async fn prepare(&self, statements: &[&'static str]) -> Result<(), Fault> {
        for sql in statements {
            self.statement(sql).await?;
        }
        Ok(())
    }

    async fn statement(&self, sql: &'static str) -> Result<Statement, Fault> {
        let known = self.prepared().get(sql).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let made = self.client.prepare(sql).await?;
        self.prepared().insert(sql, made.clone());
        Ok(made)
    }

    /// The rows of a query.
    pub(super) async fn rows(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, parameters).await?)
    }

    /// How many rows a statement changed.
    pub(super) async fn change(
        &self,
        sql: &'static str,
        parameters: &[Parameter<'_>],
    ) -> Result<u64, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, parameters).await?)
    }

    /// Statements without parameters and rows.
    pub(super) async fn run(&self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

struct AtEnd(Arc<dyn Listener>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.closed();
    }
}
