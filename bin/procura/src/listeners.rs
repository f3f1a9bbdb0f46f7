//! Who listens on a TCP port of this machine, from `/proc/net/tcp` and `tcp6`
//! (proc_pid_net(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One listening socket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) address: IpAddr,
    /// The user who opened it.
    pub(crate) uid: u32,
}

/// The port of a plain URL; those are of this machine.
pub(crate) fn loopback_port(url: &str) -> Option<u16> {
    let authority = url.strip_prefix("http://")?.trim_end_matches('/');
    match authority.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => port.parse().ok(),
        _ => Some(80),
    }
}

/// All sockets that listen on the port.
pub(crate) fn on_port(port: u16) -> Vec<Listening> {
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .flat_map(|table| parse(&table, port))
        .collect()
}

/// The state of a listening socket in those tables.
const LISTEN: &str = "0A";

fn parse(table: &str, port: u16) -> Vec<Listening> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (local, state) = (fields.nth(1)?, fields.nth(1)?);
            let uid = fields.nth(3)?.parse().ok()?;
            let (address, local_port) = local.split_once(':')?;
            let listens = state == LISTEN && u16::from_str_radix(local_port, 16).ok()? == port;
            listens.then_some(Listening {
                address: parse_address(address)?,
                uid,
            })
        })
        .collect()
}

/// Addresses stand there as 32-bit words in the machine's own order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for word in hex.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(IpAddr::V4(Ipv4Addr::from(four)));
    }
    let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(Ipv6Addr::from(sixteen).to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_read_from_the_kernels_tables() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1C8E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1\n\
            \x20  1: 00000000:1C8E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12346 1\n\
            \x20  2: 0100007F:1C8E 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 12347 1\n";
        // The text above is of a little-endian machine.
        if cfg!(target_endian = "little") {
            assert_eq!(
                parse(table, 7310),
                [
                    Listening {
                        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
                        uid: 1000
                    },
                    Listening {
                        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                        uid: 0
                    },
                ]
            );
            let six = "h\n 0: 00000000000000000000000001000000:1C8E 0:0 0A 0:0 0:0 0 7 0 1\n";
            assert_eq!(
                parse(six, 7310),
                [Listening {
                    address: IpAddr::V6(Ipv6Addr::LOCALHOST),
                    uid: 7
                }]
            );
        }
        assert!(parse(table, 7311).is_empty());
    }

    #[test]
    fn ports_of_plain_urls() {
        for (url, port) in [
            ("http://127.0.0.1:7310", Some(7310)),
            ("http://[::1]:7310", Some(7310)),
            ("http://localhost", Some(80)),
            ("http://[::1]", Some(80)),
            ("https://keys.example:7310", None),
        ] {
            assert_eq!(loopback_port(url), port, "{url}");
        }
    }
}
