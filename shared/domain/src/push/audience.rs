//! Who is meant: kinds of names, ANDed; within a kind their union (`tag`, `alias`, `registration_id`), their
//! intersection (`tag_and`), or the complement of their union (`tag_not`).

use super::device::{Device, Platform, RegistrationId};
use serde_json::Value;
use std::collections::BTreeSet;

/// Of a push that was checked. An empty set: that kind was not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audience {
    pub tag: BTreeSet<String>,
    pub tag_and: BTreeSet<String>,
    pub tag_not: BTreeSet<String>,
    pub alias: BTreeSet<String>,
    pub registration_id: BTreeSet<RegistrationId>,
    /// Empty: all.
    pub platforms: BTreeSet<Platform>,
    /// Only devices that Rondo itself can reach.
    pub reachable_only: bool,
    /// Names what only the gateway knows, such as a segment.
    pub upstream_only: bool,
}

impl Audience {
    /// Of a push, `{to, body: {platform}}`. What is not as the contract says is left out: it was refused before.
    pub fn of(push: &Value) -> Audience {
        let to = &push["to"];
        let texts = |name: &str| -> BTreeSet<String> {
            let items = to[name].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let given = |name: &str| !matches!(&to[name], Value::Null);
        let platform = &push["body"]["platform"];
        let named = platform.as_array().map_or_else(
            || platform.as_str().into_iter().collect(),
            |list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
        );
        let all = named.is_empty() || named.contains(&"all");
        Audience {
            tag: texts("tag"),
            tag_and: texts("tag_and"),
            tag_not: texts("tag_not"),
            alias: texts("alias"),
            registration_id: texts("registration_id").iter().filter_map(|id| id.parse().ok()).collect(),
            platforms: if all {
                BTreeSet::new()
            } else {
                named.into_iter().filter_map(Platform::parse).collect()
            },
            reachable_only: false,
            upstream_only: given("seg") || given("live_activity_id"),
        }
    }

    /// Whether a device is meant.
    pub fn admits(&self, device: &Device) -> bool {
        let one_of = |names: &BTreeSet<String>, name: &Option<String>| {
            names.is_empty() || name.as_ref().is_some_and(|name| names.contains(name))
        };
        (self.tag.is_empty() || !self.tag.is_disjoint(&device.tags))
            && self.tag_and.is_subset(&device.tags)
            && self.tag_not.is_disjoint(&device.tags)
            && one_of(&self.alias, &device.alias)
            && (self.registration_id.is_empty() || self.registration_id.contains(&device.id))
            && (self.platforms.is_empty() || self.platforms.contains(&device.platform))
            && (!self.reachable_only || (device.platform == Platform::Web && device.subscription.is_some()))
    }

    /// Whether an id that the registry does not know may be meant: nothing else is asked of it.
    pub fn admits_unknown(&self, id: &RegistrationId) -> bool {
        !self.reachable_only
            && self.registration_id.contains(id)
            && self.tag.is_empty()
            && self.tag_and.is_empty()
            && self.alias.is_empty()
    }
}
