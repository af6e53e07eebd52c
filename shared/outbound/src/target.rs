//! Which URLs may be targets: judged when a schedule is created, and again before every call, because addresses
//! written as literals never pass through the resolver. Names are judged where they resolve (`resolver`).

use crate::guard::{AddressPolicy, Forbidden};
use url::{Host, Url};

/// The longest URL that is accepted, in bytes. The values appended to the query of a GET come on top.
pub const MAX_URL: usize = 2048;

/// Why a URL may not be a target; each a sentence that lacks only its subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlRefused {
    #[error("has {0} bytes; a URL has at most {MAX_URL}")]
    TooLong(usize),
    #[error("contains a control character")]
    ControlCharacter,
    #[error("must begin with http:// or https://")]
    NotHttp,
    #[error("is not a URL: {0}")]
    NotAUrl(url::ParseError),
    #[error("holds credentials; put them into a header")]
    Credentials,
    #[error("has the host '{0}', which is not a DNS name")]
    NotAName(String),
    #[error("cannot be put into an HTTP request")]
    Unsendable,
    #[error("has port 0, which nothing can listen on")]
    PortZero,
    #[error("is {0}; targets must be public addresses")]
    Address(Forbidden),
    #[error("is this machine itself ({0}); targets must be public addresses")]
    Name(String),
}

/// Judges URLs by one policy.
#[derive(Clone, Debug)]
pub struct UrlGuard {
    policy: AddressPolicy,
}

impl UrlGuard {
    pub fn new(policy: AddressPolicy) -> Self {
        UrlGuard { policy }
    }

    pub(crate) fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// The URL as it will be called: normalised, without its fragment.
    pub fn check(&self, text: &str) -> Result<Url, UrlRefused> {
        check_url(text, &self.policy)
    }
}

/// See [`UrlGuard::check`].
pub fn check_url(text: &str, policy: &AddressPolicy) -> Result<Url, UrlRefused> {
    let text = text.trim_matches(' ');
    if text.len() > MAX_URL {
        return Err(UrlRefused::TooLong(text.len()));
    }
    // The parser would drop tabs and line ends without a word.
    if text.chars().any(char::is_control) {
        return Err(UrlRefused::ControlCharacter);
    }
    // The parser would also take `http:example.com` and `http:\\example.com`.
    let begins =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    if !begins("http://") && !begins("https://") {
        return Err(UrlRefused::NotHttp);
    }
    let mut url = Url::parse(text).map_err(UrlRefused::NotAUrl)?;
    url.set_fragment(None);
    check_parsed(&url, policy)?;
    if let Some(Host::Domain(name)) = url.host()
        && !is_dns_name(name)
    {
        return Err(UrlRefused::NotAName(name.to_owned()));
    }
    // Percent-encoding may have made it longer.
    if url.as_str().len() > MAX_URL {
        return Err(UrlRefused::TooLong(url.as_str().len()));
    }
    http::Uri::try_from(url.as_str()).map_err(|_| UrlRefused::Unsendable)?;
    Ok(url)
}

/// RFC 1035's lengths, and the characters that resolvers take; the URL parser lets braces and quotes through.
fn is_dns_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.len() <= 253
        && name.split('.').all(|label| (1..=63).contains(&label.len()) && label.bytes().all(allowed))
}

/// The same for a URL that was parsed already, except for its length. The parser has turned every spelling of a
/// literal (octal, hexadecimal, one integer, full-width digits, percent-encoded) into the address itself.
pub fn check_parsed(url: &Url, policy: &AddressPolicy) -> Result<(), UrlRefused> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlRefused::NotHttp);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlRefused::Credentials);
    }
    if url.port() == Some(0) {
        return Err(UrlRefused::PortZero);
    }
    match url.host() {
        None => Err(UrlRefused::NotAUrl(url::ParseError::EmptyHost)),
        Some(Host::Ipv4(ip)) => policy.check(ip.into()).map_err(UrlRefused::Address),
        Some(Host::Ipv6(ip)) => policy.check(ip.into()).map_err(UrlRefused::Address),
        Some(Host::Domain(name)) => policy.check_name(name).map_err(|_| UrlRefused::Name(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(text: &str) -> Result<String, String> {
        check_url(text, &AddressPolicy::public_only()).map(String::from).map_err(|why| why.to_string())
    }

    /// The spellings of one IPv4 address that browsers, curl or libc understand.
    fn spellings([a, b, c, d]: [u8; 4]) -> Vec<String> {
        let whole = u32::from_be_bytes([a, b, c, d]);
        let (low24, low16) = (whole & 0x00ff_ffff, whole & 0xffff);
        let wide =
            |text: &str| {
                text.chars()
                    .map(|c| {
                        if c.is_ascii_digit() { char::from_u32(c as u32 - 0x30 + 0xff10).unwrap() } else { c }
                    })
                    .collect::<String>()
            };
        let dotted = format!("{a}.{b}.{c}.{d}");
        let mut all = vec![
            format!("{dotted}."),
            format!("{whole}"),
            format!("{whole:#x}"),
            format!("{whole:#X}").replace("0X", "0x"),
            format!("0{whole:o}"),
            format!("00000{whole:o}"),
            format!("{a}.{low24}"),
            format!("{a}.{low24:#x}"),
            format!("{a}.{b}.{low16}"),
            format!("{a:#x}.{b:#x}.{c:#x}.{d:#x}"),
            format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            format!("{a:#x}.0{b:o}.{low16}"),
            wide(&dotted),
            dotted.replace('.', "。"),
            dotted.replace('.', "%2e"),
            dotted.bytes().map(|byte| format!("%{byte:02x}")).collect(),
            format!("[::ffff:{dotted}]"),
            format!("[::ffff:{:x}:{:x}]", whole >> 16, low16),
            format!("[0:0:0:0:0:FFFF:{dotted}]"),
            format!("[64:ff9b::{dotted}]"),
            format!("[2002:{:x}:{:x}::1]", whole >> 16, low16),
            format!("[2001:0:{:x}:{:x}::1]", whole >> 16, low16),
        ];
        all.push(dotted);
        all
    }

    #[test]
    fn literals_are_judged_in_every_spelling() {
        let refused: [[u8; 4]; 14] = [
            [127, 0, 0, 1],
            [127, 255, 3, 9],
            [10, 0, 0, 1],
            [10, 200, 31, 7],
            [172, 16, 0, 9],
            [172, 31, 255, 254],
            [192, 168, 1, 1],
            [169, 254, 169, 254],
            [169, 254, 100, 1],
            [100, 64, 0, 1],
            [100, 100, 100, 200],
            [192, 0, 2, 1],
            [198, 18, 0, 1],
            [224, 0, 0, 251],
        ];
        let mut judged = 0;
        for address in refused {
            for host in spellings(address) {
                for text in [
                    format!("http://{host}/"),
                    format!("HTTPS://{host}:8443/a?b"),
                    format!("http://{host}"),
                    format!("http://{host}?q=1#f"),
                ] {
                    let refusal = check_url(&text, &AddressPolicy::public_only());
                    assert!(matches!(refusal, Err(UrlRefused::Address(_))), "{text}: {refusal:?}");
                    judged += 1;
                }
            }
        }
        assert!(judged > 1000, "{judged}");
        // The same spellings of a public address are understood, not refused for their spelling.
        for host in spellings([93, 184, 215, 14]).into_iter().filter(|host| !host.starts_with("[200")) {
            assert!(strict(&format!("http://{host}/")).is_ok(), "{host}");
        }
    }

    #[test]
    fn refusals_are_sentences() {
        let cases = [
            ("http://10.0.0.1/x", "is the private address 10.0.0.1; targets must be public addresses"),
            ("http://0x7f.1/", "is the loopback address 127.0.0.1; targets must be public addresses"),
            (
                "http://localhost:8080/",
                "is this machine itself (localhost); targets must be public addresses",
            ),
            (
                "http://a.LOCALHOST./",
                "is this machine itself (a.localhost.); targets must be public addresses",
            ),
            ("ftp://example.com/", "must begin with http:// or https://"),
            ("http:example.com", "must begin with http:// or https://"),
            ("http:\\\\example.com", "must begin with http:// or https://"),
            ("example.com", "must begin with http:// or https://"),
            ("", "must begin with http:// or https://"),
            ("http://", "is not a URL: empty host"),
            ("http://1.2.3.4.5/", "is not a URL: invalid IPv4 address"),
            ("http://[fe80::1%25eth0]/", "is not a URL: invalid IPv6 address"),
            ("http://example.com:99999/", "is not a URL: invalid port number"),
            ("http://user@example.com/", "holds credentials; put them into a header"),
            ("http://:pass@example.com/", "holds credentials; put them into a header"),
            ("http://example.com:0/", "has port 0, which nothing can listen on"),
            ("http://a{b}.example/", "has the host 'a{b}.example', which is not a DNS name"),
            ("http://a\"b/", "has the host 'a\"b', which is not a DNS name"),
            ("http://a..b/", "has the host 'a..b', which is not a DNS name"),
            ("http://exa\tmple.com/", "contains a control character"),
            ("http://example.com/\n", "contains a control character"),
        ];
        for (text, why) in cases {
            assert_eq!(strict(text), Err(why.to_owned()), "{text:?}");
        }
        let long = format!("http://example.com/{}", "a".repeat(2030));
        assert_eq!(strict(&long), Err("has 2049 bytes; a URL has at most 2048".to_owned()));
        assert!(strict(&long[..2048]).is_ok());
        let swelling = format!("http://example.com/{}", "é".repeat(400));
        assert_eq!(strict(&swelling), Err("has 2419 bytes; a URL has at most 2048".to_owned()));
        let label = "a".repeat(64);
        assert_eq!(
            strict(&format!("http://{label}.example/")),
            Err(format!("has the host '{label}.example', which is not a DNS name"))
        );
    }

    #[test]
    fn ordinary_urls_pass_normalised() {
        let cases = [
            ("https://Example.com", "https://example.com/"),
            (" https://example.com/a b?c=d#part ", "https://example.com/a%20b?c=d"),
            ("http://example.com:8080/x?y=%20", "http://example.com:8080/x?y=%20"),
            ("https://müller.example/", "https://xn--mller-kva.example/"),
            ("https://localhost.example.com/", "https://localhost.example.com/"),
            ("https://notlocalhost/", "https://notlocalhost/"),
            ("http://_dmarc.my-host.example.:81/", "http://_dmarc.my-host.example.:81/"),
            (
                "https://example.com/a{b}|c^d`e\"f'?g={h}|i^j`k\"l'",
                "https://example.com/a%7Bb%7D|c^d%60e%22f'?g={h}|i^j`k%22l%27",
            ),
            ("http://[2606:4700:4700::1111]/", "http://[2606:4700:4700::1111]/"),
        ];
        for (text, url) in cases {
            assert_eq!(strict(text), Ok(url.to_owned()), "{text}");
        }
    }

    #[test]
    fn private_targets_pass_where_allowed_but_never_metadata() {
        let guard = UrlGuard::new(AddressPolicy::allowing_private());
        for text in [
            "http://localhost:3000/",
            "http://127.0.0.1/",
            "http://[::1]:8080/",
            "http://192.168.1.7/",
            "http://[fd12::1]/",
        ] {
            assert!(guard.check(text).is_ok(), "{text}");
        }
        for text in [
            "http://169.254.169.254/latest/meta-data",
            "http://2852039166/",
            "http://[fd00:ec2::254]/",
            "http://[fe80::1]/",
            "http://0/",
        ] {
            assert!(matches!(guard.check(text), Err(UrlRefused::Address(_))), "{text}");
        }
    }
}
