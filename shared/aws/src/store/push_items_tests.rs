//! Items of devices, and of what executions that push know: they come back as they were, and stay far from an item's
//! limit.

use super::{
    device_item::{device_in, device_item, sketch_in},
    schema::{APP_GROUP, BY_GROUP_INCLUDES, PK, POSITION, REACHABLE, SK},
    size, units,
    values::attributes_of,
};
use chrono_tz::{TZ_VARIANTS, Tz};
use proptest::{
    collection::{btree_set, vec},
    option::of,
    prelude::*,
};
use rondo_domain::{
    ids::AppKey,
    ports::StoreError,
    push::{
        audience::Audience,
        device::{Device, MAX_NAME, MAX_TAGS, Platform, RegistrationId, Subscription},
        fan_out::{Bounds, Page, PageKind, PageSet, PushRecord, Range, Search, Spread},
        outcome::{PushError, PushResult},
    },
    time::{Span, Timestamp},
};

fn app() -> AppKey {
    AppKey::from_random(u128::MAX / 3)
}

fn at() -> impl Strategy<Value = Timestamp> {
    (0i64..253_402_300_799_999).prop_map(Timestamp::from_millis)
}

fn kind() -> impl Strategy<Value = PageKind> {
    prop::sample::select(vec![PageKind::Audience, PageKind::Moved, PageKind::Whole])
}

fn bounds() -> impl Strategy<Value = Bounds> {
    (of(".{1,9}"), of(".{1,9}")).prop_map(|(after, through)| Bounds { after, through })
}

prop_compose! {
    fn page()(
        bounds in bounds(),
        (from, to, failures) in any::<(u32, u32, u16)>(),
        kind in kind(),
        (accepted, gone, refused, unsent) in any::<(u32, u32, u32, u32)>(),
        msg_id in of("[1-9][0-9]{0,15}"),
        error in of((any::<u32>(), ".{0,20}").prop_map(|(code, text)| PushError::new(code, text))),
    ) -> Page {
        let result = PushResult { msg_id, accepted, gone, refused, unsent, error };
        Page { bounds, range: Range { from, to }, kind, result, failures }
    }
}

prop_compose! {
    fn spread()(
        until in at(),
        opening in vec((at(), any::<u8>(), any::<u16>(), any::<u16>(), bounds(), kind()), 0..4),
        (pages, recipients) in any::<(u16, u64)>(),
        search in of((at(), any::<u8>()).prop_map(|(at, slot)| Search { at, slot })),
    ) -> Spread {
        let opening = opening.into_iter().map(|(due, slot, first, count, bounds, kind)| {
            PageSet { due, slot, first, count, bounds, kind }
        });
        Spread { until, opening: opening.collect(), pages, recipients, search }
    }
}

pub(super) fn push_record() -> impl Strategy<Value = PushRecord> {
    prop_oneof![page().prop_map(PushRecord::Page), spread().prop_map(PushRecord::Spread)]
}

fn name() -> impl Strategy<Value = String> {
    "\\PC{1,30}"
}

fn zone() -> impl Strategy<Value = Tz> {
    prop::sample::select(TZ_VARIANTS.to_vec())
}

prop_compose! {
    fn device()(
        id in name(),
        platform in prop::sample::select(Platform::ALL.to_vec()),
        (zone, best_hour) in (of(zone()), of(0u8..24)),
        subscribed in any::<bool>(),
        tags in btree_set(prop_oneof![Just("a".to_owned()), Just("b".to_owned()), name()], 0..4),
        alias in of(name()),
        visits in vec(any::<i32>(), 0..5),
        (last_active, created_at, moved_at) in (of(at()), at(), at()),
        revision in 1..u64::MAX,
    ) -> Device {
        let subscription = subscribed.then(|| Subscription {
            endpoint: "https://push.example/1".to_owned(), p256dh: "BA".to_owned(), auth: "AA".to_owned(),
        });
        let id: RegistrationId = id.parse().expect("a name");
        Device {
            zone, best_hour, subscription, tags, alias, visits, last_active, moved_at, revision,
            ..Device::new(id, platform, created_at)
        }
    }
}

proptest! {
    #[test]
    fn every_device_comes_back(device in device()) {
        let item = device_item(&app(), &device).expect("it can be written");
        prop_assert_eq!(device_in(&item).expect("it can be read"), device);
    }

    /// An entry of the index is enough to say who is meant.
    #[test]
    fn a_sketch_is_admitted_where_its_device_is(
        device in device(),
        (tag, tag_and, tag_not) in (
            btree_set("[ab]", 0..2), btree_set("[ab]", 0..2), btree_set("[ab]", 0..2),
        ),
        platforms in btree_set(prop::sample::select(Platform::ALL.to_vec()), 0..3),
        same_alias in of(any::<bool>()),
    ) {
        let item = device_item(&app(), &device).expect("it can be written");
        let keys = [PK, SK, APP_GROUP, POSITION];
        let entry = item.clone().into_iter().filter(|(name, _)| {
            keys.contains(&name.as_str()) || BY_GROUP_INCLUDES.contains(&name.as_str())
        });
        let sketch = sketch_in(&entry.collect()).expect("it can be read");
        let alias = same_alias.map(|same| device.alias.clone().filter(|_| same).unwrap_or("other".to_owned()));
        let mut audience =
            Audience { tag, tag_and, tag_not, platforms, alias: alias.into_iter().collect(), ..Audience::default() };
        prop_assert_eq!(audience.admits(&sketch), audience.admits(&device));
        let reachable = item.contains_key(REACHABLE);
        audience.reachable_only = true;
        let rest = Audience { reachable_only: false, ..audience.clone() };
        prop_assert_eq!(rest.admits(&sketch) && reachable, audience.admits(&device));
    }
}

/// One that a browser registered, seen `visits` times.
fn browser(visits: i32) -> Device {
    let id: RegistrationId = "0f3c1d4e5a6b7c8d9e0f".parse().expect("a name");
    let now = Timestamp::from_millis(1_764_547_200_123);
    Device {
        zone: Some(chrono_tz::Europe::Madrid),
        best_hour: Some(19),
        subscription: Some(Subscription {
            endpoint: format!("https://fcm.googleapis.com/fcm/send/{}", "x".repeat(160)),
            p256dh: "B".repeat(87),
            auth: "A".repeat(22),
        }),
        tags: ["news".to_owned(), "madrid".to_owned()].into(),
        visits: (0..visits).map(|hour| 490_000 + hour).collect(),
        last_active: Some(now),
        revision: 500,
        ..Device::new(id, Platform::Web, now)
    }
}

#[test]
fn a_visit_writes_the_item_alone() {
    let (before, mut after) = (browser(40), browser(41));
    after.last_active = after.last_active.map(|at| at.plus(Span::from_secs(60)));
    after.revision += 1;
    let [before, after, mut moved] =
        [&before, &after, &after].map(|device| device_item(&app(), device).expect("it can be written"));
    let bytes = size::item(&after);
    let entry = units::indexes(None, Some(&after));
    println!("a browser with 41 visits: {bytes} bytes; its entry in the index: {entry} write units");
    assert!(bytes < 1024, "{bytes}");
    assert_eq!(units::write(Some(&before), Some(&after)), 1.0);
    moved.insert(APP_GROUP.to_owned(), super::calls::text("another"));
    assert_eq!(units::write(Some(&before), Some(&moved)), 3.0, "one entry goes, another comes");
}

#[test]
fn the_largest_device_is_far_from_the_limit() {
    let mut device = browser(200);
    let name = |n: usize| format!("{n:03}{}", "x".repeat(MAX_NAME - 3));
    device.id = name(1).parse().expect("a name");
    device.alias = Some(name(2));
    device.tags = (0..MAX_TAGS).map(name).collect();
    let bytes = size::item(&device_item(&app(), &device).expect("it can be written"));
    println!("the largest device: {bytes} bytes");
    assert!(bytes < 20_000, "{bytes}");
}

#[test]
fn a_torn_device_names_its_item_alone() {
    let good = device_item(&app(), &browser(3)).expect("it can be written");
    for name in ["platform", "visits", "zone", "revision"] {
        let mut item = good.clone();
        item.insert(name.to_owned(), super::calls::text("s3cret"));
        let error = device_in(&item).expect_err(name);
        let StoreError::Corrupt(text) = &error else { panic!("{error}") };
        assert!(text.contains("#DEVICES#") && !text.contains("s3cret"), "{text}");
    }
}

/// How many sets of pages an occurrence can have decided on before its record meets the limit.
#[test]
fn what_is_being_opened_fits_into_an_item() {
    let group = |n: usize| format!("America/Argentina/ComodRivadavia|{:02}", n % 24);
    let set = |n: usize| PageSet {
        due: Timestamp::from_millis(1_764_547_200_123),
        slot: 200,
        first: 10_000 + n as u16,
        count: 1000,
        bounds: Bounds { after: Some(group(n)), through: Some(group(n + 1)) },
        kind: PageKind::Audience,
    };
    let spread = |sets: usize| Spread {
        opening: (0..sets).map(set).collect(),
        ..Spread::new(Timestamp::from_millis(1_764_547_200_123))
    };
    let bytes = |sets: usize| {
        let record = PushRecord::Spread(spread(sets));
        size::item(&attributes_of(&record).expect("it can be written"))
    };
    let each = (bytes(1001) - bytes(1)) / 1000;
    println!("a set of pages takes {each} bytes: {} fit", size::MAX_ITEM / each);
    assert!(bytes(2000) < size::MAX_ITEM, "{}", bytes(2000));
}
