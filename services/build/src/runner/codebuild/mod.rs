//! Builds sites in CodeBuild: one project per site, which has the site's sources and its buildspec.
//!
//! The snapshot goes to a bucket, the build gets its address, and leaves the finished site in the site's own bucket.

mod ended;
mod follow;
mod note;
mod request;
mod start;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_codebuild::Client;
use aws_smithy_types::timeout::TimeoutConfig;
use freshet_aws::{Objects, SdkConfig};
use freshet_domain::BuildId;
use freshet_kit::Error;
use freshet_kit::error::chain;
use freshet_kit::retry::{Backoff, chance};
use tokio_util::sync::CancellationToken;

use self::follow::{Followed, Follower, Seen};
use super::{BuildJob, RunOutcome, RunResult, Runner};

/// CodeBuild answers more slowly than what else we call.
const CALL_ATTEMPT: Duration = Duration::from_secs(10);
const CALL_OPERATION: Duration = Duration::from_secs(40);

/// Attempts to stop a build; its own time limit ends it otherwise.
const STOP_ATTEMPTS: u32 = 5;

/// How long the runner waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two questions about all running builds.
    pub poll: Duration,
    /// Before a start is tried again.
    pub backoff: Backoff,
    /// For a build that was told to stop to end.
    pub stop: Duration,
    /// For a build to leave CodeBuild's own queue.
    pub queued: Duration,
    /// How long a start whose answer was lost is repeated; CodeBuild knows its token for five minutes.
    pub unsure: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(30) },
            stop: Duration::from_secs(60),
            queued: Duration::from_secs(3600),
            unsure: Duration::from_secs(240),
        }
    }
}

/// Runs builds in CodeBuild.
pub struct CodeBuildRunner {
    client: Client,
    objects: Objects,
    follower: Follower,
    pace: Pace,
    /// What this process started or took over and has not seen end.
    running: Mutex<BTreeMap<BuildId, String>>,
}

impl CodeBuildRunner {
    /// Reaches CodeBuild with `config`. `bucket` is for what builds get.
    pub fn new(config: &SdkConfig, bucket: &str) -> Self {
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(CALL_ATTEMPT).operation_timeout(CALL_OPERATION).build();
        let client = aws_sdk_codebuild::config::Builder::from(config).timeout_config(timeouts).build();
        Self::with_client(Client::from_conf(client), Objects::new(config, bucket), Pace::default())
    }

    /// With a client and a pace of the caller's making; for tests.
    pub fn with_client(client: Client, objects: Objects, pace: Pace) -> Self {
        let follower = Follower::new(client.clone(), pace.poll);
        Self { client, objects, follower, pace, running: Mutex::default() }
    }

    /// Has the runner look at a build of CodeBuild at once, because somebody says that it ended. False if this process
    /// does not wait for it.
    pub fn wake(&self, codebuild_id: &str) -> bool {
        self.follower.wake(codebuild_id)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<BuildId, String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a build of CodeBuild to its end.
    async fn follow(&self, job: &BuildJob, id: &str, stop: &CancellationToken) -> RunResult {
        let mut followed = self.follower.follow(id);
        // An old one may have ended long ago.
        self.follower.wake(id);
        let time_max = self.pace.queued + request::time_limit(job) + self.pace.stop;
        let is_late = tokio::select! {
            ended = until_ended(&mut followed) => return ended,
            () = stop.cancelled() => false,
            () = tokio::time::sleep(time_max) => true,
        };
        self.stop(id).await;
        // Its files must not change any more once we have said that it ended.
        let mut ended = match tokio::time::timeout(self.pace.stop, until_ended(&mut followed)).await {
            Ok(ended) => ended,
            Err(_) => {
                tracing::warn!(build.id = %job.build, codebuild.id = id, "a CodeBuild build was told to stop and has not ended");
                RunResult { outcome: RunOutcome::Stopped, log_tail: String::new(), log_location: None }
            }
        };
        ended.outcome = if is_late {
            RunOutcome::Failed("the CodeBuild build did not end within its time limit and was stopped".to_owned())
        } else {
            RunOutcome::Stopped
        };
        ended
    }

    /// Stops a build of CodeBuild. One that has ended is as good.
    async fn stop(&self, id: &str) {
        for attempt in 1.. {
            let Err(failed) = self.client.stop_build().id(id).send().await else { break };
            let error = freshet_aws::error("StopBuild", failed);
            if attempt >= STOP_ATTEMPTS || !error.kind().is_transient() {
                tracing::warn!(codebuild.id = id, error = %chain(&error), "a CodeBuild build could not be stopped");
                break;
            }
            tokio::time::sleep(self.pace.backoff.jittered(attempt, chance())).await;
        }
        self.follower.wake(id);
    }

    async fn run_known(&self, job: &BuildJob, stop: &CancellationToken) -> RunResult {
        let started = match self.started_before(job.build).await {
            Ok(Some(id)) => {
                tracing::info!(build.id = %job.build, codebuild.id = id, "a CodeBuild build of an earlier process goes on");
                Ok(id)
            }
            Ok(None) => self.start(job, stop).await,
            Err(error) => {
                let text = format!("it is not known whether CodeBuild has the build: {}", error.message());
                Err(RunOutcome::Failed(text))
            }
        };
        let id = match started {
            Ok(id) => id,
            Err(outcome) => return RunResult { outcome, log_tail: String::new(), log_location: None },
        };
        self.running().insert(job.build, id.clone());
        let result = self.follow(job, &id, stop).await;
        self.running().remove(&job.build);
        result
    }
}

async fn until_ended(followed: &mut Followed) -> RunResult {
    loop {
        match followed.next().await {
            Seen::Build(build) => {
                if let Some(outcome) = ended::outcome(&build) {
                    let log_location = ended::log_link(&build).map(str::to_owned);
                    return RunResult { outcome, log_tail: ended::tail(&build), log_location };
                }
            }
            Seen::Gone => {
                let outcome = RunOutcome::Failed("CodeBuild does not know the build any more".to_owned());
                return RunResult { outcome, log_tail: String::new(), log_location: None };
            }
            Seen::Nothing => {}
        }
    }
}

#[async_trait]
impl Runner for CodeBuildRunner {
    async fn run(&self, job: &BuildJob, stop: &CancellationToken) -> RunResult {
        let result = self.run_known(job, stop).await;
        // What it was given is of no use to anybody now. What stays is left to the bucket's rule.
        let [content, changed_keys] = request::keys(job);
        if let Err(error) = self.objects.delete_all(&[content, changed_keys, note::key(job.build)]).await {
            tracing::debug!(build.id = %job.build, error = %chain(&error), "a build's snapshot is left to the bucket's rule");
        }
        result
    }

    fn outlives_process(&self) -> bool {
        true
    }

    async fn goes_on(&self, build: BuildId) -> Result<bool, Error> {
        Ok(self.started_before(build).await?.is_some())
    }

    async fn abandon(&self, build: BuildId) {
        let known = self.running().remove(&build);
        let id = match known {
            Some(id) => Ok(Some(id)),
            None => self.started_before(build).await,
        };
        match id {
            Ok(Some(id)) => self.stop(&id).await,
            Ok(None) => return,
            Err(error) => {
                // Its own time limit ends it.
                tracing::warn!(build.id = %build, error = %chain(&error), "a CodeBuild build that may run is left alone");
                return;
            }
        }
        if let Err(error) = self.objects.delete(&note::key(build)).await {
            tracing::debug!(build.id = %build, error = %chain(&error), "a build's note is left to the bucket's rule");
        }
    }
}
