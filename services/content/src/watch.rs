//! The live feed: catching up and following are the same loop over the stored feed, so there is no seam between them.

use std::sync::Arc;
use std::time::Duration;

use freshet_kit::Error;
use freshet_proto::content::v1::WatchChangesResponse;
use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use crate::model::{FeedPage, FeedQuery};
use crate::store::{FeedWaiter, Store};
use crate::{token, wire};

/// Rows looked at in one read. A slow watcher holds no more than this.
pub(crate) const PAGE_ROWS: usize = 256;

/// After this much silence a heartbeat is sent.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The feed is looked at this often even if nobody says that it grew. Divides [`HEARTBEAT`].
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Reads the first part at once, so that a position that is not kept is an error of the call and not of the stream.
pub(crate) async fn start(
    store: Arc<dyn Store>,
    query: FeedQuery,
) -> Result<impl Stream<Item = Result<WatchChangesResponse, Error>> + Send + 'static + use<>, Error> {
    start_with(store, query, Pace { heartbeat: HEARTBEAT, look_again: LOOK_AGAIN }).await
}

#[derive(Clone, Copy)]
struct Pace {
    heartbeat: Duration,
    look_again: Duration,
}

async fn start_with(
    store: Arc<dyn Store>,
    mut query: FeedQuery,
    pace: Pace,
) -> Result<impl Stream<Item = Result<WatchChangesResponse, Error>> + Send + 'static + use<>, Error> {
    // Made before the first read: whatever is committed after that read wakes it.
    let waiter = store.signal().waiter();
    let first = store.read_feed(query.clone()).await?;
    query.after = first.position;
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        // The watcher has gone away: nothing to do about it.
        let _ = follow(store.as_ref(), query, first, waiter, pace, &sender).await;
    });
    Ok(ReceiverStream::new(receiver))
}

/// Nobody listens any more.
struct Gone;

async fn follow(
    store: &dyn Store,
    mut query: FeedQuery,
    mut page: FeedPage,
    mut waiter: FeedWaiter,
    pace: Pace,
    sender: &mpsc::Sender<Result<WatchChangesResponse, Error>>,
) -> Result<(), Gone> {
    let mut last_sent = Instant::now();
    loop {
        for change in &page.changes {
            sender.send(Ok(wire::change_to_proto(change))).await.map_err(|_| Gone)?;
            last_sent = Instant::now();
        }
        if !page.more {
            if last_sent.elapsed() >= pace.heartbeat {
                let resume_token = token::feed(query.client.as_str(), query.after);
                let heartbeat = WatchChangesResponse { resume_token, ..WatchChangesResponse::default() };
                sender.send(Ok(heartbeat)).await.map_err(|_| Gone)?;
                last_sent = Instant::now();
            }
            tokio::select! {
                open = waiter.wait(pace.look_again) => if !open { return Ok(()) },
                () = sender.closed() => return Err(Gone),
            }
        } else if waiter.is_closed() {
            return Ok(());
        }
        page = match store.read_feed(query.clone()).await {
            Ok(page) => page,
            Err(error) => {
                sender.send(Err(error)).await.map_err(|_| Gone)?;
                return Ok(());
            }
        };
        query.after = page.position;
    }
}

#[cfg(test)]
mod tests {
    use freshet_sqlite::{Db, DbOptions};
    use futures::StreamExt as _;

    use super::*;
    use crate::SqliteStore;
    use crate::store::contract::support::{client, ingest, upsert};

    #[tokio::test(flavor = "multi_thread")]
    async fn silence_is_filled_with_heartbeats_from_which_one_can_resume() {
        let folder = tempfile::tempdir().expect("folder");
        let db = Db::open(&folder.path().join("t.db"), &[crate::MIGRATIONS], DbOptions::default()).expect("opens");
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(db, &folder.path().join("bodies")).expect("opens"));
        ingest(store.as_ref(), upsert("1", 10, "a").as_draft()).await;
        let query = FeedQuery { client: client("acme"), source: None, include_all: false, after: 0, limit: PAGE_ROWS };
        let pace = Pace { heartbeat: Duration::from_millis(50), look_again: Duration::from_millis(10) };
        let mut stream = Box::pin(start_with(store.clone(), query, pace).await.expect("stream"));
        for _ in 0..2 {
            let heartbeat = stream.next().await.expect("open").expect("heartbeat");
            assert_eq!((heartbeat.change, heartbeat.delivery_id.as_str()), (None, ""));
            let position = token::feed_position("acme", &heartbeat.resume_token).expect("valid");
            assert_eq!(position, Some(1), "behind the draft, which need not be looked at again");
        }
        ingest(store.as_ref(), upsert("2", 10, "a")).await;
        loop {
            let response = stream.next().await.expect("open").expect("response");
            if let Some(change) = response.change {
                assert_eq!(change.sequence, 2);
                break;
            }
        }
        store.signal().close();
        while let Some(rest) = stream.next().await {
            assert!(rest.expect("heartbeat").change.is_none());
        }
    }
}
