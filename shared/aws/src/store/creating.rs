//! Creating a schedule: its items, its place under the app's limit, and its idempotency key, all or nothing. A
//! small schedule without any of these is one put, and no transaction.

use super::{
    DynamoStore,
    calls::{Commit, Expression, Item, Refusal, TRIES, Write, number, text},
    keys::{COUNTERS, Key, LIVE, LIVE_PUSHES},
    records::{definition_item, json_of},
    schema::EXPIRES_AT,
    state_item::{StateItem, travels},
    transition::Source,
};
use rondo_domain::{
    ids::{AppKey, ScheduleId, Token},
    ports::{Created, IdempotencyKey, NewSchedule, Schedule, StoreError},
    schedule::Contract,
    time::Timestamp,
};
use std::sync::Arc;

/// What an idempotency key made.
struct Kept {
    fingerprint: String,
    schedule: ScheduleId,
    until: Timestamp,
}

impl DynamoStore {
    pub(super) async fn create_schedule(&self, new: NewSchedule) -> Result<Created, StoreError> {
        let NewSchedule { mut definition, state, number_it, limit, push_limit, idempotency } = new;
        let (id, app, token) = (state.id, state.app.clone(), state.change_token);
        let created_at = definition.created_at;
        if number_it && definition.request.is_some() {
            // A number is drawn where nothing yet says that it will not be used. One that is not used after all, or
            // drawn twice as the SDK asked again, leaves a gap, and that does no harm.
            if let Some(there) = self.present(id, Source::Certain).await? {
                return self.created_before(&there, token).await;
            }
            if let Some(key) = &idempotency
                && let Some(made) = self.made_by_key(&app, key, created_at).await?
            {
                return Ok(made);
            }
            let drawn = self.add(&Key::of_app(&app, COUNTERS), "numbered", 1).await?;
            if let Some(request) = &mut definition.request {
                request.internal_id = drawn;
            }
        }
        let json = json_of(&definition)?;
        let contract = definition.contract();
        let limits = Limits { all: limit, pushes: push_limit.filter(|_| contract == Some(Contract::Pushes)) };
        let item = StateItem {
            created_with: token,
            counted: limits.all.is_some(),
            counted_push: limits.pushes.is_some(),
            contract,
            beside: None,
            definition: travels(&definition, &json).then(|| Arc::from(json.as_str())),
            record: None,
            state,
        };
        let mut writes = vec![Write::put(item.item(self.retention)?, Expression::absent())];
        if item.definition.is_none() {
            let definition = definition_item(id, &json, item.expires_at(self.retention));
            writes.push(Write::Put { item: definition, condition: None });
        }
        let counter = limits.count_one(&app).map(|count| {
            writes.push(count);
            writes.len() - 1
        });
        // A schedule that the key made and that is no more.
        let mut gone = None;
        for _ in 0..TRIES {
            let mut writes = writes.clone();
            if let Some(key) = &idempotency {
                writes.push(keep(&app, key, id, created_at, gone));
            }
            let Commit::Refused(mut refused) = self.commit(writes).await? else {
                self.learn(&item).await;
                return Ok(Created::Done(Arc::new(definition)));
            };
            let key = idempotency.as_ref().and_then(|key| Some((key, refused.pop().flatten()?)));
            if let Some(Some(Refusal { present: Some(there) })) = refused.first() {
                return self.created_before(&StateItem::read(there)?, token).await;
            }
            let Some((key, Refusal { present })) = key else {
                // A limit alone. One's own creation may have taken the last place, and its answer been lost.
                if let Some(there) = self.present(id, Source::Certain).await? {
                    return self.created_before(&there, token).await;
                }
                let counters = counter.and_then(|place| refused.get_mut(place)?.take()?.present);
                return Ok(limits.reached(&counters.unwrap_or_default()));
            };
            let Some(kept) = present.map(|item| kept_in(&item)).transpose()? else {
                continue;
            };
            if let Some(made) = self.made(&kept, key).await? {
                return Ok(made);
            }
            gone = Some(kept.schedule);
        }
        Err(StoreError::Unavailable(format!("{}: the idempotency key keeps changing", self.table)))
    }

    pub(super) async fn made_by_key(
        &self,
        app: &AppKey,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<Created>, StoreError> {
        let kept = self.get(&Key::of_idempotency(app, &key.key), true).await?;
        match kept.map(|item| kept_in(&item)).transpose()?.filter(|kept| kept.until > now) {
            Some(kept) => self.made(&kept, key).await,
            None => Ok(None),
        }
    }

    /// None: what it made is no more, and the key is free.
    async fn made(&self, kept: &Kept, key: &IdempotencyKey) -> Result<Option<Created>, StoreError> {
        let Some(item) = self.present(kept.schedule, Source::Certain).await? else {
            return Ok(None);
        };
        if kept.fingerprint != key.fingerprint {
            return Ok(Some(Created::KeyReused));
        }
        let definition = self.definition(&item).await?;
        Ok(Some(Created::Replayed(Schedule { definition, state: item.state })))
    }

    /// The same once more, after a lost answer; anything else is an accident of chance.
    async fn created_before(&self, there: &StateItem, token: Token) -> Result<Created, StoreError> {
        if there.created_with != token {
            return Err(StoreError::Unavailable("the id is taken; try again".to_owned()));
        }
        Ok(Created::Done(self.definition(there).await?))
    }
}

/// How many schedules the app may have that have not ended, and how many scheduled pushes among them.
struct Limits {
    all: Option<u32>,
    pushes: Option<u32>,
}

impl Limits {
    fn each(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let named = [(LIVE, self.all), (LIVE_PUSHES, self.pushes)];
        named.into_iter().filter_map(|(name, limit)| Some((name, limit?)))
    }

    /// One more of whatever is counted, if there is room for it. None: nothing is.
    fn count_one(&self, app: &AppKey) -> Option<Write> {
        let adds: Vec<String> =
            self.each().map(|(name, _)| format!("#{name} = if_not_exists(#{name}, :none) + :one")).collect();
        let names: Vec<&str> = self.each().map(|(name, _)| name).collect();
        let room = self.each().map(|(name, limit)| {
            let below = Expression::new(format!("#{name} < :{name}"), &[name], [(name, number(limit))]);
            let none = Expression::new(format!("attribute_not_exists(#{name})"), &[name], []);
            if limit == 0 { below } else { none.or(below) }
        });
        let condition = room.reduce(Expression::and)?;
        let values = [("none", number(0)), ("one", number(1))];
        let update = Expression::new(format!("SET {}", adds.join(", ")), &names, values);
        Some(Write::Update { key: Key::of_app(app, COUNTERS), update, condition: Some(condition) })
    }

    /// Which of them leaves no room, by the counters as they were found.
    fn reached(&self, counters: &Item) -> Created {
        let live = counters.get(LIVE).and_then(|live| live.as_n().ok()?.parse().ok()).unwrap_or(0);
        match self.pushes {
            Some(_) if self.all.is_none_or(|limit| live < limit) => Created::PushLimitReached,
            _ => Created::LimitReached,
        }
    }
}

/// Takes the key, if it is free at `now`.
fn keep(
    app: &AppKey,
    key: &IdempotencyKey,
    schedule: ScheduleId,
    now: Timestamp,
    gone: Option<ScheduleId>,
) -> Write {
    let mut item = Key::of_idempotency(app, &key.key).item();
    item.insert("fingerprint".to_owned(), text(&key.fingerprint));
    item.insert("schedule".to_owned(), text(schedule.to_string()));
    item.insert("until".to_owned(), number(key.expires_at.millis()));
    // TTL counts in seconds; not a moment before `until`.
    item.insert(EXPIRES_AT.to_owned(), number(key.expires_at.seconds() + 1));
    let over = Expression::new("#until <= :now", &["until"], [("now", number(now.millis()))]);
    let mut free = Expression::absent().or(over);
    if let Some(gone) = gone {
        let of_it = [("gone", text(gone.to_string()))];
        free = free.or(Expression::new("#schedule = :gone", &["schedule"], of_it));
    }
    Write::put(item, free)
}

fn kept_in(item: &Item) -> Result<Kept, StoreError> {
    let key = Key::of_item(item)?;
    let string = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let until = item.get("until").and_then(|value| value.as_n().ok()?.parse().ok());
    let schedule = string("schedule").and_then(|id| id.parse().ok());
    match (string("fingerprint"), schedule, until) {
        (Some(fingerprint), Some(schedule), Some(until)) => {
            Ok(Kept { fingerprint, schedule, until: Timestamp::from_millis(until) })
        }
        _ => Err(key.corrupt("it is no idempotency key's")),
    }
}
