//! What `template.yaml` promises, held against the code: the chain of timeouts, the table, the routes, each
//! function's folder and variables, its permissions, and that the pages for operators know it all. The linters'
//! view of it is in `tests/template.py`.

mod document;
mod functions;
mod routes;
mod stand_in;
mod watching;

use document::Template;
use rondo_domain::{notice::NOTICE_TIMEOUT, policy::Delivery, time::Span};
use serde_json::{Value, json};
use stand_in::StandIn;

fn sum(one: Span, other: Span) -> Span {
    Span::from_millis(one.millis() + other.millis())
}

fn seconds(value: &Value) -> Span {
    Span::from_secs(value.as_u64().unwrap_or_else(|| panic!("{value} is no number of seconds")))
}

/// An attempt ends before its claim's lease, hold and lease before the function, the function before its messages
/// are visible again, and only then is anything sent again.
#[test]
fn the_timeouts_are_a_chain() {
    let template = Template::read();
    let engine = rondo_aws::settings();
    let dispatcher = template.properties("DispatcherFunction");
    let variables = template.variables("DispatcherFunction");
    let hold = Span::from_millis(variables["RONDO_HOLD_MS"].parse().unwrap());
    let function = seconds(&dispatcher["Timeout"]);
    let visible_again = seconds(&template.properties("DeliveryQueue")["VisibilityTimeout"]);
    let longest_window = seconds(&template.document["Parameters"]["BatchWindow"]["MaxValue"]);
    let attempt = Delivery::MAX_TIMEOUT.max(NOTICE_TIMEOUT);

    assert!(sum(hold, attempt) < engine.lease, "{hold:?} + {attempt:?} < {:?}", engine.lease);
    assert!(sum(hold, engine.lease) < function, "{hold:?} + {:?} < {function:?}", engine.lease);
    // Messages wait in a batch that fills, already hidden.
    assert!(sum(function, longest_window) < visible_again, "{function:?} + window < {visible_again:?}");
    assert!(visible_again <= engine.reach.resend_after, "{visible_again:?} <= resending");
    // What travels through the queue may wait there for its whole delay.
    assert!(engine.reach.window <= rondo_aws::MAX_DELAY);
}

/// Lambda's and API Gateway's own limits, which no linter knows together.
#[test]
fn the_other_functions_end_in_time() {
    let template = Template::read();
    let timeout = |function: &str| seconds(&template.properties(function)["Timeout"]);
    let gateway = Span::from_secs(30);
    assert!(timeout("SchedulesFunction") < gateway && timeout("RequestsFunction") < gateway);
    // One round ends before the next begins.
    assert_eq!(template.properties("SweeperSchedule")["ScheduleExpression"], "rate(1 minute)");
    assert!(timeout("SweeperFunction") < Span::from_secs(60));
    assert!(timeout("AdminFunction") <= Span::from_secs(900));
}

/// Property by property what the port tests' tables are made from.
#[tokio::test]
async fn the_table_is_the_one_that_the_store_is_tested_with() {
    let aws = StandIn::start().await;
    let clients = aws.clients();
    rondo_aws::store::schema::create_table(&clients.dynamodb, "rondo").await.unwrap();
    let asked = aws.asked();
    let [(create, mut table), (time_to_live, expiry)] = <[_; 2]>::try_from(asked).unwrap();
    assert_eq!(create, "DynamoDB_20120810.CreateTable");
    assert_eq!(time_to_live, "DynamoDB_20120810.UpdateTimeToLive");

    let template = Template::read();
    let mut written = template.properties("Table").clone();
    assert_eq!(written["TimeToLiveSpecification"], expiry["TimeToLiveSpecification"]);
    assert_eq!(written["PointInTimeRecoverySpecification"], json!({"PointInTimeRecoveryEnabled": true}));
    let written = written.as_object_mut().unwrap();
    for only_deployed in
        ["TimeToLiveSpecification", "PointInTimeRecoverySpecification", "DeletionProtectionEnabled", "Tags"]
    {
        assert!(written.remove(only_deployed).is_some(), "{only_deployed}");
    }
    written["TableName"] = template.value(&written["TableName"]);
    let by_name = |list: &mut Value| {
        list.as_array_mut().unwrap().sort_by_key(|attribute| attribute["AttributeName"].to_string());
    };
    by_name(&mut table["AttributeDefinitions"]);
    by_name(&mut written["AttributeDefinitions"]);
    assert_eq!(Value::Object(written.clone()), table);
}

/// Nothing acknowledged is lost by deleting a stack, or by a change that would replace the table.
#[test]
fn the_data_outlives_its_stack() {
    let template = Template::read();
    for resource in ["Table", "SealingKey"] {
        let resource = &template.document["Resources"][resource];
        assert_eq!(resource["DeletionPolicy"], "RetainExceptOnCreate");
        assert_eq!(resource["UpdateReplacePolicy"], "Retain");
    }
}

#[test]
fn messages_that_fail_end_up_where_they_are_seen() {
    let template = Template::read();
    let queue = template.properties("DeliveryQueue");
    assert_eq!(queue["RedrivePolicy"]["deadLetterTargetArn"], json!({"Fn::GetAtt": "DeadLetters.Arn"}));
    assert_eq!(queue["RedrivePolicy"]["maxReceiveCount"], 5);
    let source = &template.properties("DispatcherFunction")["Events"]["Delivery"]["Properties"];
    assert_eq!(source["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
    assert_eq!(template.value(&source["BatchSize"]), 10);
    assert_eq!(template.value(&source["MaximumBatchingWindowInSeconds"]), 0);
    // A dead letter keeps the instant at which it was first sent: it must not be the first to expire.
    for letters in ["DeadLetters", "SchedulerDeadLetters"] {
        let kept = &template.properties(letters)["MessageRetentionPeriod"];
        assert!(kept.as_u64() >= queue["MessageRetentionPeriod"].as_u64(), "{letters}");
    }
}
