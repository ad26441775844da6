//! Which addresses are closed unless somebody opened them, and what an address really leads to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// Where clouds hand out the machine's credentials.
    Metadata,
    LinkLocal,
    Loopback,
    Private,
    Unspecified,
    Multicast,
    Broadcast,
    /// For documentation, tests and uses to come, or of no use on the open network.
    Reserved,
}

impl Closed {
    /// Whether naming a host opens it too. The addresses of credentials must be named themselves: who opened
    /// `*.example.com` meant its services, and a name can lead anywhere.
    pub(super) fn opens_by_name(self) -> bool {
        !matches!(self, Closed::Metadata | Closed::LinkLocal)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Closed::Metadata => "a metadata address of a cloud",
            Closed::LinkLocal => "a link-local address",
            Closed::Loopback => "a loopback address",
            Closed::Private => "a private address",
            Closed::Unspecified => "an unspecified address",
            Closed::Multicast => "a multicast address",
            Closed::Broadcast => "a broadcast address",
            Closed::Reserved => "a reserved address",
        })
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(a: u16, b: u16, c: u16, rest: u128) -> IpAddr {
    let first = ((a as u128) << 112) | ((b as u128) << 96) | ((c as u128) << 80);
    IpAddr::V6(Ipv6Addr::from_bits(first | rest))
}

/// The first row that fits decides. IPv6 is closed where no row opens it: only 2000::/3 is the open network.
const TABLE: &[(IpAddr, u8, Option<Closed>)] = &[
    (v4(169, 254, 169, 254), 32, Some(Closed::Metadata)),
    (v4(169, 254, 170, 2), 32, Some(Closed::Metadata)),
    (v4(169, 254, 170, 23), 32, Some(Closed::Metadata)),
    (v4(168, 63, 129, 16), 32, Some(Closed::Metadata)),
    (v4(100, 100, 100, 200), 32, Some(Closed::Metadata)),
    (v4(192, 0, 0, 192), 32, Some(Closed::Metadata)),
    (v4(0, 0, 0, 0), 32, Some(Closed::Unspecified)),
    (v4(0, 0, 0, 0), 8, Some(Closed::Reserved)),
    (v4(10, 0, 0, 0), 8, Some(Closed::Private)),
    (v4(100, 64, 0, 0), 10, Some(Closed::Private)),
    (v4(127, 0, 0, 0), 8, Some(Closed::Loopback)),
    (v4(169, 254, 0, 0), 16, Some(Closed::LinkLocal)),
    (v4(172, 16, 0, 0), 12, Some(Closed::Private)),
    (v4(192, 0, 0, 0), 24, Some(Closed::Reserved)),
    (v4(192, 0, 2, 0), 24, Some(Closed::Reserved)),
    (v4(192, 88, 99, 0), 24, Some(Closed::Reserved)),
    (v4(192, 168, 0, 0), 16, Some(Closed::Private)),
    (v4(198, 18, 0, 0), 15, Some(Closed::Reserved)),
    (v4(198, 51, 100, 0), 24, Some(Closed::Reserved)),
    (v4(203, 0, 113, 0), 24, Some(Closed::Reserved)),
    (v4(224, 0, 0, 0), 4, Some(Closed::Multicast)),
    (v4(255, 255, 255, 255), 32, Some(Closed::Broadcast)),
    (v4(240, 0, 0, 0), 4, Some(Closed::Reserved)),
    (v4(0, 0, 0, 0), 0, None),
    (v6(0xfd00, 0xec2, 0, 0x254), 128, Some(Closed::Metadata)),
    (v6(0xfd00, 0xec2, 0, 0x23), 128, Some(Closed::Metadata)),
    (v6(0xfd20, 0xce, 0, 0x254), 128, Some(Closed::Metadata)),
    (v6(0, 0, 0, 0), 128, Some(Closed::Unspecified)),
    (v6(0, 0, 0, 1), 128, Some(Closed::Loopback)),
    (v6(0xfc00, 0, 0, 0), 7, Some(Closed::Private)),
    (v6(0xfe80, 0, 0, 0), 10, Some(Closed::LinkLocal)),
    (v6(0xfec0, 0, 0, 0), 10, Some(Closed::Private)),
    (v6(0xff00, 0, 0, 0), 8, Some(Closed::Multicast)),
    // 2001::/23 is for protocols: Teredo, benchmarks, hashes that look like addresses.
    (v6(0x2001, 0, 0, 0), 23, Some(Closed::Reserved)),
    (v6(0x2001, 0xdb8, 0, 0), 32, Some(Closed::Reserved)),
    (v6(0x3fff, 0, 0, 0), 20, Some(Closed::Reserved)),
    (v6(0x2000, 0, 0, 0), 3, None),
    (v6(0, 0, 0, 0), 0, Some(Closed::Reserved)),
];

/// Why `ip` is closed by itself, if it is.
pub(super) fn closed(ip: IpAddr) -> Option<Closed> {
    let ip = leads_to(ip);
    TABLE.iter().find(|(net, bits, _)| within(ip, *net, *bits)).and_then(|(_, _, closed)| *closed)
}

/// The IPv4 address that an IPv6 one carries: written as IPv4 (`::ffff:0:0/96`), or handed there by a gateway
/// (NAT64 `64:ff9b::/96`, 6to4 `2002::/16`). Every other address as it is.
pub(super) fn leads_to(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip else { return ip };
    let bits = six.to_bits();
    let low = || IpAddr::V4(Ipv4Addr::from_bits(bits as u32));
    if within(ip, v6(0, 0, 0, 0xffff_0000_0000), 96) || within(ip, v6(0x64, 0xff9b, 0, 0), 96) {
        low()
    } else if within(ip, v6(0x2002, 0, 0, 0), 16) {
        IpAddr::V4(Ipv4Addr::from_bits((bits >> 80) as u32))
    } else {
        ip
    }
}

/// Whether the first `bits` bits of both are the same. Never across the two families.
pub(super) fn within(ip: IpAddr, net: IpAddr, bits: u8) -> bool {
    let same = |differ: u128, width: u32| differ.checked_shr(width - u32::from(bits).min(width)).unwrap_or(0) == 0;
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => same(u128::from(ip.to_bits() ^ net.to_bits()), 32),
        (IpAddr::V6(ip), IpAddr::V6(net)) => same(ip.to_bits() ^ net.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> Option<Closed> {
        closed(text.parse().unwrap())
    }

    #[test]
    fn the_open_network_is_open() {
        for ip in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:200::1",
            "2a00::1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
            "::ffff:1.1.1.1",
        ] {
            assert_eq!(why(ip), None, "{ip}");
        }
    }

    #[test]
    fn every_closed_range_is_closed_from_its_first_address_to_its_last() {
        use Closed::*;
        for (ip, kind) in [
            ("127.0.0.0", Loopback),
            ("127.255.255.255", Loopback),
            ("::1", Loopback),
            ("0.0.0.0", Unspecified),
            ("0.0.0.1", Reserved),
            ("0.255.255.255", Reserved),
            ("::", Unspecified),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("100.64.0.0", Private),
            ("100.127.255.255", Private),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("192.168.0.0", Private),
            ("192.168.255.255", Private),
            ("fc00::", Private),
            ("fdff:ffff::1", Private),
            ("fec0::1", Private),
            ("169.254.0.0", LinkLocal),
            ("169.254.255.255", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("169.254.169.254", Metadata),
            ("168.63.129.16", Metadata),
            ("100.100.100.200", Metadata),
            ("fd00:ec2::254", Metadata),
            ("fd20:ce::254", Metadata),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("ff02::1", Multicast),
            ("255.255.255.255", Broadcast),
            ("240.0.0.1", Reserved),
            ("192.0.0.1", Reserved),
            ("192.0.2.1", Reserved),
            ("192.88.99.1", Reserved),
            ("198.18.0.0", Reserved),
            ("198.19.255.255", Reserved),
            ("198.51.100.1", Reserved),
            ("203.0.113.255", Reserved),
            ("2001:db8::1", Reserved),
            ("2001::1", Reserved),
            ("2001:2::1", Reserved),
            ("3fff::1", Reserved),
            ("5f00::1", Reserved),
            ("100::1", Reserved),
            ("64:ff9b:1::1", Reserved),
            ("::1.1.1.1", Reserved),
        ] {
            assert_eq!(why(ip), Some(kind), "{ip}");
        }
    }

    #[test]
    fn an_address_inside_another_is_what_counts() {
        for ip in ["::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:7fff:ffff:1::1"] {
            assert_eq!(why(ip), Some(Closed::Loopback), "{ip}");
        }
        assert_eq!(why("::ffff:169.254.169.254"), Some(Closed::Metadata));
        assert_eq!(why("64:ff9b::a9fe:a9fe"), Some(Closed::Metadata));
    }

    #[test]
    fn ranges() {
        let at = |ip: &str, net: &str, bits| within(ip.parse().unwrap(), net.parse().unwrap(), bits);
        assert!(at("10.1.2.3", "10.0.0.0", 8) && !at("11.0.0.0", "10.0.0.0", 8));
        assert!(at("1.2.3.4", "1.2.3.4", 32) && !at("1.2.3.5", "1.2.3.4", 32) && at("1.2.3.5", "1.2.3.4", 31));
        assert!(at("9.9.9.9", "0.0.0.0", 0) && at("9::", "::", 0));
        assert!(at("::1", "::1", 128) && !at("::2", "::1", 128));
        assert!(!at("::1", "0.0.0.1", 0), "families do not mix");
    }
}
