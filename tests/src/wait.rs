//! Waiting for a state.

use std::future::Future;
use std::time::{Duration, Instant};

/// Longest wait. Generous, because it is only ever reached when something is broken.
pub const PATIENCE: Duration = Duration::from_secs(90);

const PAUSE: Duration = Duration::from_millis(40);

/// Looks again and again until `look` finds what it wants. Panics with the last state that it saw.
pub async fn wait_for<T, F, L>(what: &str, mut look: L) -> T
where
    L: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(state) if Instant::now() >= until => panic!("waited in vain for {what}; last seen: {state}"),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// `Ok` if the condition holds, else the state for the message.
pub fn check(holds: bool, state: impl std::fmt::Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{state:?}")) }
}
