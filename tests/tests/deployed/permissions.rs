//! What each function asked of AWS in all that the other scenarios did, against what its role allows: neither may
//! hold what the other lacks. The emulator refuses what is not allowed at all; here resources are compared too, and
//! what is allowed and never used comes to light.

use rondo_tests::{
    deployed::{Deployment, STACK},
    emulator::independently,
};
use serde_json::{Value, json};

const FUNCTIONS: [&str; 6] = ["schedules", "requests", "pushes", "dispatcher", "sweeper", "admin"];

pub async fn check(stack: &Deployment) {
    let names: Vec<String> = FUNCTIONS.iter().map(|name| format!("{STACK}-{name}")).collect();
    let endpoint = stack.emulator.endpoint().to_owned();
    let order = json!({"functions": names});
    let compare = move || independently(&endpoint, "permissions.py", &order);
    let compared = tokio::task::spawn_blocking(compare).await.expect("they can be compared");
    let mut wrong = Vec::new();
    for name in &names {
        let list = |kind: &str| compared[name][kind].as_array().cloned().unwrap_or_default();
        assert!(list("used").len() > 3, "{name} was hardly used: {compared:#}");
        let lines = |kind: &'static str| {
            list(kind).into_iter().map(move |one: Value| format!("{name}: {kind}: {one}"))
        };
        wrong.extend(lines("missing"));
        wrong.extend(lines("unused"));
    }
    assert!(wrong.is_empty(), "roles that do not fit what the functions do:\n{}", wrong.join("\n"));
}
