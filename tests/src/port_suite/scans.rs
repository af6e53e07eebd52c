//! Finding devices: in their order, by range, by audience.

use super::{
    Suite, at,
    devices::{device, id, put},
    insist, key,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use rondo_domain::{
    ids::AppKey,
    ports::Scan,
    push::{
        audience::Audience,
        device::{Device, Group, Platform, RegistrationId},
        fan_out::Range,
    },
    time::Timestamp,
};
use std::collections::BTreeSet;

/// What is asked, but for where a page begins and ends.
#[derive(Clone)]
struct Question {
    app: AppKey,
    group: Group,
    audience: Audience,
    range: Range,
    moved_since: Option<Timestamp>,
}

impl Question {
    fn all(app: &AppKey, group: Group) -> Self {
        let (app, audience) = (app.clone(), Audience::default());
        Question { app, group, audience, range: Range::ALL, moved_since: None }
    }

    fn scan<'a>(&'a self, after: Option<&'a RegistrationId>, limit: usize) -> Scan<'a> {
        let Question { app, group, audience, range, moved_since } = self;
        Scan { app, group: *group, audience, range: *range, moved_since: *moved_since, after, limit }
    }

    /// All pages, one after the other.
    async fn found(&self, suite: &Suite, limit: usize) -> Vec<Device> {
        let mut devices = Vec::new();
        let mut after: Option<RegistrationId> = None;
        for _ in 0..1000 {
            let scan = self.scan(after.as_ref(), limit);
            let page = suite.stores.devices.scan(&scan).await.expect("a read");
            assert!(page.items.len() <= limit);
            devices.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => return devices,
            }
        }
        panic!("the pages have no end");
    }

    async fn count(&self, suite: &Suite) -> u64 {
        suite.stores.devices.count(&self.scan(None, 0)).await.expect("a read")
    }

    /// What it is to find, from the words of the port.
    fn expected(&self, devices: &[Device]) -> Vec<Device> {
        let meant = |device: &&Device| {
            device.group() == self.group
                && self.range.contains(device.id.position())
                && self.audience.admits(device)
                && self.moved_since.is_none_or(|since| device.moved_at > since && device.created_at <= since)
        };
        let mut found: Vec<Device> = devices.iter().filter(meant).cloned().collect();
        found.sort_by_key(|device| (device.id.position(), device.id.clone()));
        found
    }

    async fn check(&self, suite: &Suite, devices: &[Device], limit: usize) {
        let expected = self.expected(devices);
        let Question { audience, range, moved_since, .. } = self;
        let what = format!("{audience:?} in {range:?} moved since {moved_since:?}");
        assert_eq!(self.found(suite, limit).await, expected, "{what}");
        assert_eq!(self.count(suite).await, expected.len() as u64, "{what}");
    }
}

async fn many(suite: &Suite, app: &AppKey, count: usize) -> Vec<Device> {
    let devices: Vec<Device> = (0..count).map(|n| device(&format!("device {n}"))).collect();
    for device in &devices {
        put(suite, app, device).await;
    }
    devices
}

pub async fn a_scan_goes_by_position(suite: &Suite) {
    let app = key("one");
    let mut devices = many(suite, &app, 40).await;
    put(suite, &key("two"), &device("theirs")).await;
    put(suite, &app, &Device { best_hour: Some(9), ..device("of another group") }).await;
    let question = Question::all(&app, devices[0].group());
    for limit in [1, 7, 40, 100] {
        question.check(suite, &devices, limit).await;
    }
    // One that goes while it is read is passed over; those behind it are not.
    let order = question.expected(&devices);
    let first = suite.stores.devices.scan(&question.scan(None, 10)).await.expect("a read");
    let last = first.items.last().expect("there are some").id.clone();
    insist(|| suite.stores.devices.remove_device(&app, &last)).await;
    let rest = suite.stores.devices.scan(&question.scan(Some(&last), 100)).await.expect("a read");
    assert_eq!(rest.items, order[first.items.len()..]);
    devices.retain(|device| device.id != last);
    question.check(suite, &devices, 10).await;
    let nobody = Question::all(&app, Group { zone: None, best_hour: Some(3) });
    nobody.check(suite, &devices, 10).await;
}

pub async fn ranges_divide_a_group(suite: &Suite) {
    let app = key("one");
    let devices = many(suite, &app, 50).await;
    let mut question = Question::all(&app, devices[0].group());
    for parts in [1, 2, 7] {
        let mut seen = 0;
        for index in 0..parts {
            question.range = Range::part(index, parts);
            question.check(suite, &devices, 4).await;
            seen += question.count(suite).await;
        }
        assert_eq!(seen, 50);
    }
    let position = devices[17].id.position();
    question.range = Range { from: position, to: position };
    question.check(suite, &devices, 4).await;
    // A page that goes on in a range which begins later begins where that does.
    question.range = Range::part(1, 2);
    let before = devices.iter().find(|device| !question.range.contains(device.id.position()));
    let before = before.expect("fifty lie on both sides").id.clone();
    let page = suite.stores.devices.scan(&question.scan(Some(&before), 100)).await.expect("a read");
    assert_eq!(page.items, question.expected(&devices));
}

pub async fn those_who_moved_are_found(suite: &Suite) {
    let app = key("one");
    let mut devices = Vec::new();
    for (name, created, moved) in [
        ("stayed", 0, 0),
        ("moved", 0, 50),
        ("moved just then", 0, 30),
        ("new", 40, 40),
        ("new, moved", 40, 50),
    ] {
        let mut device = Device { created_at: at(created), moved_at: at(created), ..device(name) };
        put(suite, &app, &device).await;
        if moved > created {
            device.revision = 2;
            device.set_zone(Some(chrono_tz::Asia::Tokyo), at(moved));
        } else {
            device.revision = 2;
            device.zone = Some(chrono_tz::Asia::Tokyo);
        }
        put(suite, &app, &device).await;
        devices.push(device);
    }
    let group = devices[0].group();
    let question = Question { moved_since: Some(at(30)), ..Question::all(&app, group) };
    assert_eq!(question.found(suite, 10).await, [devices[1].clone()]);
    assert_eq!(question.count(suite).await, 1);
    Question { moved_since: Some(at(49)), ..question.clone() }.check(suite, &devices, 1).await;
    Question { moved_since: None, ..question.clone() }.check(suite, &devices, 2).await;
    let left = Question::all(&app, device("stayed").group());
    left.check(suite, &devices, 10).await;
}

/// The dice of one run: the same every time.
struct Dice(ChaCha8Rng);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0.next_u32() as usize % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn some<T: Clone + Ord>(&mut self, of: &[T], most: usize) -> BTreeSet<T> {
        (0..self.below(most + 1)).map(|_| self.pick(of)).collect()
    }

    fn device(&mut self, number: usize) -> Device {
        let mut device = device(&format!("d{number}"));
        device.platform = if self.one_in(2) { Platform::Web } else { self.pick(&Platform::ALL) };
        device.subscription = device.subscription.filter(|_| !self.one_in(3));
        device.zone = self.pick(&ZONES);
        device.best_hour = self.pick(&[None, Some(7)]);
        device.tags = self.some(&TAGS.map(str::to_owned), 5);
        device.alias = self.pick(&[None, Some("owner".to_owned()), Some("heir".to_owned())]);
        device.created_at = at(self.below(50) as u64);
        device.moved_at = device.created_at;
        device
    }

    fn audience(&mut self, devices: &[Device]) -> Audience {
        let tags = TAGS.map(str::to_owned);
        let mut kind =
            |sides, most| if self.one_in(sides) { self.some(&tags, most) } else { BTreeSet::new() };
        let (tag, tag_and, tag_not) = (kind(2, 4), kind(3, 2), kind(3, 3));
        let ids: Vec<_> = devices.iter().map(|device| device.id.clone()).chain([id("nobody")]).collect();
        let aliases = ["owner", "heir", "nobody"].map(str::to_owned);
        Audience {
            tag,
            tag_and,
            tag_not,
            alias: if self.one_in(8) { self.some(&aliases, 2) } else { BTreeSet::new() },
            registration_id: if self.one_in(8) { self.some(&ids, 60) } else { BTreeSet::new() },
            platforms: if self.one_in(3) { self.some(&Platform::ALL, 2) } else { BTreeSet::new() },
            reachable_only: self.one_in(3),
            upstream_only: false,
        }
    }
}

const ZONES: [Option<chrono_tz::Tz>; 3] =
    [None, Some(chrono_tz::Europe::Madrid), Some(chrono_tz::Asia::Tokyo)];
const TAGS: [&str; 7] = ["news", "News", "sport", "a b", "it's", "100%", "Ñandú"];

/// Devices that come, change, move and go, and audiences of every kind: found is whoever the audience admits.
pub async fn an_audience_is_whom_it_admits(suite: &Suite) {
    let app = key("one");
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(20));
    let mut devices: Vec<Device> = Vec::new();
    for number in 0..100 {
        let mut device = dice.device(number);
        put(suite, &app, &device).await;
        if dice.one_in(3) {
            let changed = dice.device(number);
            let moved_at = if changed.group() == device.group() { device.moved_at } else { at(60) };
            device = Device { revision: 2, created_at: device.created_at, moved_at, ..changed };
            put(suite, &app, &device).await;
        }
        if dice.one_in(10) {
            insist(|| suite.stores.devices.remove_device(&app, &device.id)).await;
        } else {
            devices.push(device);
        }
    }
    let mut met = 0;
    for _ in 0..80 {
        let group = Group { zone: dice.pick(&ZONES), best_hour: dice.pick(&[None, Some(7)]) };
        let range = if dice.one_in(2) { Range::ALL } else { Range::part(dice.below(2) as u16, 2) };
        let moved_since = dice.one_in(5).then(|| at(40));
        let audience = dice.audience(&devices);
        let question = Question { app: app.clone(), group, audience, range, moved_since };
        met += usize::from(!question.expected(&devices).is_empty());
        question.check(suite, &devices, dice.pick(&[1, 4, 50])).await;
    }
    assert!((20..=70).contains(&met), "{met} of 80 audiences admit somebody: the dice are badly made");
}
