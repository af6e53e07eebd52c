//! The recurring-callback contract: `/set/…`, `/requests…` and `/executions…`.

use rondo_lambda::{
    World,
    api::{self, Surface},
    environment, world,
};
use std::process::ExitCode;

fn main() -> ExitCode {
    rondo_lambda::run(async {
        let world = World::api(environment, world::clients).await?;
        api::serve(world, Surface::Requests).await
    })
}
