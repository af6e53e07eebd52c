//! A device as a client registers and changes it: read, and judged field by field. The first that is wrong is told.

use crate::fields::{kind, quoted};
use rondo_domain::{
    call::TargetRules,
    push::{
        device::{Device, MAX_TAGS, Platform, Subscription, is_name},
        outcome::PushError,
        rules::{BAD_VALUE, MISSING, WRONG_TYPE, push::MAX_LABEL},
    },
    time::{Span, Timestamp},
    trigger::parse_zone,
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Of one request.
pub const MAX_EVENTS: usize = 1000;
/// Clocks differ: so far in the future an event may lie.
const AHEAD: Span = Span::from_secs(5 * 60);

type Members = Map<String, Value>;

/// What a device is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    pub platform: Platform,
    pub zone: Option<chrono_tz::Tz>,
    pub subscription: Option<Subscription>,
    pub tags: BTreeSet<String>,
    pub alias: Option<String>,
}

impl Registration {
    pub fn read(body: &Value, rules: &dyn TargetRules) -> Result<Registration, PushError> {
        let members = object("", body)?;
        let platform = match get(members, "platform") {
            None => return Err(missing("platform", "is required: one of android, ios, hmos, web")),
            Some(value) => {
                let name = text("platform", value)?;
                let detail = || format!("must be one of android, ios, hmos, web, not {}", quoted(name));
                Platform::parse(name).ok_or_else(|| wrong("platform", detail()))?
            }
        };
        let zone = match get(members, "time_zone") {
            None => None,
            Some(value) => {
                let zone = parse_zone(text("time_zone", value)?);
                Some(zone.map_err(|error| wrong("time_zone", error.to_string()))?)
            }
        };
        let subscription =
            get(members, "subscription").map(|value| subscription(value, rules)).transpose()?;
        if subscription.is_some() && platform != Platform::Web {
            return Err(wrong("subscription", "must be left out, unless platform is web"));
        }
        let tags = get(members, "tags").map(|value| labels("tags", value)).transpose()?.unwrap_or_default();
        check_count(&tags)?;
        let alias = get(members, "alias").map(alias).transpose()?.flatten();
        Ok(Registration { platform, zone, subscription, tags, alias })
    }

    /// Its history stays, and when it was first seen; everything else is as it was registered last.
    pub fn applied_to(&self, mut device: Device, now: Timestamp) -> Device {
        device.platform = self.platform;
        device.subscription.clone_from(&self.subscription);
        device.tags.clone_from(&self.tags);
        device.alias.clone_from(&self.alias);
        device.set_zone(self.zone, now);
        device
    }
}

/// The public form: tags that come and go (or all go), and the alias.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mending {
    clear: bool,
    add: BTreeSet<String>,
    remove: BTreeSet<String>,
    /// Inside, none: it goes.
    alias: Option<Option<String>>,
}

impl Mending {
    pub fn read(body: &Value) -> Result<Mending, PushError> {
        let members = object("", body)?;
        let mut mending = Mending::default();
        if get(members, "tags").is_none() && get(members, "alias").is_none() {
            return Err(missing("tags", "is required, or alias"));
        }
        match get(members, "tags") {
            None => {}
            Some(Value::String(all)) if all.is_empty() => mending.clear = true,
            Some(value) => {
                let (add, remove) = add_and_remove("tags", value, labels)?;
                (mending.add, mending.remove) = (add, remove);
            }
        }
        mending.alias = get(members, "alias").map(alias).transpose()?;
        Ok(mending)
    }

    pub fn applied_to(&self, mut device: Device) -> Result<Device, PushError> {
        if self.clear {
            device.tags.clear();
        }
        device.tags.retain(|tag| !self.remove.contains(tag));
        device.tags.extend(self.add.iter().cloned());
        check_count(&device.tags)?;
        if let Some(alias) = &self.alias {
            device.alias.clone_from(alias);
        }
        Ok(device)
    }
}

/// `{"add": […], "remove": […]}`, each read by `read`.
pub fn add_and_remove<T: Default>(
    at: &str,
    value: &Value,
    read: impl Fn(&str, &Value) -> Result<T, PushError>,
) -> Result<(T, T), PushError> {
    let Value::Object(members) = value else {
        return Err(wrong_type(at, "an object with add or remove", value));
    };
    if get(members, "add").is_none() && get(members, "remove").is_none() {
        return Err(missing(at, "must have add or remove"));
    }
    let read = |name: &str| match get(members, name) {
        Some(list) => read(&format!("{at}.{name}"), list),
        None => Ok(T::default()),
    };
    Ok((read("add")?, read("remove")?))
}

/// When the owner was there. What is older than is remembered counts for nothing.
pub fn visits(body: &Value, now: Timestamp) -> Result<Vec<Timestamp>, PushError> {
    let members = object("", body)?;
    let instant = |at: &str, value: &Value| {
        let given = text(at, value)?;
        let read = Timestamp::parse_rfc3339(given).ok_or_else(|| {
            let detail = format!(
                "must be an instant with its offset, such as 2030-12-01T09:00:00+01:00, not {}",
                quoted(given)
            );
            wrong(at, detail)
        })?;
        if read > now.plus(AHEAD) {
            return Err(wrong(at, format!("must not be in the future, as {} is", quoted(given))));
        }
        Ok(read.min(now))
    };
    match (get(members, "at"), get(members, "events")) {
        (Some(_), Some(_)) => Err(wrong("events", "must not stand beside at: give one of the two")),
        (None, None) => Ok(vec![now]),
        (Some(at), None) => Ok(vec![instant("at", at)?]),
        (None, Some(Value::Array(events))) if events.len() <= MAX_EVENTS => {
            let one = |(index, event)| instant(&format!("events[{index}]"), event);
            events.iter().enumerate().map(one).collect()
        }
        (None, Some(Value::Array(events))) => {
            Err(wrong("events", format!("must hold at most {MAX_EVENTS}, not {}", events.len())))
        }
        (None, Some(other)) => Err(wrong_type("events", "an array of instants", other)),
    }
}

fn subscription(value: &Value, rules: &dyn TargetRules) -> Result<Subscription, PushError> {
    let member = |members: &Members, at: &str, name: &str| {
        let at = format!("{at}.{name}");
        let value = get(members, name).ok_or_else(|| missing(&at, "is required"))?;
        text(&at, value).map(str::to_owned)
    };
    let members = object("subscription", value)?;
    let endpoint = member(members, "subscription", "endpoint")?;
    let keys = get(members, "keys").ok_or_else(|| missing("subscription.keys", "is required"))?;
    let keys = object("subscription.keys", keys)?;
    let p256dh = member(keys, "subscription.keys", "p256dh")?;
    let auth = member(keys, "subscription.keys", "auth")?;
    let checked = rules.check_subscription(&endpoint, &p256dh, &auth);
    checked.map_err(|(field, detail)| wrong(&format!("subscription.{field}"), detail))
}

/// An empty one: none.
fn alias(value: &Value) -> Result<Option<String>, PushError> {
    match text("alias", value)? {
        "" => Ok(None),
        alias => label("alias", alias).map(|()| Some(alias.to_owned())),
    }
}

fn labels(at: &str, value: &Value) -> Result<BTreeSet<String>, PushError> {
    let Value::Array(items) = value else {
        return Err(wrong_type(at, "an array of strings", value));
    };
    let one = |(index, item)| {
        let at = format!("{at}[{index}]");
        let given = text(&at, item)?;
        label(&at, given).map(|()| given.to_owned())
    };
    items.iter().enumerate().map(one).collect()
}

/// A tag or an alias.
pub fn label(at: &str, given: &str) -> Result<(), PushError> {
    if given.len() <= MAX_LABEL && is_name(given) {
        return Ok(());
    }
    let detail = format!("must have 1 to {MAX_LABEL} bytes and no control characters, not {}", quoted(given));
    Err(wrong(at, detail))
}

pub fn check_count(tags: &BTreeSet<String>) -> Result<(), PushError> {
    if tags.len() > MAX_TAGS {
        return Err(wrong("tags", format!("must be at most {MAX_TAGS} on a device, not {}", tags.len())));
    }
    Ok(())
}

pub fn get<'v>(members: &'v Members, name: &str) -> Option<&'v Value> {
    members.get(name).filter(|value| !value.is_null())
}

pub fn object<'v>(at: &str, value: &'v Value) -> Result<&'v Members, PushError> {
    value.as_object().ok_or_else(|| wrong_type(at, "an object", value))
}

pub fn text<'v>(at: &str, value: &'v Value) -> Result<&'v str, PushError> {
    value.as_str().ok_or_else(|| wrong_type(at, "a string", value))
}

pub fn missing(at: &str, detail: &str) -> PushError {
    PushError::new(MISSING, format!("{at} {detail}"))
}

pub fn wrong(at: &str, detail: impl std::fmt::Display) -> PushError {
    PushError::new(BAD_VALUE, format!("{at} {detail}"))
}

pub fn wrong_type(at: &str, right: &str, given: &Value) -> PushError {
    let at = if at.is_empty() { "the body" } else { at };
    PushError::new(WRONG_TYPE, format!("{at} must be {right}, not {}", kind(given)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use url::Url;

    /// Takes any subscription whose `auth` is not `bad`.
    struct Rules;

    impl TargetRules for Rules {
        fn check_url(&self, _: &str) -> Result<Url, String> {
            Err("is not asked".to_owned())
        }
        fn check_header(&self, _: &str, _: &str) -> Result<(), String> {
            Err("is not asked".to_owned())
        }
        fn check_subscription(
            &self,
            endpoint: &str,
            p256dh: &str,
            auth: &str,
        ) -> Result<Subscription, (&'static str, String)> {
            if auth == "bad" {
                return Err(("keys.auth", "must be 16 bytes".to_owned()));
            }
            let [endpoint, p256dh, auth] = [endpoint, p256dh, auth].map(str::to_owned);
            Ok(Subscription { endpoint, p256dh, auth })
        }
    }

    fn told<T>(read: Result<T, PushError>) -> Option<(u32, String)> {
        let error = read.err()?;
        Some((error.code, error.message.split(' ').next().unwrap_or_default().to_owned()))
    }

    fn tags(count: usize) -> Value {
        (0..count).map(|i| format!("tag{i}")).collect()
    }

    #[test]
    fn each_field_of_a_device_is_judged() {
        let good = json!({
            "platform": "web",
            "time_zone": "Europe/Madrid",
            "subscription": {"endpoint": "https://x.example/1", "expirationTime": null, "keys": {"p256dh": "p", "auth": "a"}},
            "tags": ["news"],
            "alias": "me",
        });
        assert_eq!(told(Registration::read(&good, &Rules)), None);
        let name = "é".repeat(20);
        for (pointer, value, wanted) in [
            ("platform", json!(null), Some((21002, "platform"))),
            ("platform", json!("tv"), Some((21003, "platform"))),
            ("platform", json!(["web"]), Some((21016, "platform"))),
            ("platform", json!("ios"), Some((21003, "subscription"))),
            ("time_zone", json!(null), None),
            ("time_zone", json!("Mars/Olympus"), Some((21003, "time_zone"))),
            ("time_zone", json!("europe/madrid"), Some((21003, "time_zone"))),
            ("time_zone", json!(1), Some((21016, "time_zone"))),
            ("subscription", json!(null), None),
            ("subscription", json!("x"), Some((21016, "subscription"))),
            ("subscription", json!({"keys": {}}), Some((21002, "subscription.endpoint"))),
            ("subscription", json!({"endpoint": "x"}), Some((21002, "subscription.keys"))),
            (
                "subscription",
                json!({"endpoint": "x", "keys": {"auth": "a"}}),
                Some((21002, "subscription.keys.p256dh")),
            ),
            (
                "subscription",
                json!({"endpoint": "x", "keys": {"p256dh": "p", "auth": 5}}),
                Some((21016, "subscription.keys.auth")),
            ),
            (
                "subscription",
                json!({"endpoint": "x", "keys": {"p256dh": "p", "auth": "bad"}}),
                Some((21003, "subscription.keys.auth")),
            ),
            ("tags", json!("news"), Some((21016, "tags"))),
            ("tags", json!(["news", 1]), Some((21016, "tags[1]"))),
            ("tags", json!([""]), Some((21003, "tags[0]"))),
            ("tags", json!([format!("{name}x")]), Some((21003, "tags[0]"))),
            ("tags", json!([name, name]), None),
            ("tags", tags(100), None),
            ("tags", tags(101), Some((21003, "tags"))),
            ("alias", json!(""), None),
            ("alias", json!("a\tb"), Some((21003, "alias"))),
            ("alias", json!(format!("{name}x")), Some((21003, "alias"))),
            ("alias", json!([]), Some((21016, "alias"))),
        ] {
            let mut body = good.clone();
            body[pointer] = value;
            let wanted = wanted.map(|(code, names): (u32, &str)| (code, names.to_owned()));
            assert_eq!(told(Registration::read(&body, &Rules)), wanted, "{body}");
        }
        assert_eq!(told(Registration::read(&json!([]), &Rules)), Some((21016, "the".to_owned())));
    }

    #[test]
    fn registering_again_keeps_the_history() {
        let now = Timestamp::from_millis(1_900_000_000_000);
        let mut device = Device::new("d".parse().expect("an id"), Platform::Ios, Timestamp::EPOCH);
        device.visited(&[now], chrono_tz::UTC, now);
        device.tags.insert("old".to_owned());
        let wanted = json!({"platform": "web", "time_zone": "Asia/Tokyo", "tags": ["new"]});
        let after = Registration::read(&wanted, &Rules).expect("it is right").applied_to(device.clone(), now);
        assert_eq!((&after.visits, after.created_at), (&device.visits, Timestamp::EPOCH));
        assert_eq!((after.zone, after.moved_at), (Some(chrono_tz::Asia::Tokyo), now));
        assert_eq!(after.tags, BTreeSet::from(["new".to_owned()]));
    }

    #[test]
    fn tags_come_and_go() {
        let mut device = Device::new("d".parse().expect("an id"), Platform::Web, Timestamp::EPOCH);
        device.tags = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        device.alias = Some("me".to_owned());
        let mended =
            |body: Value| Mending::read(&body).and_then(|mending| mending.applied_to(device.clone()));
        let names = |body: Value| {
            let device = mended(body).expect("it is right");
            (device.tags.into_iter().collect::<Vec<_>>().join(","), device.alias)
        };
        let me = || Some("me".to_owned());
        assert_eq!(names(json!({"tags": {"add": ["c"], "remove": ["a", "z"]}})), ("b,c".to_owned(), me()));
        assert_eq!(names(json!({"tags": "", "alias": ""})), (String::new(), None));
        assert_eq!(names(json!({"alias": "you"})), ("a,b".to_owned(), Some("you".to_owned())));
        assert_eq!(told(mended(json!({}))), Some((21002, "tags".to_owned())));
        assert_eq!(told(mended(json!({"tags": {}}))), Some((21002, "tags".to_owned())));
        assert_eq!(told(mended(json!({"tags": "a"}))), Some((21016, "tags".to_owned())));
        assert_eq!(told(mended(json!({"tags": {"add": "a"}}))), Some((21016, "tags.add".to_owned())));
        assert_eq!(told(mended(json!({"tags": {"add": tags(99)}}))), Some((21003, "tags".to_owned())));
    }

    #[test]
    fn visits_lie_in_the_past() {
        let now = Timestamp::parse_rfc3339("2026-11-23T12:00:00Z").expect("RFC 3339");
        let before = Timestamp::parse_rfc3339("2026-11-23T11:00:00Z").expect("RFC 3339");
        assert_eq!(visits(&json!({}), now), Ok(vec![now]));
        assert_eq!(visits(&json!({"at": "2026-11-23T12:00:00+01:00"}), now), Ok(vec![before]));
        // A clock that is ahead.
        assert_eq!(
            visits(&json!({"events": ["2026-11-23T12:05:00Z", "2026-11-23T11:00:00Z"]}), now),
            Ok(vec![now, before])
        );
        let many = |count: usize| json!({"events": vec!["2026-11-23T11:00:00Z"; count]});
        assert_eq!(visits(&many(1000), now).map(|visits| visits.len()), Ok(1000));
        for (body, code, names) in [
            (many(1001), 21003, "events"),
            (json!({"at": "2026-11-23T12:05:00.001Z"}), 21003, "at"),
            (json!({"at": "2026-11-23 12:00:00"}), 21003, "at"),
            (json!({"at": 5}), 21016, "at"),
            (json!({"events": ["2026-11-23T11:00:00Z", "x"]}), 21003, "events[1]"),
            (json!({"events": "x"}), 21016, "events"),
            (json!({"at": "2026-11-23T11:00:00Z", "events": []}), 21003, "events"),
            (json!("x"), 21016, "the"),
        ] {
            assert_eq!(told(visits(&body, now)), Some((code, names.to_owned())), "{body}");
        }
    }
}
