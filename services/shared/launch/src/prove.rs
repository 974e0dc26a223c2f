//! Ready is proved: what a program needs is looked at until it is there, and what is missing is said by name.

use std::future::Future;
use std::time::Duration;

use freshet_kit::retry::{Backoff, chance};
use freshet_kit::{Error, Readiness, Shutdown};

const PAUSE: Backoff = Backoff { first: Duration::from_millis(500), max: Duration::from_secs(10) };

/// Holds back readiness until `check` succeeds once. Every failure that differs from the last one is logged.
pub fn prove<F>(
    what: &'static str,
    readiness: &Readiness,
    shutdown: &Shutdown,
    check: impl Fn() -> F + Send + Sync + 'static,
) where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let latch = readiness.latch(what);
    let stop = shutdown.clone();
    shutdown.spawn(what, async move {
        let mut told = String::new();
        for attempt in 1.. {
            match check().await {
                Ok(()) => break,
                Err(error) => {
                    let problem = freshet_kit::error::chain(&error);
                    if problem != told {
                        tracing::error!(part = what, problem, "not ready");
                        told = problem;
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE.jittered(attempt, chance())) => {}
                () = stop.stopping() => return,
            }
        }
        drop(latch);
    });
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ready_once_the_check_succeeds() {
        let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
        let checks = Arc::new(AtomicUsize::new(0));
        let counted = checks.clone();
        prove("table", &readiness, &shutdown, move || {
            let done = counted.fetch_add(1, Ordering::SeqCst) == 3;
            async move { if done { Ok(()) } else { Err(Error::unavailable("the table is not there")) } }
        });
        assert_eq!(readiness.pending(), ["table"]);
        readiness.ready().await;
        assert_eq!(checks.load(Ordering::SeqCst), 4);
    }
}
