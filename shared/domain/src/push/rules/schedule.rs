//! A schedule's four keys, `name`, `enabled`, `trigger` and `push`: all of them where one is made, any of them where one
//! is changed.

use super::{
    Around,
    push::{check_push, check_spread},
    reading::{Fault, Object, quoted},
    trigger::{Kind, Shape, has_more},
};
use crate::{
    push::{PushFields, PushTarget, outcome::PushError},
    schedule::{Definition, Target},
    state::{State, Status},
    time::Timestamp,
    trigger::{FanOut, Trigger},
};
use serde_json::{Map, Value};

/// Of a name, in bytes of UTF-8.
pub const MAX_NAME: usize = 255;
pub const KEYS: [&str; 4] = ["name", "enabled", "trigger", "push"];
/// Says which schedule it is where one is shown, and nothing where one is sent.
const ID: &str = "schedule_id";

/// A schedule that is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub name: String,
    pub fan_out: FanOut,
    pub target: PushTarget,
    pub fields: PushFields,
}

pub fn read(body: &Value, around: &Around) -> Result<Wanted, PushError> {
    let object = Object::of(body, "").map_err(Fault::in_schedule)?;
    let name = name(&object).map_err(Fault::in_schedule)?;
    match required_flag(&object).map_err(Fault::in_schedule)? {
        true => {}
        false => {
            let detail = "must be true where a schedule is made: pause it afterwards";
            return Err(object.wrong("enabled", detail).in_schedule());
        }
    }
    let trigger = object.required("trigger").map_err(Fault::in_schedule)?;
    let fan_out = Shape::of(trigger).and_then(|shape| shape.read(around)).map_err(Fault::in_trigger)?;
    let push = read_push(&object, around, fan_out.per_recipient)?;
    let fields = PushFields { trigger: Some(trigger.clone()), extra: extra(&object) };
    Ok(Wanted { name: name.to_owned(), fan_out, target: PushTarget { push: push.clone() }, fields })
}

fn name<'v>(object: &Object<'v>) -> Result<&'v str, Fault> {
    let name = object.required_text("name")?;
    if !(1..=MAX_NAME).contains(&name.len()) {
        return Err(
            object.wrong("name", format!("must have 1 to {MAX_NAME} bytes of UTF-8, not {}", name.len()))
        );
    }
    if name.chars().any(char::is_control) {
        return Err(object.wrong("name", format!("must not hold control characters: {}", quoted(name))));
    }
    Ok(name)
}

fn required_flag(object: &Object<'_>) -> Result<bool, Fault> {
    object.required("enabled")?;
    object.flag("enabled").map(Option::unwrap_or_default)
}

fn read_push<'v>(object: &Object<'v>, around: &Around, per_recipient: bool) -> Result<&'v Value, PushError> {
    let push = object.get("push").unwrap_or(&Value::Null);
    let checked = check_push(push, around.way);
    let checked = checked.and_then(|()| if per_recipient { check_spread(push) } else { Ok(()) });
    checked.map(|()| push).map_err(Fault::in_scheduled_push)
}

/// What nobody knows is kept, and shown again.
fn extra(object: &Object<'_>) -> Map<String, Value> {
    let unknown = |name: &String| !KEYS.contains(&name.as_str()) && name != ID;
    object.members().iter().filter(|(name, _)| unknown(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
}

/// What is to become of a schedule. None: it stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub name: Option<String>,
    pub enabled: Option<bool>,
    /// As it was given, and what it means.
    pub trigger: Option<(Value, FanOut)>,
    pub push: Option<Value>,
    pub extra: Map<String, Value>,
}

impl Changes {
    /// Each key whole, and checked as it would be for a new schedule; `current` says what may not be changed.
    pub fn read(body: &Value, current: &Definition, around: &Around) -> Result<Changes, PushError> {
        let object = Object::of(body, "").map_err(Fault::in_schedule)?;
        let has = |name: &str| object.members().contains_key(name);
        if !KEYS.into_iter().any(has) {
            let detail = format!("must hold at least one of {}", KEYS.join(", "));
            return Err(Fault::new(super::reading::Sort::Missing, "", detail).in_schedule());
        }
        let mut changes = Changes { extra: extra(&object), ..Changes::default() };
        if has("name") {
            changes.name = Some(name(&object).map_err(Fault::in_schedule)?.to_owned());
        }
        if has("enabled") {
            changes.enabled = Some(required_flag(&object).map_err(Fault::in_schedule)?);
        }
        let mut per_recipient = matches!(&current.trigger, Trigger::FanOut(fan_out) if fan_out.per_recipient);
        if has("trigger") {
            let trigger = object.required("trigger").map_err(Fault::in_schedule)?;
            let shape = Shape::of(trigger).map_err(Fault::in_trigger)?;
            check_same_kind(&shape, current).map_err(Fault::in_schedule)?;
            per_recipient = shape.per_recipient;
            let fan_out = shape.read(around).map_err(Fault::in_trigger)?;
            changes.trigger = Some((trigger.clone(), fan_out));
        }
        if has("push") {
            changes.push = Some(read_push(&object, around, per_recipient)?.clone());
        }
        Ok(changes)
    }

    /// Whether anything but `enabled` is given.
    pub fn edits(&self) -> bool {
        self.name.is_some() || self.trigger.is_some() || self.push.is_some() || !self.extra.is_empty()
    }

    pub fn applied_to(&self, current: &Definition) -> Definition {
        let mut definition = current.clone();
        if let Some(name) = &self.name {
            definition.name = Some(name.clone());
        }
        let fields = definition.push.get_or_insert_with(|| PushFields { trigger: None, extra: Map::new() });
        if let Some((given, fan_out)) = &self.trigger {
            // The same again is no change of when: what is on its way goes on.
            if fields.trigger.as_ref() != Some(given) {
                fields.trigger = Some(given.clone());
                definition.trigger = Trigger::FanOut(fan_out.clone());
            }
        }
        fields.extra.extend(self.extra.clone());
        if let Some(push) = &self.push {
            definition.target = Target::Push(PushTarget { push: push.clone() });
        }
        definition
    }
}

fn check_same_kind(shape: &Shape<'_>, current: &Definition) -> Result<(), Fault> {
    let Trigger::FanOut(fan_out) = &current.trigger else { return Ok(()) };
    let (old, new) = (Kind::of(fan_out), shape.kind);
    if old != new {
        let detail =
            format!("must stay {}: it cannot become {}; make another schedule", old.as_str(), new.as_str());
        return Err(Fault::new(super::reading::Sort::Value, "trigger", detail));
    }
    if fan_out.per_recipient != shape.per_recipient {
        let (old, whose) =
            if fan_out.per_recipient { (2, "the recipients' zones") } else { (1, "the app's zone") };
        let at = format!("trigger.{}.zone_type", new.as_str());
        let detail =
            format!("must stay {old} ({whose}): 1 and 2 are not interchangeable; make another schedule");
        return Err(Fault::new(super::reading::Sort::Value, at, detail));
    }
    Ok(())
}

/// Whether something is still to come: it has not ended, and, where it is paused, resuming it would not be the end.
pub fn is_valid(definition: &Definition, state: &State, now: Timestamp) -> bool {
    match (state.status, &definition.trigger) {
        (status, _) if status.has_ended() => false,
        (Status::Paused, Trigger::FanOut(fan_out)) => has_more(fan_out, now),
        _ => true,
    }
}
