//! Which network addresses may be dialled. It decides about addresses only, after a name was
//! resolved, and never resolves or dials itself.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
};

/// The addresses on which this daemon itself listens. Clones share one list, so an address that
/// is added later counts for transports that are open already.
#[derive(Debug, Clone, Default)]
pub struct OwnAddresses(Arc<RwLock<Vec<SocketAddr>>>);

impl OwnAddresses {
    /// Adds an address on which the daemon listens.
    pub fn add(&self, address: SocketAddr) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(address);
    }

    fn covers(&self, ip: IpAddr, port: u16) -> bool {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|own| {
                let own_ip = own.ip().to_canonical();
                own.port() == port
                    && (own_ip == ip || (own_ip.is_unspecified() && ip.is_loopback()))
            })
    }
}

/// Why an address is not dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Link-local, where no S3 server is found by chance.
    #[error("a link-local address")]
    LinkLocal,
    /// The address under which cloud machines hand out their credentials.
    #[error("a cloud metadata address")]
    Metadata,
    /// `0.0.0.0`, `::` and the broadcast address name no host.
    #[error("an address that names no host")]
    NoHost,
    /// Multicast.
    #[error("a multicast address")]
    Multicast,
    /// The daemon's own gateway: requests would run in a circle.
    #[error("this daemon's own gateway")]
    Own,
}

/// Decides which addresses a transport may dial (threats.md I6). Loopback and private networks
/// are fine: MinIO lives there.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Whether link-local and metadata addresses were explicitly allowed.
    pub allow_link_local: bool,
    /// The daemon's own addresses.
    pub own: OwnAddresses,
}

impl Guard {
    /// Refuses an address that must not be dialled. IPv6 forms that carry an IPv4 address are
    /// judged by the address they carry.
    pub fn check(&self, address: SocketAddr) -> Result<(), Refusal> {
        let ip = carried(address.ip());
        if ip.is_unspecified() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Refusal::NoHost);
        }
        if ip.is_multicast() {
            return Err(Refusal::Multicast);
        }
        if self.own.covers(ip, address.port()) {
            return Err(Refusal::Own);
        }
        if self.allow_link_local {
            return Ok(());
        }
        if METADATA.contains(&ip) {
            return Err(Refusal::Metadata);
        }
        let link_local = match ip {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        if link_local {
            Err(Refusal::LinkLocal)
        } else {
            Ok(())
        }
    }
}

const METADATA: [IpAddr; 3] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
];

/// The IPv4 address inside an IPv4-mapped, IPv4-compatible, NAT64 or 6to4 address; else the
/// address itself.
fn carried(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // `::` and `::1` are no IPv4-compatible addresses.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, ip: &str) -> Result<(), Refusal> {
        guard.check(SocketAddr::new(ip.parse().unwrap(), 9000))
    }

    #[test]
    fn i6_addresses_are_judged_as_the_table_says() {
        let guard = Guard::default();
        for (ip, expected) in [
            ("169.254.169.254", Err(Refusal::Metadata)),
            ("100.100.100.200", Err(Refusal::Metadata)),
            ("fd00:ec2::254", Err(Refusal::Metadata)),
            ("::ffff:169.254.169.254", Err(Refusal::Metadata)),
            ("64:ff9b::169.254.169.254", Err(Refusal::Metadata)),
            ("2002:a9fe:a9fe::1", Err(Refusal::Metadata)),
            ("::169.254.169.254", Err(Refusal::Metadata)),
            ("169.254.0.1", Err(Refusal::LinkLocal)),
            ("::ffff:169.254.0.1", Err(Refusal::LinkLocal)),
            ("fe80::1", Err(Refusal::LinkLocal)),
            ("febf::1", Err(Refusal::LinkLocal)),
            ("0.0.0.0", Err(Refusal::NoHost)),
            ("::", Err(Refusal::NoHost)),
            ("::ffff:0.0.0.0", Err(Refusal::NoHost)),
            ("255.255.255.255", Err(Refusal::NoHost)),
            ("224.0.0.1", Err(Refusal::Multicast)),
            ("ff02::1", Err(Refusal::Multicast)),
            ("::ffff:239.1.1.1", Err(Refusal::Multicast)),
            ("127.0.0.1", Ok(())),
            ("::1", Ok(())),
            ("10.0.0.1", Ok(())),
            ("192.168.1.1", Ok(())),
            ("fd00::1", Ok(())),
            ("100.100.100.201", Ok(())),
            ("203.0.113.7", Ok(())),
        ] {
            assert_eq!(check(&guard, ip), expected, "{ip}");
        }
    }

    #[test]
    fn i6_an_explicit_wish_opens_link_local_and_nothing_else() {
        let guard = Guard {
            allow_link_local: true,
            ..Guard::default()
        };
        assert_eq!(check(&guard, "169.254.169.254"), Ok(()));
        assert_eq!(check(&guard, "fe80::1"), Ok(()));
        assert_eq!(check(&guard, "0.0.0.0"), Err(Refusal::NoHost));
        assert_eq!(check(&guard, "224.0.0.1"), Err(Refusal::Multicast));
    }

    #[test]
    fn i6_the_daemon_never_dials_itself() {
        let guard = Guard {
            allow_link_local: true,
            ..Guard::default()
        };
        guard.own.add("127.0.0.1:9000".parse().unwrap());
        assert_eq!(check(&guard, "127.0.0.1"), Err(Refusal::Own));
        assert_eq!(check(&guard, "::ffff:127.0.0.1"), Err(Refusal::Own));
        assert_eq!(guard.check("127.0.0.1:9001".parse().unwrap()), Ok(()));

        let everywhere = Guard::default();
        everywhere.own.add("0.0.0.0:9000".parse().unwrap());
        assert_eq!(check(&everywhere, "127.0.0.1"), Err(Refusal::Own));
    }
}
