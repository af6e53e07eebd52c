//! What a push may say: whom it is for, and what they are shown. What the contract does not speak of is kept and passed
//! on.

use super::reading::{Fault, Object, Sort, quoted, size, wrong_type};
use crate::push::{
    device::{MAX_NAME, Platform, is_name},
    outcome::PushError,
    sender::Way,
};
use serde_json::Value;

/// Of aliases, and of registration ids.
pub const MAX_NAMED: usize = 1000;
/// Of tags of each kind.
pub const MAX_TAGS: usize = 20;
/// Of a tag or an alias, in bytes of UTF-8.
pub const MAX_LABEL: usize = 40;
/// Notification and message together, as compact JSON, in bytes.
pub const MAX_CONTENT: usize = 4000;
/// The web notification alone, as compact JSON, in bytes.
pub const MAX_WEB: usize = 2048;
/// Fifteen days, in seconds.
pub const MAX_TIME_TO_LIVE: i64 = 1_296_000;
/// One day, in minutes.
pub const MAX_BIG_PUSH: i64 = 1440;
/// In bytes.
pub const MAX_COLLAPSE_ID: usize = 64;
pub const MAX_WEB_BUTTONS: usize = 2;

/// The kinds of names in `to`, and how many of each there may be.
const LISTS: [(&str, usize); 5] = [
    ("tag", MAX_TAGS),
    ("tag_and", MAX_TAGS),
    ("tag_not", MAX_TAGS),
    ("alias", MAX_NAMED),
    ("registration_id", MAX_NAMED),
];
/// What only a gateway can look up.
const UPSTREAM: [&str; 2] = ["seg", "live_activity_id"];
/// Members of the body that older interfaces have beside `to`: there they would silently be missing.
const BELONG_INTO_BODY: [&str; 4] = ["platform", "notification", "message", "options"];

/// A push that is to leave at once.
pub fn check(push: &Value, way: Way) -> Result<(), PushError> {
    check_push(push, way).map_err(Fault::in_push)
}

pub(super) fn check_push(push: &Value, way: Way) -> Result<(), Fault> {
    let push = Object::of(push, "")?;
    push.text("from")?;
    push.text("request_id")?;
    check_to(&push, way)?;
    if let Some(name) = BELONG_INTO_BODY.into_iter().find(|name| push.get(name).is_some()) {
        return Err(Fault::new(Sort::Unexpected, push.at(name), "belongs into body"));
    }
    if push.get("audience").is_some() {
        return Err(Fault::new(
            Sort::Unexpected,
            push.at("audience"),
            "is unknown: whom a push is for is said by to",
        ));
    }
    check_body(&Object::of(push.required("body")?, push.at("body"))?, way)?;
    match push.get("custom_args") {
        None | Some(Value::Object(_) | Value::String(_)) => Ok(()),
        Some(other) => Err(wrong_type(push.at("custom_args"), "an object or a string", other)),
    }
}

/// Where each recipient is due at a time of its own, only those can be told who are known here.
pub(super) fn check_spread(push: &Value) -> Result<(), Fault> {
    if let Some(name) = UPSTREAM.into_iter().find(|name| !push["to"][name].is_null()) {
        let detail = "must be left out where each recipient has a time of its own (zone_type 2, intelligent): who is meant is known to the gateway alone";
        return Err(Fault::new(Sort::Value, format!("to.{name}"), detail));
    }
    Ok(())
}

fn check_to(push: &Object<'_>, way: Way) -> Result<(), Fault> {
    let kinds = || {
        format!("all, or an object of {}, seg and live_activity_id", LISTS.map(|(name, _)| name).join(", "))
    };
    let to = match push.required("to")? {
        Value::String(all) if all == "all" => return Ok(()),
        Value::String(other) => {
            return Err(push.wrong("to", format!("must be {}, not {}", kinds(), quoted(other))));
        }
        object => {
            Object::of(object, push.at("to")).map_err(|_| wrong_type(push.at("to"), &kinds(), object))?
        }
    };
    for name in to.members().keys() {
        if !LISTS.iter().any(|(known, _)| known == name) && !UPSTREAM.contains(&name.as_str()) {
            return Err(Fault::new(
                Sort::Unexpected,
                to.at(name),
                format!("is unknown: to must be {}", kinds()),
            ));
        }
    }
    let mut named = false;
    for (name, most) in LISTS {
        let Some(items) = to.texts(name)? else { continue };
        if items.len() > most {
            return Err(to.wrong(name, format!("must hold at most {most}, not {}", items.len())));
        }
        let longest = if name == "registration_id" { MAX_NAME } else { MAX_LABEL };
        for (index, item) in items.iter().enumerate() {
            check_name(&format!("{}[{index}]", to.at(name)), item, longest)?;
        }
        named = true;
    }
    if let Some(seg) = to.get("seg") {
        let seg = Object::of(seg, to.at("seg"))?;
        check_name(&seg.at("id"), seg.required_text("id")?, MAX_NAME)?;
    }
    if let Some(activity) = to.text("live_activity_id")? {
        check_name(&to.at("live_activity_id"), activity, MAX_NAME)?;
    }
    for name in UPSTREAM.into_iter().filter(|name| to.get(name).is_some()) {
        if way == Way::Direct {
            let detail = "must be left out: only a gateway knows who that is, and this app's pushes go straight to its devices";
            return Err(to.wrong(name, detail));
        }
        named = true;
    }
    if named { Ok(()) } else { Err(push.missing("to", format!("must name somebody: {}", kinds()))) }
}

/// A tag, an alias or a registration id.
fn check_name(at: &str, name: &str, longest: usize) -> Result<(), Fault> {
    if name.len() <= longest && is_name(name) {
        return Ok(());
    }
    let detail = format!("must have 1 to {longest} bytes and no control characters, not {}", quoted(name));
    Err(Fault::new(Sort::Value, at, detail))
}

fn check_body(body: &Object<'_>, way: Way) -> Result<(), Fault> {
    let to_web = check_platform(body)?;
    let notification = body.object("notification")?;
    let message = body.object("message")?;
    if let Some(notification) = &notification {
        check_notification(notification)?;
    }
    if let Some(message) = &message {
        check_message(message)?;
    }
    if let Some(options) = body.object("options")? {
        check_options(&options)?;
    }
    if notification.is_none() && message.is_none() {
        return Err(body.missing("notification", "is required, or message"));
    }
    let content =
        [body.get("notification"), body.get("message")].into_iter().flatten().map(size).sum::<usize>();
    if content > MAX_CONTENT {
        let detail = format!("and message must have at most {MAX_CONTENT} bytes together, not {content}");
        return Err(Fault::new(Sort::TooLarge, body.at("notification"), detail));
    }
    if way == Way::Direct {
        check_direct(body, to_web, notification.as_ref(), message.is_some())?;
    }
    Ok(())
}

/// Answers whether browsers are among them.
fn check_platform(body: &Object<'_>) -> Result<bool, Fault> {
    let names = || Platform::ALL.map(Platform::as_str).join(", ");
    let right = || format!("must be all, web, or a list of {}", names());
    match body.required("platform")? {
        Value::String(one) if one == "all" || one == "web" => Ok(true),
        Value::String(other) => Err(body.wrong("platform", format!("{}, not {}", right(), quoted(other)))),
        Value::Array(_) => {
            let list = body.texts("platform")?.unwrap_or_default();
            if list.is_empty() {
                return Err(body.wrong("platform", format!("{}: it is empty", right())));
            }
            match list.iter().find(|name| Platform::parse(name).is_none()) {
                Some(unknown) => Err(body.wrong("platform", format!("{}, not {}", right(), quoted(unknown)))),
                None => Ok(list.contains(&"web")),
            }
        }
        other => Err(wrong_type(body.at("platform"), &format!("all, web, or a list of {}", names()), other)),
    }
}

fn check_notification(notification: &Object<'_>) -> Result<(), Fault> {
    let for_all = check_alert(notification)?;
    let mut for_some = false;
    for platform in Platform::ALL {
        let name = platform.as_str();
        let Some(own) = notification.object(name)? else { continue };
        let has_alert = match platform {
            Platform::Web => {
                own.text("alert")?.map(|alert| filled(&own, "alert", alert)).transpose()?.is_some()
            }
            _ => check_alert(&own)?,
        };
        if !has_alert && !for_all {
            return Err(
                own.missing("alert", "is required, where notification has no alert for all platforms")
            );
        }
        if platform == Platform::Web {
            check_web(&own, &notification.members()[name])?;
        }
        own.object("extras")?;
        for_some = true;
    }
    if for_all || for_some {
        Ok(())
    } else {
        let detail = "is required, or one of android, ios, hmos and web with its own";
        Err(notification.missing("alert", detail))
    }
}

/// A text, or an object as apps have it. Answers whether there is one.
fn check_alert(object: &Object<'_>) -> Result<bool, Fault> {
    match object.get("alert") {
        None => Ok(false),
        Some(Value::String(alert)) => filled(object, "alert", alert).map(|()| true),
        Some(Value::Object(alert)) if !alert.is_empty() => Ok(true),
        Some(Value::Object(_)) => Err(object.wrong("alert", "must not be empty")),
        Some(other) => Err(wrong_type(object.at("alert"), "a string or an object", other)),
    }
}

fn check_web(web: &Object<'_>, whole: &Value) -> Result<(), Fault> {
    filled(web, "url", web.required_text("url")?)?;
    for name in ["title", "icon", "image"] {
        web.text(name)?;
    }
    let bytes = size(whole);
    if bytes > MAX_WEB {
        let detail = format!("must have at most {MAX_WEB} bytes, not {bytes}");
        return Err(Fault::new(Sort::TooLarge, web.path.clone(), detail));
    }
    Ok(())
}

fn filled(object: &Object<'_>, name: &str, text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() { Err(object.wrong(name, "must not be empty")) } else { Ok(()) }
}

fn check_message(message: &Object<'_>) -> Result<(), Fault> {
    match message.required("msg_content")? {
        Value::String(content) => filled(message, "msg_content", content)?,
        Value::Object(_) => {}
        other => return Err(wrong_type(message.at("msg_content"), "a string or an object", other)),
    }
    message.text("title")?;
    message.text("content_type")?;
    message.object("extras").map(|_| ())
}

fn check_options(options: &Object<'_>) -> Result<(), Fault> {
    options.whole("time_to_live", 0..=MAX_TIME_TO_LIVE)?;
    options.whole("override_msg_id", 0..=i64::MAX)?;
    options.whole("big_push_duration", 0..=MAX_BIG_PUSH)?;
    options.flag("apns_production")?;
    if let Some(id) = options.text("apns_collapse_id")?
        && id.len() > MAX_COLLAPSE_ID
    {
        let detail = format!("must have at most {MAX_COLLAPSE_ID} bytes, not {}", id.len());
        return Err(options.wrong("apns_collapse_id", detail));
    }
    options.object("multi_language")?;
    options.object("third_party_channel")?;
    match options.get("web_buttons") {
        None => Ok(()),
        Some(Value::Array(buttons)) if buttons.len() > MAX_WEB_BUTTONS => {
            let detail = format!("must hold at most {MAX_WEB_BUTTONS}, not {}", buttons.len());
            Err(options.wrong("web_buttons", detail))
        }
        Some(Value::Array(buttons)) => {
            let at = |index| format!("{}[{index}]", options.at("web_buttons"));
            buttons
                .iter()
                .enumerate()
                .try_for_each(|(index, button)| Object::of(button, at(index)).map(|_| ()))
        }
        Some(other) => Err(wrong_type(options.at("web_buttons"), "an array of objects", other)),
    }
}

/// Straight to the devices means to browsers: something has to be there for them.
fn check_direct(
    body: &Object<'_>,
    to_web: bool,
    notification: Option<&Object<'_>>,
    has_message: bool,
) -> Result<(), Fault> {
    if !to_web {
        let detail = "must have web in it: this app's pushes go straight to browsers, and a gateway is needed for the others";
        return Err(body.wrong("platform", detail));
    }
    let shows = notification.is_some_and(|notification| {
        notification.get("alert").is_some()
            || notification.get("web").is_some_and(|web| web != &serde_json::json!({}))
    });
    if shows || has_message {
        return Ok(());
    }
    let detail = "must have web, or an alert for all platforms: this app's pushes go straight to browsers, which would show nothing";
    Err(body.wrong("notification", detail))
}
