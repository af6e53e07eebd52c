//! What the delivery queue holds: wakes to plan, segments and attempts to call, notices to tell.

use rondo_lambda::{World, dispatch, environment, world};
use std::process::ExitCode;

fn main() -> ExitCode {
    rondo_lambda::run(async {
        let world = World::dispatcher(environment, world::clients).await?;
        dispatch::serve(world).await
    })
}
