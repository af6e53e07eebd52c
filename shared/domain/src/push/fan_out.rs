//! Spreading one occurrence over its recipients: which instants have their pages opened when, and what each page
//! covers. Pure: the counts are arguments.
//!
//! An occurrence is an execution that waits and comes back: each time it looks a little ahead, counts the recipients of
//! the groups that come due, and opens pages for them. What a page covers is fixed then; who is in it is asked as it is
//! sent. Once nobody is due later, those are looked for who moved and were passed over.

use super::{device::Group, outcome::PushResult};
use crate::{
    ids::{ExecutionId, NO_SLOT},
    time::{Span, Timestamp},
    trigger::{OPEN_AHEAD, Occasion},
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// So many sets one instant has at most: the record that they stand in must stay small.
const MOST_SETS: usize = 300;

/// What an execution that pushes knows of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushRecord {
    /// An occurrence that is spread over its recipients.
    Spread(Spread),
    Page(Page),
}

impl PushRecord {
    pub fn page(&self) -> Option<&Page> {
        match self {
            PushRecord::Page(page) => Some(page),
            PushRecord::Spread(_) => None,
        }
    }
}

/// How far an occurrence has been spread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Whoever is due up to here has a page.
    pub until: Timestamp,
    /// Decided, and not yet opened all: whoever goes on begins with these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opening: Vec<PageSet>,
    /// How many pages have been decided on.
    pub pages: u16,
    /// How many recipients were counted for them.
    pub recipients: u64,
    /// When, and in which slot, those are to be looked for who moved and were passed over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<Search>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    pub at: Timestamp,
    pub slot: u8,
}

impl Spread {
    /// Nobody due before `from` is told.
    pub fn new(from: Timestamp) -> Self {
        Spread {
            until: from.minus(Span::from_millis(1)),
            opening: Vec::new(),
            pages: 0,
            recipients: 0,
            search: None,
        }
    }

    /// Up to when pages are opened now; none: nobody can be due any more.
    pub fn next_until(&self, occasion: Occasion, app_zone: Tz, now: Timestamp) -> Option<Timestamp> {
        let next = occasion.next_possible(app_zone, self.until)?;
        Some(next.max(now.plus(OPEN_AHEAD)))
    }

    /// When somebody is to go on; none: all is done.
    pub fn comes_back_at(&self, occasion: Occasion, app_zone: Tz) -> Option<Timestamp> {
        let next = occasion.next_possible(app_zone, self.until).map(|next| next.minus(OPEN_AHEAD));
        next.into_iter().chain(self.search.map(|search| search.at)).min()
    }

    /// Takes these on: they are opened from here on, whoever does it.
    pub fn decide(&mut self, sets: Vec<PageSet>, now: Timestamp) {
        self.pages = sets.last().map_or(self.pages, |last| last.first + last.count - 1);
        // Whoever moves while these are sent may be passed over; what is under way is over by then.
        let last = sets.iter().filter(|set| set.kind == PageKind::Audience).max_by_key(|set| set.due);
        if let Some(last) = last {
            self.search = Some(Search { at: last.due.max(now).plus(OPEN_AHEAD), slot: last.slot });
        }
        self.opening = sets;
    }
}

/// Pages that are alike but for the part of the devices that each covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSet {
    pub due: Timestamp,
    pub slot: u8,
    /// The number of the first.
    pub first: u16,
    pub count: u16,
    pub bounds: Bounds,
    pub kind: PageKind,
}

/// Whom a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageKind {
    /// Those within its bounds who are due just then.
    Audience,
    /// Those within its bounds who moved since the occurrence opened, and were passed over.
    Moved,
    /// Whomever the push names: one request to the gateway.
    Whole,
}

/// Groups in the order of their names: later than `after`, up to and including `through`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
}

impl Bounds {
    pub fn contain(&self, group: Group) -> bool {
        let name = group.to_string();
        self.after.as_ref().is_none_or(|after| name > *after)
            && self.through.as_ref().is_none_or(|through| name <= *through)
    }
}

/// Devices whose position lies in `from..=to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub from: u32,
    pub to: u32,
}

impl Range {
    pub const ALL: Range = Range { from: 0, to: u32::MAX };

    /// Part `index` of `count` equal ones.
    pub fn part(index: u16, count: u16) -> Range {
        let begin = |index: u64| (index << 32) / u64::from(count.max(1));
        Range { from: begin(u64::from(index)) as u32, to: (begin(u64::from(index) + 1) - 1) as u32 }
    }

    pub fn contains(self, position: u32) -> bool {
        (self.from..=self.to).contains(&position)
    }
}

/// What one execution of an occurrence covers, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub bounds: Bounds,
    pub range: Range,
    pub kind: PageKind,
    pub result: PushResult,
    /// Attempts that left somebody untold: what the retry policy counts.
    #[serde(default)]
    pub failures: u16,
}

impl PageSet {
    /// One page that says it all.
    pub fn whole(due: Timestamp, first: u16) -> PageSet {
        PageSet { due, slot: NO_SLOT, first, count: 1, bounds: Bounds::default(), kind: PageKind::Whole }
    }

    /// The pages, with the ids of their executions.
    pub fn pages(&self, occurrence: ExecutionId) -> impl Iterator<Item = (ExecutionId, Page)> {
        (0..self.count).map(move |index| {
            let page = Page {
                bounds: self.bounds.clone(),
                range: Range::part(index, self.count),
                kind: self.kind,
                result: PushResult::default(),
                failures: 0,
            };
            (occurrence.page(self.slot, self.first + index), page)
        })
    }
}

/// Groups that come due now, each with how many are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub group: Group,
    pub due: Timestamp,
    pub slot: u8,
    pub count: u64,
}

/// The pages for these groups: small groups share one, large ones are cut. Between them the pages of one instant cover
/// every group there is or will be, so that nobody is left out who comes after the count. `next` is the first one's
/// number, `page` how many recipients one covers. Where very many groups are due at once, each page covers a part of all.
pub fn page_sets(mut counted: Vec<Counted>, kind: PageKind, mut next: u16, page: usize) -> Vec<PageSet> {
    counted.sort_by_key(|one| (one.due, one.group.to_string()));
    let (page, start) = (page.max(1) as u64, next);
    let mut sets: Vec<PageSet> = Vec::new();
    for same in counted.chunk_by(|a, b| a.due == b.due) {
        // Where clocks jump, two offsets come due together: they are one slot then.
        let slot = same.iter().map(|one| one.slot).min().unwrap_or(NO_SLOT);
        let first_set = sets.len();
        let mut after: Option<String> = None;
        let mut filled = 0;
        for one in same.iter().filter(|one| one.count > 0) {
            let through = Some(one.group.to_string());
            let shares = filled > 0 && filled + one.count <= page;
            if shares && let Some(last) = sets.last_mut() {
                last.bounds.through = through;
                filled += one.count;
                continue;
            }
            if let Some(last) = sets.get(first_set..).and_then(|sets| sets.last()) {
                after.clone_from(&last.bounds.through);
            }
            let count = u16::try_from(one.count.div_ceil(page)).unwrap_or(u16::MAX);
            let bounds = Bounds { after: after.clone(), through };
            sets.push(PageSet { due: one.due, slot, first: next, count, bounds, kind });
            filled = if count == 1 { one.count } else { page };
            next = next.saturating_add(count);
        }
        if sets.len() - first_set > MOST_SETS {
            sets.truncate(first_set);
            next = sets.last().map_or(start, |last| last.first + last.count);
            let total: u64 = same.iter().map(|one| one.count).sum();
            let count = u16::try_from(total.div_ceil(page)).unwrap_or(u16::MAX);
            let bounds = Bounds::default();
            sets.push(PageSet { due: same[0].due, slot, first: next, count, bounds, kind });
            next = next.saturating_add(count);
        }
        if let Some(last) = sets.get_mut(first_set..).and_then(|sets| sets.last_mut()) {
            last.bounds.through = None;
        }
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn group(zone: Tz, best_hour: Option<u8>) -> Group {
        Group { zone: Some(zone), best_hour }
    }

    #[test]
    fn parts_cover_everything_once() {
        for count in [1, 2, 3, 7, 500, u16::MAX] {
            assert_eq!(Range::part(0, count).from, 0);
            assert_eq!(Range::part(count - 1, count).to, u32::MAX);
            for index in 1..count {
                assert_eq!(Range::part(index - 1, count).to + 1, Range::part(index, count).from);
            }
        }
    }

    #[test]
    fn small_groups_share_a_page_and_large_ones_are_cut() {
        use chrono_tz::Europe::{Berlin, Madrid, Paris, Rome};
        let due = Timestamp::from_millis(5);
        let one = |zone, count| Counted { group: group(zone, None), due, slot: 52, count };
        let sets = page_sets(
            vec![one(Rome, 10), one(Madrid, 1200), one(Berlin, 300), one(Paris, 20)],
            PageKind::Audience,
            4,
            500,
        );
        let shown: Vec<_> = sets
            .iter()
            .map(|set| (set.bounds.after.as_deref(), set.bounds.through.as_deref(), set.first, set.count))
            .collect();
        assert_eq!(
            shown,
            [
                (None, Some("Europe/Berlin|-"), 4, 1),
                (Some("Europe/Berlin|-"), Some("Europe/Madrid|-"), 5, 3),
                (Some("Europe/Madrid|-"), None, 8, 1),
            ]
        );
    }

    proptest! {
        /// Whatever group turns up for an instant later, and wherever its devices lie: one page has it.
        #[test]
        fn every_group_is_in_one_page_of_its_instant(
            counts in prop_oneof![
                9 => prop::collection::vec((0usize..590, prop::option::of(0u8..24), 0u64..1500), 1..40),
                1 => prop::collection::vec((0usize..590, prop::option::of(0u8..24), 400u64..1500), 400..600),
            ],
            late in (0usize..590, prop::option::of(0u8..24)),
            position in any::<u32>(),
        ) {
            let of = |zone: usize, hour| group(chrono_tz::TZ_VARIANTS[zone], hour);
            let due = Timestamp::from_millis(5);
            let mut groups: Vec<_> = counts.iter().map(|(zone, hour, count)| (of(*zone, *hour), *count)).collect();
            groups.sort_by_key(|(group, _)| group.to_string());
            groups.dedup_by_key(|(group, _)| *group);
            let counted = groups.iter().map(|(group, count)| Counted { group: *group, due, slot: 0, count: *count });
            let sets = page_sets(counted.collect(), PageKind::Audience, 1, 500);
            let total: u64 = groups.iter().map(|(_, count)| count).sum();
            prop_assert_eq!(total > 0, !sets.is_empty());
            let mut number = 1;
            for set in &sets {
                prop_assert_eq!(set.first, number);
                number += set.count;
            }
            let all = groups.iter().map(|(group, _)| *group).chain([of(late.0, late.1)]);
            for group in all.filter(|_| total > 0) {
                let pages = sets.iter().filter(|set| set.bounds.contain(group)).flat_map(|set| {
                    (0..set.count).map(|index| Range::part(index, set.count))
                });
                prop_assert_eq!(pages.filter(|range| range.contains(position)).count(), 1);
            }
        }
    }
}
