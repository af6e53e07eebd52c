//! The base of links in answers: as configured, or as the caller addressed the API.

use crate::Api;
use http::{header, request::Parts};

/// What stands before the API's paths where its caller sees them and the router does not, such as `/prod`; an
/// extension of the request, put there by whoever cut it off.
#[derive(Clone, Debug)]
pub struct BasePath(pub String);

/// Without a slash at its end.
pub fn of(api: &Api, parts: &Parts) -> String {
    if let Some(url) = &api.settings.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST.as_str()).or_else(|| parts.uri.authority().map(|host| host.as_str()));
    // What is no host name goes into no link.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let host = host.filter(|host| !host.is_empty() && host.bytes().all(plain)).unwrap_or("localhost");
    // A list grows to the right with each proxy; the first stands next to the caller.
    let proto = text("x-forwarded-proto").and_then(|list| list.split(',').next()).map(str::trim);
    let scheme =
        if proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https")) { "https" } else { "http" };
    let path = parts.extensions.get::<BasePath>().map_or("", |path| path.0.as_str());
    format!("{scheme}://{host}{path}")
}
