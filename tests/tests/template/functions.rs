//! Each function: its folder, the variables that it starts with, and what it may do.

use crate::{
    document::{Template, file, string},
    stand_in::StandIn,
};
use rondo_aws::AwsSettings;
use rondo_lambda::{StartError, World, settings::FunctionSettings, world};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Mutex,
};

/// What a function does without: each has a default, or changes only what fails.
const OPTIONAL: [&str; 8] = [
    "RONDO_ALLOW_PRIVATE_TARGETS",
    "RONDO_DEAD_LETTER_ARN",
    "RONDO_HOLD_MS",
    "RONDO_LOG",
    "RONDO_MINIMUM_INTERVAL_MS",
    "RONDO_PUSH_CONTACT",
    "RONDO_PUSH_GATEWAY",
    "RONDO_RETENTION_DAYS",
];

/// Name in the template → name of the folder.
fn functions(template: &Template) -> BTreeMap<String, String> {
    let all = template.of_type("AWS::Serverless::Function").into_iter();
    all.map(|(name, function)| {
        let code = string(&function["CodeUri"]);
        (name.to_owned(), code.strip_prefix("functions/").expect("it is in functions/").to_owned())
    })
    .collect()
}

#[test]
fn every_folder_is_a_function_and_every_function_has_its_folder() {
    let folders = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../functions");
    let folders: BTreeSet<_> = fs::read_dir(folders)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let template = Template::read();
    let functions = functions(&template);
    assert_eq!(functions.values().cloned().collect::<BTreeSet<_>>(), folders);
    for (name, folder) in functions {
        let function = template.properties(&name);
        // `cargo lambda deploy` finds it under this name.
        assert_eq!(template.value(&function["FunctionName"]), format!("rondo-{folder}"));
        assert_eq!(template.document["Resources"][&name]["Metadata"]["BuildMethod"], "rust-cargolambda");
        let manifest = file(&format!("functions/{folder}/Cargo.toml"));
        assert!(manifest.contains(&format!("name = \"{folder}\"")), "the package is named as its folder");
    }
}

/// What `cargo lambda deploy` sets is what the stack has set, or shipping one function would change it.
#[test]
fn a_function_shipped_alone_keeps_its_memory_and_its_time() {
    let template = Template::read();
    for (name, folder) in functions(&template) {
        let manifest = file(&format!("functions/{folder}/Cargo.toml"));
        let deploy = manifest.split("[package.metadata.lambda.deploy]").nth(1).unwrap_or_default();
        let deploy = deploy.split("\n[").next().unwrap_or_default();
        let said = |key: &str| {
            let line = deploy.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix('='));
            line.map(|value| value.trim().to_owned())
        };
        let function = template.properties(&name);
        let text = |value: &Value| Some(template.value(value).to_string());
        assert_eq!(said("memory"), text(&function["MemorySize"]), "{folder}");
        assert_eq!(said("timeout"), text(&function["Timeout"]), "{folder}");
    }
}

async fn start(folder: &str, read: impl Fn(&str) -> Option<String>) -> Result<World, StartError> {
    match folder {
        "schedules" | "requests" => World::api(read, world::clients).await,
        "pushes" => World::pushes(read, world::clients).await,
        "dispatcher" => World::dispatcher(read, world::clients).await,
        "sweeper" => World::sweeper(read, world::clients).await,
        "admin" => World::admin(read, world::clients).await,
        other => panic!("how does {other} start?"),
    }
}

/// Everything that it demands is there, and what it is given is demanded or one of the few that it may go without.
#[tokio::test]
async fn every_function_starts_with_what_the_template_gives_it() {
    let aws = StandIn::start().await;
    let template = Template::read();
    for (name, folder) in functions(&template) {
        let variables = template.variables(&name);
        let read = |without: &str, asked: &str| match asked {
            "AWS_REGION" => Some("us-east-1".to_owned()),
            "AWS_ENDPOINT_URL" => Some(aws.endpoint().to_owned()),
            asked if asked == without => None,
            asked => variables.get(asked).cloned(),
        };
        let started = start(&folder, |asked| read("", asked)).await;
        assert!(started.is_ok(), "{folder}: {}", started.err().unwrap());
        for variable in variables.keys() {
            let started = start(&folder, |asked| read(variable, asked)).await;
            match started {
                // With it, the answer that shows an app's secrets says where they are good for, and push services
                // know whom to turn to.
                Ok(_) if ["admin", "pushes"].contains(&folder.as_str()) && variable == "RONDO_PUBLIC_URL" => {
                }
                Ok(_) => assert!(OPTIONAL.contains(&variable.as_str()), "{folder} does not need {variable}"),
                Err(error) => assert!(error.to_string().contains(variable), "{folder}: {variable}: {error}"),
            }
        }
    }
}

/// Every variable that a function reads or is given stands in the operators' table.
#[test]
fn every_variable_is_documented() {
    let asked = Mutex::new(BTreeSet::new());
    let read = |name: &str| {
        asked.lock().unwrap().insert(name.to_owned());
        matches!(name, "AWS_REGION" | "RONDO_TABLE" | "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY")
            .then(|| "rondo".to_owned())
    };
    AwsSettings::read(read).unwrap();
    FunctionSettings::read(read).unwrap();
    let template = Template::read();
    let mut names = asked.into_inner().unwrap();
    names.extend(functions(&template).keys().flat_map(|name| template.variables(name).into_keys()));
    let page = file("docs/operations.md");
    for name in names.iter().filter(|name| name.starts_with("RONDO_")) {
        assert!(page.contains(&format!("`{name}`")), "docs/operations.md does not know {name}");
    }
}

#[test]
fn every_parameter_is_documented_and_the_environments_set_only_those() {
    let template = Template::read();
    let parameters = template.document["Parameters"].as_object().unwrap();
    let page = file("docs/deploy-aws.md");
    for name in parameters.keys() {
        assert!(page.contains(&format!("| `{name}` |")), "docs/deploy-aws.md does not know {name}");
    }
    let environments = file("samconfig.toml");
    let overrides = environments.lines().filter(|line| line.starts_with("parameter_overrides"));
    let set: Vec<_> = overrides.flat_map(|line| line.split('"').skip(1).step_by(2)).collect();
    assert!(!set.is_empty());
    for entry in set {
        let (name, _) = entry.split_once('=').unwrap();
        assert!(parameters.contains_key(name), "samconfig.toml sets {name}");
    }
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |items| items.iter().collect())
}

/// No role may do anything to everything, and each says who may take it on.
#[test]
fn permissions_name_their_actions_and_their_resources() {
    let template = Template::read();
    let mut seen = 0;
    for (name, role) in template.of_type("AWS::IAM::Role") {
        assert!(role.get("ManagedPolicyArns").is_none(), "{name}: AWS's own policies hold for all resources");
        for policy in role["Policies"].as_array().unwrap() {
            for statement in policy["PolicyDocument"]["Statement"].as_array().unwrap() {
                seen += 1;
                for action in list(&statement["Action"]) {
                    assert!(!action.as_str().unwrap().contains('*'), "{name}: {action}");
                }
                for resource in list(&statement["Resource"]) {
                    let arn = template.value(resource);
                    let arn = arn.as_str().unwrap();
                    assert!(arn.starts_with("arn:aws:") && arn.len() > 20, "{name}: {arn}");
                    let after_account = arn.splitn(6, ':').nth(5).unwrap();
                    assert_ne!(after_account, "*", "{name}: {arn}");
                }
            }
        }
        let trust = &role["AssumeRolePolicyDocument"]["Statement"][0];
        if trust["Principal"]["Service"] == "scheduler.amazonaws.com" {
            let only = &trust["Condition"]["StringEquals"];
            assert!(only.get("aws:SourceAccount").is_some() && only.get("aws:SourceArn").is_some(), "{name}");
        }
    }
    assert!(seen > 20, "{seen} statements");
    for (name, function) in template.of_type("AWS::Serverless::Function") {
        // With a role of its own, SAM adds no policy of AWS's.
        let role = function["Role"]["Fn::GetAtt"].as_str().unwrap();
        assert_eq!(role, name.replace("Function", "Role.Arn"));
    }
}
