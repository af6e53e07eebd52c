//! Starting a function: it asks for the variables of what it uses and for no others, and says which one is missing;
//! the sealing key is the same to all of them, and shown to nobody.

use rondo_domain::{ids::ScheduleId, time::Timestamp};
use rondo_lambda::{
    StartError, World,
    world::{clients, sealing_key},
};
use rondo_tests::receiver::{Answer, Receiver};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Api,
    Dispatcher,
    Sweeper,
    Admin,
}

const ALWAYS: [(&str, &str); 4] = [
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "sesame"),
    ("RONDO_TABLE", "rondo"),
];
const QUEUE: (&str, &str) = ("RONDO_QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/rondo-delivery");
const WAKES: [(&str, &str); 3] = [
    ("RONDO_QUEUE_ARN", "arn:aws:sqs:eu-west-1:1:rondo-delivery"),
    ("RONDO_SCHEDULE_GROUP", "rondo"),
    ("RONDO_SCHEDULER_ROLE_ARN", "arn:aws:iam::1:role/rondo-scheduler"),
];
const SECRET: (&str, &str) = ("RONDO_SEALING_SECRET", "rondo/sealing-key");
const PUBLIC_URL: (&str, &str) = ("RONDO_PUBLIC_URL", "https://rondo.example");
const KEY_TEXT: &str = "c2VzYW1lLXNlc2FtZS1zZXNhbWUtc2VzYW1lLXNlc2E=";

impl Role {
    const ALL: [Role; 4] = [Role::Api, Role::Dispatcher, Role::Sweeper, Role::Admin];

    /// What it cannot do without.
    fn needs(self) -> BTreeMap<&'static str, String> {
        let mut needed = ALWAYS.to_vec();
        match self {
            Role::Api => needed.extend([QUEUE, SECRET].into_iter().chain(WAKES)),
            Role::Dispatcher => needed.extend([QUEUE, SECRET, PUBLIC_URL].into_iter().chain(WAKES)),
            Role::Sweeper => needed.push(QUEUE),
            Role::Admin => needed.push(SECRET),
        }
        needed.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
    }

    async fn start(self, variables: &BTreeMap<&'static str, String>) -> Result<World, StartError> {
        let read = |name: &str| variables.get(name).cloned();
        match self {
            Role::Api => World::api(read, clients).await,
            Role::Dispatcher => World::dispatcher(read, clients).await,
            Role::Sweeper => World::sweeper(read, clients).await,
            Role::Admin => World::admin(read, clients).await,
        }
    }
}

/// An AWS of which every service answers this.
async fn aws_that_answers(status: u16, body: &str) -> Receiver {
    let aws = Receiver::start().await;
    let kind = ("content-type", "application/x-amz-json-1.1".to_owned());
    aws.always(Answer::Full(status, kind, body.to_owned()));
    aws
}

async fn start_at(role: Role, aws: &Receiver) -> Result<World, StartError> {
    let mut variables = role.needs();
    variables.insert("AWS_ENDPOINT_URL", aws.url(""));
    role.start(&variables).await
}

async fn refusal(role: Role, variables: &BTreeMap<&'static str, String>) -> String {
    match role.start(variables).await {
        Ok(_) => panic!("{role:?} starts"),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn a_missing_variable_is_named() {
    for role in Role::ALL {
        for missing in role.needs().into_keys() {
            let mut variables = role.needs();
            variables.remove(missing);
            let said = refusal(role, &variables).await;
            assert!(said.starts_with(&format!("{missing} is not set: ")), "{role:?}: {said}");
        }
    }
}

#[tokio::test]
async fn a_wrong_variable_is_named() {
    for (name, value) in [("RONDO_HOLD_MS", "long"), ("RONDO_ALLOW_PRIVATE_TARGETS", "maybe")] {
        for role in Role::ALL {
            let mut variables = role.needs();
            variables.insert(name, value.to_owned());
            let said = refusal(role, &variables).await;
            assert!(said.starts_with(&format!("{name} must be ")), "{role:?}: {said}");
        }
    }
}

#[tokio::test]
async fn each_starts_with_its_own_variables() {
    let aws = aws_that_answers(200, &format!(r#"{{"SecretString":"{KEY_TEXT}"}}"#)).await;
    for role in Role::ALL {
        let world = start_at(role, &aws).await.unwrap_or_else(|error| panic!("{role:?}: {error}"));
        assert_eq!(world.vault.is_some(), role != Role::Sweeper);
        assert_eq!(world.queue.is_some(), role != Role::Admin);
    }
}

#[tokio::test]
async fn whoever_has_the_same_secret_admits_the_same_links() {
    let id = ScheduleId::new(Timestamp::from_millis(5), 77);
    let aws = aws_that_answers(200, &format!(r#"{{"SecretString":"{KEY_TEXT}"}}"#)).await;
    let (api, dispatcher) = (start_at(Role::Api, &aws).await, start_at(Role::Dispatcher, &aws).await);
    let (api, dispatcher) = (api.expect("it starts"), dispatcher.expect("it starts"));
    let link = dispatcher.engine.links.show(id);
    assert!(link.starts_with("https://rondo.example/requests/get_list?"), "{link}");
    let (_, token) = link.rsplit_once("token=").expect("a token");
    assert!(api.engine.links.admits(id, token));
    assert!(dispatcher.vault.as_deref() == sealing_key(KEY_TEXT).as_ref());
    // What has no key makes links that nobody admits, and admits none.
    let sweeper = start_at(Role::Sweeper, &aws).await.expect("it starts");
    assert!(!sweeper.engine.links.admits(id, token));
}

#[tokio::test]
async fn a_secret_that_will_not_do_ends_the_start_and_is_not_shown() {
    for (status, body, told) in [
        (200, r#"{"SecretString":"sesame"}"#, "at least 32 characters"),
        (200, r#"{"SecretBinary":"c2VzYW1l"}"#, "is no text"),
        (400, r#"{"__type":"ResourceNotFoundException","message":"no such secret"}"#, "no such secret"),
    ] {
        let aws = aws_that_answers(status, body).await;
        for role in [Role::Api, Role::Dispatcher, Role::Admin] {
            let said = match start_at(role, &aws).await {
                Ok(_) => panic!("{role:?} starts with {body}"),
                Err(error) => error.to_string(),
            };
            assert!(said.starts_with("RONDO_SEALING_SECRET: the secret rondo/sealing-key "), "{said}");
            assert!(said.contains(told) && !said.contains("sesame"), "{said}");
        }
    }
}
