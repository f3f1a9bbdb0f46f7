//! Where a store in PostgreSQL is.

use procura_types::Malformed;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use tokio_postgres::Config;
use tokio_postgres::config::TargetSessionAttrs;

const PORT: u16 = 5432;
const FIELD: &str = "database_url";

/// The address of a database: `postgres://user@host[:port][,host[:port]…]/database`, or
/// `postgres:///database?host=/folder&user=user[&port=port]` for a socket of this
/// machine. Of several hosts the one is used that takes writes. There is never a
/// password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    user: String,
    database: String,
    servers: Servers,
}

#[derive(Clone, PartialEq, Eq)]
enum Servers {
    Tcp(Vec<(String, u16)>),
    Unix(PathBuf, u16),
}

impl PostgresUrl {
    /// Whether nothing of what is sent leaves this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let loopback = |host: &str| {
            host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
        };
        match &self.servers {
            Servers::Unix(..) => true,
            Servers::Tcp(servers) => servers.iter().all(|(host, _)| loopback(host)),
        }
    }

    /// What the client library connects by to each of the servers, with the name of it.
    pub(super) fn configs(&self) -> Vec<(String, Config)> {
        let mut config = Config::new();
        config.user(&self.user).dbname(&self.database);
        match &self.servers {
            Servers::Unix(folder, port) => {
                config.host_path(folder).port(*port);
                vec![(folder.display().to_string(), config)]
            }
            Servers::Tcp(servers) => {
                // A single one is told what it is instead of being passed over.
                if servers.len() > 1 {
                    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
                }
                let each = servers.iter().map(|(host, port)| {
                    let mut config = config.clone();
                    config.host(host).port(*port);
                    (format!("{host}:{port}"), config)
                });
                each.collect()
            }
        }
    }
}

impl FromStr for PostgresUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = |what| Malformed::new(FIELD, what);
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"))
            .ok_or(malformed("does not begin with postgres://"))?;
        let (before, query) = match rest.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (rest, None),
        };
        let (authority, database) = before
            .split_once('/')
            .ok_or(malformed("names no database after the host"))?;
        if !is_name(database) {
            return Err(malformed(
                "names no database by letters, digits, points, dashes and underscores",
            ));
        }
        let (user, servers) = match (authority, query) {
            ("", Some(query)) => socket(query)?,
            (_, Some(_)) => {
                return Err(malformed(
                    "has something after a ?, which only an address of a socket has",
                ));
            }
            (authority, None) => network(authority)?,
        };
        Ok(Self {
            text: text.to_owned(),
            user,
            database: database.to_owned(),
            servers,
        })
    }
}

fn network(authority: &str) -> Result<(String, Servers), Malformed> {
    let malformed = |what| Malformed::new(FIELD, what);
    let (user, hosts) = authority
        .rsplit_once('@')
        .ok_or(malformed("names no user before an @"))?;
    let user = checked_user(user)?;
    let servers: Option<Vec<_>> = hosts.split(',').map(host_and_port).collect();
    let servers = servers.ok_or(malformed(
        "does not name a host, or a port from 1 to 65535, for each of its servers",
    ))?;
    Ok((user, Servers::Tcp(servers)))
}

fn socket(query: &str) -> Result<(String, Servers), Malformed> {
    let malformed = |what| Malformed::new(FIELD, what);
    let (mut folder, mut user, mut port) = (None, None, PORT);
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("host", path)) if path.starts_with('/') => folder = Some(PathBuf::from(path)),
            Some(("host", _)) => {
                return Err(malformed(
                    "does not name the folder of the socket by its whole path",
                ));
            }
            Some(("user", name)) => user = Some(checked_user(name)?),
            Some(("port", number)) => {
                port = checked_port(number).ok_or(malformed("has a port beyond 1 to 65535"))?;
            }
            _ => {
                return Err(malformed(
                    "has something else than host=, user= and port= after the ?",
                ));
            }
        }
    }
    let folder = folder.ok_or(malformed("names no folder of a socket by host="))?;
    let user = user.ok_or(malformed("names no user by user="))?;
    Ok((user, Servers::Unix(folder, port)))
}

fn checked_user(user: &str) -> Result<String, Malformed> {
    if user.contains(':') {
        return Err(Malformed::new(
            FIELD,
            "has a password in it, which others may see; put it into a file",
        ));
    }
    match is_name(user) {
        true => Ok(user.to_owned()),
        false => Err(Malformed::new(
            FIELD,
            "has something else than a user's name before the @ or after user=",
        )),
    }
}

/// Whether it is of letters, digits, points, dashes and underscores.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

fn checked_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// `host`, `host:port` or either with an IPv6 address in brackets.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            match after {
                "" => (host, None),
                after => (host, Some(after.strip_prefix(':')?)),
            }
        }
        None => {
            let (host, port) = match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            };
            (is_name(host).then_some(host)?, port)
        }
    };
    let port = port.map_or(Some(PORT), checked_port)?;
    Some((host.to_owned(), port))
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::{PostgresUrl, Servers};
    use tokio_postgres::config::Host;

    fn parsed(text: &str) -> PostgresUrl {
        let url: PostgresUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), text);
        url
    }

    #[test]
    fn hosts_ports_users_and_databases() {
        let url = parsed("postgres://procura@db.example/vault");
        assert!(url.servers == Servers::Tcp(vec![("db.example".into(), 5432)]));
        assert_eq!((&*url.user, &*url.database), ("procura", "vault"));
        let url = parsed("postgresql://p@a:7,[::1]:8,[::2]/v");
        let servers = [("a", 7), ("::1", 8), ("::2", 5432)];
        let servers = servers.map(|(host, port)| (host.to_owned(), port));
        assert!(url.servers == Servers::Tcp(servers.to_vec()));
        let configs = url.configs();
        let ports: Vec<&[u16]> = configs.iter().map(|(_, it)| it.get_ports()).collect();
        assert_eq!(ports, [[7], [8], [5432]]);
        let hosts = ["a", "::1", "::2"].map(|host| vec![Host::Tcp(host.into())]);
        let found: Vec<_> = configs.iter().map(|(_, it)| it.get_hosts()).collect();
        assert_eq!(found, hosts);
        let names: Vec<_> = configs.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a:7", "::1:8", "::2:5432"]);
    }

    #[test]
    fn sockets_of_this_machine() {
        let url = parsed("postgres:///vault?host=/run/postgresql&user=procura&port=7");
        assert!(url.servers == Servers::Unix("/run/postgresql".into(), 7));
        let (_, config) = url.configs().pop().unwrap();
        assert_eq!(config.get_user(), Some("procura"));
        assert_eq!(config.get_dbname(), Some("vault"));
    }

    #[test]
    fn what_stays_on_this_machine() {
        let local = |text: &str| parsed(text).is_local();
        for text in [
            "postgres://p@127.0.0.1/v",
            "postgres://p@127.9.9.9:1/v",
            "postgres://p@[::1],localhost/v",
            "postgres:///v?host=/run&user=p",
        ] {
            assert!(local(text), "{text}");
        }
        for text in [
            "postgres://p@10.0.0.1/v",
            "postgres://p@127.0.0.1.example/v",
            "postgres://p@127.0.0.1,db/v",
        ] {
            assert!(!local(text), "{text}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("", "does not begin with postgres://"),
            ("http://a", "does not begin with postgres://"),
            ("postgres://p@a", "names no database after"),
            ("postgres://p@a/", "names no database by"),
            ("postgres://p@a/v w", "names no database by"),
            ("postgres://a/v", "names no user before"),
            ("postgres://@a/v", "a user's name"),
            ("postgres://p@/v", "does not name a host"),
            ("postgres://p@a,/v", "does not name a host"),
            ("postgres://p@a:0/v", "does not name a host"),
            ("postgres://p@a:/v", "does not name a host"),
            ("postgres://p@a:65536/v", "does not name a host"),
            ("postgres://p@[::1]7/v", "does not name a host"),
            ("postgres://p@[a]/v", "does not name a host"),
            ("postgres://p@a/v?sslmode=disable", "after a ?"),
            ("postgres:///v", "names no user"),
            ("postgres:///v?host=/a", "names no user by"),
            ("postgres:///v?user=p", "names no folder"),
            ("postgres:///v?host=a&user=p", "whole path"),
            ("postgres:///v?host=/a&user=p&port=0", "beyond 1 to 65535"),
            ("postgres:///v?host=/a&user=p&password=hush", "else than"),
            ("postgres://p:hush@a/v", "has a password"),
            ("postgres:///v?host=/a&user=p:hush", "has a password"),
        ] {
            let error = text.parse::<PostgresUrl>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
