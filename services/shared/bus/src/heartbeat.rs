//! Keeping messages hidden for as long as somebody works on them.

use std::future::Future;

use freshet_kit::error::chain;

use crate::{Queue, Receipt};

/// A third of the visibility: two beats may fail before a message comes again.
const BEATS: u32 = 3;

/// Does the work and keeps the messages hidden until it is done. A beat that fails costs nothing but, at the worst, a
/// message that comes twice.
pub async fn while_working<T>(queue: &dyn Queue, receipts: &[Receipt], work: impl Future<Output = T>) -> T {
    let visibility = queue.visibility();
    let beat = async {
        loop {
            tokio::time::sleep(visibility / BEATS).await;
            if let Err(error) = queue.extend(receipts, visibility).await {
                tracing::warn!(error = %chain(&error), "messages could not be kept hidden, they may come again");
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = beat => unreachable!("it beats until the work is done"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use freshet_kit::Error;

    use super::*;
    use crate::{DeadLetter, Message, QueueStats};

    /// Counts beats, and fails every other one.
    struct Beats(AtomicU32);

    #[async_trait]
    impl Queue for Beats {
        fn visibility(&self) -> Duration {
            Duration::from_secs(30)
        }
        async fn receive(&self, _: usize, _: Duration) -> Result<Vec<Message>, Error> {
            Ok(Vec::new())
        }
        async fn delete(&self, _: &[Receipt]) -> Result<(), Error> {
            Ok(())
        }
        async fn extend(&self, receipts: &[Receipt], visibility: Duration) -> Result<(), Error> {
            assert_eq!((receipts.len(), visibility), (1, self.visibility()));
            match self.0.fetch_add(1, Ordering::SeqCst) % 2 {
                0 => Err(Error::unavailable("not now")),
                _ => Ok(()),
            }
        }
        async fn bury(&self, _: &Message, _: &str) -> Result<(), Error> {
            Ok(())
        }
        async fn stats(&self) -> Result<QueueStats, Error> {
            Ok(QueueStats::default())
        }
        async fn dead_letters(&self, _: usize) -> Result<Vec<DeadLetter>, Error> {
            Ok(Vec::new())
        }
        async fn redrive(&self) -> Result<u64, Error> {
            Ok(0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn messages_stay_hidden_while_somebody_works_and_no_longer() {
        let queue = Beats(AtomicU32::new(0));
        let receipts = [Receipt("1".into())];
        let done = while_working(&queue, &receipts, tokio::time::sleep(Duration::from_secs(45))).await;
        assert_eq!((done, queue.0.load(Ordering::SeqCst)), ((), 4));
        while_working(&queue, &receipts, async {}).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(queue.0.load(Ordering::SeqCst), 4, "no beat without work");
    }
}
