//! Cancel, pause, resume, update: each one conditional write that raises the generation. Once its answer is
//! out, nothing of an older generation is claimed.

use crate::{
    ids::Token,
    state::{Mark, State, Status},
    time::{Span, Timestamp},
    trigger::Trigger,
};

#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// `because` is given where no user asked for it.
    Cancel {
        because: Option<String>,
    },
    Pause,
    Resume,
    /// `rebase`: the trigger is another one, whose instants count from now.
    Update {
        occurrences: Option<u32>,
        rebase: bool,
    },
    /// What is sent or shown is another, and nothing about when: whatever is on its way goes on, with what is stored
    /// from here on.
    Edit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    Done {
        in_flight: u32,
    },
    /// It was so already; nothing was written.
    Already {
        in_flight: u32,
    },
    Refused(ChangeRefused),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    #[error("the schedule is {} and stays so", .0.as_str())]
    Ended(Status),
    #[error("occurrences must be at least {started}: as many have started already")]
    FewerThanStarted { started: u32 },
    /// Somebody else changed the schedule at the same time.
    #[error("the schedule is changing too fast; try again")]
    Contended,
}

impl State {
    /// Applies a change made from this very state. The new definition, where there is one, is stored with it.
    pub fn change(&mut self, change: &Change, token: Token, now: Timestamp) -> Changed {
        let in_flight = self.in_flight();
        if self.change_token == token {
            return Changed::Done { in_flight };
        }
        match change {
            Change::Cancel { .. } if self.status.has_ended() => {
                return Changed::Already { in_flight };
            }
            _ if self.status.has_ended() => {
                return Changed::Refused(ChangeRefused::Ended(self.status));
            }
            Change::Pause if self.status == Status::Paused => {
                return Changed::Already { in_flight };
            }
            Change::Resume if self.status.runs() => return Changed::Already { in_flight },
            Change::Update { occurrences: Some(new), .. } if *new < self.started() => {
                return Changed::Refused(ChangeRefused::FewerThanStarted { started: self.started() });
            }
            _ => {}
        }
        self.revision += 1;
        self.change_token = token;
        if *change == Change::Edit {
            return Changed::Done { in_flight };
        }
        self.generation += 1;
        self.version += 1;
        // Of a plan that holds no longer.
        self.look_when_idle = None;
        match change {
            Change::Cancel { because } => {
                self.end(Status::Canceled, now);
                self.ended_because.clone_from(because);
            }
            Change::Pause => {
                self.status = Status::Paused;
                self.next_due = None;
                self.look_again_at = None;
            }
            Change::Resume => {
                self.status = if self.last_claimed.is_some() { Status::Active } else { Status::Pending };
                self.rebase(now);
                self.replan(now);
            }
            Change::Update { occurrences, rebase } => {
                self.occurrences = *occurrences;
                if *rebase {
                    self.rebase(now);
                }
                if self.status.runs() {
                    self.replan(now);
                }
            }
            Change::Edit => {}
        }
        Changed::Done { in_flight }
    }

    /// The highest number that has started; what is closed without a start (missed) counts as started.
    pub fn started(&self) -> u32 {
        let closed = self.beyond.last().map_or(self.anchor.number, |run| run.to.number);
        self.last_claimed.map_or(closed, |last| last.number.max(closed))
    }

    /// Instants count from `now` on. What is claimed or closed out of order keeps its own: those lie at or
    /// before the new anchor's instant, which is how planning knows that they use up none of the new ones.
    fn rebase(&mut self, now: Timestamp) {
        let before_now = now.minus(Span::from_millis(1));
        let taken = self.claims.iter().map(|claim| claim.at).chain(self.beyond.iter().map(|run| run.to.at));
        let at = taken.fold(before_now.max(self.anchor.at), Timestamp::max);
        self.anchor = Mark { number: self.anchor.number, at };
    }

    /// Everything unclaimed is planned and sent anew, under the new generation.
    fn replan(&mut self, now: Timestamp) {
        self.planned = self.anchor.number;
        self.exhausted = false;
        self.look_again_at = Some(now);
        self.finish_if_over(now);
    }

    /// Where a trigger goes on after a change. An interval: one interval after the last start, never before now. One
    /// whose end comes before that stays as it is, and yields nothing more.
    pub fn goes_on(&self, trigger: &Trigger, now: Timestamp) -> Trigger {
        match trigger {
            Trigger::Interval(interval) => {
                let mut interval = *interval;
                if let Some(last) = self.last_claimed {
                    interval.first = last.at.plus(interval.every).max(now);
                } else {
                    interval.first = interval.first.max(now);
                }
                if interval.end.is_some_and(|end| end < interval.first) {
                    return trigger.clone();
                }
                Trigger::Interval(interval)
            }
            // What was opened before the change is dropped, and whoever is still to come is opened anew.
            Trigger::FanOut(fan_out) => Trigger::FanOut(fan_out.counting_from(now)),
            other => other.clone(),
        }
    }
}
