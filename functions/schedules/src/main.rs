//! The native API: `/v1/…` and `/healthz`.

use rondo_lambda::{
    World,
    api::{self, Surface},
    environment, world,
};
use std::process::ExitCode;

fn main() -> ExitCode {
    rondo_lambda::run(async {
        let world = World::api(environment, world::clients).await?;
        api::serve(world, Surface::Native).await
    })
}
