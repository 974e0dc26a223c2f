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

/// The feed is looked at this often even if nobody says that it grew.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Reads the first part at once, so that a position that is not kept is an error of the call and not of the stream.
pub(crate) async fn start(
    store: Arc<dyn Store>,
    mut query: FeedQuery,
) -> Result<impl Stream<Item = Result<WatchChangesResponse, Error>> + Send + 'static + use<>, Error> {
    // Made before the first read: whatever is committed after that read wakes it.
    let waiter = store.signal().waiter();
    let first = store.read_feed(query.clone()).await?;
    query.after = first.position;
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        // The watcher has gone away: nothing to do about it.
        let _ = follow(store.as_ref(), query, first, waiter, &sender).await;
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
    sender: &mpsc::Sender<Result<WatchChangesResponse, Error>>,
) -> Result<(), Gone> {
    let mut last_sent = Instant::now();
    loop {
        for change in &page.changes {
            sender.send(Ok(wire::change_to_proto(change))).await.map_err(|_| Gone)?;
            last_sent = Instant::now();
        }
        if !page.more {
            if last_sent.elapsed() >= HEARTBEAT {
                let resume_token = token::feed(query.client.as_str(), query.after);
                let heartbeat = WatchChangesResponse { resume_token, ..WatchChangesResponse::default() };
                sender.send(Ok(heartbeat)).await.map_err(|_| Gone)?;
                last_sent = Instant::now();
            }
            tokio::select! {
                open = waiter.wait(LOOK_AGAIN) => if !open { return Ok(()) },
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
