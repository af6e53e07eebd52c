//! Every minute: whatever is overdue is woken again.

use rondo_lambda::{World, environment, sweep, world};
use std::process::ExitCode;

fn main() -> ExitCode {
    rondo_lambda::run(async {
        let world = World::sweeper(environment, world::clients).await?;
        sweep::serve(world).await
    })
}
