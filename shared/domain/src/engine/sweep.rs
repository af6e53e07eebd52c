//! The net under everything: whatever is overdue is woken again. Nothing depends on a message arriving.

use super::{Engine, Error};
use crate::message::{Delayed, Message};

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
            let Some(schedule) = self.schedules.load(id).await? else {
                continue;
            };
            if schedule.state.untold {
                self.tell_end(&schedule).await?;
            } else if self.schedules.look_later(id, grace, now).await? {
                let generation = schedule.state.generation;
                messages.push(Delayed { at: now, message: Message::Wake { id, generation } });
                swept.schedules += 1;
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
}
