//! Events that could not be handled.

use freshet_kit::{Error, page};
use freshet_proto::build::v1 as pb;

use super::BuildServer;

/// Dead letters in one answer where nothing else is asked for.
const LISTED: usize = 20;

/// Most of them in one answer: enough to see what is wrong, and it fits into a message.
const LISTED_MAX: usize = 100;

impl BuildServer {
    pub(super) async fn do_list_dead_letters(
        &self,
        message: pb::ListDeadLettersRequest,
    ) -> Result<pb::ListDeadLettersResponse, Error> {
        let max = page::size(message.page_size, LISTED)?.min(LISTED_MAX);
        let queue = &self.engine.deps.queue;
        let (listed, stats) = tokio::try_join!(queue.dead_letters(max), queue.stats())?;
        let dead_letters = listed.into_iter().map(|dead| pb::DeadLetter {
            body: dead.body,
            receive_count: dead.receive_count,
            reason: dead.reason,
        });
        Ok(pb::ListDeadLettersResponse { dead_letters: dead_letters.collect(), total: stats.dead })
    }

    pub(super) async fn do_redrive_dead_letters(&self) -> Result<pb::RedriveDeadLettersResponse, Error> {
        let redriven = self.engine.deps.queue.redrive().await?;
        tracing::info!(redriven, "dead letters were sent back to the build queue");
        Ok(pb::RedriveDeadLettersResponse { redriven })
    }
}
