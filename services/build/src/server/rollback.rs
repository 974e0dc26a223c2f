//! Going back to an earlier release.

use freshet_domain::BuildId;
use freshet_kit::{Error, ErrorKind};
use freshet_proto::build::v1 as pb;
use freshet_proto::convert::id;

use super::writes::request;
use super::{BuildServer, convert};
use crate::machine::{BuildState, Input, SiteKey};
use crate::store::BuildQuery;

impl BuildServer {
    pub(super) async fn do_rollback_site(
        &self,
        message: pb::RollbackSiteRequest,
    ) -> Result<pb::RollbackSiteResponse, Error> {
        let key = convert::site_key(&message.client_id, &message.site_id)?;
        self.known_site(&key)?;
        let mut request = request("RollbackSite", &message.request_id, &[&message.site_id, &message.build_id])?;
        if let Some(request) = &request
            && let Some(before) = self.answered(&key.client, request).await?
            && let Some(build) = before.build
        {
            return Ok(pb::RollbackSiteResponse { build: Some(self.build_message(&key.client, build).await?) });
        }
        // Nobody else switches between the look at the live build and the record of the new one.
        let guard = self.engine.deps.hub.switching().await;
        let target = match message.build_id.as_str() {
            "" => self.build_before_live(&key).await?,
            text => self.succeeded_build(&key, id("build_id", text)?).await?,
        };
        self.engine.deps.hosting.activate(&key, target).await.map_err(|error| match error.kind() {
            ErrorKind::Missing => gone(target),
            _ => error,
        })?;
        if let Some(request) = &mut request {
            request.build = Some(target);
        }
        self.write(&key, Input::RolledBack { build: target }, request).await?;
        drop(guard);
        tracing::info!(build.id = %target, site = %key, "an earlier build is live again");
        self.engine.deps.hub.build_changed(&key, target);
        Ok(pb::RollbackSiteResponse { build: Some(self.build_message(&key.client, target).await?) })
    }

    async fn succeeded_build(&self, key: &SiteKey, build: BuildId) -> Result<BuildId, Error> {
        let view = self.engine.deps.store.build(&key.client, build).await?;
        match view.map(|view| view.record).filter(|record| record.key == *key) {
            None => Err(Error::missing(format!("the build {build} of the site `{}`", key.site))),
            Some(record) if record.state == BuildState::Succeeded => Ok(build),
            Some(_) => Err(Error::new(
                ErrorKind::WrongState,
                "BUILD_NOT_SUCCEEDED",
                format!("the build {build} did not succeed, so it cannot be live"),
            )),
        }
    }

    async fn build_before_live(&self, key: &SiteKey) -> Result<BuildId, Error> {
        let nothing = || {
            let message = format!("the site `{}` has no earlier release to go back to", key.site);
            Error::new(ErrorKind::WrongState, "NO_EARLIER_RELEASE", message)
        };
        let live = self.engine.deps.store.load(key).await?.state.live.ok_or_else(nothing)?;
        let kept = self.engine.deps.hosting.releases(key).await?;
        let query = BuildQuery {
            client: key.client.clone(),
            site: Some(key.site.clone()),
            state: Some(BuildState::Succeeded),
            before: Some(live),
            max: 1000,
        };
        let earlier = self.engine.deps.store.builds(query).await?;
        earlier.iter().map(|record| record.build).find(|build| kept.contains(build)).ok_or_else(nothing)
    }
}

fn gone(build: BuildId) -> Error {
    let message = format!("the release of the build {build} is not kept any more");
    Error::new(ErrorKind::WrongState, "RELEASE_GONE", message)
}
