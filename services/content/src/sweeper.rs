//! Removes what was kept long enough, a little at a time.

use std::time::Duration;

use freshet_kit::Shutdown;
use freshet_kit::error::chain;
use freshet_kit::retry;

use crate::ContentDeps;
use crate::model::RetentionLimits;

/// Time between two passes when there is nothing left to remove.
const PASS: Duration = Duration::from_secs(60);

/// Time between two passes when there is more: writers come first.
const NEXT_BIT: Duration = Duration::from_millis(100);

/// Runs until the soft stop.
pub(crate) async fn run(deps: ContentDeps, shutdown: Shutdown) {
    // Several processes that start together do not sweep together.
    let mut pause = PASS.mul_f64(f64::from(retry::chance()) / f64::from(u32::MAX));
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.stopping() => return,
        }
        pause = match deps.store.sweep(deps.clock.now(), RetentionLimits::default()).await {
            Ok(swept) if swept.more => NEXT_BIT,
            Ok(_) => PASS,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "what is out of date could not be removed, trying again");
                PASS
            }
        };
    }
}
