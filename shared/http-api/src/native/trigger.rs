//! Triggers as the native API writes them, in and out. What comes out is canonical: it may be sent back as it
//! stands, and then means the same instants.

use crate::fields::{At, Faults, Object, kind, quoted};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use chrono_tz::Tz;
use rondo_domain::{
    ids::FIRST_MANUAL_NUMBER,
    span_text::write_span,
    time::{Span, Timestamp},
    trigger::{
        Backup, Cron, DstPolicy, FanOut, Interval, MAX_EVERY, MAX_FREQUENCY, MonthDays, PeriodUnit,
        Periodical, Single, Times, Trigger, Weekdays, parse_zone, wall_time,
    },
};
use serde_json::{Value, json};

pub const KINDS: [&str; 4] = ["single", "interval", "periodical", "cron"];
/// How far `after` and `delay` may reach.
const MAX_AHEAD: Span = MAX_EVERY;

/// What a trigger is read against.
#[derive(Clone, Copy)]
pub struct Surroundings {
    /// Of the app, for triggers that name none.
    pub zone: Tz,
    /// What `after` and `delay` count from.
    pub now: Timestamp,
    pub dst: DstPolicy,
}

/// A trigger, and how many occurrences it is to have.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    pub trigger: Trigger,
    pub occurrences: Option<u32>,
}

/// Answers something only where nothing was wrong with it.
pub fn read(value: &Value, at: At<'_>, around: &Surroundings, faults: &mut Faults) -> Option<Timing> {
    let object = Object::of(value, at, faults)?;
    object.allow_only(&KINDS, faults);
    let given: Vec<&str> = KINDS.into_iter().filter(|kind| object.get(kind).is_some()).collect();
    let [chosen] = given.as_slice() else {
        faults.add(at, format!("must have exactly one of {}", KINDS.join(", ")));
        return None;
    };
    let inner_at = object.at(chosen);
    let inner = Object::of(object.get(chosen)?, inner_at, faults)?;
    let mut own = Faults::default();
    let timing = match *chosen {
        "single" => single(&inner, around, &mut own),
        "interval" => interval(&inner, around, &mut own),
        "periodical" => periodical(&inner, around, &mut own),
        _ => cron(&inner, around, &mut own),
    };
    let sound = own.none();
    faults.append(own);
    let timing = timing.filter(|_| sound)?;
    match timing.trigger.rule(around.dst) {
        Ok(_) => Some(timing),
        Err(wrong) => {
            faults.add(inner.at(wrong.field()), wrong.to_string());
            None
        }
    }
}

fn single(object: &Object<'_>, around: &Surroundings, faults: &mut Faults) -> Option<Timing> {
    object.allow_only(&["time", "after"], faults);
    let time = object.instant("time", faults);
    let after = object.span_in("after", Span::ZERO..=MAX_AHEAD, faults);
    let at = match (object.get("time"), object.get("after")) {
        (Some(_), Some(_)) => {
            faults.add(object.at("after"), "must not stand beside time: give one of the two");
            return None;
        }
        (None, None) => {
            faults.add(object.at("time"), "is required, or after");
            return None;
        }
        _ => time.or(after.map(|after| around.now.plus(after)))?,
    };
    Some(Timing { trigger: Trigger::Single(Single { at }), occurrences: Some(1) })
}

fn interval(object: &Object<'_>, around: &Surroundings, faults: &mut Faults) -> Option<Timing> {
    object.allow_only(&["every", "delay", "first", "end", "occurrences"], faults);
    object.required("every", faults);
    let every = object.span("every", faults);
    let delay = object.span_in("delay", Span::ZERO..=MAX_AHEAD, faults);
    let first = object.instant("first", faults);
    if object.get("delay").is_some() && object.get("first").is_some() {
        faults.add(object.at("delay"), "must not stand beside first: give one of the two");
    }
    let end = object.instant("end", faults);
    let occurrences = occurrences(object, faults);
    let first = first.unwrap_or_else(|| around.now.plus(delay.unwrap_or_default()));
    Some(Timing { trigger: Trigger::Interval(Interval { every: every?, first, end }), occurrences })
}

fn cron(object: &Object<'_>, around: &Surroundings, faults: &mut Faults) -> Option<Timing> {
    object.allow_only(&["expression", "time_zone", "start", "end", "occurrences"], faults);
    object.required("expression", faults);
    let expression = object.line("expression", 500, faults);
    let zone = zone(object, around, faults);
    let start = object.instant("start", faults);
    let end = object.instant("end", faults);
    let occurrences = occurrences(object, faults);
    let cron = Cron { expression: expression?.to_owned(), zone: zone?, start, end };
    Some(Timing { trigger: Trigger::Cron(cron), occurrences })
}

fn periodical(object: &Object<'_>, around: &Surroundings, faults: &mut Faults) -> Option<Timing> {
    let known = ["start", "end", "time", "unit", "points", "frequency", "time_zone", "occurrences"];
    object.allow_only(&known, faults);
    let zone = zone(object, around, faults);
    let start = wall(object, "start", NaiveTime::MIN, faults);
    let last = NaiveTime::from_hms_milli_opt(23, 59, 59, 999).unwrap_or_default();
    let end = wall(object, "end", last, faults);
    object.required("time", faults);
    let time = time_of_day(object, faults);
    object.required("unit", faults);
    let unit = object.choice("unit", &[("day", 'd'), ("week", 'w'), ("month", 'm')], faults);
    let unit = match unit {
        Some('d') => {
            if object.get("points").is_some() {
                faults.add(object.at("points"), "must be left out where the unit is day");
            }
            Some(PeriodUnit::Day)
        }
        Some('w') => weekdays(object, faults).map(PeriodUnit::Week),
        Some(_) => month_days(object, faults).map(PeriodUnit::Month),
        None => None,
    };
    let frequency = object.whole("frequency", 1..=MAX_FREQUENCY.into(), faults);
    let occurrences = occurrences(object, faults);
    let zone = zone?;
    // Without a start, today is the first day.
    let today = || wall_time(zone, around.now).date().and_time(NaiveTime::MIN);
    let periodical = Periodical {
        start: start.unwrap_or_else(today),
        end,
        time: time?,
        unit: unit?,
        frequency: frequency.unwrap_or(1) as u16,
        zone,
    };
    Some(Timing { trigger: Trigger::Periodical(periodical), occurrences })
}

pub fn occurrences(object: &Object<'_>, faults: &mut Faults) -> Option<u32> {
    let limit = u64::from(FIRST_MANUAL_NUMBER) - 1;
    object.whole("occurrences", 1..=limit, faults).and_then(|number| u32::try_from(number).ok())
}

fn zone(object: &Object<'_>, around: &Surroundings, faults: &mut Faults) -> Option<Tz> {
    if object.get("time_zone").is_none() {
        return Some(around.zone);
    }
    match parse_zone(object.line("time_zone", 64, faults)?) {
        Ok(zone) => Some(zone),
        Err(wrong) => {
            faults.add(object.at("time_zone"), wrong.to_string());
            None
        }
    }
}

/// A date, or a date and a time of day, on the clock of the trigger's zone.
fn wall(object: &Object<'_>, name: &str, whole_day: NaiveTime, faults: &mut Faults) -> Option<NaiveDateTime> {
    let text = object.text(name, faults)?;
    let read = text
        .parse::<NaiveDateTime>()
        .ok()
        .or_else(|| text.parse::<NaiveDate>().ok().map(|date| date.and_time(whole_day)));
    if read.is_none() {
        let detail = format!(
            "must be a date or a date and time on the clock of time_zone, such as 2030-12-01 or 2030-12-01T09:00:00 (no offset), not {}",
            quoted(text)
        );
        faults.add(object.at(name), detail);
    }
    read
}

fn time_of_day(object: &Object<'_>, faults: &mut Faults) -> Option<NaiveTime> {
    let text = object.text("time", faults)?;
    let forms = ["%H:%M", "%H:%M:%S", "%H:%M:%S%.3f"];
    let sound = text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    let read = forms.iter().find_map(|form| NaiveTime::parse_from_str(text, form).ok()).filter(|_| sound);
    if read.is_none() {
        faults.add(
            object.at("time"),
            format!("must be a time of day such as 09:30, 09:30:15 or 09:30:15.250, not {}", quoted(text)),
        );
    }
    read
}

fn points<'v>(object: &Object<'v>, what: &str, faults: &mut Faults) -> Option<&'v Vec<Value>> {
    match object.required("points", faults)? {
        Value::Array(points) if !points.is_empty() && points.len() <= 31 => Some(points),
        Value::Array(_) => {
            faults.add(object.at("points"), format!("must name at least one {what}, and each once"));
            None
        }
        other => {
            faults.add(object.at("points"), format!("must be an array of {what}s, not {}", kind(other)));
            None
        }
    }
}

fn weekdays(object: &Object<'_>, faults: &mut Faults) -> Option<Weekdays> {
    let mut days = Vec::new();
    for (i, point) in points(object, "day", faults)?.iter().enumerate() {
        match point.as_str().and_then(Weekdays::parse_day) {
            Some(day) => days.push(day),
            None => {
                let index = i.to_string();
                let at = object.at("points");
                faults.add(
                    at.child(&index),
                    format!("must be one of mon, tue, wed, thu, fri, sat, sun, not {point}"),
                );
                return None;
            }
        }
    }
    Some(days.into_iter().collect())
}

fn month_days(object: &Object<'_>, faults: &mut Faults) -> Option<MonthDays> {
    let mut days = Vec::new();
    for (i, point) in points(object, "day", faults)?.iter().enumerate() {
        match point.as_u64().and_then(|day| u32::try_from(day).ok()).filter(|day| (1..=31).contains(day)) {
            Some(day) => days.push(day),
            None => {
                let index = i.to_string();
                let at = object.at("points");
                faults.add(at.child(&index), format!("must be a day of the month, 1 to 31, not {point}"));
                return None;
            }
        }
    }
    MonthDays::new(days)
}

/// The canonical form. Members that say nothing are left out.
pub fn write(trigger: &Trigger, occurrences: Option<u32>) -> Value {
    let mut inner = match trigger {
        Trigger::Single(single) => return json!({"single": {"time": single.at.to_string()}}),
        Trigger::Interval(interval) => {
            let mut inner = json!({"every": write_span(interval.every), "first": interval.first.to_string()});
            put(&mut inner, "end", interval.end.map(|end| end.to_string()));
            inner
        }
        Trigger::Periodical(periodical) => {
            let mut inner = write_periodical(periodical);
            inner["time_zone"] = periodical.zone.name().into();
            inner
        }
        Trigger::Cron(cron) => {
            let mut inner = json!({"expression": cron.expression, "time_zone": cron.zone.name()});
            put(&mut inner, "start", cron.start.map(|start| start.to_string()));
            put(&mut inner, "end", cron.end.map(|end| end.to_string()));
            inner
        }
        Trigger::FanOut(fan_out) => write_fan_out(fan_out),
    };
    put(&mut inner, "occurrences", occurrences);
    let mut outer = serde_json::Map::new();
    outer.insert(trigger.kind().to_owned(), inner);
    Value::Object(outer)
}

fn write_periodical(periodical: &Periodical) -> Value {
    let mut inner = json!({"start": periodical.start});
    put(&mut inner, "end", periodical.end.map(|end| json!(end)));
    inner["time"] = json!(periodical.time);
    let (unit, points) = match periodical.unit {
        PeriodUnit::Day => ("day", None),
        PeriodUnit::Week(days) => ("week", Some(json!(days))),
        PeriodUnit::Month(days) => ("month", Some(json!(days))),
    };
    inner["unit"] = unit.into();
    put(&mut inner, "points", points);
    inner["frequency"] = periodical.frequency.into();
    inner
}

/// Only shown: the scheduled-push contract makes these.
fn write_fan_out(fan_out: &FanOut) -> Value {
    let (kind, inner) = match &fan_out.times {
        Times::Single(wall) => ("single", json!({"time": wall})),
        Times::Periodical(periodical) => ("periodical", write_periodical(periodical)),
        Times::BestTime { start, backup } => {
            let backup = match backup {
                Backup::Now => json!("now"),
                Backup::At(wall) => json!(wall),
                Backup::Daily(time) => json!(time),
            };
            ("best_time", json!({"start": start.to_string(), "backup": backup}))
        }
    };
    json!({kind: inner, "time_zone": fan_out.zone.name(), "per_recipient": fan_out.per_recipient})
}

fn put(object: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[name] = value.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        let now = Timestamp::from_millis(1_900_000_000_000);
        Surroundings { zone: chrono_tz::Europe::Madrid, now, dst: DstPolicy::default() }
    }

    fn timing(value: &Value) -> Timing {
        let mut faults = Faults::default();
        let timing = read(value, At::ROOT, &around(), &mut faults);
        faults.check(timing).expect("a trigger")
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for value in [
            json!({"single": {"time": "2040-12-01T09:00:00+01:00"}}),
            json!({"single": {"after": "15m"}}),
            json!({"interval": {"every": 100}}),
            json!({"interval": {"every": "PT1H30M", "delay": "5s", "occurrences": 10, "end": "2041-01-01T00:00:00Z"}}),
            json!({"interval": {"every": "1d", "first": "1999-01-01T00:00:00Z"}}),
            json!({"periodical": {"time": "09:30", "unit": "day"}}),
            json!({"periodical": {"start": "2040-01-31", "end": "2041-12-31", "time": "23:59:59.999", "unit": "month", "points": [31, 1], "frequency": 3, "time_zone": "Asia/Kolkata"}}),
            json!({"periodical": {"start": "2040-01-31T10:00:00", "time": "00:00", "unit": "week", "points": ["SUN", "mon"], "occurrences": 4}}),
            json!({"cron": {"expression": "0 2 * * MON-FRI", "start": "2040-01-01T00:00:00Z", "end": "2040-02-01T00:00:00Z", "occurrences": 2147483647}}),
        ] {
            let first = timing(&value);
            let written = write(&first.trigger, first.occurrences);
            assert_eq!(timing(&written), first, "{written}");
            assert_eq!(write(&first.trigger, first.occurrences), written);
        }
    }

    #[test]
    fn a_zone_defaults_to_the_apps() {
        let Trigger::Cron(cron) = timing(&json!({"cron": {"expression": "@daily"}})).trigger else {
            panic!("a cron trigger");
        };
        assert_eq!(cron.zone, chrono_tz::Europe::Madrid);
    }

    #[test]
    fn a_date_that_ends_a_rule_belongs_to_it() {
        let value = json!({"periodical": {"start": "2040-01-01", "end": "2040-01-02", "time": "23:00", "unit": "day", "time_zone": "UTC"}});
        let rule = timing(&value).trigger.rule(DstPolicy::default()).expect("a rule");
        let first = rule.next_after(around().now).expect("the first");
        let second = rule.next_after(first).expect("the second");
        assert_eq!(second.to_string(), "2040-01-02T23:00:00.000Z");
        assert_eq!(rule.next_after(second), None);
    }
}
