//! Straight to the devices: what each is sent, and what every answer of a push service means.

use crate::{
    browser::{Browser, request_to, token},
    direct_app, later, push, refused, settings,
    target::{Received, Target, receive, reply},
    world, world_with,
};
use rondo_domain::{
    push::{
        PushSettings,
        device::{Device, Platform},
        sender::{Fate, Recipients},
    },
    time::{Span, Timestamp},
};
use rondo_outbound::{AddressPolicy, SenderSettings};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};
use tokio::{io::AsyncWriteExt as _, sync::Barrier};

/// Answers `POST /{status}` with that status, and what is in front of it.
async fn push_service(headers: &'static str) -> Target {
    Target::answering_by(move |request: &Received| {
        let path = request.line.split(' ').nth(1).unwrap();
        reply(&format!("{} Whatever", &path[1..4]), headers, "").into_bytes()
    })
    .await
}

#[tokio::test]
async fn each_browser_opens_what_was_meant_for_it() {
    let service = push_service("location: /m/1\r\n").await;
    let world = world(None);
    let browsers: Vec<Browser> = (1..=5).map(Browser::new).collect();
    let devices: Vec<Device> = browsers
        .iter()
        .enumerate()
        .map(|(at, browser)| browser.device(&format!("d{at}"), &service.url(&format!("/201/{at}"))))
        .collect();
    let push = push(json!({"time_to_live": 600, "override_msg_id": 12, "web_buttons": [{"id": "1"}]}));
    let report = world.send(direct_app(), &push, Recipients::These(&devices)).await;
    assert_eq!(report.fates, vec![Fate::Accepted; 5]);
    assert_eq!((report.status, report.msg_id.as_deref()), (Some(201), Some("1088009")));
    let mut bodies = BTreeSet::new();
    for (at, browser) in browsers.iter().enumerate() {
        let request = request_to(&service, &format!("/201/{at}"));
        let told = json!({
            "msg_id": "1088009", "alert": "Lunch is ready", "url": "https://rondo.example/", "buttons": [{"id": "1"}]
        });
        assert_eq!(browser.open(&request.body), told);
        assert_eq!(request.header("ttl"), Some("600"));
        assert_eq!(request.header("urgency"), Some("normal"));
        assert_eq!(request.header("topic").map(str::len), Some(32));
        assert_eq!(request.header("content-encoding"), Some("aes128gcm"));
        assert_eq!(request.header("content-type"), Some("application/octet-stream"));
        assert!(request.header("user-agent").unwrap().starts_with("Rondo/"));
        assert_eq!(token(&request).claims["aud"], service.url(""));
        // Salt and key of the sender's are never the same twice.
        bodies.insert(request.body[..16].to_vec());
        bodies.insert(request.body[21..86].to_vec());
    }
    assert_eq!(bodies.len(), 10);
}

#[tokio::test]
async fn what_the_push_does_not_say_is_left_to_the_service() {
    let service = push_service("").await;
    let device = Browser::new(1).device("d", &service.url("/201"));
    world(None).tell(std::slice::from_ref(&device)).await;
    let now_or_never = push(json!({"time_to_live": 0}));
    world(None).send(direct_app(), &now_or_never, Recipients::These(&[device])).await;
    let [plain, urgent] = &service.requests()[..] else { panic!("two requests") };
    let read =
        |request: &Received| ["ttl", "urgency", "topic"].map(|name| request.header(name).map(str::to_owned));
    assert_eq!(read(plain), [Some("86400".to_owned()), Some("normal".to_owned()), None]);
    assert_eq!(read(urgent), [Some("0".to_owned()), Some("high".to_owned()), None]);
}

/// The service answers nobody before all have asked.
#[tokio::test]
async fn all_devices_of_a_job_are_told_at_once() {
    let (count, all) = (20, Arc::new(Barrier::new(20)));
    let service = Target::raw(move |mut stream| {
        let all = all.clone();
        async move {
            receive(&mut stream, &mut Vec::new()).await.unwrap();
            all.wait().await;
            stream.write_all(reply("201 Created", "connection: close\r\n", "").as_bytes()).await.unwrap();
        }
    })
    .await;
    let devices = vec![Browser::new(1).device("d", &service.url("/push")); count];
    let report = world(None).tell(&devices).await;
    assert_eq!(report.fates, vec![Fate::Accepted; count]);
    assert_eq!(service.connections(), count);
}

#[tokio::test]
async fn every_status_has_its_fate_and_fates_come_in_the_order_of_devices() {
    let service = push_service("retry-after: 120\r\nlocation: /m/1\r\n").await;
    let world = world(None);
    let browser = Browser::new(1);
    let statuses = [410, 201, 500, 200, 404, 413, 429, 202, 401, 503, 400, 403, 301];
    let devices: Vec<Device> = statuses
        .iter()
        .map(|status| browser.device(&format!("d{status}"), &service.url(&format!("/{status}"))))
        .collect();
    let report = world.tell(&devices).await;
    assert_eq!(report.fates.len(), statuses.len());
    for (status, fate) in statuses.into_iter().zip(&report.fates) {
        match status {
            200..300 => assert_eq!(*fate, Fate::Accepted, "{status}"),
            404 | 410 => assert_eq!(*fate, Fate::Gone, "{status}"),
            429 | 500.. => {
                let (at, error) = later(fate);
                assert_eq!(at, Some(crate::START.plus(Span::from_secs(120))));
                assert_eq!(error.code, if status == 429 { 23008 } else { 27000 });
                assert_eq!(error.message, format!("the push service answered {status}"));
            }
            _ => {
                let code = match status {
                    413 => 21005,
                    401 | 403 => 21004,
                    _ => 21003,
                };
                assert_eq!(refused(fate).code, code, "{status}");
                assert!(refused(fate).message.contains(&status.to_string()));
            }
        }
    }
    // The redirect was not followed.
    assert_eq!(service.requests().len(), statuses.len());
    assert_eq!(report.status, Some(301), "the last one's");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_tried_later() {
    let silent = Target::raw(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let closing = Target::raw(|stream| async move { drop(stream) }).await;
    let browser = Browser::new(1);
    let secret = |target: &Target| browser.device("d", &target.url("/secret-path?secret"));
    let devices = [secret(&silent), secret(&closing)];
    let (push, to) = (push(json!({})), Recipients::These(&devices));
    let report = world(None).send_within(direct_app(), &push, to, Span::from_millis(200)).await;
    for fate in &report.fates {
        let (at, error) = later(fate);
        assert_eq!((at, error.code), (None, 21030));
        assert!(error.message.starts_with("the push service: "), "{}", error.message);
        assert!(!error.message.contains("secret"));
    }
    assert_eq!(later(&report.fates[0]).1.message, "the push service: no answer within 200 ms");
    assert_eq!(report.status, None);
}

#[tokio::test]
async fn a_token_is_for_an_origin_with_its_port_and_is_used_again() {
    let (one, other) = (push_service("").await, push_service("").await);
    let world = world(None);
    let browser = Browser::new(1);
    let devices = ["/201/a", "/201/b"].map(|path| browser.device("d", &one.url(path)));
    world.tell(&devices).await;
    world.tell(&[browser.device("d", &other.url("/201"))]).await;
    world.clock.forward(Span::from_secs(11 * 3600));
    world.tell(&devices[..1]).await;
    world.clock.forward(Span::from_millis(1));
    world.tell(&devices[..1]).await;
    let tokens: Vec<_> = one.requests().iter().map(token).collect();
    assert_eq!(tokens.len(), 4);
    assert!(tokens[..3].iter().all(|token| token.text == tokens[0].text));
    assert_eq!(tokens[0].claims["aud"], format!("http://{}", one.address));
    assert_eq!(tokens[0].claims["exp"], crate::START.seconds() + 12 * 3600);
    assert_eq!(tokens[0].claims["sub"], "mailto:ops@rondo.example");
    assert_eq!(Some(&tokens[0].key), direct_app().push.vapid.as_ref().map(|key| &key.public));
    assert_eq!(tokens[3].claims["exp"], crate::START.seconds() + 23 * 3600);
    let others = token(&other.requests()[0]);
    assert_eq!(others.claims["aud"], format!("http://{}", other.address));
}

#[tokio::test]
async fn an_apps_own_contact_goes_before_the_services() {
    let service = push_service("").await;
    let mut app = direct_app();
    app.push.contact = Some("https://shop.example/push".to_owned());
    let devices = [Browser::new(1).device("d", &service.url("/201"))];
    world(None).send(app, &push(json!({})), Recipients::These(&devices)).await;
    assert_eq!(token(&service.requests()[0]).claims["sub"], "https://shop.example/push");
}

#[tokio::test]
async fn forbidden_addresses_are_refused_before_a_socket_is_opened() {
    let service = push_service("").await;
    let port = service.address.port();
    let resolving = rondo_outbound::CallerSettings {
        lookup: Arc::new(|_| Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) })),
        ..settings(AddressPolicy::public_only())
    };
    let strict = world_with(resolving, SenderSettings::default());
    let browser = Browser::new(1);
    let devices = ["127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "push.example"]
        .map(|host| browser.device("d", &format!("http://{host}:{port}/201/secret")));
    let report = strict.tell(&devices).await;
    for fate in &report.fates {
        let error = refused(fate);
        assert_eq!(error.code, 21003);
        assert!(
            error.message.starts_with("the push service: the ") && !error.message.contains("secret"),
            "{error}"
        );
    }
    assert_eq!(report.fates.len(), 4);
    assert_eq!(service.connections(), 0);
}

#[tokio::test]
async fn a_push_that_is_too_large_goes_to_nobody() {
    let service = push_service("").await;
    let devices = [1, 2].map(|seed| Browser::new(seed).device("d", &service.url("/201")));
    let mut large = push(json!({}));
    let of_length = |length: usize| json!("x".repeat(length));
    let alert = |push: &mut rondo_domain::push::PushTarget, length| {
        push.push["body"]["notification"]["web"]["alert"] = of_length(length);
    };
    alert(&mut large, 0);
    large.push["body"]["message"] = json!({"msg_content": "m"});
    let rest =
        rondo_outbound::push::payload::payload(&large, "1088009").unwrap().len() + r#""alert":"","#.len();
    alert(&mut large, 3993 - rest);
    let fits = world(None).send(direct_app(), &large, Recipients::These(&devices)).await;
    assert_eq!(fits.fates, vec![Fate::Accepted; 2]);
    assert!(service.requests().iter().all(|request| request.body.len() == 4096));
    alert(&mut large, 3994 - rest);
    let report = world(None).send(direct_app(), &large, Recipients::These(&devices)).await;
    for fate in &report.fates {
        assert_eq!(refused(fate).code, 21005);
        assert!(refused(fate).message.contains("3993 bytes") && refused(fate).message.contains("3994"));
    }
    assert_eq!((report.fates.len(), service.requests().len()), (2, 2));
}

#[tokio::test]
async fn devices_that_cannot_be_reached_are_refused_and_the_others_are_told() {
    let service = push_service("").await;
    let right = Browser::new(1).device("right", &service.url("/201"));
    let altered = |change: fn(&mut rondo_domain::push::device::Subscription)| {
        let mut device = right.clone();
        change(device.subscription.as_mut().unwrap());
        device
    };
    let devices = [
        Device::new("none".parse().unwrap(), Platform::Web, Timestamp::EPOCH),
        altered(|subscription| subscription.p256dh.replace_range(..1, "C")),
        altered(|subscription| subscription.auth = "AAAA".to_owned()),
        altered(|subscription| subscription.endpoint = "nowhere".to_owned()),
        right.clone(),
    ];
    let report = world(None).tell(&devices).await;
    let said: Vec<_> =
        report.fates[..4].iter().map(|fate| (refused(fate).code, &*refused(fate).message)).collect();
    let expected = [
        (1011, "the device has no push subscription"),
        (21003, "the subscription's keys.p256dh is not an uncompressed point of the curve P-256"),
        (21003, "the subscription's keys.auth must be the base64url of 16 bytes, and has 3"),
        (21003, "the subscription's endpoint is not a URL"),
    ];
    assert_eq!(said, expected);
    assert_eq!(report.fates[4], Fate::Accepted);
    assert_eq!((service.requests().len(), report.status), (1, Some(201)));
}

#[tokio::test]
async fn an_app_without_a_usable_key_and_a_push_without_words_are_refused() {
    let service = push_service("").await;
    let devices = [Browser::new(1).device("d", &service.url("/201"))];
    let keyless = rondo_domain::app::App { push: PushSettings::default(), ..direct_app() };
    let stolen = rondo_domain::app::App { key: "thief".parse().unwrap(), ..direct_app() };
    for (app, why) in [(keyless, "has no key"), (stolen, "does not open")] {
        let report = world(None).send(app, &push(json!({})), Recipients::These(&devices)).await;
        assert_eq!(refused(&report.fates[0]).code, 21004);
        assert!(refused(&report.fates[0]).message.contains(why), "{:?}", report.fates);
    }
    let mut silent = push(json!({}));
    silent.push["body"]["notification"] = json!({"ios": {"alert": "for phones"}});
    let report = world(None).send(direct_app(), &silent, Recipients::These(&devices)).await;
    assert_eq!(refused(&report.fates[0]).code, 21003);
    let report = world(None).send(direct_app(), &push(json!({})), Recipients::AsAddressed).await;
    assert_eq!(refused(&report.fates[0]).code, 1011);
    assert_eq!(service.connections(), 0);
}
