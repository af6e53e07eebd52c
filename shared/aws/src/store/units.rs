//! What a request takes of DynamoDB's capacity, by its rules ("Read and write capacity" and "Global secondary
//! indexes" in its developer guide): a write unit for each begun KB of the larger of the item before and after;
//! the same again for each index entry that is made, removed or changed in what it holds, and twice where its key
//! changes; an item written in a transaction takes twice as much, its index entries do not. A read unit for each
//! begun 4 KB, half of that where it need not be consistent.

use super::{
    calls::Item,
    schema::{
        APP_GROUP, APP_SHARD, BY_APP_INCLUDES, BY_GROUP_INCLUDES, DUE_SHARD, LOOK_AGAIN_AT, PK, POSITION, SK,
    },
    size,
};
use aws_sdk_dynamodb::types::AttributeValue;

struct Index {
    keys: [&'static str; 2],
    includes: &'static [&'static str],
}

const INDEXES: [Index; 3] = [
    Index { keys: [DUE_SHARD, LOOK_AGAIN_AT], includes: &[] },
    Index { keys: [APP_SHARD, PK], includes: &BY_APP_INCLUDES },
    Index { keys: [APP_GROUP, POSITION], includes: &BY_GROUP_INCLUDES },
];

/// Write units of an item that was put, replaced or (`new` is none) deleted, its index entries included.
pub fn write(old: Option<&Item>, new: Option<&Item>) -> f64 {
    larger(old, new) + indexes(old, new)
}

/// The same for an item written in a transaction.
pub fn write_in_transaction(old: Option<&Item>, new: Option<&Item>) -> f64 {
    2.0 * larger(old, new) + indexes(old, new)
}

/// Write units of a condition that did not hold, or of a condition alone, on this item.
pub fn refused(present: Option<&Item>) -> f64 {
    larger(present, None)
}

/// Read units of an item, or (`bytes` added up) of a query's answer.
pub fn read(bytes: usize, consistent: bool) -> f64 {
    let whole = bytes.div_ceil(4096).max(1) as f64;
    if consistent { whole } else { whole / 2.0 }
}

/// Write units of the index entries alone.
pub fn indexes(old: Option<&Item>, new: Option<&Item>) -> f64 {
    INDEXES.iter().map(|index| index.units(old, new)).sum()
}

fn larger(old: Option<&Item>, new: Option<&Item>) -> f64 {
    let bytes = |item: Option<&Item>| item.map_or(0, size::item);
    kilobytes(bytes(old).max(bytes(new)))
}

fn kilobytes(bytes: usize) -> f64 {
    bytes.div_ceil(1024).max(1) as f64
}

/// What an index holds of an item.
#[derive(PartialEq)]
struct Entry<'a> {
    keys: Vec<(&'a str, &'a AttributeValue)>,
    included: Vec<(&'a str, &'a AttributeValue)>,
}

impl Entry<'_> {
    fn units(&self) -> f64 {
        let all = self.keys.iter().chain(&self.included);
        kilobytes(all.map(|(name, value)| size::attribute(name, value)).sum())
    }
}

impl Index {
    fn units(&self, old: Option<&Item>, new: Option<&Item>) -> f64 {
        match (old.and_then(|item| self.entry(item)), new.and_then(|item| self.entry(item))) {
            (None, None) => 0.0,
            (Some(only), None) | (None, Some(only)) => only.units(),
            (Some(old), Some(new)) if old == new => 0.0,
            (Some(old), Some(new)) if old.keys == new.keys => old.units().max(new.units()),
            (Some(old), Some(new)) => old.units() + new.units(),
        }
    }

    /// An item without all of the index's keys has no entry there.
    fn entry<'a>(&'a self, item: &'a Item) -> Option<Entry<'a>> {
        let table = [PK, SK].into_iter().filter(|name| !self.keys.contains(name));
        let names = self.keys.into_iter().chain(table);
        let keys = names.map(|name| Some((name, item.get(name)?))).collect::<Option<_>>()?;
        let included = self.includes.iter().filter_map(|name| Some((*name, item.get(*name)?))).collect();
        Some(Entry { keys, included })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> AttributeValue {
        AttributeValue::S(value.to_owned())
    }

    /// A state that waits to be looked at, of `bytes` or a little more.
    fn state(look: Option<u64>, status: &str, bytes: usize) -> Item {
        let mut item = Item::from([
            (PK.to_owned(), text("SCHEDULE#1")),
            (SK.to_owned(), text("STATE")),
            (DUE_SHARD.to_owned(), text("S#01")),
            (APP_SHARD.to_owned(), text("app#01")),
            ("status".to_owned(), text(status)),
            ("filler".to_owned(), text(&"x".repeat(bytes))),
        ]);
        item.extend(look.map(|look| (LOOK_AGAIN_AT.to_owned(), AttributeValue::N(look.to_string()))));
        item
    }

    #[test]
    fn each_index_entry_costs_its_own() {
        let new = state(Some(1), "pending", 10);
        assert_eq!(write(None, Some(&new)), 3.0, "the item, and an entry in each index");
        assert_eq!(write(Some(&new), Some(&new)), 1.0, "what no index sees");
        let active = state(Some(1), "active", 10);
        assert_eq!(write(Some(&new), Some(&active)), 2.0, "`by_app` shows the status");
        let later = state(Some(2), "pending", 10);
        assert_eq!(write(Some(&new), Some(&later)), 3.0, "`due` moves: one entry goes, another comes");
        let over = state(None, "finished", 10);
        assert_eq!(write(Some(&new), Some(&over)), 3.0, "`due` loses it, `by_app` changes");
        assert_eq!(write(Some(&new), None), 3.0);
        assert_eq!(write_in_transaction(Some(&new), Some(&over)), 4.0, "the item twice, its entries once");
    }

    #[test]
    fn the_larger_of_before_and_after_counts() {
        let (small, large) = (state(None, "active", 10), state(None, "active", 3000));
        assert_eq!(write(Some(&large), Some(&small)), 3.0);
        assert_eq!(write(Some(&small), Some(&large)), 3.0);
        assert_eq!(refused(Some(&large)), 3.0);
        assert_eq!(refused(None), 1.0);
    }

    #[test]
    fn reads_are_in_steps_of_four_kilobytes() {
        assert_eq!((read(0, true), read(4096, true), read(4097, true)), (1.0, 1.0, 2.0));
        assert_eq!(read(600, false), 0.5);
    }
}
