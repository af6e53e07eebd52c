//! The users of a run: they create schedules, change them at random moments, and wind down at the end.

use super::{
    ledger::Known,
    scenario::{Action, Scenario, Spec},
    world::{Process, World},
};
use rondo_domain::{
    app::App,
    call::Method,
    engine::{Draft, Engine, Error},
    execution::ExecutionStatus,
    ids::{AppKey, ScheduleId},
    ports::Schedule,
    schedule::{Body, Definition, HttpTarget, Target},
    state::Status,
    time::Span,
    trigger::{Interval, Trigger},
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::oneshot;

#[derive(Clone)]
pub struct Users {
    pub world: Arc<World>,
    pub process: Arc<Process>,
    pub engine: Engine,
    pub app: Arc<App>,
    version: Arc<AtomicU32>,
}

impl Users {
    pub fn new(world: &Arc<World>, process: Arc<Process>, engine: Engine, app: Arc<App>) -> Self {
        Users { world: Arc::clone(world), process, engine, app, version: Arc::default() }
    }

    /// Asks the API's process; none: it died, or was dead, before it answered.
    async fn ask<T: Send + 'static>(&self, question: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (answer, hears) = oneshot::channel();
        self.process.spawn(async move {
            let _ = answer.send(question.await);
        });
        hears.await.ok()
    }

    pub async fn live(self, index: usize, spec: Spec) {
        self.world.sleep_until(spec.create_at).await;
        let (engine, app) = (self.engine.clone(), Arc::clone(&self.app));
        let draft = draft(index, &spec, engine.now());
        let Some(Ok(created)) = self.ask(async move { engine.create(&app, draft).await }).await else {
            return;
        };
        let id = created.definition.id;
        self.world.ledger.note(
            self.world.now(),
            &format!(
                "created {id}: {:?} x{:?} {:?} {:?}",
                spec.trigger, spec.occurrences, spec.policy, spec.answers
            ),
        );
        self.world.ledger.with_life(id, |life| life.acknowledged = true);
        for (at, action) in spec.actions {
            self.world.sleep_until(at).await;
            if !self.world.is_calm() {
                self.act(id, action).await;
            }
        }
    }

    async fn act(&self, id: ScheduleId, action: Action) {
        let ledger = &self.world.ledger;
        let asked_at = self.world.now();
        ledger.asked(id, action);
        let version =
            if action == Action::Payload { self.version.fetch_add(1, Ordering::SeqCst) + 1 } else { 0 };
        let (engine, app, key) = (self.engine.clone(), Arc::clone(&self.app), self.app.key.clone());
        let answer = self
            .ask(async move {
                let now = engine.now();
                let edited = |edit: &dyn Fn(&mut Definition), schedule: &Schedule| {
                    let mut definition = Definition::clone(&schedule.definition);
                    edit(&mut definition);
                    Ok(definition)
                };
                match action {
                    Action::Cancel => engine.cancel(&key, id, None).await.map(Some),
                    Action::Pause => engine.pause(&key, id).await.map(Some),
                    Action::Resume => engine.resume(&key, id).await.map(Some),
                    Action::Every(every) => {
                        let edit = move |definition: &mut Definition| {
                            if let Trigger::Interval(interval) = &mut definition.trigger {
                                *interval = Interval { every, ..*interval };
                            }
                        };
                        engine.update(&app, id, now, move |schedule| edited(&edit, schedule)).await.map(Some)
                    }
                    Action::Occurrences(count) => {
                        let edit = move |definition: &mut Definition| definition.occurrences = Some(count);
                        engine.update(&app, id, now, move |schedule| edited(&edit, schedule)).await.map(Some)
                    }
                    Action::Payload => {
                        let edit = move |definition: &mut Definition| {
                            let Target::Http(target) = &mut definition.target else { return };
                            target.body = Body::Json(json!({"v": version}));
                        };
                        engine.update(&app, id, now, move |schedule| edited(&edit, schedule)).await.map(Some)
                    }
                    Action::RunNow => engine.run_now(&key, id).await.map(|_| None),
                    Action::Redeliver => {
                        let filter = rondo_domain::engine::ExecutionFilter {
                            status: None,
                            newest_first: true,
                            after: None,
                            limit: 3,
                        };
                        let page = engine.executions(&key, id, &filter).await?;
                        let over = page.items.iter().rev().find(|record| {
                            record.status.is_final() && record.status != ExecutionStatus::Missed
                        });
                        match over {
                            Some(record) => engine.redeliver(&key, record.id).await.map(|_| None),
                            None => Ok(None),
                        }
                    }
                }
            })
            .await;
        let answered_at = self.world.now();
        let known = |generation| Known { action, asked_at, answered_at, generation, version };
        match answer {
            Some(Ok(Some(managed))) => {
                let generation = Some(managed.schedule.state.generation);
                ledger.answered(id, known(generation), Some(managed.in_flight));
            }
            // By hand: no change of the schedule. Refused: none was made.
            Some(Ok(None) | Err(Error::Refused(_) | Error::Conflict(_) | Error::Invalid(_))) => {
                ledger.note(answered_at, &format!("{id}: {action:?} changed nothing"));
            }
            None | Some(Err(_)) => ledger.answered(id, known(None), None),
        }
    }

    /// After the faults: what is paused goes on, and what has no end is ended, so that all may come to rest.
    pub async fn wind_down(&self) {
        self.world.sleep_until(self.world.calm_at.plus(Span::from_secs(20 * 60))).await;
        for (definition, state, _) in self.world.memory.snapshot() {
            let endless = definition.occurrences.is_none()
                && match &definition.trigger {
                    Trigger::Interval(interval) => interval.end.is_none(),
                    Trigger::Cron(_) | Trigger::Periodical(_) => true,
                    Trigger::Single(_) | Trigger::FanOut(_) => false,
                };
            // Many days of one a day are more than a run waits for.
            let endless = endless || definition.occurrences.is_some_and(|count| count > state.started() + 30);

            if state.status.has_ended() {
                continue;
            }
            if endless {
                self.act(definition.id, Action::Cancel).await;
            } else if state.status == Status::Paused {
                self.act(definition.id, Action::Resume).await;
            }
        }
    }
}

fn draft(index: usize, spec: &Spec, now: rondo_domain::time::Timestamp) -> Draft {
    Draft {
        received_at: now,
        name: Some(format!("{index}")),
        trigger: spec.trigger.clone(),
        occurrences: spec.occurrences,
        target: Target::Http(HttpTarget {
            url: format!("https://target.example/target/{index}").parse().expect("a URL"),
            method: Method::Post,
            headers: Vec::new(),
            body: Body::Json(json!({"v": 0})),
        }),
        delivery: spec.delivery.clone(),
        policy: spec.policy,
        tags: BTreeMap::new(),
        request: None,
        push: None,
    }
}

/// The one app of a run.
pub fn app(scenario: &Scenario) -> App {
    App {
        key: "simulated".parse::<AppKey>().expect("a key"),
        name: "simulated".to_owned(),
        time_zone: super::scenario::ZONE,
        created_at: scenario.base,
        secrets: Vec::new(),
        signing_secrets: Vec::new(),
        limits: rondo_domain::app::AppLimits::default(),
        push: Default::default(),
    }
}
