//! Starting, being ready, and stopping in order.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Soft stop, then hard stop. Cloned into every part of a process.
///
/// Soft: take nothing new, finish what runs. Hard: drop it; whatever was acknowledged is durable already.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl Shutdown {
    /// A process that has just started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Completes when the soft stop begins.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// True once the soft stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Begins the soft stop.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Runs a task that ends by itself after the soft stop. It is dropped at the hard stop.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        let guard = RunningTask::new(name, &self.running);
        self.tasks.spawn(async move {
            let _guard = guard;
            tokio::select! {
                () = task => {}
                () = hard.cancelled() => {}
            }
        });
    }

    /// Begins the soft stop if it has not begun, waits for every task, and drops what is left after `deadline`.
    /// Returns the names of the tasks that had to be dropped.
    pub async fn drain(&self, deadline: Duration) -> Vec<&'static str> {
        self.stop();
        self.tasks.close();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_ok() {
            return Vec::new();
        }
        let left = self.running_tasks();
        tracing::warn!(tasks = ?left, "still running at the end of the drain, dropped");
        self.hard.cancel();
        // Dropping is quick unless a task blocks its thread; the process must end either way.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
        left
    }

    fn running_tasks(&self) -> Vec<&'static str> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }
}

struct RunningTask {
    name: &'static str,
    running: Arc<Mutex<BTreeMap<&'static str, usize>>>,
}

impl RunningTask {
    fn new(name: &'static str, running: &Arc<Mutex<BTreeMap<&'static str, usize>>>) -> Self {
        *running.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(0) += 1;
        Self { name, running: running.clone() }
    }
}

impl Drop for RunningTask {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

/// Ready is proved, not assumed: every part takes a latch at the start and releases it when it has done its first work.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    pending: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    changed: Arc<tokio::sync::Notify>,
}

/// The part that is never ready again once the process is about to stop.
const DRAINING: &str = "draining";

/// Held by a part that is not ready yet. Dropping it makes the part ready.
#[derive(Debug)]
pub struct Latch {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Nothing to wait for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A part that is not ready yet.
    pub fn latch(&self, name: &'static str) -> Latch {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(0) += 1;
        Latch { name, readiness: self.clone() }
    }

    /// Not ready any more, for good: balancers are to send no more, while what they still send is served.
    pub fn drain(&self) {
        std::mem::forget(self.latch(DRAINING));
        self.changed.notify_waiters();
    }

    /// Completes when the process drains.
    pub async fn draining(&self) {
        loop {
            // Enabled before the look, or a change between the look and the wait would go unseen.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.pending().contains(&DRAINING) {
                return;
            }
            changed.await;
        }
    }

    /// The parts that are not ready.
    pub fn pending(&self) -> Vec<&'static str> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// True when every part is ready.
    pub fn is_ready(&self) -> bool {
        self.pending().is_empty()
    }

    /// Completes when every part is ready.
    pub async fn ready(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_ready() {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        let mut pending = self.readiness.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = pending.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                pending.remove(self.name);
            }
        }
        drop(pending);
        self.readiness.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_when_the_last_latch_falls() {
        let readiness = Readiness::new();
        let (store, bus) = (readiness.latch("store"), readiness.latch("bus"));
        assert_eq!(readiness.pending(), ["bus", "store"]);
        drop(store);
        assert!(!readiness.is_ready());
        drop(bus);
        readiness.ready().await;
    }

    #[tokio::test]
    async fn a_process_that_drains_is_never_ready_again() {
        let readiness = Readiness::new();
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.draining().await }
        });
        tokio::task::yield_now().await;
        assert!(readiness.is_ready());
        readiness.drain();
        waiting.await.expect("told");
        assert_eq!(readiness.pending(), ["draining"]);
    }

    #[tokio::test]
    async fn drain_waits_for_tasks_and_names_those_that_hang() {
        let shutdown = Shutdown::new();
        let stop = shutdown.clone();
        shutdown.spawn("good", async move { stop.stopping().await });
        shutdown.spawn("bad", std::future::pending());
        assert_eq!(shutdown.drain(Duration::from_millis(50)).await, ["bad"]);
    }
}
