use super::*;

/// IPv4 ranges that are refused, by first and last address; whether `allow_private` opens them.
const REFUSED_V4: &[(&str, &str, bool)] = &[
    ("0.0.0.0", "0.255.255.255", false),
    ("10.0.0.0", "10.255.255.255", true),
    ("100.64.0.0", "100.100.100.199", true),
    ("100.100.100.200", "100.100.100.200", false),
    ("100.100.100.201", "100.127.255.255", true),
    ("127.0.0.0", "127.255.255.255", true),
    ("168.63.129.16", "168.63.129.16", false),
    ("169.254.0.0", "169.254.255.255", false),
    ("172.16.0.0", "172.31.255.255", true),
    ("192.0.0.0", "192.0.0.255", false),
    ("192.0.2.0", "192.0.2.255", false),
    ("192.88.99.0", "192.88.99.255", false),
    ("192.168.0.0", "192.168.255.255", true),
    ("198.18.0.0", "198.19.255.255", false),
    ("198.51.100.0", "198.51.100.255", false),
    ("203.0.113.0", "203.0.113.255", false),
    ("224.0.0.0", "255.255.255.255", false),
];

const REFUSED_V6: &[(&str, &str, bool)] = &[
    ("::", "::", false),
    ("::1", "::1", true),
    ("::2", "::fffe:ffff:ffff", false),
    ("::1:0:0:0", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("64:ff9b::1:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("fc00::", "fd00:ec1:ffff:ffff:ffff:ffff:ffff:ffff", true),
    ("fd00:ec2::", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("fd00:ec3::", "fd20:ce::253", true),
    ("fd20:ce::254", "fd20:ce::254", false),
    ("fd20:ce::255", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true),
    ("fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false),
];

const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "34.117.59.81",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "191.255.255.255",
    "192.0.1.0",
    "192.0.3.0",
    "192.88.98.255",
    "192.88.100.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "198.51.99.255",
    "198.51.101.0",
    "203.0.112.255",
    "203.0.114.0",
    "223.255.255.255",
    "2000::",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2a00:1450:4003:80e::200e",
    "2003::1",
    "2600:1f18::1",
    "3ffe:ffff::1",
    "3fff:1000::1",
    "2001:db7:ffff::1",
    "2001:db9::1",
];

/// First, last, and addresses in between, by powers of two and by a stride that is no power of two.
fn samples(first: u128, last: u128) -> Vec<u128> {
    let width = last - first;
    let powers = (0..128).map(|bit| 1u128 << bit).filter(|step| *step <= width);
    let mut found = vec![first, last];
    for step in powers {
        found.extend([first + step, last - step, first + (step / 3), first + step / 7]);
    }
    found.extend((1..97).map(|part| first + width / 97 * part));
    found
}

fn v4(text: &str) -> u128 {
    u128::from(u32::from(text.parse::<Ipv4Addr>().unwrap()))
}

fn refused_v4() -> impl Iterator<Item = (Ipv4Addr, bool)> {
    REFUSED_V4.iter().flat_map(|(first, last, local)| {
        samples(v4(first), v4(last)).into_iter().map(|bits| (Ipv4Addr::from(bits as u32), *local))
    })
}

/// The ways in which IPv6 writes an IPv4 address; only the first three are ever judged by what they embed.
fn forms(ip: Ipv4Addr) -> [(IpAddr, bool); 10] {
    let low = u128::from(u32::from(ip));
    let v6 = |bits: u128| IpAddr::V6(Ipv6Addr::from(bits));
    let prefix = |text: &str| u128::from(text.parse::<Ipv6Addr>().unwrap());
    [
        (IpAddr::V4(ip), true),
        (v6(prefix("::ffff:0:0") | low), true),
        (v6(prefix("64:ff9b::") | low), true),
        (v6(prefix("::ffff:0:0:0") | low), false),
        (v6(prefix("64:ff9b:1::") | low), false),
        (v6(prefix("64:ff9b:1:2:3:4::") | low), false),
        (v6(prefix("2002::") | low << 80), false),
        (v6(prefix("2002::1") | low << 80), false),
        // Teredo holds the server's address in the clear, and the client's inverted.
        (v6(prefix("2001::") | low << 64), false),
        (v6(prefix("2001:0:808:808::") | u128::from(!(low as u32))), false),
    ]
}

#[test]
fn every_form_of_a_refused_ipv4_address_is_refused() {
    let (strict, lenient) = (AddressPolicy::public_only(), AddressPolicy::allowing_private());
    let mut judged = 0;
    for (ip, local) in refused_v4() {
        for (form, embeds) in forms(ip) {
            assert!(strict.check(form).is_err(), "{form} ({ip})");
            assert_eq!(
                lenient.check(form).is_ok(),
                local && embeds,
                "{form} ({ip}), private addresses allowed"
            );
            judged += 1;
        }
        // IPv4-compatible: obsolete, and refused as such, but `::` and `::1` are addresses of their own.
        if u32::from(ip) > 1 {
            let compatible = IpAddr::V6(Ipv6Addr::from(u128::from(u32::from(ip))));
            assert_eq!(
                lenient.check(compatible).map_err(|e| e.class),
                Err(AddressClass::Reserved),
                "{compatible}"
            );
        }
    }
    assert!(judged > 10_000, "{judged}");
}

#[test]
fn every_refused_ipv6_range_is_refused_from_end_to_end() {
    let (strict, lenient) = (AddressPolicy::public_only(), AddressPolicy::allowing_private());
    for (first, last, local) in REFUSED_V6 {
        let ends = [first, last].map(|text| u128::from(text.parse::<Ipv6Addr>().unwrap()));
        for ip in samples(ends[0], ends[1]).into_iter().map(Ipv6Addr::from) {
            assert!(strict.check(ip.into()).is_err(), "{ip}");
            assert_eq!(lenient.check(ip.into()).is_ok(), *local, "{ip}, private addresses allowed");
        }
    }
}

#[test]
fn public_addresses_pass_also_mapped_and_behind_nat64() {
    let policy = AddressPolicy::public_only();
    for text in PUBLIC {
        let ip: IpAddr = text.parse().unwrap();
        assert_eq!(policy.check(ip), Ok(()), "{ip}");
        if let IpAddr::V4(ip) = ip {
            for (form, embeds) in forms(ip) {
                assert_eq!(policy.check(form).is_ok(), embeds, "{form} ({ip})");
            }
        }
    }
}

/// Whatever is not in the tables above is public: nothing is refused by a slip of a range.
#[test]
fn the_tables_leave_no_ipv4_address_out() {
    let policy = AddressPolicy::public_only();
    for bits in (0..=u128::from(u32::MAX)).step_by(65_521) {
        let listed = REFUSED_V4.iter().any(|(first, last, _)| (v4(first)..=v4(last)).contains(&bits));
        let ip = Ipv4Addr::from(bits as u32);
        assert_eq!(policy.check(ip.into()).is_err(), listed, "{ip}");
    }
}

#[test]
fn the_runtimes_endpoint_is_refused_whatever_else_is_allowed() {
    let policy = AddressPolicy::allowing_private()
        .refusing("127.0.0.1:9001")
        .refusing("[fd12::9]:80/x")
        .refusing("sandbox.local:9001");
    for refused in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fd12::9"] {
        let refusal = policy.check(refused.parse().unwrap()).unwrap_err();
        assert_eq!(refusal.class, AddressClass::Runtime, "{refused}");
    }
    assert_eq!(policy.check("127.0.0.2".parse().unwrap()), Ok(()));
    assert!(policy.check_name("sandbox.local").is_err() && policy.check_name("sandbox.local.").is_err());
    assert!(policy.check_name("other.local").is_ok());
}

#[test]
fn a_refusal_says_what_the_address_is() {
    let named = [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "reserved"),
        ("10.0.0.1", "private"),
        ("100.64.0.1", "carrier-grade NAT"),
        ("100.100.100.200", "metadata"),
        ("127.0.0.1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("192.0.2.1", "documentation"),
        ("198.18.0.1", "benchmark"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:2", "reserved"),
        ("::ffff:10.0.0.1", "private"),
        ("64:ff9b::a00:1", "private"),
        ("64:ff9b:1::1", "tunnel"),
        ("2001::1", "tunnel"),
        ("2001:2::1", "benchmark"),
        ("2001:20::1", "reserved"),
        ("2001:db8::1", "documentation"),
        ("2002::1", "tunnel"),
        ("3fff::1", "documentation"),
        ("fc00::1", "unique-local"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("fe80::1", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
    ];
    for (text, class) in named {
        let refusal = AddressPolicy::public_only().check(text.parse().unwrap()).unwrap_err();
        assert_eq!(refusal.to_string(), format!("the {class} address {text}"));
    }
}
