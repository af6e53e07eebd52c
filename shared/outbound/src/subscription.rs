//! A browser's push subscription, judged when it is registered: where it leads, and whether its keys are keys.
//! The endpoint's address is judged again before every push, where its name resolves.

use crate::{guard::AddressPolicy, push::encryption::ReceiverKeys, target};
use rondo_domain::push::device::Subscription;

/// The subscription as it is kept: the endpoint normalised, the keys in base64url without padding. Or the field that
/// is wrong (`endpoint`, `keys.p256dh`, `keys.auth`), and a sentence that goes on from its name. The endpoint is
/// https, or http where private targets are allowed: there a push service of one's own may run.
pub fn check_subscription(
    endpoint: &str,
    p256dh: &str,
    auth: &str,
    policy: &AddressPolicy,
) -> Result<Subscription, (&'static str, String)> {
    let url = target::check_url(endpoint, policy).map_err(|why| ("endpoint", why.to_string()))?;
    if url.scheme() != "https" && !policy.allow_private {
        return Err(("endpoint", "must begin with https://, as every push service does".to_owned()));
    }
    let keys = ReceiverKeys::decode(p256dh, auth).map_err(|wrong| (wrong.field(), wrong.to_string()))?;
    let (p256dh, auth) = keys.encode();
    Ok(Subscription { endpoint: url.into(), p256dh, auth })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8291, appendix A.
    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    const ENDPOINT: &str = "https://push.example/send/abc";

    fn strict(endpoint: &str, p256dh: &str, auth: &str) -> Result<Subscription, (&'static str, String)> {
        check_subscription(endpoint, p256dh, auth, &AddressPolicy::public_only())
    }

    #[test]
    fn it_is_kept_in_one_form() {
        let kept =
            Subscription { endpoint: ENDPOINT.to_owned(), p256dh: P256DH.to_owned(), auth: AUTH.to_owned() };
        assert_eq!(strict(ENDPOINT, P256DH, AUTH), Ok(kept.clone()));
        let padded = strict("https://PUSH.example:443/send/abc", &format!("{P256DH}="), &format!("{AUTH}=="));
        assert_eq!(padded, Ok(kept));
    }

    #[test]
    fn an_endpoint_is_https_and_public() {
        for (endpoint, why) in [
            ("http://push.example/", "must begin with https://, as every push service does"),
            ("ftp://push.example/", "must begin with http:// or https://"),
            ("https://10.0.0.1/x", "is the private address 10.0.0.1; targets must be public addresses"),
            ("https://localhost/", "is this machine itself (localhost); targets must be public addresses"),
            ("https://me:it@push.example/", "holds credentials; put them into a header"),
        ] {
            assert_eq!(strict(endpoint, P256DH, AUTH), Err(("endpoint", why.to_owned())), "{endpoint}");
        }
        let lenient =
            |endpoint| check_subscription(endpoint, P256DH, AUTH, &AddressPolicy::allowing_private());
        assert!(lenient("http://127.0.0.1:8099/push/1").is_ok());
        assert!(lenient("https://169.254.169.254/").is_err());
    }

    #[test]
    fn keys_are_of_their_length_and_on_the_curve() {
        let off_curve = format!("{}Q", &P256DH[..86]);
        let compressed = "AyVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcx";
        let hybrid = P256DH.replacen("BC", "BS", 1);
        let standard = P256DH.replace('_', "/").replace('-', "+");
        for (p256dh, why) in [
            ("", "must be the base64url of 65 bytes, and has 0"),
            (compressed, "must be the base64url of 65 bytes, and has 33"),
            (&P256DH[..85], "is not base64url"),
            ("not base64!", "is not base64url"),
            (&standard, "is not base64url"),
            (&off_curve, "is not an uncompressed point of the curve P-256"),
            (&hybrid, "is not an uncompressed point of the curve P-256"),
            (&"A".repeat(87), "is not an uncompressed point of the curve P-256"),
            (&"A".repeat(86), "must be the base64url of 65 bytes, and has 64"),
        ] {
            assert_eq!(strict(ENDPOINT, p256dh, AUTH), Err(("keys.p256dh", why.to_owned())), "{p256dh}");
        }
        for (auth, why) in [
            ("", "must be the base64url of 16 bytes, and has 0"),
            ("BTBZMqHH6r4Tts7J_aSI", "must be the base64url of 16 bytes, and has 15"),
            (P256DH, "must be the base64url of 16 bytes, and has 65"),
            ("BTBZMqHH6r4Tts7J/aSIgg", "is not base64url"),
        ] {
            assert_eq!(strict(ENDPOINT, P256DH, auth), Err(("keys.auth", why.to_owned())), "{auth}");
        }
    }
}
