//! The loop under every write of a state: read it, let the domain's transition run on it, put it whole if its
//! revision is still the one that was read. Where it is not, the transition runs on what stands there instead, and
//! recognises its own token if its write had been done and only the answer was lost.

use super::{
    DynamoStore,
    cache::Known,
    calls::{Commit, Expression, Item, Refusal, Write, number},
    keys::{COUNTERS, DEFINITION, Key, LIVE, LIVE_PUSHES, STATE},
    schema::EXPIRES_AT,
    state_item::StateItem,
};
use rondo_domain::{ids::ScheduleId, ports::StoreError, time::Span};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// What this process has seen so short a time ago is as good as a read: its own occurrences follow each other.
const FRESH: Span = Span::from_secs(1);
/// How often a transition meets another's write before it gives up.
const MEETINGS: u32 = 40;
/// Between two of them: as many as fifty executions of one schedule may end at once, each in a process of its own.
const LONGEST_PAUSE: Span = Span::from_secs(1);
/// DynamoDB takes 100 writes in a transaction: the state's, its counter's, its definition's, and these.
const BESIDE: usize = 90;

/// What a transition, run on the state as it stands, wants.
pub(crate) enum Step<T> {
    /// The state is to be written as the transition left it.
    Write(T),
    /// These are to be written with it, or nothing is.
    WriteWith(T, Vec<Write>),
    /// Nothing is to be written; sure only of the state as it is now.
    Keep(T),
    /// Nothing is to be written, and no later state would say otherwise.
    Settled(T),
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made once for each write, and taken apart at once")]
pub(crate) enum Outcome<T> {
    /// With the state as it is after it.
    Done(T, StateItem),
    Missing,
    /// The condition of a write beside the state's did not hold; nothing was written.
    Refused,
}

/// Where the state comes from at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// What this process knows; read where it knows nothing.
    Known,
    /// What it has known for a moment; else a read at half the price, which may be a little old: the write's
    /// condition finds that out, and an answer without a write is given of a certain state alone.
    Recent,
    /// As it is now.
    Certain,
}

impl DynamoStore {
    /// The state as it is now, or as this process last knew it.
    pub(super) async fn present(
        &self,
        id: ScheduleId,
        from: Source,
    ) -> Result<Option<StateItem>, StoreError> {
        let slot = self.states.slot(id);
        let mut known = slot.lock().await;
        if from == Source::Known && known.state.is_some() {
            return Ok(known.state.clone());
        }
        self.read_certain(id, &mut known).await
    }

    /// After a write that needed no transition.
    pub(super) async fn learn(&self, state: &StateItem) {
        self.states.slot(state.state.id).lock().await.learn(state, self.clock.now());
    }

    async fn read_certain(&self, id: ScheduleId, known: &mut Known) -> Result<Option<StateItem>, StoreError> {
        let item = self.get(&Key::of_schedule(id, STATE), true).await?;
        let state = item.map(|item| StateItem::read(&item)).transpose()?;
        known.state = state.clone();
        known.at = self.clock.now();
        Ok(state)
    }

    /// Runs `step` until it is written, or wants nothing written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] also where others wrote each time.
    pub(super) async fn transition<T>(
        &self,
        id: ScheduleId,
        from: Source,
        mut step: impl FnMut(&mut StateItem) -> Result<Step<T>, StoreError> + Send,
    ) -> Result<Outcome<T>, StoreError> {
        let slot = self.states.slot(id);
        let mut known = slot.lock().await;
        let fresh = self.clock.now().since(known.at) < FRESH;
        let (mut current, mut certain) = match (from, known.state.clone()) {
            (Source::Known, Some(state)) => (Some(state), false),
            (Source::Recent, Some(state)) if fresh => (Some(state), false),
            (Source::Recent, _) => {
                let item = self.get(&Key::of_schedule(id, STATE), false).await?;
                (item.map(|item| StateItem::read(&item)).transpose()?, false)
            }
            (Source::Known | Source::Certain, _) => (self.read_certain(id, &mut known).await?, true),
        };
        for meeting in 0..MEETINGS {
            let Some(state) = current.take() else {
                if certain {
                    return Ok(Outcome::Missing);
                }
                (current, certain) = (self.read_certain(id, &mut known).await?, true);
                continue;
            };
            let mut next = state.clone();
            next.beside = None;
            let (answer, beside) = match step(&mut next)? {
                Step::Write(answer) => (answer, Vec::new()),
                Step::WriteWith(answer, beside) => {
                    next.beside = Some(fingerprint(&beside)?);
                    (answer, beside)
                }
                Step::Settled(answer) => return Ok(Outcome::Done(answer, state)),
                Step::Keep(answer) if certain => return Ok(Outcome::Done(answer, state)),
                Step::Keep(_) => {
                    (current, certain) = (self.read_certain(id, &mut known).await?, true);
                    continue;
                }
            };
            match self.put_state(&state, &next, beside).await {
                Ok(Put::Done) => {
                    known.learn(&next, self.clock.now());
                    return Ok(Outcome::Done(answer, next));
                }
                Ok(Put::Moved(present)) => {
                    let present = present.filter(|item| self.is_alive(item));
                    let present = present.map(|item| StateItem::read(&item)).transpose()?;
                    // Its own write, done before: the SDK asked again as its answer was lost.
                    if present.as_ref() == Some(&next) {
                        known.learn(&next, self.clock.now());
                        return Ok(Outcome::Done(answer, next));
                    }
                    if let Some(present) = &present {
                        known.learn(present, self.clock.now());
                    }
                    certain = present.is_some();
                    current = present;
                }
                Ok(Put::Refused) => return Ok(Outcome::Refused),
                Err(error) => {
                    // Done or not: nobody knows.
                    known.state = None;
                    return Err(error);
                }
            }
            // The first time, whoever came before is through. Later there are many, and what was seen before a pause is
            // old after it: who tries with that only meets the next.
            if let Some(again) = meeting.checked_sub(1) {
                self.pause(again.min(8), LONGEST_PAUSE).await;
                (current, certain) = (self.read_certain(id, &mut known).await?, true);
            }
        }
        Err(StoreError::Unavailable(format!("{}: {id} is written by too many at once", self.table)))
    }

    async fn put_state(
        &self,
        old: &StateItem,
        new: &StateItem,
        mut beside: Vec<Write>,
    ) -> Result<Put, StoreError> {
        let revision = Expression::revision(old.state.revision);
        // What is too much for one transaction goes first, while the state stays as it is.
        while beside.len() > BESIDE {
            let mut writes = vec![Write::Check { key: old.key(), condition: revision.clone() }];
            writes.extend(beside.split_off(beside.len() - BESIDE));
            if let Commit::Refused(mut refused) = self.commit(writes).await? {
                return Ok(Put::Moved(refused.swap_remove(0).and_then(|refusal| refusal.present)));
            }
        }
        let mut writes = vec![Write::put(new.item(self.retention)?, revision)];
        writes.extend(self.at_its_end(old, new, &beside)?);
        writes.extend(beside);
        let Commit::Refused(mut refused) = self.commit(writes).await? else {
            return Ok(Put::Done);
        };
        Ok(match refused.swap_remove(0) {
            Some(Refusal { present }) => Put::Moved(present),
            None => Put::Refused,
        })
    }

    /// Where a schedule ends, its app has room for another, and its definition is kept no longer than its state.
    fn at_its_end(
        &self,
        old: &StateItem,
        new: &StateItem,
        beside: &[Write],
    ) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        if old.state.status.has_ended() || !new.state.status.has_ended() {
            return Ok(writes);
        }
        // Unconditional in itself: the state's condition lets it happen once.
        let fewer = [(new.counted, LIVE), (new.counted_push, LIVE_PUSHES)];
        let fewer: Vec<&str> =
            fewer.into_iter().filter_map(|(counted, name)| counted.then_some(name)).collect();
        if !fewer.is_empty() {
            let adds: Vec<String> = fewer.iter().map(|name| format!("#{name} :one")).collect();
            let update = Expression::new(format!("ADD {}", adds.join(", ")), &fewer, [("one", number(-1))]);
            let key = Key::of_app(&new.state.app, COUNTERS);
            writes.push(Write::Update { key, update, condition: None });
        }
        let key = Key::of_schedule(new.state.id, DEFINITION);
        let mut written = false;
        for write in beside {
            written |= write.key()? == key;
        }
        if let Some(at) = new.expires_at(self.retention).filter(|_| new.definition.is_none() && !written) {
            let value = [("at", number(at.seconds()))];
            let update = Expression::new("SET #expires_at = :at", &[EXPIRES_AT], value);
            writes.push(Write::Update { key, update, condition: None });
        }
        Ok(writes)
    }
}

/// Tells what is written beside a state from what others write beside it: the items, and under which tokens.
fn fingerprint(beside: &[Write]) -> Result<u64, StoreError> {
    let mut hasher = DefaultHasher::new();
    for write in beside {
        write.key()?.to_string().hash(&mut hasher);
        if let Write::Put { item, .. } = write {
            item.get("token").and_then(|token| token.as_n().ok()).hash(&mut hasher);
        }
    }
    Ok(hasher.finish())
}

enum Put {
    Done,
    /// Another revision stands there, or nothing does.
    Moved(Option<Item>),
    Refused,
}
