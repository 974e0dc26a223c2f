//! The stream of builds.
//!
//! What this process does is told at once. Where other tasks build as well, the store is looked at every few seconds, so
//! that a stream shows the same whichever task it ends at.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use freshet_domain::{BuildId, ClientId, SiteId};
use freshet_kit::Error;
use freshet_proto::build::v1 as pb;
use freshet_proto::convert::id;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::BuildServer;
use crate::machine::{BuildState, SiteKey};
use crate::store::{BuildQuery, BuildRecord};

/// A heartbeat goes out after so much silence.
const HEARTBEAT: Duration = Duration::from_secs(15);

const RUNNING: [BuildState; 3] = [BuildState::Queued, BuildState::Starting, BuildState::Running];

/// How often the store is looked at for what other tasks did.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Builds whose state a stream remembers: far more than can run at once.
const TOLD_MAX: usize = 10_000;

/// The newest builds that such a look reads.
const LOOKED_AT: usize = 50;

pub(super) type BuildStream =
    Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::WatchBuildsResponse, Status>> + Send + 'static>>;

struct Filter {
    client: ClientId,
    site: Option<SiteId>,
}

/// The reader's end, and what it was told.
struct Out {
    sender: mpsc::Sender<Result<pb::WatchBuildsResponse, Status>>,
    told: BTreeMap<BuildId, BuildState>,
    silent_since: tokio::time::Instant,
}

/// Why a stream ends.
enum End {
    /// Nobody reads it any more.
    Gone,
    /// The reader is told this.
    Failed(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        End::Failed(error)
    }
}

impl Out {
    async fn send(&mut self, build: Option<pb::Build>) -> Result<(), End> {
        self.silent_since = tokio::time::Instant::now();
        self.sender.send(Ok(pb::WatchBuildsResponse { build })).await.map_err(|_| End::Gone)
    }
}

impl Filter {
    fn takes(&self, key: &SiteKey) -> bool {
        key.client == self.client && self.site.as_ref().is_none_or(|site| *site == key.site)
    }
}

impl BuildServer {
    pub(super) async fn do_watch_builds(&self, request: pb::WatchBuildsRequest) -> Result<BuildStream, Error> {
        let client: ClientId = id("client_id", &request.client_id)?;
        let site = match request.site_id.as_str() {
            "" => None,
            _ => {
                let key = super::convert::site_key(&request.client_id, &request.site_id)?;
                self.known_site(&key)?;
                Some(key.site)
            }
        };
        // Subscribed before the present state is read, so that no change falls between the two.
        let changes = self.engine.deps.hub.watch_builds();
        let (sender, stream) = mpsc::channel(16);
        let server = self.clone();
        tokio::spawn(async move {
            let filter = Filter { client, site };
            let out = Out { sender: sender.clone(), told: BTreeMap::new(), silent_since: tokio::time::Instant::now() };
            tokio::select! {
                end = server.feed(&filter, changes, out) => {
                    if let End::Failed(error) = end {
                        let _ = sender.send(Err(error.into_status())).await;
                    }
                }
                () = sender.closed() => {}
                () = server.engine.deps.hub.closing() => {}
            }
        });
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    async fn feed(&self, filter: &Filter, mut changes: broadcast::Receiver<(SiteKey, BuildId)>, mut out: Out) -> End {
        if let Err(end) = self.begin(filter, &mut out).await {
            return end;
        }
        let mut look = tokio::time::interval_at(tokio::time::Instant::now() + LOOK_EVERY, LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            if let Err(end) = self.next(filter, &mut changes, &mut look, &mut out).await {
                return end;
            }
        }
    }

    async fn begin(&self, filter: &Filter, out: &mut Out) -> Result<(), End> {
        // What has ended before is no news, what runs is told.
        for record in self.newest(filter, None).await? {
            if !RUNNING.contains(&record.state) {
                out.told.insert(record.build, record.state);
            }
        }
        self.tell_running(filter, out).await
    }

    async fn next(
        &self,
        filter: &Filter,
        changes: &mut broadcast::Receiver<(SiteKey, BuildId)>,
        look: &mut tokio::time::Interval,
        out: &mut Out,
    ) -> Result<(), End> {
        tokio::select! {
            () = tokio::time::sleep_until(out.silent_since + HEARTBEAT) => out.send(None).await,
            _ = look.tick(), if self.engine.deps.lease.is_some() => match self.newest(filter, None).await {
                Ok(newest) => self.tell(filter, newest, out).await,
                // The next look tells what this one missed.
                Err(error) if error.kind().is_transient() => Ok(()),
                Err(error) => Err(error.into()),
            },
            change = changes.recv() => match change {
                Ok((key, build)) if filter.takes(&key) => {
                    let build = self.build_message(&filter.client, build).await?;
                    self.tell_one(build, out).await
                }
                // Changes of other sites are silence on this stream.
                Ok(_) => Ok(()),
                // A slow reader missed some: what runs now is what it has to know.
                Err(broadcast::error::RecvError::Lagged(_)) => self.tell_running(filter, out).await,
                Err(broadcast::error::RecvError::Closed) => Err(End::Gone),
            },
        }
    }

    async fn newest(&self, filter: &Filter, state: Option<BuildState>) -> Result<Vec<BuildRecord>, Error> {
        let max = if state.is_some() { 1_000 } else { LOOKED_AT };
        let (client, site) = (filter.client.clone(), filter.site.clone());
        self.engine.deps.store.builds(BuildQuery { client, site, state, before: None, max }).await
    }

    async fn tell_running(&self, filter: &Filter, out: &mut Out) -> Result<(), End> {
        for state in RUNNING {
            let running = self.newest(filter, Some(state)).await?;
            self.tell(filter, running, out).await?;
        }
        Ok(())
    }

    /// Tells of those whose state is news, oldest first.
    async fn tell(&self, filter: &Filter, newest: Vec<BuildRecord>, out: &mut Out) -> Result<(), End> {
        for record in newest.into_iter().rev() {
            if out.told.get(&record.build) != Some(&record.state) {
                let build = self.build_message(&filter.client, record.build).await?;
                self.tell_one(build, out).await?;
            }
        }
        Ok(())
    }

    async fn tell_one(&self, build: pb::Build, out: &mut Out) -> Result<(), End> {
        let state = u8::try_from(build.state).ok().and_then(BuildState::from_code);
        if let (Ok(id), Some(state)) = (build.build_id.parse(), state) {
            out.told.insert(id, state);
            // Ids grow with time: the oldest are forgotten.
            while out.told.len() > TOLD_MAX {
                out.told.pop_first();
            }
        }
        out.send(Some(build)).await
    }
}
