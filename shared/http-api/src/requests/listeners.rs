//! `POST /set/connection`: who is told of the app's events.

use super::{
    create::refuse_slips,
    form::{In, Input, Refusal},
};
use crate::{
    access::Caller,
    answer::Json,
    fields::{At, Faults, Object, kind},
    native::target,
};
use rondo_domain::notice::Event;
use serde_json::{Value, json};

pub async fn connect(In(caller): In<Caller>, Input(body): Input) -> Result<Json, Refusal> {
    let engine = &caller.api.engine;
    let mut faults = Faults::default();
    let wanted = Object::of(&body, At::ROOT, &mut faults).and_then(|object| {
        refuse_slips(&object, &["url", "events"], &mut faults);
        object.required("url", &mut faults);
        let url = target::read_url(&object, "url", &*caller.api.rules, &mut faults);
        let events = read_events(&object, &mut faults);
        Some((url?, events))
    });
    let (url, events) = faults.check(wanted)?;
    let listener = engine.listeners.add_listener(&caller.app.key, &url, &events, engine.now()).await?;
    Ok(Json(json!({"connected": "true", "url": listener.url})))
}

/// None named: all of them.
fn read_events(object: &Object<'_>, faults: &mut Faults) -> Vec<Event> {
    let words = || Event::ALL.map(Event::as_str).join(", ");
    let mut events = Vec::new();
    match object.get("events") {
        None => {}
        Some(Value::Array(given)) if given.is_empty() => {
            let detail = format!("must name at least one of {}; leave it out for all", words());
            faults.add(object.at("events"), detail);
        }
        Some(Value::Array(given)) => {
            for (i, value) in given.iter().enumerate() {
                match value.as_str().and_then(Event::parse) {
                    Some(event) if events.contains(&event) => {}
                    Some(event) => events.push(event),
                    None => {
                        let index = i.to_string();
                        let detail = format!("must be one of {}, not {value}", words());
                        faults.add(object.at("events").child(&index), detail);
                    }
                }
            }
        }
        Some(other) => {
            faults.add(object.at("events"), format!("must be an array, not {}", kind(other)));
        }
    }
    events
}
