//! What devices were told of last, by schedule: an item for each device that was told anything, in partitions of their
//! own beside the schedule's. They expire by themselves.

use super::{
    DynamoStore,
    calls::{Item, number},
    keys::Key,
    schema::EXPIRES_AT,
};
use rondo_domain::{
    ids::ScheduleId,
    ports::StoreError,
    push::device::RegistrationId,
    time::{Span, Timestamp},
};
use std::collections::BTreeSet;

const OCCASION: &str = "occasion";
const KEPT: Span = Span::from_secs(60 * 86_400);

impl DynamoStore {
    /// Consistent: an attempt that follows another's must see whom that one told.
    pub(super) async fn devices_told(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
    ) -> Result<BTreeSet<RegistrationId>, StoreError> {
        let ids: BTreeSet<&RegistrationId> = ids.iter().collect();
        let keys: Vec<Key> = ids.into_iter().map(|id| Key::of_told(schedule, id)).collect();
        let items = self.get_all(&keys, true).await?;
        let last = |item: &Item| item.get(OCCASION)?.as_n().ok()?.parse::<i64>().ok();
        let told = items.iter().filter(|item| last(item).is_some_and(|last| last >= occasion.millis()));
        told.map(|item| Key::of_item(item)?.registration_id()).collect()
    }

    pub(super) async fn note_told(
        &self,
        schedule: ScheduleId,
        occasion: Timestamp,
        ids: &[RegistrationId],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let until = now.max(self.clock.now()).plus(KEPT);
        let ids: BTreeSet<&RegistrationId> = ids.iter().collect();
        let told = ids.into_iter().map(|id| {
            let mut item = Key::of_told(schedule, id).item();
            item.insert(OCCASION.to_owned(), number(occasion.millis()));
            item.insert(EXPIRES_AT.to_owned(), number(until.seconds() + 1));
            item
        });
        self.put_all(told.collect()).await
    }
}
