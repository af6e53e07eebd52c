//! What a function is invoked with.

use lambda_runtime::Context;
use rondo_domain::time::{Span, Timestamp};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// An event of the kind that a function takes, or one of another kind. Reading it never fails: the runtime would
/// log its own error, and quote values of the event in it.
#[derive(Debug)]
pub enum Incoming<T> {
    Event(T),
    /// Why it is none, in the parser's words. They may quote the event: for whoever sent it, never for a log.
    Other(String),
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Incoming<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(from)?;
        Ok(match serde_json::from_str(text.get()) {
            Ok(event) => Incoming::Event(event),
            Err(why) => Incoming::Other(why.to_string()),
        })
    }
}

/// The function was invoked with something that it does not take; `0` says what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this function takes {0}, and was invoked with something else")]
pub struct WrongEvent(pub &'static str);

impl From<WrongEvent> for lambda_runtime::Diagnostic {
    fn from(wrong: WrongEvent) -> Self {
        lambda_runtime::Diagnostic { error_type: "WrongEvent".to_owned(), error_message: wrong.to_string() }
    }
}

/// When Lambda ends this invocation, whatever it is doing then. Local stand-ins name an instant long past (`cargo lambda
/// watch` one of 1970): then the function has the time that it has when deployed.
pub fn deadline_of(context: &Context, now: Timestamp, deployed: Span) -> Timestamp {
    let deadline = Timestamp::from_millis(i64::try_from(context.deadline).unwrap_or(i64::MAX));
    if deadline > now { deadline } else { now.plus(deployed) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_makes_no_sense_is_none() {
        let (now, usual) = (Timestamp::from_millis(1_900_000_000_000), Span::from_secs(90));
        let deadline = |millis| {
            let mut context = Context::default();
            context.deadline = millis;
            deadline_of(&context, now, usual)
        };
        assert_eq!(deadline(1_900_000_000_001), Timestamp::from_millis(1_900_000_000_001));
        assert_eq!(deadline(600_000), now.plus(usual));
        assert_eq!(deadline(0), now.plus(usual));
        assert_eq!(deadline(1_900_000_000_000), now.plus(usual));
    }
}
