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
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, Row};

/// How long connecting may take, with all that is asked first.
const CONNECTING: Duration = Duration::from_secs(5);
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
        })
    }

    /// Its address, for words to people.
    pub(super) fn at(&self) -> String {
        self.url.to_string()
    }

    pub(super) fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// What the client library connects by. It has a copy of the password in it, so it
    /// is made for each connection and goes with it.
    pub(super) fn config(&self) -> Config {
        let mut config = self.url.config();
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
        config
    }

    /// Connects, and looks whether the server is one to rely on.
    pub(super) async fn connect(
        &self,
        listener: Arc<dyn Listener>,
    ) -> Result<Session, PostgresFault> {
        let connecting = async {
            let session = Session::connect(self, listener).await?;
            self.check(&session).await?;
            Ok(session)
        };
        match timeout(CONNECTING, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(PostgresFault::Unreachable {
                at: self.at(),
                cause: format!("it does not answer within {} s", CONNECTING.as_secs()),
            }),
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
