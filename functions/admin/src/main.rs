//! Apps and their secrets: no route leads here, it is invoked with AWS credentials.

use rondo_lambda::{World, admin, environment, world};
use std::process::ExitCode;

fn main() -> ExitCode {
    rondo_lambda::run(async {
        let world = World::admin(environment, world::clients).await?;
        admin::serve(world).await
    })
}
