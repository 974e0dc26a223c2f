//! Calls that change something. Each may carry a request id, and then has effect once.

use freshet_domain::{BatchId, BuildId, ClientId};
use freshet_kit::{Error, ErrorKind};
use freshet_proto::build::v1 as pb;
use freshet_proto::convert::id;

use super::{BuildServer, convert};
use crate::engine::{NotApplied, Request};
use crate::machine::{BatchState, Input, Refusal, SiteKey};
use crate::store::{BatchView, RequestMark};

const REQUEST_ID_BYTES_MAX: usize = 200;

const REASON_BYTES_MAX: usize = 500;

/// What an answer is about.
pub(super) struct Subject {
    pub(super) batch: Option<BatchId>,
    pub(super) build: Option<BuildId>,
}

impl From<RequestMark> for Subject {
    fn from(mark: RequestMark) -> Self {
        Self { batch: mark.batch, build: mark.build }
    }
}

/// A request with an id, if it has one. The fingerprint is everything that the answer depends on.
pub(super) fn request(method: &str, request_id: &str, parts: &[&str]) -> Result<Option<Request>, Error> {
    if request_id.is_empty() {
        return Ok(None);
    }
    if request_id.len() > REQUEST_ID_BYTES_MAX {
        return Err(Error::invalid("request_id", format!("is longer than {REQUEST_ID_BYTES_MAX} bytes")));
    }
    let fingerprint = [&[method], parts].concat().join("\u{1f}");
    Ok(Some(Request { request_id: request_id.to_owned(), fingerprint, build: None }))
}

fn reason(text: String) -> Result<String, Error> {
    if text.len() > REASON_BYTES_MAX {
        return Err(Error::invalid("reason", format!("is longer than {REASON_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn wrong_state(reason: &'static str, message: String) -> Error {
    Error::new(ErrorKind::WrongState, reason, message)
}

fn refused(refusal: Refusal, site: &SiteKey) -> Error {
    let name = &site.site;
    match refusal {
        Refusal::NothingWaits => Error::missing(format!("a pending batch of the site `{name}`")),
        Refusal::Paused => wrong_state("SITE_PAUSED", format!("the site `{name}` is paused; resume it first")),
        Refusal::HasEnded => wrong_state("BUILD_ENDED", "the build has ended".to_owned()),
        Refusal::NotFailed => {
            wrong_state("NOTHING_TO_RETRY", "the batch is not waiting to be tried again; trigger a build".to_owned())
        }
    }
}

impl BuildServer {
    /// What was answered to this request before, if it was.
    pub(super) async fn answered(&self, client: &ClientId, request: &Request) -> Result<Option<Subject>, Error> {
        let Some(mark) = self.engine.deps.store.request(client, &request.request_id).await? else { return Ok(None) };
        if mark.fingerprint != request.fingerprint {
            let message = "this request_id was used for another request; use a new one".to_owned();
            return Err(wrong_state("REQUEST_ID_REUSED", message));
        }
        Ok(Some(mark.into()))
    }

    /// Applies an input once per request id.
    pub(super) async fn write(&self, site: &SiteKey, input: Input, request: Option<Request>) -> Result<Subject, Error> {
        if let Some(request) = &request
            && let Some(before) = self.answered(&site.client, request).await?
        {
            return Ok(before);
        }
        let build = request.as_ref().and_then(|request| request.build);
        match self.engine.apply_request(site, input, request.clone()).await {
            Ok(step) => Ok(Subject { batch: step.batch, build }),
            Err(NotApplied::Refused(refusal)) => Err(refused(refusal, site)),
            Err(NotApplied::Failed(error)) => Err(error),
            Err(NotApplied::DuplicateRequest) => {
                let before = match &request {
                    Some(request) => self.answered(&site.client, request).await?,
                    None => None,
                };
                before.ok_or_else(|| Error::internal("a request is known and not known"))
            }
        }
    }

    async fn batch_of(&self, site: &SiteKey, subject: Subject) -> Result<Option<pb::Batch>, Error> {
        let batch = subject.batch.ok_or_else(|| Error::internal("an answer without a batch"))?;
        Ok(Some(self.batch_message(&site.client, batch).await?))
    }

    pub(super) async fn do_trigger_build(
        &self,
        message: pb::TriggerBuildRequest,
    ) -> Result<pb::TriggerBuildResponse, Error> {
        let key = convert::site_key(&message.client_id, &message.site_id)?;
        self.known_site(&key)?;
        let request = request("TriggerBuild", &message.request_id, &[&message.site_id])?;
        let subject = self.write(&key, Input::Trigger { reason: reason(message.reason)? }, request).await?;
        Ok(pb::TriggerBuildResponse { batch: self.batch_of(&key, subject).await? })
    }

    pub(super) async fn do_flush_batch(&self, message: pb::FlushBatchRequest) -> Result<pb::FlushBatchResponse, Error> {
        let key = convert::site_key(&message.client_id, &message.site_id)?;
        self.known_site(&key)?;
        let request = request("FlushBatch", &message.request_id, &[&message.site_id])?;
        let subject = self.write(&key, Input::Flush, request).await?;
        Ok(pb::FlushBatchResponse { batch: self.batch_of(&key, subject).await? })
    }

    pub(super) async fn do_pause_site(&self, message: pb::PauseSiteRequest) -> Result<pb::PauseSiteResponse, Error> {
        let key = convert::site_key(&message.client_id, &message.site_id)?;
        let site = self.known_site(&key)?;
        let request = request("PauseSite", &message.request_id, &[&message.site_id, &message.reason])?;
        self.write(&key, Input::Pause { reason: reason(message.reason)? }, request).await?;
        Ok(pb::PauseSiteResponse { site: Some(self.site_message(&site, true).await?) })
    }

    pub(super) async fn do_resume_site(&self, message: pb::ResumeSiteRequest) -> Result<pb::ResumeSiteResponse, Error> {
        let key = convert::site_key(&message.client_id, &message.site_id)?;
        let site = self.known_site(&key)?;
        let request = request("ResumeSite", &message.request_id, &[&message.site_id])?;
        self.write(&key, Input::Resume, request).await?;
        Ok(pb::ResumeSiteResponse { site: Some(self.site_message(&site, true).await?) })
    }

    /// The site of a build of this client.
    pub(super) async fn site_of(&self, client: &ClientId, build: BuildId) -> Result<(SiteKey, BatchId), Error> {
        let view = self.engine.deps.store.build(client, build).await?;
        let view = view.ok_or_else(|| Error::missing(format!("the build {build}")))?;
        Ok((view.record.key, view.record.batch))
    }

    pub(super) async fn do_cancel_build(
        &self,
        message: pb::CancelBuildRequest,
    ) -> Result<pb::CancelBuildResponse, Error> {
        let client: ClientId = id("client_id", &message.client_id)?;
        let build: BuildId = id("build_id", &message.build_id)?;
        let (key, _) = self.site_of(&client, build).await?;
        let mut request = request("CancelBuild", &message.request_id, &[&message.build_id])?;
        if let Some(request) = &mut request {
            request.build = Some(build);
        }
        self.write(&key, Input::Cancel { build, reason: reason(message.reason)? }, request).await?;
        Ok(pb::CancelBuildResponse { build: Some(self.build_message(&client, build).await?) })
    }

    pub(super) async fn do_retry_build(&self, message: pb::RetryBuildRequest) -> Result<pb::RetryBuildResponse, Error> {
        let client: ClientId = id("client_id", &message.client_id)?;
        let build: BuildId = id("build_id", &message.build_id)?;
        let (key, batch) = self.site_of(&client, build).await?;
        self.known_site(&key)?;
        let request = request("RetryBuild", &message.request_id, &[&message.build_id])?;
        if let Some(request) = &request
            && let Some(before) = self.answered(&client, request).await?
        {
            return Ok(pb::RetryBuildResponse { batch: self.batch_of(&key, before).await? });
        }
        let holder = self.holder_of(&client, batch).await?;
        if holder.record.state == BatchState::Succeeded {
            let message = format!("the changes of this build are live since the batch {}", holder.record.facts.batch);
            return Err(wrong_state("ALREADY_SUCCEEDED", message));
        }
        let subject = self.write(&key, Input::Retry { batch: holder.record.facts.batch }, request).await?;
        Ok(pb::RetryBuildResponse { batch: self.batch_of(&key, subject).await? })
    }

    /// The batch that has the changes of this one now: itself, or the last that took them over.
    async fn holder_of(&self, client: &ClientId, batch: BatchId) -> Result<BatchView, Error> {
        let mut batch = batch;
        loop {
            let view = self.engine.deps.store.batch(client, batch).await?;
            let view = view.ok_or_else(|| Error::missing(format!("the batch {batch}")))?;
            match view.record.joined_into {
                Some(next) => batch = next,
                None => return Ok(view),
            }
        }
    }
}
