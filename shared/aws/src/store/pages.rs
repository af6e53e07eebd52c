//! Pages of an occurrence that is one message for many: records of their own, put together with the state's count of
//! what waits.

use super::{
    DynamoStore,
    calls::{Expression, TRIES, Write},
    keys::Key,
    transition::{Outcome, Source, Step},
};
use rondo_domain::{execution::Execution, ports::StoreError};
use std::collections::BTreeSet;

impl DynamoStore {
    /// All of them belong to one schedule, and fit into one transaction.
    pub(super) async fn put_pages(&self, pages: &[Execution]) -> Result<(), StoreError> {
        let mut absent: Vec<&Execution> = pages.iter().collect();
        for _ in 0..TRIES {
            let Some(first) = absent.first() else {
                return Ok(());
            };
            let puts =
                absent.iter().map(|page| Ok(Write::put(self.record_item(page)?, Expression::absent())));
            let puts: Vec<Write> = puts.collect::<Result<_, StoreError>>()?;
            let count = u32::try_from(absent.len()).unwrap_or(u32::MAX);
            let opened = self.transition(first.id.schedule, Source::Known, |item| {
                item.state.open_pages(count);
                Ok(Step::WriteWith((), puts.clone()))
            });
            match opened.await? {
                // Without its state, the schedule has been removed.
                Outcome::Done((), _) | Outcome::Missing => return Ok(()),
                Outcome::Refused => {}
            }
            let keys: Vec<Key> = absent.iter().map(|page| Key::of_execution(page.id)).collect();
            let there = self.get_all(&keys, true).await?;
            let there = there.iter().map(|item| Key::of_item(item)?.execution());
            let there: BTreeSet<_> = there.collect::<Result<_, StoreError>>()?;
            absent.retain(|page| !there.contains(&page.id));
        }
        Err(StoreError::Unavailable(format!("{}: the pages keep changing", self.table)))
    }
}
