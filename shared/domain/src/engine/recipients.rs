//! Finding an occurrence's recipients: by the ids or aliases that the push names, or else by reading the registry group
//! by group, a few devices at a time.

use super::{Engine, push::Pushing};
use crate::{
    execution::Execution,
    ports::{Scan, StoreError},
    push::{
        device::{Device, Group, Platform, RegistrationId},
        fan_out::{Counted, Page, PageKind, Range, Search},
        sender::Way,
    },
    time::Timestamp,
    trigger::OPEN_AHEAD,
};
use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};
use std::collections::{BTreeMap, VecDeque};

/// So many groups are counted, or ids looked up, at once.
const AT_ONCE: usize = 8;
const LOOKED_UP: usize = 100;

pub(super) struct Recipients<'a> {
    engine: &'a Engine,
    pushing: &'a Pushing<'a>,
}

impl<'a> Recipients<'a> {
    pub fn of(engine: &'a Engine, pushing: &'a Pushing<'a>) -> Self {
        Recipients { engine, pushing }
    }

    fn due(&self, group: Group) -> Option<Timestamp> {
        self.pushing.occasion.due(group, self.pushing.app_zone)
    }

    /// It moved since the occurrence opened, and into a group whose pages were opened before: they may not have it.
    fn was_passed_over(&self, device: &Device, opened: Timestamp) -> bool {
        let before = self.due(device.group()).map_or(opened, |due| due.minus(OPEN_AHEAD));
        has_moved(device, opened) && device.moved_at >= before
    }

    /// The push names its devices itself.
    fn are_named(&self) -> bool {
        let audience = &self.pushing.audience;
        !audience.registration_id.is_empty() || !audience.alias.is_empty()
    }

    /// Groups due later than `after`, up to `until`, with how many are meant.
    pub async fn due_within(&self, after: Timestamp, until: Timestamp) -> Result<Vec<Counted>, StoreError> {
        self.counted(None, |_, due| after < due && due <= until).await
    }

    /// Asks after no more groups than it takes to find somebody.
    pub async fn anyone_after(&self, at: Timestamp) -> Result<bool, StoreError> {
        let mut counts = self.counting(None, |_, due| due > at).await?;
        while let Some(one) = counts.try_next().await? {
            if one.count > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Those who were there as the occurrence opened, have moved since, and are in a group whose time has passed.
    pub async fn passed_over(
        &self,
        opened: Timestamp,
        search: Search,
        now: Timestamp,
    ) -> Result<Vec<Counted>, StoreError> {
        let found = self.counted(Some(opened), |_, due| due <= search.at).await?;
        Ok(found.into_iter().map(|one| Counted { due: now, slot: search.slot, ..one }).collect())
    }

    async fn counted(
        &self,
        moved_since: Option<Timestamp>,
        wanted: impl Fn(Group, Timestamp) -> bool,
    ) -> Result<Vec<Counted>, StoreError> {
        self.counting(moved_since, wanted).await?.try_collect().await
    }

    /// Group by group, as they are asked for.
    async fn counting(
        &self,
        moved_since: Option<Timestamp>,
        wanted: impl Fn(Group, Timestamp) -> bool,
    ) -> Result<BoxStream<'a, Result<Counted, StoreError>>, StoreError> {
        let engine = self.engine;
        let Pushing { occasion, app_zone, app, audience, .. } = self.pushing;
        let as_counted = move |group, due, count| {
            let slot = occasion.slot(group, *app_zone, due);
            Counted { group, due, slot, count }
        };
        if self.are_named() {
            let mut groups: BTreeMap<String, (Group, u64)> = BTreeMap::new();
            for device in self.named().await? {
                if moved_since.is_none_or(|since| has_moved(&device, since)) {
                    groups.entry(device.group().to_string()).or_insert((device.group(), 0)).1 += 1;
                }
            }
            let due = |(group, count)| Some((group, self.due(group)?, count));
            let due = groups.into_values().filter_map(due).filter(|(group, due, _)| wanted(*group, *due));
            let counted: Vec<_> = due.map(|(group, due, count)| Ok(as_counted(group, due, count))).collect();
            return Ok(stream::iter(counted).boxed());
        }
        let groups = self.engine.devices.groups(&app.key).await?;
        let due = groups.into_iter().filter_map(|group| Some((group, self.due(group)?)));
        let due: Vec<_> = due.filter(|(group, due)| wanted(*group, *due)).collect();
        let counts = stream::iter(due).map(move |(group, due)| async move {
            let range = Range::ALL;
            let scan = Scan { app: &app.key, group, audience, range, moved_since, after: None, limit: 0 };
            Ok(as_counted(group, due, engine.devices.count(&scan).await?))
        });
        Ok(counts.buffer_unordered(AT_ONCE).boxed())
    }

    /// Of the ids or aliases that the push names: whoever is meant. Ids that nobody registered are among them where
    /// the gateway may know them.
    async fn named(&self) -> Result<Vec<Device>, StoreError> {
        let Pushing { app, audience, way, .. } = self.pushing;
        let mut ids: Vec<RegistrationId> = audience.registration_id.iter().cloned().collect();
        if ids.is_empty() {
            for alias in &audience.alias {
                let mut after = None;
                loop {
                    let page =
                        self.engine.devices.of_alias(&app.key, alias, after.as_ref(), LOOKED_UP).await?;
                    ids.extend(page.items);
                    match page.next {
                        Some(next) => after = Some(next),
                        None => break,
                    }
                }
            }
        }
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(LOOKED_UP) {
            let known = self.engine.devices.devices(&app.key, some).await?;
            let unknown = some.iter().filter(|id| {
                *way == Way::Gateway
                    && audience.admits_unknown(id)
                    && !known.iter().any(|device| device.id == **id)
            });
            found.extend(unknown.map(|id| Device::new(id.clone(), Platform::Android, Timestamp::EPOCH)));
            found.extend(known.into_iter().filter(|device| audience.admits(device)));
        }
        found.sort_by_key(|device| (device.id.position(), device.id.clone()));
        Ok(found)
    }

    /// Reads a page's devices, some at a time.
    pub fn of_page(self, execution: &Execution, page: &Page) -> Reading<'a> {
        Reading {
            recipients: self,
            due_at: execution.due_at,
            opened: execution.id.schedule.created().max(opened_at(execution)),
            page: page.clone(),
            queue: None,
            after: None,
            ready: VecDeque::new(),
        }
    }
}

/// When the occurrence opened: what moved later may have been passed over.
fn opened_at(execution: &Execution) -> Timestamp {
    execution.nominal_at
}

fn has_moved(device: &Device, since: Timestamp) -> bool {
    device.moved_at > since && device.created_at <= since
}

pub(super) struct Reading<'a> {
    recipients: Recipients<'a>,
    due_at: Timestamp,
    opened: Timestamp,
    page: Page,
    /// The groups that are still to be read; none: not begun.
    queue: Option<VecDeque<Group>>,
    after: Option<RegistrationId>,
    ready: VecDeque<Device>,
}

impl Reading<'_> {
    /// The next few; none: that was all.
    pub async fn next(&mut self, count: usize) -> Result<Option<Vec<Device>>, StoreError> {
        if self.queue.is_none() {
            self.begin().await?;
        }
        while self.ready.len() < count && self.read_on(count).await? {}
        let some: Vec<Device> = self.ready.drain(..count.min(self.ready.len())).collect();
        Ok(Some(some).filter(|some| !some.is_empty()))
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        if self.recipients.are_named() {
            let named = self.recipients.named().await?;
            let meant = named.into_iter().filter(|device| {
                let moved =
                    self.page.kind != PageKind::Moved || self.recipients.was_passed_over(device, self.opened);
                moved && self.covers(device.group()) && self.page.range.contains(device.id.position())
            });
            self.ready = meant.collect();
            self.queue = Some(VecDeque::new());
            return Ok(());
        }
        let app = &self.recipients.pushing.app.key;
        let mut groups = self.recipients.engine.devices.groups(app).await?;
        groups.retain(|group| self.covers(*group));
        groups.sort_by_key(Group::to_string);
        self.queue = Some(groups.into());
        Ok(())
    }

    fn covers(&self, group: Group) -> bool {
        let due = self.recipients.due(group);
        let is_due = match self.page.kind {
            PageKind::Moved => due.is_some_and(|due| due < self.due_at),
            _ => due == Some(self.due_at),
        };
        is_due && self.page.bounds.contain(group)
    }

    /// False: there is nothing more to read.
    async fn read_on(&mut self, count: usize) -> Result<bool, StoreError> {
        let Some(queue) = &mut self.queue else { return Ok(false) };
        let Some(group) = queue.front().copied() else { return Ok(false) };
        let Pushing { app, audience, .. } = self.recipients.pushing;
        let moved_since = (self.page.kind == PageKind::Moved).then_some(self.opened);
        let scan = Scan {
            app: &app.key,
            group,
            audience,
            range: self.page.range,
            moved_since,
            after: self.after.as_ref(),
            limit: count,
        };
        let found = self.recipients.engine.devices.scan(&scan).await?;
        let recipients = &self.recipients;
        let meant =
            |device: &Device| moved_since.is_none_or(|opened| recipients.was_passed_over(device, opened));
        self.ready.extend(found.items.into_iter().filter(meant));
        self.after = found.next;
        if self.after.is_none() {
            queue.pop_front();
        }
        Ok(true)
    }
}
