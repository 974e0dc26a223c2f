//! The gRPC side: decode, authorise, call the service, encode. No decisions.

use std::pin::Pin;

use freshet_domain::catalogue::Scope;
use freshet_kit::Error;
use freshet_kit::rpc::{authorize, authorize_internal};
use freshet_proto::content::v1::content_service_server::ContentService;
use freshet_proto::content::v1::{
    BatchGetEntriesRequest, BatchGetEntriesResponse, ExportSnapshotRequest, ExportSnapshotResponse, GetDeliveryRequest,
    GetDeliveryResponse, GetEntryRequest, GetEntryResponse, IngestDeliveryRequest, IngestDeliveryResponse,
    InvalidateEntriesRequest, InvalidateEntriesResponse, ListDeliveriesRequest, ListDeliveriesResponse,
    ListEntriesRequest, ListEntriesResponse, WatchChangesRequest, WatchChangesResponse,
};
use futures::Stream;
use tonic::{Request, Response, Status};

use crate::service::Service;

/// The generated service over the use cases.
#[derive(Clone)]
pub struct Server {
    service: Service,
}

impl Server {
    pub(crate) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// What a server stream is.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn answer<T>(result: Result<T, Error>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(Status::from)
}

#[tonic::async_trait]
impl ContentService for Server {
    type WatchChangesStream = Answers<WatchChangesResponse>;
    type ExportSnapshotStream = Answers<ExportSnapshotResponse>;

    async fn ingest_delivery(
        &self,
        request: Request<IngestDeliveryRequest>,
    ) -> Result<Response<IngestDeliveryResponse>, Status> {
        authorize_internal(&request)?;
        answer(self.service.ingest_delivery(request.into_inner()).await)
    }

    async fn get_entry(&self, request: Request<GetEntryRequest>) -> Result<Response<GetEntryResponse>, Status> {
        authorize(&request, Scope::ContentRead, &request.get_ref().client_id)?;
        answer(self.service.get_entry(request.into_inner()).await)
    }

    async fn batch_get_entries(
        &self,
        request: Request<BatchGetEntriesRequest>,
    ) -> Result<Response<BatchGetEntriesResponse>, Status> {
        authorize(&request, Scope::ContentRead, &request.get_ref().client_id)?;
        answer(self.service.batch_get_entries(request.into_inner()).await)
    }

    async fn list_entries(
        &self,
        request: Request<ListEntriesRequest>,
    ) -> Result<Response<ListEntriesResponse>, Status> {
        authorize(&request, Scope::ContentRead, &request.get_ref().client_id)?;
        answer(self.service.list_entries(request.into_inner()).await)
    }

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        authorize(&request, Scope::ContentRead, &request.get_ref().client_id)?;
        answer(self.service.watch_changes(request.into_inner()).await.map(boxed))
    }

    async fn export_snapshot(
        &self,
        request: Request<ExportSnapshotRequest>,
    ) -> Result<Response<Self::ExportSnapshotStream>, Status> {
        authorize(&request, Scope::ContentRead, &request.get_ref().client_id)?;
        answer(self.service.export_snapshot(request.into_inner()).await.map(boxed))
    }

    async fn invalidate_entries(
        &self,
        request: Request<InvalidateEntriesRequest>,
    ) -> Result<Response<InvalidateEntriesResponse>, Status> {
        authorize(&request, Scope::ContentWrite, &request.get_ref().client_id)?;
        answer(self.service.invalidate_entries(request.into_inner()).await)
    }

    async fn get_delivery(
        &self,
        request: Request<GetDeliveryRequest>,
    ) -> Result<Response<GetDeliveryResponse>, Status> {
        authorize(&request, Scope::ContentRead, &request.get_ref().client_id)?;
        answer(self.service.get_delivery(request.into_inner()).await)
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        authorize(&request, Scope::ContentRead, &request.get_ref().client_id)?;
        answer(self.service.list_deliveries(request.into_inner()).await)
    }
}

fn boxed<T, S>(stream: S) -> Answers<T>
where
    T: 'static,
    S: Stream<Item = Result<T, Error>> + Send + 'static,
{
    use futures::StreamExt as _;
    Box::pin(stream.map(|item| item.map_err(Status::from)))
}
