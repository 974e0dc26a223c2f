//! The catalogue in force: read by everybody, replaced as a whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use freshet_domain::Catalogue;
use tokio::sync::watch;

use crate::Shutdown;

/// The catalogue in force. Cheap to clone and to read.
#[derive(Clone)]
pub struct CatalogueHandle {
    current: Arc<ArcSwap<Catalogue>>,
    editions: Arc<watch::Sender<u64>>,
}

impl CatalogueHandle {
    /// Begins with this edition.
    pub fn new(catalogue: Catalogue) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(catalogue)), editions: Arc::new(watch::Sender::new(0)) }
    }

    /// The edition in force now. Use one edition for one decision.
    pub fn get(&self) -> Arc<Catalogue> {
        self.current.load_full()
    }

    /// Replaces it.
    pub fn replace(&self, catalogue: Catalogue) {
        self.current.store(Arc::new(catalogue));
        self.editions.send_modify(|edition| *edition += 1);
    }

    /// Tells of each new edition.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.editions.subscribe()
    }
}

/// Reads the file again whenever it changes, until the soft stop. `read` makes a catalogue of its text, or says what is
/// wrong with it: then the old edition stays in force.
pub async fn watch_file(
    handle: CatalogueHandle,
    path: PathBuf,
    shutdown: Shutdown,
    read: impl Fn(&str) -> Result<Catalogue, String> + Send + 'static,
) {
    // Compared by content: editors replace files, and times of replaced files go backwards.
    let mut seen = tokio::fs::read(&path).await.unwrap_or_default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = shutdown.stopping() => return,
        }
        let Ok(now) = tokio::fs::read(&path).await else { continue };
        if now == seen {
            continue;
        }
        match read(&String::from_utf8_lossy(&now)) {
            Ok(catalogue) => {
                handle.replace(catalogue);
                tracing::info!(path = %path.display(), "the catalogue changed and is in force");
            }
            Err(problems) => {
                tracing::warn!(path = %path.display(), problems, "the changed catalogue is refused, the old one stays in force");
            }
        }
        seen = now;
    }
}
