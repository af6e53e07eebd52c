//! Why a trigger is refused. A surface spells the field its own way, so the messages are predicates.

use crate::{span_text::write_span, time::Span};

/// Each message completes "`field` …" and says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    #[error("must be at least {}, not {}", write_span(super::MIN_EVERY), write_span(*.0))]
    EveryTooShort(Span),
    #[error("must be at most {}, not {}", write_span(super::MAX_EVERY), write_span(*.0))]
    EveryTooLong(Span),
    #[error("must not come before the start")]
    EndBeforeStart,
    /// What is wrong with it, as a whole sentence after "must be a cron expression: ".
    #[error("must be a cron expression: {0}")]
    Expression(String),
    #[error("must match some day, and no year has one that {0:?} matches")]
    NeverMatches(String),
    #[error("must be an IANA time zone name such as Europe/Madrid, not {0:?}")]
    UnknownZone(String),
    #[error("must be an IANA time zone name: {given:?} is spelt {right}")]
    ZoneSpelling { given: String, right: &'static str },
    #[error("must lie between the years 1970 and 9999")]
    StartOutOfRange,
    #[error("must lie between the years 1970 and 9999")]
    EndOutOfRange,
    #[error("must be a time of day of at most millisecond precision, below 24:00")]
    Time,
    #[error("must be from 1 to {max}, not {0}", max = super::MAX_FREQUENCY)]
    Frequency(u16),
    #[error("must name at least one day of the week, MON to SUN")]
    NoWeekday,
    #[error("must name at least one day of the month, 1 to 31")]
    NoMonthDay,
    #[error("must hold a day that one of the months has; none of them has any of these")]
    NoSuchDay,
}

impl TriggerError {
    /// The field that is wrong, in the words of the native API.
    pub fn field(&self) -> &'static str {
        match self {
            TriggerError::EveryTooShort(_) | TriggerError::EveryTooLong(_) => "every",
            TriggerError::EndBeforeStart | TriggerError::EndOutOfRange => "end",
            TriggerError::Expression(_) | TriggerError::NeverMatches(_) => "expression",
            TriggerError::UnknownZone(_) | TriggerError::ZoneSpelling { .. } => "time_zone",
            TriggerError::StartOutOfRange => "start",
            TriggerError::Time => "time",
            TriggerError::Frequency(_) => "frequency",
            TriggerError::NoWeekday | TriggerError::NoMonthDay | TriggerError::NoSuchDay => "points",
        }
    }
}
