//! The catalogue in force: read by everybody, replaced as a whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use freshet_domain::Catalogue;
use tokio::sync::{mpsc, oneshot, watch};

use crate::Shutdown;

/// The catalogue in force. Cheap to clone and to read.
#[derive(Clone)]
pub struct CatalogueHandle {
    current: Arc<ArcSwap<Catalogue>>,
    editions: Arc<watch::Sender<u64>>,
    /// Where somebody reads the catalogue for this process alone.
    asks: Option<mpsc::UnboundedSender<Ask>>,
}

/// Somebody who waits for the catalogue to be looked at. Answered with whether it could be.
pub type Ask = oneshot::Sender<bool>;

impl CatalogueHandle {
    /// Begins with this edition. For one process: what is in force here is in force for everybody.
    pub fn new(catalogue: Catalogue) -> Self {
        let current = Arc::new(ArcSwap::from_pointee(catalogue));
        Self { current, editions: Arc::new(watch::Sender::new(0)), asks: None }
    }

    /// Begins empty, where each process reads the catalogue for itself, and so at times of its own. Whoever reads it
    /// must look at it, and then answer, whenever it is asked.
    pub fn followed() -> (Self, mpsc::UnboundedReceiver<Ask>) {
        let (asks, asked) = mpsc::unbounded_channel();
        (Self { asks: Some(asks), ..Self::new(Catalogue::default()) }, asked)
    }

    /// False until the first edition was read: what is not in the catalogue before that may well be in it.
    pub fn is_loaded(&self) -> bool {
        self.asks.is_none() || *self.editions.borrow() > 0
    }

    /// Returns once the first edition was read.
    pub async fn loaded(&self) {
        let mut editions = self.subscribe();
        while !self.is_loaded() {
            // Cannot fail: the sender is here.
            let _ = editions.changed().await;
        }
    }

    /// Has the catalogue looked at, and waits for it: what any process knew when this was called is in force here
    /// afterwards. False if it could not be looked at.
    pub async fn look_now(&self) -> bool {
        let Some(asks) = &self.asks else { return true };
        let (ask, answer) = oneshot::channel();
        asks.send(ask).is_ok() && answer.await.unwrap_or(false)
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

/// How the files beside a catalogue were last: changed when, and how long.
type Stamps = Vec<Option<(SystemTime, u64)>>;

fn stamps(files: &[PathBuf]) -> Stamps {
    let stamp = |file| std::fs::metadata(file).ok().and_then(|data| Some((data.modified().ok()?, data.len())));
    files.iter().map(stamp).collect()
}

/// Reads the file again whenever it changes or one of the `files` that its text refers to does, until the soft stop.
/// `read` makes a catalogue of its text, or says what is wrong with it: then the old edition stays in force, and the edit
/// is tried again each second.
pub async fn watch_file(
    handle: CatalogueHandle,
    path: PathBuf,
    shutdown: Shutdown,
    files: impl Fn(&str) -> Vec<PathBuf> + Send + 'static,
    read: impl Fn(&str) -> Result<Catalogue, String> + Send + 'static,
) {
    // Compared by content: editors replace files, and times of replaced files go backwards.
    let mut seen = tokio::fs::read(&path).await.unwrap_or_default();
    let mut beside = files(&String::from_utf8_lossy(&seen));
    let mut stamped = stamps(&beside);
    let mut is_gone = false;
    // What was wrong can be another file, with a secret: an edit that was refused is tried again until it is taken.
    let mut refused: Option<String> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = shutdown.stopping() => return,
        }
        let now = match tokio::fs::read(&path).await {
            Ok(now) => now,
            Err(error) => {
                if !std::mem::replace(&mut is_gone, true) {
                    tracing::warn!(path = %path.display(), %error, "the catalogue cannot be read, the old one stays in force");
                }
                continue;
            }
        };
        is_gone = false;
        // Before it is read: what changes meanwhile is seen the next time.
        let stamps_now = stamps(&beside);
        if now == seen && stamps_now == stamped && refused.is_none() {
            continue;
        }
        let text = String::from_utf8_lossy(&now);
        stamped = if now == seen {
            stamps_now
        } else {
            beside = files(&text);
            stamps(&beside)
        };
        match read(&text) {
            Ok(catalogue) => {
                handle.replace(catalogue);
                refused = None;
                tracing::info!(path = %path.display(), "the catalogue changed and is in force");
            }
            Err(problems) if refused.as_ref() == Some(&problems) => {}
            Err(problems) => {
                refused = Some(problems.clone());
                tracing::warn!(path = %path.display(), problems, "the changed catalogue is refused, the old one stays in force");
            }
        }
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    async fn wait_until(is_so: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if is_so() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within ten seconds");
    }

    /// A secret's file that is put there later, for example.
    #[tokio::test]
    async fn an_edit_that_was_refused_is_tried_again_until_it_is_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("freshet.toml");
        std::fs::write(&path, "before").expect("written");
        let (handle, shutdown) = (CatalogueHandle::new(Catalogue::default()), Shutdown::new());
        let first = handle.get();
        let (is_mended, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let read = {
            let (is_mended, reads) = (is_mended.clone(), reads.clone());
            move |text: &str| {
                assert_eq!(text, "after");
                reads.fetch_add(1, Ordering::SeqCst);
                if is_mended.load(Ordering::SeqCst) { Ok(Catalogue::default()) } else { Err("no secret".to_owned()) }
            }
        };
        let watching = tokio::spawn(watch_file(handle.clone(), path.clone(), shutdown.clone(), |_| Vec::new(), read));
        // It reads what is there once before it looks for edits.
        tokio::time::sleep(Duration::from_millis(300)).await;
        std::fs::write(&path, "after").expect("written");
        wait_until(|| reads.load(Ordering::SeqCst) >= 2).await;
        assert!(Arc::ptr_eq(&first, &handle.get()));
        is_mended.store(true, Ordering::SeqCst);
        wait_until(|| !Arc::ptr_eq(&first, &handle.get())).await;
        // Taken once: it is not read any more.
        let taken = reads.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(reads.load(Ordering::SeqCst), taken);
        shutdown.stop();
        watching.await.expect("ends");
    }

    /// A secret is rotated in its file; the catalogue only names it.
    #[tokio::test]
    async fn a_file_that_the_catalogue_refers_to_counts_as_a_part_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, secret) = (folder.path().join("freshet.toml"), folder.path().join("secret"));
        std::fs::write(&path, "text").expect("written");
        std::fs::write(&secret, "old").expect("written");
        let (handle, shutdown) = (CatalogueHandle::new(Catalogue::default()), Shutdown::new());
        let reads = Arc::new(AtomicUsize::new(0));
        let read = {
            let reads = reads.clone();
            move |_: &str| {
                reads.fetch_add(1, Ordering::SeqCst);
                Ok(Catalogue::default())
            }
        };
        let files = vec![secret.clone()];
        let watching = watch_file(handle.clone(), path, shutdown.clone(), move |_| files.clone(), read);
        let watching = tokio::spawn(watching);
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(reads.load(Ordering::SeqCst), 0, "nothing changed");
        let first = handle.get();
        std::fs::write(&secret, "rotated").expect("written");
        wait_until(|| !Arc::ptr_eq(&first, &handle.get())).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(reads.load(Ordering::SeqCst), 1, "taken once");
        shutdown.stop();
        watching.await.expect("ends");
    }
}
