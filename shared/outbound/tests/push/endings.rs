//! The gateway's answers that are no success: which are worth another try, and what is put on record.

use crate::{
    UPSTREAM_SECRET,
    gateway::devices,
    later, push, refused,
    target::{Target, reply},
    upstream_app, world,
};
use rondo_domain::{
    push::sender::{Fate, PushReport, Recipients},
    time::Span,
};
use serde_json::json;

async fn answered(status: &str, headers: &str, body: &str) -> PushReport {
    let gateway = Target::answering(reply(status, headers, body)).await;
    let report =
        world(Some(&gateway.url(""))).send(upstream_app(), &push(json!({})), Recipients::AsAddressed).await;
    assert_eq!(gateway.requests().len(), 1, "neither repeated nor redirected");
    assert_eq!((report.msg_id.as_deref(), report.fates.len()), (None, 1));
    assert_eq!(report.status, Some(status[..3].parse().unwrap()));
    report
}

fn error(code: u32) -> String {
    json!({"error": {"code": code, "message": "said by the gateway"}}).to_string()
}

#[tokio::test]
async fn errors_of_the_contract_are_recorded_and_few_are_tried_again() {
    for (status, code, again) in [
        ("400 Bad Request", 21003, false),
        ("400 Bad Request", 21011, false),
        ("401 Unauthorized", 21004, false),
        ("400 Bad Request", 23008, true),
        ("503 Service Unavailable", 21030, true),
        ("400 Bad Request", 21030, true),
        ("500 Internal Server Error", 27000, true),
        ("400 Bad Request", 27000, true),
        ("429 Too Many Requests", 2002, true),
        ("502 Bad Gateway", 21003, true),
        ("404 Not Found", 21038, false),
        // A success in name only.
        ("200 OK", 21003, false),
        ("200 OK", 23008, true),
    ] {
        let bare = json!({"code": code, "message": "said by the gateway"}).to_string();
        let text = json!({"error": {"code": code.to_string(), "message": "said by the gateway"}}).to_string();
        for body in [error(code), bare, text] {
            let report = answered(status, "", &body).await;
            let said = if again { later(&report.fates[0]).1 } else { refused(&report.fates[0]) };
            assert_eq!((said.code, &*said.message), (code, "said by the gateway"), "{status}: {body}");
        }
    }
}

#[tokio::test]
async fn what_is_no_error_of_the_contracts_is_named_by_its_status() {
    let html = "<html>Bad Gateway</html>";
    for (status, body, code, again) in [
        ("200 OK", r#"{"request_id":"1"}"#, 21009, false),
        ("200 OK", r#"{"msg_id":""}"#, 21009, false),
        ("200 OK", r#"{"msg_id":1.5}"#, 21009, false),
        ("200 OK", r#"{"msg_id":{}}"#, 21009, false),
        ("200 OK", "success", 21009, false),
        ("204 No Content", "", 21009, false),
        ("302 Found", "", 21009, false),
        ("400 Bad Request", "[]", 21009, false),
        ("400 Bad Request", r#"{"error":{"code":0,"message":"none"}}"#, 21009, false),
        ("401 Unauthorized", "", 21004, false),
        ("403 Forbidden", html, 21004, false),
        ("404 Not Found", html, 21009, false),
        ("413 Content Too Large", html, 21005, false),
        ("429 Too Many Requests", html, 23008, true),
        ("500 Internal Server Error", "", 27000, true),
        ("502 Bad Gateway", html, 27000, true),
        ("503 Service Unavailable", r#"{"error":"down"}"#, 27000, true),
    ] {
        let report = answered(status, "location: /elsewhere\r\n", body).await;
        let said = if again { later(&report.fates[0]).1 } else { refused(&report.fates[0]) };
        assert_eq!(said.code, code, "{status}: {body}");
        assert!(said.message.contains(&status[..3]), "{}", said.message);
        assert!(!status.starts_with('2') || said.message.contains("without a msg_id"), "{}", said.message);
    }
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let report = answered("429 Too Many Requests", "retry-after: 90\r\n", &error(23008)).await;
    assert_eq!(later(&report.fates[0]).0, Some(crate::START.plus(Span::from_secs(90))));
    let date = "retry-after: Tue, 14 Nov 2023 22:15:00 GMT\r\n";
    let report = answered("503 Service Unavailable", date, "").await;
    assert_eq!(later(&report.fates[0]).0, Some(crate::START.plus(Span::from_secs(100))));
    assert_eq!(later(&answered("503 Service Unavailable", "", "").await.fates[0]).0, None);
}

#[tokio::test]
async fn no_answer_is_tried_later_for_all_who_were_meant() {
    let silent = Target::raw(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let some = devices(&["a", "b"]);
    let (push, to) = (push(json!({})), Recipients::These(&some));
    let world = world(Some(&silent.url("")));
    let report = world.send_within(upstream_app(), &push, to, Span::from_millis(200)).await;
    assert_eq!((report.fates.len(), report.status), (2, None));
    for fate in &report.fates {
        let (at, error) = later(fate);
        assert_eq!((at, error.code), (None, 21030));
        assert_eq!(error.message, "the gateway: no answer within 200 ms");
    }
}

#[tokio::test]
async fn what_is_recorded_is_short_and_holds_no_secret() {
    let long =
        json!({"error": {"code": 21003, "message": format!("{UPSTREAM_SECRET}\n{}", "x".repeat(9000))}});
    let report = answered("400 Bad Request", "", &long.to_string()).await;
    let message = &refused(&report.fates[0]).message;
    assert!(message.starts_with("… xxx") && message.ends_with("x…"), "{message}");
    assert_eq!(message.chars().count(), 501);
    // Beyond what is read, an answer is no JSON: the status alone counts.
    let endless = json!({"error": {"code": 21003, "message": "x".repeat(100_000)}});
    let report = answered("400 Bad Request", "", &endless.to_string()).await;
    assert_eq!(report.fates, [Fate::Refused(refused(&report.fates[0]).clone())]);
    assert_eq!(refused(&report.fates[0]).code, 21009);
}
