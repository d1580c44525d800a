//! Which machines may be connected to at an address that somebody else gave.
//!
//! Whoever registers a node says where it is, and a gateway stands inside the operator's network: without a guard it would knock at whatever door
//! it is shown. The check is made on the address that is connected to, at the time of connecting, so that a name that resolves to
//! something else a moment later gains nothing.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use cyxcloud_core::{Error, Result};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A range of addresses, e.g. `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    bits: u8,
}

impl Cidr {
    /// The addresses that share the first `bits` bits with `network`.
    pub const fn new(network: IpAddr, bits: u8) -> Self {
        Self { network, bits }
    }

    /// Whether `ip` lies in it.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let rest = width - u32::from(self.bits).min(width);
            rest >= 128 || (a ^ b) >> rest == 0
        };
        match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => same(network.to_bits().into(), ip.to_bits().into(), 32),
            (IpAddr::V6(network), IpAddr::V6(ip)) => same(network.to_bits(), ip.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::invalid(format!("{text:?} is not a range of addresses such as 10.0.0.0/8, 192.168.1.7 or fd00::/8"));
        let (network, bits) = text.split_once('/').map_or((text, None), |(network, bits)| (network, Some(bits)));
        let network: IpAddr = network.parse().map_err(|_| bad())?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| bad()))?;
        if bits > width { Err(bad()) } else { Ok(Self { network, bits }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Cidr {
    Cidr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits)
}

const fn v6(first: u16, second: u16, bits: u8) -> Cidr {
    Cidr::new(IpAddr::V6(Ipv6Addr::new(first, second, 0, 0, 0, 0, 0, 0)), bits)
}

/// What is not the public internet: this host, private networks, links, shared address space of providers, tests, multicast, what is reserved,
/// and IPv6 addresses that stand for some IPv4 address behind a relay.
const NOT_PUBLIC: [Cidr; 23] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 88, 99, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
    v6(0, 0, 16),
    v6(0x64, 0xff9b, 32),
    v6(0x100, 0, 64),
    v6(0x2001, 0, 23),
    v6(0x2001, 0xdb8, 32),
    v6(0x2002, 0, 16),
    v6(0x3fff, 0, 20),
    v6(0x5f00, 0, 16),
];

/// Unique local, link-local, site-local and multicast: all of them begin with a 1.
const NOT_GLOBAL_V6: Cidr = v6(0x8000, 0, 1);

/// Which addresses may be connected to: public ones, and those of ranges that an operator allows.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Arc<[Cidr]>,
}

impl AddressGuard {
    /// Public addresses and those of `allowed`.
    pub fn new(allowed: impl IntoIterator<Item = Cidr>) -> Self {
        Self { allowed: allowed.into_iter().collect() }
    }

    /// Whether `ip` may be connected to. An IPv4 address written as IPv6 is that IPv4 address.
    pub fn allows(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let public = !NOT_GLOBAL_V6.contains(ip) && !NOT_PUBLIC.iter().any(|range| range.contains(ip));
        public || self.allowed.iter().any(|range| range.contains(ip))
    }

    /// Connects to `host`, resolved once, at an address that is allowed.
    async fn connect(&self, host: &str, port: u16) -> std::io::Result<TcpStream> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, port)).await?.collect();
        let mut failure = std::io::Error::other(format!("{host} has no address"));
        for address in found {
            if !self.allows(address.ip()) {
                let why = format!(
                    "{} is not a public address; if it is meant, allow it with --allow-node-cidr, or in the guard of ConnectOptions",
                    address.ip()
                );
                failure = std::io::Error::new(std::io::ErrorKind::PermissionDenied, why);
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(e) => failure = e,
            }
        }
        Err(failure)
    }
}

/// Makes the connections of a channel, each to an address that its guard allows.
#[derive(Clone, Debug)]
pub struct GuardedConnector(pub AddressGuard);

impl tower::Service<Uri> for GuardedConnector {
    type Response = TokioIo<TcpStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = std::io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let guard = self.0.clone();
        Box::pin(async move {
            let missing = |what| std::io::Error::other(format!("the address has no {what}"));
            let host = uri.host().ok_or_else(|| missing("host"))?;
            let port = uri.port_u16().ok_or_else(|| missing("port"))?;
            guard.connect(host, port).await.map(TokioIo::new)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_public_addresses_unless_allowed() {
        let strict = AddressGuard::default();
        for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "223.255.255.255"] {
            assert!(strict.allows(ip(public)), "{public}");
        }
        let inside = [
            "0.0.0.0",
            "127.0.0.1",
            "127.255.0.9",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
        ];
        for private in inside {
            assert!(!strict.allows(ip(private)), "{private}");
        }
        let loopback = AddressGuard::new(["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
        for allowed in ["127.0.0.1", "::ffff:127.0.0.1", "fd12::1"] {
            assert!(loopback.allows(ip(allowed)), "{allowed}");
        }
        assert!(!loopback.allows(ip("10.0.0.1")) && !loopback.allows(ip("::1")) && !loopback.allows(ip("fc00::1")));
        let everything = AddressGuard::new(["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()]);
        assert!(everything.allows(ip("10.0.0.1")) && everything.allows(ip("::1")));
    }

    #[test]
    fn ranges_are_read_strictly() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/-1", "host/8"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
        assert_eq!("192.168.1.7".parse::<Cidr>().unwrap().to_string(), "192.168.1.7/32");
    }

    #[tokio::test]
    async fn a_name_is_judged_by_the_address_it_resolves_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = AddressGuard::default().connect("localhost", port).await.unwrap_err();
        assert!(refused.to_string().contains("--allow-node-cidr"), "{refused}");
        AddressGuard::new(["127.0.0.0/8".parse().unwrap()]).connect("localhost", port).await.unwrap();
    }
}
