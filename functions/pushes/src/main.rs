//! The scheduled-push contract: `/v4/schedules…`, `/v4/push…`, `/v4/devices…`, `/v4/tags…` and `/v4/aliases…`.

use rondo_lambda::{
    World,
    api::{self, Surface},
    environment, world,
};
use std::process::ExitCode;

fn main() -> ExitCode {
    rondo_lambda::run(async {
        let world = World::pushes(environment, world::clients).await?;
        api::serve(world, Surface::Pushes).await
    })
}
