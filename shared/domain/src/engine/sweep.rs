//! The net under everything: whatever is overdue is woken again. Nothing depends on a message arriving.

use super::{Engine, Error};
use crate::{
    ids::ScheduleId,
    message::{Delayed, Message},
    time::{Span, Timestamp},
};
use futures_util::future::join_all;

/// How many schedules are looked at together.
const AT_ONCE: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Schedules woken again.
    pub schedules: usize,
    /// Waiting executions sent again.
    pub attempts: usize,
}

impl Engine {
    /// One page of what is overdue.
    pub async fn sweep(&self, limit: usize) -> Result<Swept, Error> {
        let schedules = self.sweep_schedules(limit).await?;
        let attempts = self.sweep_attempts(limit).await?;
        Ok(Swept { schedules, attempts })
    }

    /// Wakes a page of overdue schedules; answers how many. The look moves on before the wake is sent, so that a
    /// flood stays a page, and the next page finds others.
    pub async fn sweep_schedules(&self, limit: usize) -> Result<usize, Error> {
        let now = self.now();
        let grace = self.settings.reach.resend_after;
        let mut messages = Vec::new();
        for ids in self.schedules.overdue(now, limit).await?.chunks(AT_ONCE) {
            for looked in join_all(ids.iter().map(|id| self.look_at(*id, grace, now))).await {
                match looked {
                    Ok(None) => {}
                    Ok(Some(wake)) => messages.push(Delayed { at: now, message: wake }),
                    // One that cannot be read must not hide all the others.
                    Err(Error::Store(error)) => {
                        self.observer.trouble("an overdue schedule could not be woken", &error)
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        self.send_swept(messages).await
    }

    /// Sends waiting executions again that should have been claimed long ago; answers how many. They stay overdue
    /// until somebody claims them: asked again at once, it sends the same ones.
    pub async fn sweep_attempts(&self, limit: usize) -> Result<usize, Error> {
        let now = self.now();
        let overdue = now.minus(self.settings.reach.grace);
        let waiting = self.executions.waiting(overdue, limit).await?.into_iter();
        let message = |execution| Delayed { at: now, message: Message::Attempt { execution, at: None } };
        self.send_swept(waiting.map(message).collect()).await
    }

    async fn send_swept(&self, messages: Vec<Delayed>) -> Result<usize, Error> {
        let count = messages.len();
        if count > 0 {
            self.queue.send(messages).await?;
        }
        Ok(count)
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
