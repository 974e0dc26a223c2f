//! The gRPC side.

use freshet_domain::catalogue::Scope;
use freshet_domain::{DeliveryId, SourceId};
use freshet_kit::Error;
use freshet_kit::rpc::{authorize, authorize_all_clients, only_client};
use freshet_proto::content::v1 as content;
use freshet_proto::control::v1 as pb;
use freshet_proto::control::v1::control_service_server::ControlService;
use freshet_proto::{build::v1 as build, convert};
use tonic::{Request, Response, Status};

use crate::{ControlDeps, receipt, status};

/// The service's implementation.
pub struct Server {
    deps: ControlDeps,
}

/// Receipts on a page unless asked otherwise, and at most: each costs a call to the build service.
const PAGE_DEFAULT: i32 = 20;
const PAGE_MAX: i32 = 100;

impl Server {
    pub(crate) fn new(deps: ControlDeps) -> Self {
        Self { deps }
    }

    /// Receipts of a client's deliveries.
    async fn receipts(&self, client: &str, deliveries: Vec<content::Delivery>) -> Result<Vec<pb::Receipt>, Status> {
        let mut taken = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let request = build::ListDeliveryBatchesRequest {
                client_id: delivery.client_id.clone(),
                delivery_id: delivery.delivery_id.clone(),
            };
            let batches = self.deps.build.clone().list_delivery_batches(request).await?.into_inner().batches;
            taken.push((delivery, batches));
        }
        // Asked last: a site that is at an earlier build than a batch that succeeded was rolled back.
        let sites = status::all_sites(&self.deps, client).await?;
        let assemble = |(delivery, batches): (content::Delivery, Vec<_>)| {
            let uses_it = |site: &&build::Site| site.source_ids.contains(&delivery.source_id);
            let mine: Vec<build::Site> = sites.iter().filter(uses_it).cloned().collect();
            receipt::assemble(delivery, &mine, &batches)
        };
        Ok(taken.into_iter().map(assemble).collect())
    }
}

#[tonic::async_trait]
impl ControlService for Server {
    async fn get_receipt(
        &self,
        request: Request<pb::GetReceiptRequest>,
    ) -> Result<Response<pb::GetReceiptResponse>, Status> {
        authorize(&request, Scope::ControlRead, &request.get_ref().client_id)?;
        let request = request.into_inner();
        let _: DeliveryId = convert::id("delivery_id", &request.delivery_id).map_err(Error::from)?;
        let get = content::GetDeliveryRequest {
            client_id: request.client_id.clone(),
            delivery_id: request.delivery_id,
            include_body: false,
        };
        let delivery = self.deps.content.clone().get_delivery(get).await?.into_inner().delivery;
        let delivery = delivery.ok_or_else(|| Error::internal("content answered without a delivery"))?;
        let receipt = self.receipts(&request.client_id, vec![delivery]).await?.pop();
        Ok(Response::new(pb::GetReceiptResponse { receipt }))
    }

    async fn list_receipts(
        &self,
        request: Request<pb::ListReceiptsRequest>,
    ) -> Result<Response<pb::ListReceiptsResponse>, Status> {
        authorize(&request, Scope::ControlRead, &request.get_ref().client_id)?;
        let request = request.into_inner();
        if !request.source_id.is_empty() {
            let _: SourceId = convert::id("source_id", &request.source_id).map_err(Error::from)?;
        }
        let page_size = match request.page_size {
            0 => PAGE_DEFAULT,
            negative if negative < 0 => return Err(Error::invalid("page_size", "must not be negative").into()),
            size => size.min(PAGE_MAX),
        };
        let list = content::ListDeliveriesRequest {
            client_id: request.client_id.clone(),
            source_id: request.source_id,
            page_size,
            page_token: request.page_token,
            ..Default::default()
        };
        let page = self.deps.content.clone().list_deliveries(list).await?.into_inner();
        let receipts = self.receipts(&request.client_id, page.deliveries).await?;
        Ok(Response::new(pb::ListReceiptsResponse { receipts, next_page_token: page.next_page_token }))
    }

    async fn get_system_status(
        &self,
        request: Request<pb::GetSystemStatusRequest>,
    ) -> Result<Response<pb::GetSystemStatusResponse>, Status> {
        let named = request.get_ref().client_id.as_str();
        let client_id = if named.is_empty() { only_client(&request).unwrap_or_default() } else { named }.to_owned();
        if client_id.is_empty() {
            authorize_all_clients(&request, Scope::ControlRead)?;
        } else {
            authorize(&request, Scope::ControlRead, &client_id)?;
            if self.deps.catalogue.get().client(&client_id).is_none() {
                return Err(Error::missing(format!("client `{client_id}`")).into());
            }
        }
        Ok(Response::new(status::gather(&self.deps, &client_id).await))
    }
}
