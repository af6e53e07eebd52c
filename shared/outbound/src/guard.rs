//! The address guard: which IP addresses may be called. Pure; it resolves nothing and reads no environment.
//!
//! Sources: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890), and the metadata endpoints that
//! clouds document. IPv6 is judged from the other side: only 2000::/3 is handed out for the Internet.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use url::{Host, Url};

/// What may be called beyond public addresses, and what may never be.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// Allows loopback, private, unique-local and carrier-grade NAT addresses, for local work. Link-local and
    /// metadata addresses stay refused.
    pub allow_private: bool,
    refused: Arc<[IpAddr]>,
    refused_names: Arc<[String]>,
}

impl AddressPolicy {
    pub fn public_only() -> Self {
        Self::default()
    }

    pub fn allowing_private() -> Self {
        AddressPolicy { allow_private: true, ..Self::default() }
    }

    /// Also refuses the host of `endpoint` (`host`, `host:port` or `host:port/path`), whatever else is allowed:
    /// on Lambda that is the value of `AWS_LAMBDA_RUNTIME_API`. What is no host at all is ignored.
    #[must_use]
    pub fn refusing(mut self, endpoint: &str) -> Self {
        let one = |ip: IpAddr| self.refused.iter().copied().chain([ip]).collect();
        match Url::parse(&format!("http://{endpoint}")).ok().as_ref().and_then(Url::host) {
            Some(Host::Ipv4(ip)) => self.refused = one(ip.into()),
            Some(Host::Ipv6(ip)) => self.refused = one(ip.into()),
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.').to_owned();
                self.refused_names = self.refused_names.iter().cloned().chain([name]).collect();
            }
            None => {}
        }
        self
    }

    /// Whether `ip` may be called, in whichever form it is written.
    pub fn check(&self, ip: IpAddr) -> Result<(), Forbidden> {
        let address = match ip {
            IpAddr::V6(v6) => embedded_v4(v6).map_or(ip, IpAddr::V4),
            IpAddr::V4(_) => ip,
        };
        let class = if self.refused.contains(&address) || self.refused.contains(&ip) {
            Some(AddressClass::Runtime)
        } else {
            class_of(address)
        };
        match class {
            Some(class) if !(self.allow_private && class.is_local()) => Err(Forbidden { address: ip, class }),
            _ => Ok(()),
        }
    }

    /// Whether a host name is refused before anybody resolves it; `name` is in lower case.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), ForbiddenName> {
        let name = name.trim_end_matches('.');
        let is_localhost = name == "localhost" || name.ends_with(".localhost");
        if (is_localhost && !self.allow_private) || self.refused_names.iter().any(|refused| refused == name) {
            return Err(ForbiddenName);
        }
        Ok(())
    }
}

pub(crate) struct ForbiddenName;

/// An address that may not be called, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {class} {address}")]
pub struct Forbidden {
    pub address: IpAddr,
    pub class: AddressClass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    Unspecified,
    Loopback,
    /// RFC 1918.
    Private,
    /// fc00::/7.
    UniqueLocal,
    /// 100.64.0.0/10, carrier-grade NAT.
    Shared,
    LinkLocal,
    /// fec0::/10, the deprecated private range of IPv6.
    SiteLocal,
    /// Where clouds hand credentials to whoever asks.
    Metadata,
    Multicast,
    Broadcast,
    Documentation,
    Benchmark,
    /// 6to4, Teredo and local NAT64: they lead to an address that cannot be judged from here, and are obsolete.
    Tunnel,
    Reserved,
    /// The endpoint that runs this process.
    Runtime,
}

impl AddressClass {
    fn is_local(self) -> bool {
        matches!(self, Self::Loopback | Self::Private | Self::UniqueLocal | Self::Shared)
    }
}

/// A noun that an address can follow: `private address`.
impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified address",
            Self::Loopback => "loopback address",
            Self::Private => "private address",
            Self::UniqueLocal => "unique-local address",
            Self::Shared => "carrier-grade NAT address",
            Self::LinkLocal => "link-local address",
            Self::SiteLocal => "site-local address",
            Self::Metadata => "metadata address",
            Self::Multicast => "multicast address",
            Self::Broadcast => "broadcast address",
            Self::Documentation => "documentation address",
            Self::Benchmark => "benchmark address",
            Self::Tunnel => "tunnel address",
            Self::Reserved => "reserved address",
            Self::Runtime => "runtime's own address",
        })
    }
}

/// The IPv4 address that a packet to `ip` ends at: mapped (::ffff:0:0/96, the system itself unwraps it) and the
/// well-known NAT64 prefix (64:ff9b::/96, which DNS64 puts before every IPv4 address on an IPv6-only network).
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = ip.segments();
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => {
            Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => None,
    }
}

/// None: an ordinary public address.
fn class_of(ip: IpAddr) -> Option<AddressClass> {
    match ip {
        IpAddr::V4(ip) => class_of_v4(ip),
        IpAddr::V6(ip) => class_of_v6(ip),
    }
}

fn class_of_v4(ip: Ipv4Addr) -> Option<AddressClass> {
    use AddressClass as Class;
    Some(match ip.octets() {
        // Alibaba's, Oracle's and Azure's; the others' are link-local.
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Class::Metadata,
        [0, 0, 0, 0] => Class::Unspecified,
        [0, ..] => Class::Reserved,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Class::Private,
        [100, 64..=127, ..] => Class::Shared,
        [127, ..] => Class::Loopback,
        [169, 254, ..] => Class::LinkLocal,
        [192, 0, 0, _] | [192, 88, 99, _] => Class::Reserved,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => Class::Documentation,
        [198, 18..=19, ..] => Class::Benchmark,
        [224..=239, ..] => Class::Multicast,
        [255, 255, 255, 255] => Class::Broadcast,
        [240..=255, ..] => Class::Reserved,
        _ => return None,
    })
}

fn class_of_v6(ip: Ipv6Addr) -> Option<AddressClass> {
    use AddressClass as Class;
    Some(match ip.segments() {
        // AWS keeps instance metadata, container credentials, DNS and time there; then Google's.
        [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254] => Class::Metadata,
        [0, 0, 0, 0, 0, 0, 0, 0] => Class::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => Class::Loopback,
        [0xfc00..=0xfdff, ..] => Class::UniqueLocal,
        [0xfe80..=0xfebf, ..] => Class::LinkLocal,
        [0xfec0..=0xfeff, ..] => Class::SiteLocal,
        [0xff00..=0xffff, ..] => Class::Multicast,
        [0x2001, 0, ..] | [0x2002, ..] | [0x64, 0xff9b, 1, ..] => Class::Tunnel,
        [0x2001, 2, 0, ..] => Class::Benchmark,
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Class::Documentation,
        // 2001::/23 is for protocols, not for hosts.
        [0x2001, 0..=0x01ff, ..] => Class::Reserved,
        [0x2000..=0x3fff, ..] => return None,
        // Among them the deprecated IPv4-compatible ::/96, and everything that was never handed out.
        _ => Class::Reserved,
    })
}

#[cfg(test)]
mod tests;
