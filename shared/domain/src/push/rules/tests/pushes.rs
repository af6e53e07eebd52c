//! What a push may say.

use super::{Broken, broken, check_all, push};
use crate::push::{rules::push::check, sender::Way};
use serde_json::{Value, json};

fn many(count: usize) -> Value {
    (0..count).map(|i| format!("name{i}")).collect()
}

fn rules() -> Vec<Broken> {
    let long = |bytes: usize| json!("x".repeat(bytes));
    vec![
        broken("/from", json!(5), 21016, "from"),
        broken("/request_id", json!({}), 21016, "request_id"),
        broken("/custom_args", json!([1]), 21016, "custom_args"),
        broken("/platform", json!("web"), 21015, "platform"),
        broken("/audience", json!("all"), 21015, "audience"),
        broken("/to", Value::Null, 21002, "to"),
        broken("/to", json!("everybody"), 21003, "to"),
        broken("/to", json!(["all"]), 21016, "to"),
        broken("/to", json!({}), 21002, "to"),
        broken("/to", json!({"tag": [], "alias": null}), 21002, "to"),
        broken("/to/tags", json!(["a"]), 21015, "to.tags"),
        broken("/to/tag", json!("a"), 21016, "to.tag"),
        broken("/to/tag", json!([1]), 21016, "to.tag[0]"),
        broken("/to/tag", json!(["a", ""]), 21003, "to.tag[1]"),
        broken("/to/tag", json!(["x".repeat(41)]), 21003, "to.tag[0]"),
        broken("/to/tag", many(21), 21003, "to.tag"),
        broken("/to/tag_and", many(21), 21003, "to.tag_and"),
        broken("/to/tag_not", many(21), 21003, "to.tag_not"),
        broken("/to/alias", many(1001), 21003, "to.alias"),
        broken("/to/alias", json!(["a\nb"]), 21003, "to.alias[0]"),
        broken("/to/registration_id", many(1001), 21003, "to.registration_id"),
        broken("/to/registration_id", json!(["x".repeat(129)]), 21003, "to.registration_id[0]"),
        broken("/to/seg", json!("s"), 21016, "to.seg"),
        broken("/to/seg", json!({"name": "s"}), 21002, "to.seg.id"),
        broken("/to/seg", json!({"id": ""}), 21003, "to.seg.id"),
        broken("/to/live_activity_id", json!(7), 21016, "to.live_activity_id"),
        broken("/to/live_activity_id", json!(""), 21003, "to.live_activity_id"),
        broken("/body", Value::Null, 21002, "body"),
        broken("/body", json!("web"), 21016, "body"),
        broken("/body/platform", Value::Null, 21002, "body.platform"),
        broken("/body/platform", json!("web scheduled task"), 21003, "body.platform"),
        broken("/body/platform", json!([]), 21003, "body.platform"),
        broken("/body/platform", json!(["web", "winphone"]), 21003, "body.platform"),
        broken("/body/platform", json!(["all"]), 21003, "body.platform"),
        broken("/body/platform", json!({"web": true}), 21016, "body.platform"),
        broken("/body/notification", json!("hello"), 21016, "body.notification"),
        broken("/body/notification", json!({"quickapp": {}}), 21002, "body.notification.alert"),
        broken("/body/notification", json!({"alert": ""}), 21003, "body.notification.alert"),
        broken("/body/notification", json!({"alert": {}}), 21003, "body.notification.alert"),
        broken("/body/notification", json!({"alert": 5}), 21016, "body.notification.alert"),
        broken("/body/notification/web", json!("hello"), 21016, "body.notification.web"),
        broken("/body/notification/web/alert", Value::Null, 21002, "body.notification.web.alert"),
        broken("/body/notification/web/alert", json!({"a": "b"}), 21016, "body.notification.web.alert"),
        broken("/body/notification/web/alert", json!(" "), 21003, "body.notification.web.alert"),
        broken("/body/notification/web/url", Value::Null, 21002, "body.notification.web.url"),
        broken("/body/notification/web/url", json!(""), 21003, "body.notification.web.url"),
        broken("/body/notification/web/url", json!(1), 21016, "body.notification.web.url"),
        broken("/body/notification/web/title", json!(1), 21016, "body.notification.web.title"),
        broken("/body/notification/web/extras", json!("k=v"), 21016, "body.notification.web.extras"),
        broken("/body/notification/web/icon", long(2048), 21005, "body.notification.web"),
        broken("/body/notification/android", json!({"title": "t"}), 21002, "body.notification.android.alert"),
        broken("/body/notification/ios", json!({"sound": "s"}), 21002, "body.notification.ios.alert"),
        broken("/body/notification/hmos", json!({"title": "t"}), 21002, "body.notification.hmos.alert"),
        broken("/body/notification/hmos", json!({"alert": ["x"]}), 21016, "body.notification.hmos.alert"),
        broken("/body/notification/android/big_text", long(4000), 21005, "body.notification"),
        broken("/body/message", json!("m"), 21016, "body.message"),
        broken("/body/message", json!({"title": "t"}), 21002, "body.message.msg_content"),
        broken("/body/message", json!({"msg_content": ""}), 21003, "body.message.msg_content"),
        broken("/body/message", json!({"msg_content": 5}), 21016, "body.message.msg_content"),
        broken("/body/message/extras", json!([]), 21016, "body.message.extras"),
        broken("/body/options", json!(60), 21016, "body.options"),
        broken("/body/options/time_to_live", json!(-1), 21003, "body.options.time_to_live"),
        broken("/body/options/time_to_live", json!(1_296_001), 21003, "body.options.time_to_live"),
        broken("/body/options/time_to_live", json!(u64::MAX), 21003, "body.options.time_to_live"),
        broken("/body/options/time_to_live", json!("60"), 21016, "body.options.time_to_live"),
        broken("/body/options/time_to_live", json!(1.5), 21016, "body.options.time_to_live"),
        broken("/body/options/override_msg_id", json!("x"), 21016, "body.options.override_msg_id"),
        broken("/body/options/big_push_duration", json!(1441), 21003, "body.options.big_push_duration"),
        broken("/body/options/apns_production", json!("true"), 21016, "body.options.apns_production"),
        broken("/body/options/apns_collapse_id", long(65), 21003, "body.options.apns_collapse_id"),
        broken("/body/options/multi_language", json!("en"), 21016, "body.options.multi_language"),
        broken("/body/options/third_party_channel", json!([]), 21016, "body.options.third_party_channel"),
        broken("/body/options/web_buttons", json!([{}, {}, {}]), 21003, "body.options.web_buttons"),
        broken("/body/options/web_buttons", json!(["go"]), 21016, "body.options.web_buttons[0]"),
        broken("/body/options/web_buttons", json!({}), 21016, "body.options.web_buttons"),
    ]
}

#[test]
fn each_rule_is_told_by_its_code_and_field() {
    check_all(&push(), &rules(), |push| check(push, Way::Gateway));
}

#[test]
fn something_has_to_be_shown() {
    for (notification, message) in
        [(json!(null), json!(null)), (json!({}), json!({})), (json!({}), json!(null))]
    {
        let mut push = push();
        push["body"]["notification"] = notification;
        push["body"]["message"] = message;
        let error = check(&push, Way::Gateway).expect_err("nothing to show");
        assert_eq!(error.code, 21002);
        assert_eq!(error.message, "body.notification is required, or message");
    }
}

#[test]
fn what_is_empty_or_unknown_is_no_harm() {
    let passes = |change: &dyn Fn(&mut Value)| {
        let mut push = push();
        change(&mut push);
        check(&push, Way::Gateway).expect("it passes");
    };
    passes(&|push| push["to"] = json!("all"));
    passes(&|push| push["to"] = json!({"seg": {"id": "s"}, "tag": []}));
    passes(&|push| push["to"] = json!({"live_activity_id": "l"}));
    passes(&|push| push["body"]["message"] = json!({}));
    passes(&|push| push["body"]["notification"] = json!({}));
    passes(&|push| {
        push["body"]["notification"] = json!({"alert": "for all", "web": {"url": "https://x.example"}})
    });
    passes(&|push| push["body"]["notification"] = json!({"ios": {"alert": {"title": "t"}}}));
    passes(&|push| push["body"]["platform"] = json!("all"));
    passes(&|push| push["body"]["platform"] = json!("web"));
    passes(&|push| push["body"]["options"] = json!({"time_to_live": 0, "anything": [1]}));
    passes(&|push| push["custom_args"] = json!("text"));
    passes(&|push| push["cid"] = json!("c-1"));
    passes(&|push| push["request_id"] = json!(null));
    passes(&|push| push["to"]["alias"] = many(1000));
}

/// To the byte, on both sides.
#[test]
fn sizes_have_their_limits() {
    let padded = |web: bool, bytes: usize| {
        let mut push = push();
        let place = if web { "/body/notification/web/title" } else { "/body/notification/android/big_text" };
        if !web {
            push["body"]["notification"]["android"]["big_text"] = json!("");
        }
        let whole = |push: &Value| match web {
            true => super::size(&push["body"]["notification"]["web"]),
            false => super::size(&push["body"]["notification"]) + super::size(&push["body"]["message"]),
        };
        let place = push.pointer(place).and_then(Value::as_str).expect("a text").len();
        let padding = "x".repeat(bytes - whole(&push) + place);
        match web {
            true => push["body"]["notification"]["web"]["title"] = json!(padding),
            false => push["body"]["notification"]["android"]["big_text"] = json!(padding),
        }
        assert_eq!(whole(&push), bytes);
        check(&push, Way::Gateway).map_err(|error| error.code)
    };
    assert_eq!((padded(true, 2048), padded(true, 2049)), (Ok(()), Err(21005)));
    assert_eq!((padded(false, 4000), padded(false, 4001)), (Ok(()), Err(21005)));
}

#[test]
fn straight_to_the_devices_means_to_browsers() {
    check(&push(), Way::Direct).expect("it passes");
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut push = push();
        change(&mut push);
        check(&push, Way::Gateway).expect("a gateway takes it");
        let error = check(&push, Way::Direct).expect_err("nobody would see it");
        assert_eq!(error.code, 21003, "{error}");
        error.message
    };
    assert!(refused(&|push| push["to"] = json!({"seg": {"id": "s"}})).starts_with("to.seg "));
    assert!(refused(&|push| push["to"]["live_activity_id"] = json!("l")).starts_with("to.live_activity_id "));
    assert!(refused(&|push| push["body"]["platform"] = json!(["ios"])).starts_with("body.platform "));
    let no_web = |push: &mut Value| {
        push["body"]["notification"] = json!({"android": {"alert": "hello"}});
        push["body"]["message"] = json!({});
    };
    assert!(refused(&no_web).starts_with("body.notification "));
    let message_alone = |push: &mut Value| push["body"]["notification"] = json!({});
    let mut push = push();
    message_alone(&mut push);
    check(&push, Way::Direct).expect("a message is something");
}
