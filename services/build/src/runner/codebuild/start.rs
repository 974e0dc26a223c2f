//! Starting a build once, however often it takes to hear of it.

use aws_sdk_codebuild::types::SortOrderType;
use freshet_aws::Headers;
use freshet_domain::BuildId;
use freshet_domain::catalogue::SiteAws;
use freshet_kit::error::chain;
use freshet_kit::retry::chance;
use freshet_kit::{Error, ErrorKind};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::{BuildJob, RunOutcome};
use super::note::Note;
use super::{CodeBuildRunner, request};
use crate::upload::upload;

impl CodeBuildRunner {
    /// Uploads what the build gets and starts it. Returns CodeBuild's id of it.
    pub(super) async fn start(&self, job: &BuildJob, stop: &CancellationToken) -> Result<String, RunOutcome> {
        let Some(aws) = job.site.aws.as_ref() else {
            return Err(RunOutcome::Failed("the catalogue has no [client.site.aws] for this site".to_owned()));
        };
        let Some(project) = aws.project.as_deref() else {
            return Err(RunOutcome::Failed("the catalogue names no CodeBuild project for this site".to_owned()));
        };
        tokio::select! {
            uploaded = self.upload(job) => uploaded.map_err(|error| {
                RunOutcome::Failed(format!("what the build gets could not be uploaded: {}", error.message()))
            })?,
            () = stop.cancelled() => return Err(RunOutcome::Stopped),
        }
        // Before the start: nobody would find a build that was started just before the end of this process.
        let mut note = Note { project: project.to_owned(), id: None };
        self.write_note(job.build, &note).await.map_err(|error| {
            RunOutcome::Failed(format!("the build's note could not be written: {}", error.message()))
        })?;
        let id = self.send(job, aws, project, stop).await?;
        note.id = Some(id.clone());
        if let Err(error) = self.write_note(job.build, &note).await {
            // It is found without, only not as fast.
            tracing::warn!(build.id = %job.build, codebuild.id = id, error = %chain(&error), "CodeBuild's id is not noted");
        }
        Ok(id)
    }

    /// Starts the build, however often that has to be tried.
    async fn send(
        &self,
        job: &BuildJob,
        aws: &SiteAws,
        project: &str,
        stop: &CancellationToken,
    ) -> Result<String, RunOutcome> {
        let bucket = self.objects.bucket();
        let request = request::start_build(&self.client, job, aws, project, bucket, self.pace.queued)
            .map_err(|error| RunOutcome::Failed(format!("the CodeBuild build cannot be described: {error}")))?;
        let give_up = Instant::now() + job.site.build.timeout;
        let mut unsure_since = None;
        for attempt in 1.. {
            // Not in a select: a call that is dropped may have started a build that nobody knows of.
            let error = match request.clone().send().await {
                Ok(answer) => match answer.build_value.and_then(|build| build.id) {
                    Some(id) => return Ok(id),
                    None => Error::unavailable("StartBuild gave no id"),
                },
                Err(failed) => freshet_aws::error("StartBuild", failed),
            };
            if !error.kind().is_transient() {
                return Err(RunOutcome::Failed(format!("CodeBuild did not start the build: {}", error.message())));
            }
            let is_busy = error.kind() == ErrorKind::Busy;
            if !is_busy {
                unsure_since.get_or_insert_with(Instant::now);
            }
            let too_late = Instant::now() >= give_up || unsure_since.is_some_and(|at| at.elapsed() >= self.pace.unsure);
            if too_late {
                return self.look_for(job, project, unsure_since.is_some(), &error).await;
            }
            tracing::info!(
                build.id = %job.build, attempt, error = %chain(&error),
                "CodeBuild does not start the build yet, trying again"
            );
            tokio::select! {
                () = tokio::time::sleep(self.pace.backoff.jittered(attempt, chance())) => {}
                () = stop.cancelled() => {
                    if unsure_since.is_some() && let Ok(id) = self.look_for(job, project, true, &error).await {
                        self.stop(&id).await;
                    }
                    return Err(RunOutcome::Stopped);
                }
            }
        }
        Err(RunOutcome::Stopped)
    }

    async fn upload(&self, job: &BuildJob) -> Result<(), Error> {
        let [content, changed_keys] = request::keys(job);
        let headers = Headers::of_type("application/x-ndjson");
        // The ending says how it is packed; with an encoding, tools would unpack it on the way.
        upload(&self.objects, &job.content, &content, Headers::of_type("application/zstd")).await?;
        upload(&self.objects, &job.changed_keys, &changed_keys, headers).await.map(drop)
    }

    /// When nothing can be said about a start any more: a build of CodeBuild that has our id, if there is one.
    async fn look_for(
        &self,
        job: &BuildJob,
        project: &str,
        is_unsure: bool,
        last: &Error,
    ) -> Result<String, RunOutcome> {
        let failed = || {
            let text = format!("CodeBuild did not start the build in time: {}", last.message());
            Err(RunOutcome::Failed(text))
        };
        if !is_unsure {
            return failed();
        }
        match self.find(job.build, project).await {
            Ok(Some(id)) => Ok(id),
            Ok(None) => failed(),
            Err(error) => {
                tracing::warn!(build.id = %job.build, error = %chain(&error), "CodeBuild may run a build that nobody waits for");
                failed()
            }
        }
    }

    /// Among the newest builds of the project.
    pub(super) async fn find(&self, build: BuildId, project: &str) -> Result<Option<String>, Error> {
        let listed = self.client.list_builds_for_project().project_name(project).sort_order(SortOrderType::Descending);
        let listed = listed.send().await.map_err(|failed| freshet_aws::error("ListBuildsForProject", failed))?;
        let ids: Vec<String> = listed.ids.unwrap_or_default().into_iter().take(super::follow::IDS_MAX).collect();
        if ids.is_empty() {
            return Ok(None);
        }
        let asked = self.client.batch_get_builds().set_ids(Some(ids)).send().await;
        let builds = asked.map_err(|failed| freshet_aws::error("BatchGetBuilds", failed))?.builds.unwrap_or_default();
        let build = build.to_string();
        let ours = builds.into_iter().find(|candidate| {
            let variables = candidate.environment().map(|environment| environment.environment_variables());
            let mut variables = variables.unwrap_or_default().iter();
            variables.any(|variable| variable.name() == "FRESHET_BUILD_ID" && variable.value() == build)
        });
        Ok(ours.and_then(|build| build.id))
    }
}

#[cfg(test)]
mod tests;
