//! Where a shared guard is.

use procura_types::Malformed;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

const PORT: u16 = 6379;
const FIELD: &str = "guard_url";

/// The address of a Valkey or Redis server, and which of its databases:
/// `redis://[user@]host[:port][/database]`, `valkey://` the same, or
/// `unix:/path[?db=database]`. There is never a password in it.
#[derive(Clone, PartialEq, Eq)]
pub struct GuardUrl {
    text: String,
    address: Address,
    user: Option<String>,
    database: i64,
}

#[derive(Clone, PartialEq, Eq)]
enum Address {
    Tcp(String, u16),
    Unix(PathBuf),
}

impl GuardUrl {
    /// Whether nothing of what is sent leaves this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.address {
            Address::Unix(_) => true,
            Address::Tcp(host, _) => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }

    /// What the client library connects by.
    pub(super) fn connection(&self, password: Option<&str>) -> redis::RedisResult<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password);
        }
        let address = match &self.address {
            Address::Tcp(host, port) => ConnectionAddr::Tcp(host.clone(), *port),
            Address::Unix(path) => ConnectionAddr::Unix(path.clone()),
        };
        Ok(address.into_connection_info()?.set_redis_settings(settings))
    }
}

impl FromStr for GuardUrl {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = |what| Err(Malformed::new(FIELD, what));
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        let (address, user, database) = match scheme {
            "unix" => {
                let (path, query) = rest.split_once('?').unwrap_or((rest, "db=0"));
                // Two slashes and an empty host may stand before the path.
                let path = path.strip_prefix("//").unwrap_or(path);
                let Some(database) = query.strip_prefix("db=") else {
                    return malformed("has something else than db= after the path");
                };
                if !path.starts_with('/') {
                    return malformed("does not name the socket by its whole path");
                }
                (Address::Unix(PathBuf::from(path)), None, database)
            }
            "redis" | "valkey" => {
                let Some(rest) = rest.strip_prefix("//") else {
                    return malformed("has no // after redis:");
                };
                let (authority, database) = rest.split_once('/').unwrap_or((rest, "0"));
                let (user, host) = match authority.rsplit_once('@') {
                    Some((user, host)) => (Some(user), host),
                    None => (None, authority),
                };
                if user.is_some_and(|user| user.contains(':')) {
                    return malformed(
                        "has a password in it, which others may see; put it into a file and name that with guard_password_file (--guard-password-file)",
                    );
                }
                if !user.is_none_or(is_name) {
                    return malformed("has something else than a user's name before the @");
                }
                let Some((host, port)) = host_and_port(host) else {
                    return malformed("does not name a host, or a port from 1 to 65535");
                };
                (Address::Tcp(host, port), user, database)
            }
            "rediss" | "valkeys" => {
                return malformed(
                    "asks for TLS, which is not there for a shared guard; name an address of this machine where a tunnel begins (stunnel, ssh -L)",
                );
            }
            _ => {
                return malformed("is neither redis://host:port nor unix:/path");
            }
        };
        let database = match database {
            "" => 0,
            number => match number.parse::<u16>() {
                Ok(number) => i64::from(number),
                Err(_) => return malformed("does not name its database by a number"),
            },
        };
        Ok(Self {
            text: text.to_owned(),
            address,
            user: user.filter(|user| !user.is_empty()).map(str::to_owned),
            database,
        })
    }
}

/// Whether it is of letters, digits, points, dashes and underscores.
fn is_name(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
}

/// `host`, `host:port` or either with an IPv6 address in brackets.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (
                host,
                after.strip_prefix(':').or(after.is_empty().then_some(""))?,
            )
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            if host.is_empty() || !is_name(host) {
                return None;
            }
            (host, port)
        }
    };
    let port = match port {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port > 0)?,
    };
    Some((host.to_owned(), port))
}

impl fmt::Display for GuardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for GuardUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Address, GuardUrl};

    fn tcp(text: &str) -> (String, u16, Option<String>, i64) {
        let url: GuardUrl = text.parse().unwrap();
        assert_eq!(url.to_string(), text);
        match url.address {
            Address::Tcp(host, port) => (host, port, url.user, url.database),
            Address::Unix(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn hosts_ports_users_and_databases() {
        let of = |host: &str, port, user: Option<&str>, database| {
            (host.to_owned(), port, user.map(str::to_owned), database)
        };
        assert_eq!(tcp("redis://127.0.0.1"), of("127.0.0.1", 6379, None, 0));
        assert_eq!(tcp("valkey://guard:7/3"), of("guard", 7, None, 3));
        assert_eq!(
            tcp("redis://gate@[::1]:7000/"),
            of("::1", 7000, Some("gate"), 0)
        );
        assert_eq!(tcp("redis://[::1]"), of("::1", 6379, None, 0));
    }

    #[test]
    fn sockets_of_this_machine() {
        for (text, database) in [
            ("unix:/run/valkey.sock", 0),
            ("unix:///run/valkey.sock?db=2", 2),
        ] {
            let url: GuardUrl = text.parse().unwrap();
            assert!(url.address == Address::Unix("/run/valkey.sock".into()));
            assert_eq!((url.database, url.is_local()), (database, true));
        }
    }

    #[test]
    fn what_stays_on_this_machine() {
        let local = |text: &str| text.parse::<GuardUrl>().unwrap().is_local();
        for text in [
            "redis://127.0.0.1",
            "redis://127.9.9.9:1",
            "redis://[::1]",
            "redis://localhost",
        ] {
            assert!(local(text), "{text}");
        }
        for text in [
            "redis://10.0.0.1",
            "redis://127.0.0.1.example",
            "redis://guard",
        ] {
            assert!(!local(text), "{text}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, why) in [
            ("", "neither redis://"),
            ("http://127.0.0.1", "neither redis://"),
            ("redis:127.0.0.1", "no //"),
            ("redis://", "does not name a host"),
            ("redis://a b", "does not name a host"),
            ("redis://a:0", "does not name a host"),
            ("redis://a:65536", "does not name a host"),
            ("redis://[::1]7", "does not name a host"),
            ("redis://[127.0.0.1]", "does not name a host"),
            ("redis://a\\@b", "a user's name"),
            ("redis://a/b", "by a number"),
            ("redis://a/-1", "by a number"),
            ("redis://a?db=1", "does not name a host"),
            ("unix:run/a", "whole path"),
            ("unix:/run/a?pass=b", "db="),
            ("redis://:hush@a", "has a password"),
            ("redis://me:hush@a", "has a password"),
            ("rediss://a", "tunnel"),
        ] {
            let error = text.parse::<GuardUrl>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
