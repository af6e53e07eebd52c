//! The net under everything: the sweeper.

use crate::{Outcome, Stage, exactly, secs};
use rondo_tests::{deployed::text, receiver::Receiver};
use serde_json::json;

/// Schedules whose wakes were deleted behind the service's back are woken all the same.
pub async fn a_lost_wake(stage: &Stage) -> Vec<Outcome> {
    let (stack, receiver) = (&stage.stack, Receiver::start_apart().await);
    let mut outcomes = Vec::new();
    for trigger in [
        json!({"single": {"after": "36s"}}),
        json!({"interval": {"every": "1s", "delay": "36s", "occurrences": 2}}),
    ] {
        let schedule = json!({"trigger": trigger, "target": {"http": {"url": receiver.url("/lost")}}});
        let schedule = stack.create(schedule).await;
        for name in stack.far_wakes(&text(&schedule, "id")).await {
            let group = stack.output("ScheduleGroupName");
            let deleted = stack.clients.scheduler.delete_schedule().group_name(group).name(name).send().await;
            deleted.expect("it was there");
        }
        let count = if schedule["occurrences"] == 1 { 1 } else { 2 };
        outcomes.push(Outcome::finished(&schedule, count));
    }
    // Until the look is overdue there is nothing to find, and then it is found as often as it takes.
    let healed = async {
        while receiver.received().len() < 3 {
            let round = stack.invoke("sweeper", json!({})).await;
            assert_eq!(round["held_off"], false, "{round}");
            tokio::time::sleep(secs(3)).await;
        }
    };
    tokio::time::timeout(secs(90), healed).await.expect("the sweeper heals it");
    exactly(&receiver, 3, secs(1), secs(4)).await;
    outcomes
}
