//! Addresses that are not of the public internet. What goes out to a place that somebody
//! named must not reach them: the services of this machine, of the networks that it is
//! in, and those that clouds put beside it (169.254.169.254) take its address for a proof.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Blocks of IPv4 (RFC 6890 and its registry): the first address, the bits of the prefix,
/// and what it is. One is an address like any other that a cloud (Azure) has put its own
/// services at, in every network of its customers.
const V4: [(Ipv4Addr, u32, &str); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a shared (carrier's)"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback"),
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's own"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a reserved"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "a documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a reserved"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "a reserved"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "a documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "a documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved"),
];

/// The same of IPv6. Those that stand for an address of IPv4 are refused whatever that
/// is: who translates them, and to what, is not known here.
const V6: [(Ipv6Addr, u32, &str); 14] = [
    (Ipv6Addr::UNSPECIFIED, 128, "an unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback"),
    (v6([0, 0, 0, 0, 0, 0xffff, 0, 0]), 96, "an IPv4-mapped"),
    (Ipv6Addr::UNSPECIFIED, 96, "an IPv4-compatible"),
    (v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0]), 96, "a NAT64"),
    (v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0]), 48, "a NAT64"),
    (v6([0x2001, 0, 0, 0, 0, 0, 0, 0]), 23, "a reserved"),
    (v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0]), 32, "a documentation"),
    (v6([0x2002, 0, 0, 0, 0, 0, 0, 0]), 16, "a 6to4"),
    (v6([0x3fff, 0, 0, 0, 0, 0, 0, 0]), 20, "a documentation"),
    (v6([0xfc00, 0, 0, 0, 0, 0, 0, 0]), 7, "a private"),
    (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0]), 10, "a link-local"),
    (v6([0xfec0, 0, 0, 0, 0, 0, 0, 0]), 10, "a site-local"),
    (v6([0xff00, 0, 0, 0, 0, 0, 0, 0]), 8, "a multicast"),
];

const fn v6(parts: [u16; 8]) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = parts;
    Ipv6Addr::new(a, b, c, d, e, f, g, h)
}

/// What an address is, with its article, if it is none of the public internet.
///
/// ```
/// use procura_types::inward;
/// assert_eq!(inward("169.254.169.254".parse().unwrap()), Some("a link-local"));
/// assert_eq!(inward("1.1.1.1".parse().unwrap()), None);
/// ```
#[must_use]
pub fn inward(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            let bits = address.to_bits();
            V4.iter()
                .find(|(first, prefix, _)| (bits ^ first.to_bits()).leading_zeros() >= *prefix)
                .map(|(_, _, what)| *what)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let block = V6
                .iter()
                .find(|(first, prefix, _)| (bits ^ first.to_bits()).leading_zeros() >= *prefix)
                .map(|(_, _, what)| *what);
            // Nothing else is given out (RFC 4291 §2.4).
            block.or((bits >> 125 != 1).then_some("a reserved"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::inward;

    #[test]
    fn what_is_not_public_is_known_by_its_kind() {
        for (address, what) in [
            ("0.0.0.0", "an unspecified"),
            ("0.1.2.3", "an unspecified"),
            ("10.0.0.1", "a private"),
            ("100.64.0.1", "a shared (carrier's)"),
            ("100.127.255.255", "a shared (carrier's)"),
            ("127.0.0.1", "a loopback"),
            ("127.255.255.254", "a loopback"),
            ("168.63.129.16", "a cloud's own"),
            ("169.254.169.254", "a link-local"),
            ("172.16.0.1", "a private"),
            ("172.31.255.255", "a private"),
            ("192.0.0.170", "a reserved"),
            ("192.0.2.1", "a documentation"),
            ("192.168.1.1", "a private"),
            ("198.19.0.1", "a reserved"),
            ("224.0.0.1", "a multicast"),
            ("239.255.255.255", "a multicast"),
            ("255.255.255.255", "a reserved"),
            ("::", "an unspecified"),
            ("::1", "a loopback"),
            ("::ffff:1.1.1.1", "an IPv4-mapped"),
            ("::ffff:127.0.0.1", "an IPv4-mapped"),
            ("::7f00:1", "an IPv4-compatible"),
            ("64:ff9b::a9fe:a9fe", "a NAT64"),
            ("64:ff9b:1::1", "a NAT64"),
            ("100::1", "a reserved"),
            ("2001::1", "a reserved"),
            ("2001:db8::1", "a documentation"),
            ("2002:7f00:1::", "a 6to4"),
            ("3fff::1", "a documentation"),
            ("fc00::1", "a private"),
            ("fd00:ec2::254", "a private"),
            ("fe80::1", "a link-local"),
            ("fec0::1", "a site-local"),
            ("ff02::1", "a multicast"),
            ("4000::1", "a reserved"),
        ] {
            assert_eq!(inward(address.parse().unwrap()), Some(what), "{address}");
        }
    }

    #[test]
    fn what_is_public_is_let_be() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "168.63.129.15",
            "168.63.129.17",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
        ] {
            assert_eq!(inward(address.parse().unwrap()), None, "{address}");
        }
    }
}
