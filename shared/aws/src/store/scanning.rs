//! Finding devices by group: the index `by_group` has an app's devices of one group in the order of their positions, with
//! what decides who is meant. Whoever is meant is then read by id.
//!
//! The index is eventually consistent: a device that was registered or moved a moment ago may be passed over, or be
//! found where it was. What is read by id is certain, and has to be in the group still.

use super::{
    DynamoStore,
    calls::{Expression, number, text},
    device_item::{device_in, keys_of, sketch_in},
    keys::{Key, app_group, position_of},
    schema::{APP_GROUP, BY_GROUP, POSITION, REACHABLE, SK},
};
use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::Select};
use rondo_domain::{
    ports::{Page, Scan, StoreError},
    push::{
        audience::Audience,
        device::{Device, RegistrationId},
    },
};
use std::collections::HashMap;

/// How often the index is asked for one page, where few of those looked at are meant, and for how many at most.
const ROUNDS: usize = 6;
const LOOKED_AT: usize = 1000;
/// What an audience asks of an entry.
const ASKED: [&str; 3] = ["platform", "tags", "alias"];

impl DynamoStore {
    pub(super) async fn count_devices(&self, scan: &Scan<'_>) -> Result<u64, StoreError> {
        let Some(keys) = keys(&Scan { after: None, ..scan.clone() }) else {
            return Ok(0);
        };
        let rest = of_entries(scan.audience);
        let (mut count, mut after) = (0, None);
        loop {
            let query = self.entries(&keys, scan).set_exclusive_start_key(after);
            let page = match &rest {
                None => query.select(Select::Count).send().await,
                Some(_) => asked(query).send().await,
            };
            let page = page.map_err(|error| self.failed(&error))?;
            count += match &rest {
                None => u64::try_from(page.count()).unwrap_or_default(),
                Some(rest) => meant(page.items(), rest)?.len() as u64,
            };
            after = page.last_evaluated_key;
            if after.is_none() {
                return Ok(count);
            }
        }
    }

    pub(super) async fn scan_devices(
        &self,
        scan: &Scan<'_>,
    ) -> Result<Page<Device, RegistrationId>, StoreError> {
        let limit = scan.limit.max(1);
        let (mut ids, mut next) = (Vec::new(), None);
        if let Some(keys) = keys(scan) {
            let rest = of_entries(scan.audience);
            let (mut after, mut most) = (None, limit);
            for _ in 0..ROUNDS {
                let query = self.entries(&keys, scan).set_exclusive_start_key(after);
                let query = query.limit(i32::try_from(most).unwrap_or(i32::MAX));
                let page = asked(query).send().await.map_err(|error| self.failed(&error))?;
                ids.extend(meant(page.items(), &rest.clone().unwrap_or_default())?);
                let last = page.last_evaluated_key.as_ref();
                next = last.map(|last| Key::of_item(last)?.registration_id()).transpose()?;
                if ids.len() > limit {
                    ids.truncate(limit);
                    next = ids.last().cloned();
                }
                if next.is_none() || ids.len() >= limit {
                    break;
                }
                after = page.last_evaluated_key;
                most = (most * 2).min(LOOKED_AT.max(limit));
            }
        }
        Ok(Page { items: self.still_meant(scan, &ids).await?, next })
    }

    /// In the order of `ids`, without those that have changed since the index saw them and are meant no more.
    async fn still_meant(&self, scan: &Scan<'_>, ids: &[RegistrationId]) -> Result<Vec<Device>, StoreError> {
        let items = self.get_all(&keys_of(scan.app, ids), true).await?;
        let devices = items.iter().map(|item| device_in(item).map(|device| (device.id.clone(), device)));
        let mut devices: HashMap<RegistrationId, Device> = devices.collect::<Result<_, _>>()?;
        let is_meant = |device: &Device| {
            let moved = |since| device.moved_at > since && device.created_at <= since;
            device.group() == scan.group && scan.audience.admits(device) && scan.moved_since.is_none_or(moved)
        };
        Ok(ids.iter().filter_map(|id| devices.remove(id)).filter(is_meant).collect())
    }

    /// Of the group, without those of which the index itself knows that they are not meant.
    fn entries(&self, keys: &Expression, scan: &Scan<'_>) -> QueryFluentBuilder {
        let reachable = scan
            .audience
            .reachable_only
            .then(|| Expression::new(format!("attribute_exists(#{REACHABLE})"), &[REACHABLE], []));
        let moved = scan.moved_since.map(|since| {
            Expression::new(
                "#moved_at > :since AND #created_at <= :since",
                &["moved_at", "created_at"],
                [("since", number(since.millis()))],
            )
        });
        let filter = match (reachable, moved) {
            (Some(reachable), Some(moved)) => Some(reachable.and(moved)),
            (reachable, moved) => reachable.or(moved),
        };
        self.filtered(keys, filter).index_name(BY_GROUP)
    }
}

/// Which entries lie in the range, and after `after`; none: no position does.
fn keys(scan: &Scan<'_>) -> Option<Expression> {
    let from = format!("{:010}#", scan.range.from);
    // No id begins with a character before the blank: right behind this id, and before whatever follows it.
    let behind = scan.after.map(|after| format!("{} ", position_of(after)));
    let from = behind.map_or(from.clone(), |behind| behind.max(from));
    let to = format!("{:010}$", scan.range.to);
    if from > to {
        return None;
    }
    let values = [("group", text(app_group(scan.app, scan.group))), ("from", text(from)), ("to", text(to))];
    let range = format!("#{APP_GROUP} = :group AND #{POSITION} BETWEEN :from AND :to");
    Some(Expression::new(range, &[APP_GROUP, POSITION], values))
}

/// What is left of an audience for its entries to be asked one by one: whether they can be reached, the index knows.
/// None: all are meant.
fn of_entries(audience: &Audience) -> Option<Audience> {
    let rest = Audience { reachable_only: false, upstream_only: false, ..audience.clone() };
    Some(rest).filter(|rest| *rest != Audience::default())
}

/// Reads only what an audience asks of an entry.
fn asked(mut query: QueryFluentBuilder) -> QueryFluentBuilder {
    for name in [SK].into_iter().chain(ASKED) {
        query = query.expression_attribute_names(format!("#{name}"), name);
    }
    query.projection_expression(format!("pk, #{SK}, #{}", ASKED.join(", #")))
}

fn meant(entries: &[super::Item], audience: &Audience) -> Result<Vec<RegistrationId>, StoreError> {
    let mut ids = Vec::new();
    for entry in entries {
        let device = sketch_in(entry)?;
        if audience.admits(&device) {
            ids.push(device.id);
        }
    }
    Ok(ids)
}
