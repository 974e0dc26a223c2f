//! `BuildService` over the engine: decode, authorize, apply or read, encode.

mod convert;
mod dead;
mod reads;
mod rollback;
mod watch;
mod writes;

use freshet_domain::catalogue::Scope;
use freshet_kit::rpc::{authorize, authorize_all_clients};
use freshet_proto::build::v1 as pb;
use freshet_proto::build::v1::build_service_server::BuildService;
use tonic::{Request, Response, Status};

use crate::BuildDeps;
use crate::engine::Engine;

/// Answers `BuildService`.
#[derive(Clone)]
pub struct BuildServer {
    engine: Engine,
}

impl BuildServer {
    pub(crate) fn new(deps: &BuildDeps) -> Self {
        Self { engine: Engine::new(deps) }
    }
}

macro_rules! handler {
    ($self:ident, $request:ident, $scope:ident, $call:ident) => {{
        authorize(&$request, Scope::$scope, &$request.get_ref().client_id)?;
        Ok(Response::new($self.$call($request.into_inner()).await?))
    }};
}

#[tonic::async_trait]
impl BuildService for BuildServer {
    async fn trigger_build(
        &self,
        request: Request<pb::TriggerBuildRequest>,
    ) -> Result<Response<pb::TriggerBuildResponse>, Status> {
        handler!(self, request, BuildWrite, do_trigger_build)
    }

    async fn get_build(&self, request: Request<pb::GetBuildRequest>) -> Result<Response<pb::GetBuildResponse>, Status> {
        handler!(self, request, BuildRead, do_get_build)
    }

    async fn list_builds(
        &self,
        request: Request<pb::ListBuildsRequest>,
    ) -> Result<Response<pb::ListBuildsResponse>, Status> {
        handler!(self, request, BuildRead, do_list_builds)
    }

    async fn cancel_build(
        &self,
        request: Request<pb::CancelBuildRequest>,
    ) -> Result<Response<pb::CancelBuildResponse>, Status> {
        handler!(self, request, BuildWrite, do_cancel_build)
    }

    async fn retry_build(
        &self,
        request: Request<pb::RetryBuildRequest>,
    ) -> Result<Response<pb::RetryBuildResponse>, Status> {
        handler!(self, request, BuildWrite, do_retry_build)
    }

    type WatchBuildsStream = watch::BuildStream;

    async fn watch_builds(
        &self,
        request: Request<pb::WatchBuildsRequest>,
    ) -> Result<Response<Self::WatchBuildsStream>, Status> {
        handler!(self, request, BuildRead, do_watch_builds)
    }

    async fn get_pending_batch(
        &self,
        request: Request<pb::GetPendingBatchRequest>,
    ) -> Result<Response<pb::GetPendingBatchResponse>, Status> {
        handler!(self, request, BuildRead, do_get_pending_batch)
    }

    async fn flush_batch(
        &self,
        request: Request<pb::FlushBatchRequest>,
    ) -> Result<Response<pb::FlushBatchResponse>, Status> {
        handler!(self, request, BuildWrite, do_flush_batch)
    }

    async fn pause_site(
        &self,
        request: Request<pb::PauseSiteRequest>,
    ) -> Result<Response<pb::PauseSiteResponse>, Status> {
        handler!(self, request, BuildWrite, do_pause_site)
    }

    async fn resume_site(
        &self,
        request: Request<pb::ResumeSiteRequest>,
    ) -> Result<Response<pb::ResumeSiteResponse>, Status> {
        handler!(self, request, BuildWrite, do_resume_site)
    }

    async fn list_dead_letters(
        &self,
        request: Request<pb::ListDeadLettersRequest>,
    ) -> Result<Response<pb::ListDeadLettersResponse>, Status> {
        // The queue is one for all clients.
        authorize_all_clients(&request, Scope::BuildRead)?;
        Ok(Response::new(self.do_list_dead_letters(request.into_inner()).await?))
    }

    async fn redrive_dead_letters(
        &self,
        request: Request<pb::RedriveDeadLettersRequest>,
    ) -> Result<Response<pb::RedriveDeadLettersResponse>, Status> {
        authorize_all_clients(&request, Scope::BuildWrite)?;
        Ok(Response::new(self.do_redrive_dead_letters().await?))
    }

    async fn list_sites(
        &self,
        request: Request<pb::ListSitesRequest>,
    ) -> Result<Response<pb::ListSitesResponse>, Status> {
        handler!(self, request, BuildRead, do_list_sites)
    }

    async fn rollback_site(
        &self,
        request: Request<pb::RollbackSiteRequest>,
    ) -> Result<Response<pb::RollbackSiteResponse>, Status> {
        handler!(self, request, BuildWrite, do_rollback_site)
    }

    async fn list_delivery_batches(
        &self,
        request: Request<pb::ListDeliveryBatchesRequest>,
    ) -> Result<Response<pb::ListDeliveryBatchesResponse>, Status> {
        handler!(self, request, BuildRead, do_list_delivery_batches)
    }
}
