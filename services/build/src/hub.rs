//! What the server and the background tasks of one process tell each other. Nothing in it has to survive a restart:
//! the store is the truth, and this only saves waiting.

use std::sync::Arc;

use freshet_domain::BuildId;
use tokio::sync::{Mutex, Notify, broadcast};
use tokio_util::sync::CancellationToken;

use crate::machine::SiteKey;

/// Shared by the server and the background tasks of one process.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    work: Notify,
    builds: broadcast::Sender<(SiteKey, BuildId)>,
    stops: broadcast::Sender<BuildId>,
    closing: CancellationToken,
    /// Held while the live build of a site is switched and recorded, so that the two cannot disagree.
    switching: Mutex<()>,
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl Hub {
    /// A hub nobody listens to yet.
    pub fn new() -> Self {
        let shared = Shared {
            work: Notify::new(),
            builds: broadcast::Sender::new(1024),
            stops: broadcast::Sender::new(256),
            closing: CancellationToken::new(),
            switching: Mutex::new(()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Has the scheduler look for due work now. Needed after setting a clock by hand; every input does it by itself.
    pub fn wake(&self) {
        self.shared.work.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.shared.work.notified().await;
    }

    pub(crate) fn build_changed(&self, site: &SiteKey, build: BuildId) {
        // No receiver only means that nobody watches.
        let _ = self.shared.builds.send((site.clone(), build));
    }

    pub(crate) fn watch_builds(&self) -> broadcast::Receiver<(SiteKey, BuildId)> {
        self.shared.builds.subscribe()
    }

    pub(crate) fn stop_build(&self, build: BuildId) {
        let _ = self.shared.stops.send(build);
    }

    pub(crate) fn watch_stops(&self) -> broadcast::Receiver<BuildId> {
        self.shared.stops.subscribe()
    }

    /// Ends every stream.
    pub(crate) fn close(&self) {
        self.shared.closing.cancel();
    }

    pub(crate) async fn closing(&self) {
        self.shared.closing.cancelled().await;
    }

    pub(crate) async fn switching(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.switching.lock().await
    }
}
