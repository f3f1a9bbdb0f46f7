//! The database server as a store sees it: how it is reached, and whether a commit there
//! can be relied on.

use super::PostgresOptions;
use super::fault::{PostgresFault, out_of_range};
use super::session::{Listener, Session};
use super::tls::Tls;
use super::url::PostgresUrl;
use crate::writer::Fault;
use procura_types::Secret;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, Row};

/// How long connecting may take, with all that is asked first.
const CONNECTING: Duration = Duration::from_secs(5);
/// The same for each of several servers: one that is gone need not even refuse, and must
/// not keep from the one that took over.
const EACH: Duration = Duration::from_secs(2);
/// How long what was sent may stay unconfirmed by the other machine.
const UNCONFIRMED: Duration = Duration::from_secs(10);
/// The oldest release that the tests run with.
const OLDEST: i32 = 15;

/// How the server is reached.
pub(super) struct Server {
    url: PostgresUrl,
    password: Option<Secret<String>>,
    tls: Tls,
    danger_async_standby: bool,
    /// Which of several servers took writes when it was last looked for.
    last: AtomicUsize,
}

impl Server {
    pub(super) fn new(options: PostgresOptions) -> Result<Self, PostgresFault> {
        let at = options.url.to_string();
        if !options.url.is_local() && options.tls.is_none() {
            return Err(PostgresFault::NoTls { at });
        }
        Ok(Self {
            url: options.url,
            password: options.password,
            tls: Tls(options.tls),
            danger_async_standby: options.danger_async_standby,
            last: AtomicUsize::new(0),
        })
    }

    /// Its address, for words to people.
    pub(super) fn at(&self) -> String {
        self.url.to_string()
    }

    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// What the client library connects by to each of the servers. They have a copy of the
    /// password in them, so they are made for each connection and go with it.
    fn configs(&self) -> Vec<(String, Config)> {
        let mut configs = self.url.configs();
        for (_, config) in &mut configs {
            self.complete(config);
        }
        configs
    }

    fn complete(&self, config: &mut Config) {
        let mode = match self.tls.0 {
            Some(_) => SslMode::Require,
            None => SslMode::Disable,
        };
        config
            .application_name("procura")
            .ssl_mode(mode)
            .connect_timeout(CONNECTING)
            .keepalives_idle(UNCONFIRMED)
            .keepalives_interval(Duration::from_secs(3))
            .keepalives_retries(3)
            .tcp_user_timeout(UNCONFIRMED);
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
    }

    /// Connects, and looks whether the server is one to rely on. Of several the one is
    /// taken that takes writes: the one that did before is asked first, then the others in
    /// their order.
    pub(super) async fn connect(
        &self,
        listener: Arc<dyn Listener>,
    ) -> Result<Session, PostgresFault> {
        let mut configs: Vec<_> = self.configs().into_iter().enumerate().collect();
        let last = self.last.load(Ordering::Relaxed);
        configs.sort_by_key(|(at, _)| *at != last);
        let limit = match configs.len() {
            0 | 1 => CONNECTING,
            _ => EACH,
        };
        let mut told = Vec::new();
        for (at, (name, config)) in &configs {
            let connecting = self.connect_by(config, Arc::clone(&listener));
            let fault = match timeout(limit, connecting).await {
                Ok(Ok(session)) => {
                    self.last.store(*at, Ordering::Relaxed);
                    return Ok(session.to(*at));
                }
                Ok(Err(fault)) => fault,
                Err(_) => PostgresFault::Unreachable {
                    at: self.at(),
                    cause: format!("it does not answer within {} s", limit.as_secs()),
                },
            };
            if is_of_the_primary(&fault) {
                return Err(fault);
            }
            told.push((name.as_str(), fault));
        }
        Err(self.all_told(told))
    }

    /// Which of the address's servers took writes when it was last looked for.
    pub(super) fn place(&self) -> usize {
        self.last.load(Ordering::Relaxed)
    }

    async fn connect_by(
        &self,
        config: &Config,
        listener: Arc<dyn Listener>,
    ) -> Result<Session, PostgresFault> {
        let session = Session::connect(self, config, listener).await?;
        self.check(&session).await?;
        Ok(session)
    }

    /// Why none of the servers is used: what one of them said that can be mended there, or
    /// what became of each.
    fn all_told(&self, told: Vec<(&str, PostgresFault)>) -> PostgresFault {
        let alone = told.len() == 1;
        let mut causes = Vec::new();
        for (name, fault) in told {
            match fault {
                PostgresFault::Unreachable { cause, .. } if !alone => {
                    causes.push(format!("{name}: {cause}"));
                }
                fault => return fault,
            }
        }
        PostgresFault::Unreachable {
            at: self.at(),
            cause: causes.join("; "),
        }
    }

    /// Whether commits there can be relied on. Asked again from time to time: settings
    /// change without a restart.
    pub(super) async fn check(&self, session: &Session) -> Result<(), PostgresFault> {
        let at = self.at();
        let rows = session.rows(STANDING, &[]).await;
        rows.and_then(|rows| Standing::read(&rows))
            .map_err(|fault| PostgresFault::of(&at, fault))?
            .judge(&at, self.danger_async_standby)
    }
}

/// Whether a server that takes writes is not relied on: then no other is looked for, which
/// might be a second one that does.
const fn is_of_the_primary(fault: &PostgresFault) -> bool {
    matches!(
        fault,
        PostgresFault::TooOld { .. }
            | PostgresFault::NotDurable { .. }
            | PostgresFault::AsyncStandby { .. }
    )
}

const STANDING: &str = "
    SELECT current_setting('server_version_num')::integer / 10000,
           pg_is_in_recovery(),
           current_setting('fsync') = 'on',
           current_setting('full_page_writes') = 'on',
           current_setting('synchronous_commit') IN ('on', 'remote_apply'),
           (SELECT count(*) FROM pg_stat_replication),
           btrim(current_setting('synchronous_standby_names')) <> ''";

struct Standing {
    release: i32,
    is_standby: bool,
    fsync: bool,
    full_page_writes: bool,
    synchronous_commit: bool,
    standbys: i64,
    waits_for_standbys: bool,
}

impl Standing {
    fn read(rows: &[Row]) -> Result<Self, Fault> {
        let row = rows
            .first()
            .ok_or_else(|| out_of_range("what the server says of itself"))?;
        Ok(Self {
            release: row.try_get(0)?,
            is_standby: row.try_get(1)?,
            fsync: row.try_get(2)?,
            full_page_writes: row.try_get(3)?,
            synchronous_commit: row.try_get(4)?,
            standbys: row.try_get(5)?,
            waits_for_standbys: row.try_get(6)?,
        })
    }

    /// Whether an acknowledged commit outlives a loss of power there, and that of the
    /// whole machine if there are standbys.
    fn judge(&self, at: &str, danger_async_standby: bool) -> Result<(), PostgresFault> {
        let at = || at.to_owned();
        if self.release < OLDEST {
            let found = self.release;
            return Err(PostgresFault::TooOld { at: at(), found });
        }
        if self.is_standby {
            return Err(PostgresFault::Standby { at: at() });
        }
        let needed = [
            ("fsync", self.fsync),
            ("full_page_writes", self.full_page_writes),
            ("synchronous_commit", self.synchronous_commit),
        ];
        if let Some((setting, _)) = needed.into_iter().find(|(_, on)| !on) {
            return Err(PostgresFault::NotDurable { at: at(), setting });
        }
        if self.standbys > 0 && !self.waits_for_standbys && !danger_async_standby {
            return Err(PostgresFault::AsyncStandby { at: at() });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Standing = Standing {
        release: 15,
        is_standby: false,
        fsync: true,
        full_page_writes: true,
        synchronous_commit: true,
        standbys: 0,
        waits_for_standbys: false,
    };

    #[test]
    fn a_server_is_relied_on_or_told_why_not() {
        let at = || "there".to_owned();
        let judged = |standing: Standing| standing.judge("there", false);
        assert_eq!(judged(GOOD), Ok(()));
        let found = 14;
        let old = Standing {
            release: found,
            ..GOOD
        };
        assert_eq!(judged(old), Err(PostgresFault::TooOld { at: at(), found }));
        let standby = Standing {
            is_standby: true,
            ..GOOD
        };
        assert_eq!(judged(standby), Err(PostgresFault::Standby { at: at() }));
        let off = |setting| Err(PostgresFault::NotDurable { at: at(), setting });
        let lazy = Standing {
            fsync: false,
            ..GOOD
        };
        assert_eq!(judged(lazy), off("fsync"));
        let torn = Standing {
            full_page_writes: false,
            ..GOOD
        };
        assert_eq!(judged(torn), off("full_page_writes"));
        let later = Standing {
            synchronous_commit: false,
            ..GOOD
        };
        assert_eq!(judged(later), off("synchronous_commit"));
        let alone = Standing {
            standbys: 1,
            ..GOOD
        };
        assert_eq!(judged(alone), Err(PostgresFault::AsyncStandby { at: at() }));
        let accepted = Standing {
            standbys: 1,
            ..GOOD
        };
        assert_eq!(accepted.judge("there", true), Ok(()));
        let together = Standing {
            standbys: 2,
            waits_for_standbys: true,
            ..GOOD
        };
        assert_eq!(judged(together), Ok(()));
    }
}
