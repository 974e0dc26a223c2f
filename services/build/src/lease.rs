//! Who schedules, where several tasks of the service run side by side.
//!
//! Every task takes events and answers calls; one of them starts and follows builds. If it dies, another one takes over,
//! and what the first had running starts again or is gone on with. Racing commits are harmless in any case: each is made
//! under the version of the site's state.

use std::time::Duration;

use async_trait::async_trait;
use freshet_kit::error::chain;
use freshet_kit::{Error, Shutdown};
use tokio::time::Instant;

/// How often the holder shows that it lives.
pub const BEAT: Duration = Duration::from_secs(3);

/// A holder that has not shown it for so long is taken for dead. Measured by the watcher's own clock, so that clocks may
/// differ as they like.
pub const SILENCE: Duration = Duration::from_secs(15);

/// What the lease looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who holds it; empty: nobody.
    pub holder: String,
    /// Grows with each beat.
    pub beat: u64,
}

/// A lease that one task can hold.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Who we are.
    fn me(&self) -> &str;
    /// How it is now.
    async fn look(&self) -> Result<Seen, Error>;
    /// Takes it or shows that we live, if it is still as it was seen. False: it is not.
    async fn beat(&self, seen: &Seen) -> Result<bool, Error>;
    /// Gives it back, if it is ours.
    async fn give_back(&self) -> Result<(), Error>;
}

/// Waits until the lease is ours. `standby` is called once if somebody else has it. False: the soft stop came first.
pub(crate) async fn take(lease: &dyn Lease, shutdown: &Shutdown, standby: impl FnOnce()) -> bool {
    let mut standby = Some(standby);
    let mut last: Option<(Seen, Instant)> = None;
    loop {
        match lease.look().await {
            Ok(seen) => {
                let silent = match &last {
                    Some((before, since)) if *before == seen => since.elapsed() >= SILENCE,
                    _ => {
                        last = Some((seen.clone(), Instant::now()));
                        false
                    }
                };
                if seen.holder.is_empty() || seen.holder == lease.me() || silent {
                    match claim(lease, &seen).await {
                        Ok(true) => return true,
                        Ok(false) => {}
                        Err(error) => tracing::warn!(error = %chain(&error), "the lease could not be taken"),
                    }
                } else if let Some(standby) = standby.take() {
                    tracing::info!(holder = seen.holder, "another task schedules; this one stands by");
                    standby();
                }
            }
            Err(error) => tracing::warn!(error = %chain(&error), "the lease could not be looked at"),
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = shutdown.stopping() => return false,
        }
    }
}

/// Shows that we live until the soft stop, then gives the lease back. Ends early, and stops the process, if somebody else
/// has taken it: two that schedule would undo each other's work.
pub(crate) async fn hold(lease: &dyn Lease, shutdown: &Shutdown) {
    let mut shown = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = shutdown.stopping() => {
                if let Err(error) = lease.give_back().await {
                    tracing::warn!(error = %chain(&error), "the lease could not be given back; it runs out");
                }
                return;
            }
        }
        match renew(lease).await {
            Ok(true) => shown = Instant::now(),
            Ok(false) => {
                tracing::error!("another task has taken the lease; this one stops");
                shutdown.stop();
                return;
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), silent = ?shown.elapsed(), "the lease could not be renewed");
            }
        }
    }
}

/// False: somebody else has it.
async fn renew(lease: &dyn Lease) -> Result<bool, Error> {
    let seen = lease.look().await?;
    // Nobody's, if its table was lost and made again.
    if seen.holder != lease.me() && !seen.holder.is_empty() {
        return Ok(false);
    }
    claim(lease, &seen).await
}

/// True if the lease is ours now. A beat whose answer was lost is repeated below us, and then finds the lease changed by
/// itself.
async fn claim(lease: &dyn Lease, seen: &Seen) -> Result<bool, Error> {
    Ok(lease.beat(seen).await? || lease.look().await?.holder == lease.me())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    struct Shared(Arc<Mutex<Seen>>, &'static str);

    #[async_trait]
    impl Lease for Shared {
        fn me(&self) -> &str {
            self.1
        }
        async fn look(&self) -> Result<Seen, Error> {
            Ok(self.0.lock().expect("fine").clone())
        }
        async fn beat(&self, seen: &Seen) -> Result<bool, Error> {
            let mut now = self.0.lock().expect("fine");
            if *now != *seen {
                return Ok(false);
            }
            *now = Seen { holder: self.1.to_owned(), beat: seen.beat + 1 };
            Ok(true)
        }
        async fn give_back(&self) -> Result<(), Error> {
            self.0.lock().expect("fine").holder.clear();
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_for_the_silence_of_the_first() {
        let state = Arc::new(Mutex::new(Seen { holder: String::new(), beat: 0 }));
        let (first, second) = (Shared(state.clone(), "first"), Shared(state.clone(), "second"));
        let (running, dead) = (Shutdown::new(), Shutdown::new());
        assert!(take(&first, &dead, || panic!("it is free")).await);
        let holding = tokio::spawn({
            let dead = dead.clone();
            async move {
                let unasked = Shutdown::new();
                tokio::select! {
                    () = hold(&first, &unasked) => {}
                    () = dead.stopping() => {}
                }
            }
        });
        let began = Instant::now();
        let waiting = tokio::spawn(async move { take(&second, &running, || {}).await });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!waiting.is_finished(), "the first one lives");
        dead.stop();
        holding.await.expect("gone");
        assert!(waiting.await.expect("taken"));
        let waited = began.elapsed();
        assert!(waited >= Duration::from_secs(60) + SILENCE - BEAT, "{waited:?}");
        assert!(waited <= Duration::from_secs(60) + SILENCE + 3 * BEAT, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_lost_it_stops_and_who_stops_gives_it_back() {
        let state = Arc::new(Mutex::new(Seen { holder: String::new(), beat: 0 }));
        let lease = Shared(state.clone(), "first");
        let shutdown = Shutdown::new();
        assert!(take(&lease, &shutdown, || {}).await);
        *state.lock().expect("fine") = Seen { holder: "second".into(), beat: 7 };
        hold(&lease, &shutdown).await;
        assert!(shutdown.is_stopping());
        *state.lock().expect("fine") = Seen { holder: "first".into(), beat: 8 };
        hold(&lease, &shutdown).await;
        assert_eq!(state.lock().expect("fine").holder, "");
    }

    /// Each beat is repeated below us, because its answer was lost, and then finds the lease changed by itself.
    struct Repeats(Shared);

    #[async_trait]
    impl Lease for Repeats {
        fn me(&self) -> &str {
            self.0.me()
        }
        async fn look(&self) -> Result<Seen, Error> {
            self.0.look().await
        }
        async fn beat(&self, seen: &Seen) -> Result<bool, Error> {
            self.0.beat(seen).await?;
            self.0.beat(seen).await
        }
        async fn give_back(&self) -> Result<(), Error> {
            self.0.give_back().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn neither_a_lost_answer_nor_a_lost_table_loses_the_lease() {
        let state = Arc::new(Mutex::new(Seen { holder: String::new(), beat: 0 }));
        let lease = Repeats(Shared(state.clone(), "first"));
        let shutdown = Shutdown::new();
        assert!(take(&lease, &shutdown, || {}).await);
        let holding = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { hold(&lease, &shutdown).await }
        });
        tokio::time::sleep(4 * BEAT).await;
        *state.lock().expect("fine") = Seen { holder: String::new(), beat: 0 };
        tokio::time::sleep(4 * BEAT).await;
        assert!(!shutdown.is_stopping() && !holding.is_finished());
        assert_eq!(state.lock().expect("fine").holder, "first");
        shutdown.stop();
        holding.await.expect("ended");
    }
}
