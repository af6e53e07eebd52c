//! The address guard and the header rules, as the API asks them when a schedule is created.

use crate::{UrlGuard, headers};
use rondo_domain::call::TargetRules;
use url::Url;

impl TargetRules for UrlGuard {
    fn check_url(&self, text: &str) -> Result<Url, String> {
        self.check(text).map_err(|refused| refused.to_string())
    }

    fn check_header(&self, name: &str, value: &str) -> Result<(), String> {
        headers::check_header(name, value)
    }
}
