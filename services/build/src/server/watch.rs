//! The stream of builds.

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
use crate::store::BuildQuery;

/// A heartbeat goes out after so much silence.
const HEARTBEAT: Duration = Duration::from_secs(15);

pub(super) type BuildStream =
    Pin<Box<dyn tokio_stream::Stream<Item = Result<pb::WatchBuildsResponse, Status>> + Send + 'static>>;

struct Filter {
    client: ClientId,
    site: Option<SiteId>,
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
        let (out, stream) = mpsc::channel(16);
        let server = self.clone();
        tokio::spawn(async move {
            let filter = Filter { client, site };
            tokio::select! {
                ended = server.feed(&filter, changes, &out) => {
                    if let Err(error) = ended {
                        let _ = out.send(Err(error.into_status())).await;
                    }
                }
                () = out.closed() => {}
                () = server.engine.deps.hub.closing() => {}
            }
        });
        Ok(Box::pin(ReceiverStream::new(stream)))
    }

    async fn feed(
        &self,
        filter: &Filter,
        mut changes: broadcast::Receiver<(SiteKey, BuildId)>,
        out: &mpsc::Sender<Result<pb::WatchBuildsResponse, Status>>,
    ) -> Result<(), Error> {
        self.send_present(filter, out).await?;
        let mut silent_since = tokio::time::Instant::now();
        loop {
            // Changes of other sites are silence on this stream.
            let message = match tokio::time::timeout_at(silent_since + HEARTBEAT, changes.recv()).await {
                Err(_) => pb::WatchBuildsResponse { build: None },
                Ok(Ok((key, build))) if filter.takes(&key) => {
                    pb::WatchBuildsResponse { build: Some(self.build_message(&filter.client, build).await?) }
                }
                Ok(Ok(_)) => continue,
                // A slow reader missed some: what runs now is what it has to know.
                Ok(Err(broadcast::error::RecvError::Lagged(_))) => {
                    self.send_present(filter, out).await?;
                    continue;
                }
                Ok(Err(broadcast::error::RecvError::Closed)) => return Ok(()),
            };
            if out.send(Ok(message)).await.is_err() {
                return Ok(());
            }
            silent_since = tokio::time::Instant::now();
        }
    }

    async fn send_present(
        &self,
        filter: &Filter,
        out: &mpsc::Sender<Result<pb::WatchBuildsResponse, Status>>,
    ) -> Result<(), Error> {
        for state in [BuildState::Queued, BuildState::Starting, BuildState::Running] {
            let query = BuildQuery {
                client: filter.client.clone(),
                site: filter.site.clone(),
                state: Some(state),
                before: None,
                max: 1000,
            };
            for record in self.engine.deps.store.builds(query).await? {
                let build = self.build_message(&filter.client, record.build).await?;
                if out.send(Ok(pb::WatchBuildsResponse { build: Some(build) })).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
