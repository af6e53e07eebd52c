//! Delivering a notice: to an `on_failure` target, or to a listener.

use super::{Engine, Error};
use crate::{
    call::{CallRequest, Method},
    notice::{NOTICE_RETRY, NOTICE_TIMEOUT, Notice},
    settle::{Verdict, settle},
    time::Timestamp,
};

#[derive(Clone, Debug, PartialEq)]
pub enum NoticeFate {
    /// Delivered, or given up.
    Over,
    Again(Timestamp, Notice),
}

impl Engine {
    /// Its failure affects no schedule. A listener that fails too often in a row is removed, and that is kept.
    pub async fn deliver_notice(&self, mut notice: Notice) -> Result<NoticeFate, Error> {
        let Some(app) = self.apps.app(&notice.app).await? else {
            return Ok(NoticeFate::Over);
        };
        if let Some(listener) = notice.listener {
            let listeners = self.listeners.listeners(&notice.app).await?;
            if !listeners.iter().any(|known| known.id == listener && known.removed_at.is_none()) {
                return Ok(NoticeFate::Over);
            }
        }
        let request = CallRequest {
            webhook_id: notice.id.clone(),
            app,
            method: Method::Post,
            url: notice.url.clone(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: notice.body.clone().into_bytes(),
            timeout: NOTICE_TIMEOUT,
        };
        let outcome = self.caller.call(request).await;
        notice.attempts += 1;
        let verdict =
            settle(&outcome, notice.attempts, notice.since, &NOTICE_RETRY, self.now(), self.chance());
        if let Verdict::RetryAt(at) = verdict {
            return Ok(NoticeFate::Again(at, notice));
        }
        if let Some(listener) = notice.listener {
            let ok = verdict == Verdict::Succeeded;
            self.listeners.listener_heard(&notice.app, listener, ok, self.now()).await?;
        }
        Ok(NoticeFate::Over)
    }
}
