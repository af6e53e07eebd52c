//! The address guard and the header rules, as the API asks them when a schedule is created.

use crate::{UrlGuard, headers, subscription};
use rondo_domain::{call::TargetRules, push::device::Subscription};
use url::Url;

impl TargetRules for UrlGuard {
    fn check_url(&self, text: &str) -> Result<Url, String> {
        self.check(text).map_err(|refused| refused.to_string())
    }

    fn check_header(&self, name: &str, value: &str) -> Result<(), String> {
        headers::check_header(name, value)
    }

    fn check_subscription(
        &self,
        endpoint: &str,
        p256dh: &str,
        auth: &str,
    ) -> Result<Subscription, (&'static str, String)> {
        subscription::check_subscription(endpoint, p256dh, auth, self.policy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AddressPolicy;

    #[test]
    fn a_subscription_is_judged_by_the_guards_own_policy() {
        // RFC 8291, appendix A.
        let p256dh =
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let judged = |policy| {
            let rules: Box<dyn TargetRules> = Box::new(UrlGuard::new(policy));
            rules.check_subscription("http://127.0.0.1:8099/push", p256dh, "BTBZMqHH6r4Tts7J_aSIgg")
        };
        assert_eq!(judged(AddressPolicy::public_only()).unwrap_err().0, "endpoint");
        assert_eq!(judged(AddressPolicy::allowing_private()).unwrap().p256dh, p256dh);
    }
}
