//! Blocks of addresses: RFC 4632 for IPv4, RFC 4291 section 2.3 for IPv6.

use crate::Malformed;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address, or all addresses that begin with the same bits (`10.0.0.0/8`,
/// `2001:db8::/32`).
///
/// Bits behind the prefix count for nothing: `10.0.0.5/8` is `10.0.0.0/8`. An
/// IPv4 address in its IPv6 form (`::ffff:10.0.0.5`, RFC 4291 section 2.5.5.2) is
/// that IPv4 address, in a block and in what is compared with it. No other block
/// of IPv6 holds an IPv4 address, not even `::/0`: a list that opens IPv6 opens
/// nothing else.
///
/// ```
/// use procura_types::Cidr;
///
/// let block: Cidr = "172.17.0.0/16".parse()?;
/// assert!(block.contains("172.17.5.9".parse().unwrap()));
/// assert!(block.contains("::ffff:172.17.5.9".parse().unwrap()));
/// assert!(!block.contains("172.18.0.1".parse().unwrap()));
/// # Ok::<(), procura_types::Malformed>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr(Block);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Block {
    V4 { network: u32, prefix: u8 },
    V6 { network: u128, prefix: u8 },
}

/// Bits that an IPv4 address in its IPv6 form has in front of the IPv4 address.
const MAPPED: u8 = 96;

const RULE: Malformed = Malformed::new(
    "address",
    "must be an IPv4 or IPv6 address, or one with / and the length of a prefix in bits",
);

impl Cidr {
    /// Whether `address` lies in the block.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.0, address.to_canonical()) {
            (Block::V4 { network, prefix }, IpAddr::V4(address)) => {
                address.to_bits() & mask_v4(prefix) == network
            }
            (Block::V6 { network, prefix }, IpAddr::V6(address)) => {
                address.to_bits() & mask_v6(prefix) == network
            }
            _ => false,
        }
    }
}

/// The first `prefix` bits of 32.
fn mask_v4(prefix: u8) -> u32 {
    u32::MAX
        .checked_shl(32_u32.saturating_sub(prefix.into()))
        .unwrap_or(0)
}

/// The first `prefix` bits of 128.
fn mask_v6(prefix: u8) -> u128 {
    u128::MAX
        .checked_shl(128_u32.saturating_sub(prefix.into()))
        .unwrap_or(0)
}

impl FromStr for Cidr {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(length(prefix).ok_or(RULE)?)),
            None => (text, None),
        };
        let block = match address.parse::<IpAddr>().map_err(|_| RULE)? {
            IpAddr::V4(address) => v4(address, prefix.unwrap_or(32)),
            IpAddr::V6(address) => v6(address, prefix.unwrap_or(128)),
        };
        block.map(Self).ok_or(RULE)
    }
}

/// One to three digits, without a sign and without zeros in front.
fn length(text: &str) -> Option<u8> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if digits && !padded {
        text.parse().ok()
    } else {
        None
    }
}

fn v4(address: Ipv4Addr, prefix: u8) -> Option<Block> {
    (prefix <= 32).then(|| Block::V4 {
        network: address.to_bits() & mask_v4(prefix),
        prefix,
    })
}

fn v6(address: Ipv6Addr, prefix: u8) -> Option<Block> {
    if let (Some(mapped), Some(prefix)) = (address.to_ipv4_mapped(), prefix.checked_sub(MAPPED)) {
        return v4(mapped, prefix);
    }
    (prefix <= 128).then(|| Block::V6 {
        network: address.to_bits() & mask_v6(prefix),
        prefix,
    })
}

impl TryFrom<String> for Cidr {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(block: Cidr) -> Self {
        block.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Block::V4 { network, prefix } => {
                write!(f, "{}/{prefix}", Ipv4Addr::from_bits(network))
            }
            Block::V6 { network, prefix } => {
                write!(f, "{}/{prefix}", Ipv6Addr::from_bits(network))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bits of an address, one by one.
    fn bits(address: IpAddr) -> Vec<bool> {
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        let of = |octet: u8| (0..8).map(move |bit| octet >> (7 - bit) & 1 == 1);
        octets.into_iter().flat_map(of).collect()
    }

    proptest! {
        /// Near each other more often than chance would have it.
        #[test]
        fn a_block_of_ipv4_is_its_first_bits(
            network: u32, flips in prop::collection::vec(0..32u32, 0..3), prefix in 0..=32u8,
        ) {
            let address = flips.iter().fold(network, |address, bit| address ^ 1 << bit);
            let (network, address) = (Ipv4Addr::from_bits(network), Ipv4Addr::from_bits(address));
            let block: Cidr = format!("{network}/{prefix}").parse().unwrap();
            let first = usize::from(prefix);
            let held = bits(network.into())[..first] == bits(address.into())[..first];
            prop_assert_eq!(block.contains(address.into()), held);
            prop_assert_eq!(block.contains(address.to_ipv6_mapped().into()), held);
            let mapped = format!("{}/{}", network.to_ipv6_mapped(), prefix + MAPPED);
            prop_assert_eq!(mapped.parse::<Cidr>().unwrap(), block);
        }

        #[test]
        fn a_block_of_ipv6_is_its_first_bits(
            network: u128, flips in prop::collection::vec(0..128u32, 0..3), prefix in 0..=128u8,
        ) {
            let address = flips.iter().fold(network, |address, bit| address ^ 1 << bit);
            let (network, address) = (Ipv6Addr::from_bits(network), Ipv6Addr::from_bits(address));
            prop_assume!(network.to_ipv4_mapped().is_none() && address.to_ipv4_mapped().is_none());
            let block: Cidr = format!("{network}/{prefix}").parse().unwrap();
            let first = usize::from(prefix);
            let held = bits(network.into())[..first] == bits(address.into())[..first];
            prop_assert_eq!(block.contains(address.into()), held);
        }

        #[test]
        fn any_text_is_a_block_or_is_refused(text: String, short in "[0-9a-f.:/]{0,24}") {
            for text in [text, short] {
                if let Ok(block) = text.parse::<Cidr>() {
                    prop_assert_eq!(block.to_string().parse::<Cidr>(), Ok(block));
                }
            }
        }
    }

    #[test]
    fn blocks_hold_addresses_by_their_bits() {
        for (block, address, held) in [
            ("10.0.0.5/32", "10.0.0.5", true),
            // Begins with the same text.
            ("10.0.0.5/32", "10.0.0.77", false),
            ("10.0.0.5", "10.0.0.5", true),
            ("10.0.0.5", "10.0.0.50", false),
            ("172.17.0.0/16", "172.17.5.9", true),
            ("172.17.0.0/16", "172.18.0.0", false),
            ("172.17.0.0/16", "172.16.255.255", false),
            ("10.0.0.0/31", "10.0.0.1", true),
            ("10.0.0.0/31", "10.0.0.2", false),
            ("192.168.1.10/24", "192.168.1.200", true),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("0.0.0.0/1", "127.255.255.255", true),
            ("0.0.0.0/1", "128.0.0.0", false),
            // Either side in the form of IPv6.
            ("10.0.0.5", "::ffff:10.0.0.5", true),
            ("::ffff:10.0.0.5", "10.0.0.5", true),
            ("::ffff:10.0.0.5/128", "::ffff:10.0.0.5", true),
            ("::ffff:a00:5", "10.0.0.5", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "11.1.2.3", false),
            ("::ffff:0:0/96", "203.0.113.9", true),
            ("::ffff:0:0/96", "2001:db8::1", false),
            // The deprecated form is an address of IPv6 like any other.
            ("10.0.0.5", "::10.0.0.5", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("2001:db8::1", "2001:db8::1", true),
            ("2001:db8::1", "2001:db8::11", false),
            ("::1", "::1", true),
            ("::1", "127.0.0.1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.5", false),
            ("::/0", "::ffff:10.0.0.5", false),
            ("::ffff:0:0/95", "10.0.0.5", false),
        ] {
            let parsed: Cidr = block.parse().unwrap();
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(parsed.contains(address), held, "{block} {address}");
        }
    }

    #[test]
    fn one_way_to_write_a_block() {
        for (text, shown) in [
            ("10.0.0.5", "10.0.0.5/32"),
            ("10.0.0.5/8", "10.0.0.0/8"),
            ("2001:DB8::1/32", "2001:db8::/32"),
            ("::1", "::1/128"),
            ("::ffff:10.0.0.5", "10.0.0.5/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
        ] {
            let block: Cidr = text.parse().unwrap();
            assert_eq!(block.to_string(), shown);
            assert_eq!(block.to_string().parse::<Cidr>().unwrap(), block);
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in [
            "",
            "/",
            "10.0.0.5/",
            "10.0.0.5/33",
            "10.0.0.5/-1",
            "10.0.0.5/+8",
            "10.0.0.5/08",
            "10.0.0.5/8/8",
            "10.0.0.5/255.0.0.0",
            "10.0.0.5/256",
            " 10.0.0.5",
            "10.0.0.5 ",
            "10.0.0",
            "10.0.0.05",
            "010.0.0.5",
            "0x0a.0.0.5",
            "167772165",
            "10.0.0.5-10.0.0.9",
            "10.0.0.*",
            "localhost",
            "::1/129",
            "[::1]",
            "fe80::1%eth0",
            "::ffff:10.0.0.5/129",
            "10.0.0.5/１",
        ] {
            let error = text.parse::<Cidr>().unwrap_err();
            assert_eq!(error, RULE, "{text}");
        }
    }
}
