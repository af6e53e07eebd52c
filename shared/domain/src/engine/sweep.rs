//! The net under everything: whatever is overdue is woken again. Nothing depends on a message arriving.

use super::{Engine, Error};
use crate::{
    ids::ScheduleId,
    message::{Delayed, Message},
    time::{Span, Timestamp},
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Schedules woken again.
    pub schedules: usize,
    /// Waiting executions sent again.
    pub attempts: usize,
}

impl Engine {
    /// One page of what is overdue. The look moves on before the wake is sent, so that a flood stays a page.
    pub async fn sweep(&self, limit: usize) -> Result<Swept, Error> {
        let now = self.now();
        let grace = self.settings.reach.resend_after;
        let mut messages = Vec::new();
        let mut swept = Swept::default();
        for id in self.schedules.overdue(now, limit).await? {
            match self.look_at(id, grace, now).await {
                Ok(None) => {}
                Ok(Some(wake)) => {
                    messages.push(Delayed { at: now, message: wake });
                    swept.schedules += 1;
                }
                // One that cannot be read must not hide all the others.
                Err(Error::Store(error)) => {
                    self.observer.trouble("an overdue schedule could not be woken", &error)
                }
                Err(error) => return Err(error),
            }
        }
        let overdue = now.minus(self.settings.reach.grace);
        for execution in self.executions.waiting(overdue, limit).await? {
            messages.push(Delayed { at: now, message: Message::Attempt { execution } });
            swept.attempts += 1;
        }
        if !messages.is_empty() {
            self.queue.send(messages).await?;
        }
        Ok(swept)
    }

    async fn look_at(&self, id: ScheduleId, grace: Span, now: Timestamp) -> Result<Option<Message>, Error> {
        let Some(schedule) = self.schedules.load(id).await? else {
            return Ok(None);
        };
        if schedule.state.untold {
            self.tell_end(&schedule).await?;
            return Ok(None);
        }
        let generation = schedule.state.generation;
        let moved = self.schedules.look_later(id, grace, now).await?;
        Ok(moved.then_some(Message::Wake { id, generation }))
    }
}
