//! The gRPC side: decode, judge, encode.

use std::sync::Arc;

use freshet_domain::Header;
use freshet_domain::catalogue::Scope;
use freshet_kit::rpc::{authorize, authorize_internal};
use freshet_kit::{CatalogueHandle, Clock, Error, page};
use freshet_proto::convert::{change_to_proto, duration_to_proto, timestamp_from_proto};
use freshet_proto::validation::v1 as pb;
use freshet_proto::validation::v1::validation_service_server::ValidationService;
use freshet_providers::Registry;
use tonic::{Request, Response, Status};

use crate::judge::{Incoming, Judgement, judge};
use crate::prepared::PreparedCatalogue;
use crate::{ValidationDeps, describe};

/// The service's implementation.
pub struct Server {
    registry: Arc<Registry>,
    catalogue: CatalogueHandle,
    prepared: PreparedCatalogue,
    clock: Arc<dyn Clock>,
}

impl Server {
    pub(crate) fn new(deps: &ValidationDeps) -> Self {
        Self {
            registry: deps.registry.clone(),
            catalogue: deps.catalogue.clone(),
            prepared: PreparedCatalogue::new(deps.catalogue.clone(), deps.registry.clone()),
            clock: deps.clock.clone(),
        }
    }
}

#[tonic::async_trait]
impl ValidationService for Server {
    async fn validate_delivery(
        &self,
        request: Request<pb::ValidateDeliveryRequest>,
    ) -> Result<Response<pb::ValidateDeliveryResponse>, Status> {
        authorize_internal(&request)?;
        let request = request.into_inner();
        let now = self.clock.now();
        let headers: Vec<Header> =
            request.headers.into_iter().map(|header| Header { name: header.name, value: header.value }).collect();
        let incoming = Incoming {
            provider: &request.provider,
            source: &request.source_id,
            method: &request.method,
            path_and_query: &request.path_and_query,
            api_key: &request.api_key,
            headers: &headers,
            body: &request.body,
            received_at: request.received_at.as_ref().map_or(now, timestamp_from_proto),
            replayed: request.replayed,
        };
        let mut judgement = judge(&self.registry, &self.prepared.get(), &incoming, now);
        // Acknowledged already: by an edition of the catalogue that may be newer than this one.
        if incoming.replayed && !judgement.verdict.is_kept() {
            if !self.catalogue.look_now().await {
                let message = "the catalogue cannot be looked at, and that of before does not take the delivery";
                return Err(Error::unavailable(message).into());
            }
            judgement = judge(&self.registry, &self.prepared.get(), &incoming, now);
        }
        Ok(Response::new(encode(judgement)))
    }

    async fn list_providers(
        &self,
        request: Request<pb::ListProvidersRequest>,
    ) -> Result<Response<pb::ListProvidersResponse>, Status> {
        // What Freshet can do is no secret, but only known callers are told.
        authorize_known(&request)?;
        let request = request.into_inner();
        let size = page::size(request.page_size, 50)?;
        let after = page::position(&[b"providers"], &request.page_token)?.unwrap_or_default();
        let mut rest = self.registry.iter().filter(|adapter| adapter.descriptor().name.as_bytes() > after.as_slice());
        let providers: Vec<_> =
            rest.by_ref().take(size).map(|adapter| describe::provider(adapter.descriptor())).collect();
        let next_page_token = match (rest.next(), providers.last()) {
            (Some(_), Some(last)) => page::token(&[b"providers"], last.name.as_bytes()),
            _ => String::new(),
        };
        Ok(Response::new(pb::ListProvidersResponse { providers, next_page_token }))
    }

    async fn get_provider(
        &self,
        request: Request<pb::GetProviderRequest>,
    ) -> Result<Response<pb::GetProviderResponse>, Status> {
        authorize_known(&request)?;
        let name = request.into_inner().name;
        let adapter =
            self.registry.get(&name).ok_or_else(|| Error::missing(format!("provider `{}`", printable(&name))))?;
        Ok(Response::new(pb::GetProviderResponse { provider: Some(describe::provider(adapter.descriptor())) }))
    }

    async fn negotiate_capabilities(
        &self,
        request: Request<pb::NegotiateCapabilitiesRequest>,
    ) -> Result<Response<pb::NegotiateCapabilitiesResponse>, Status> {
        authorize(&request, Scope::ContentRead, &request.get_ref().client_id)?;
        let request = request.into_inner();
        let prepared = self.prepared.get();
        let source = prepared
            .catalogue
            .source(&request.client_id, &request.source_id)
            .ok_or_else(|| Error::missing(format!("source `{}`", printable(&request.source_id))))?;
        let adapter =
            self.registry.get(&source.provider).ok_or_else(|| Error::internal("a source without an adapter"))?;
        let (capabilities, advice) = describe::negotiate(adapter.descriptor(), source);
        let unique = prepared.catalogue.sources_named(source.id.as_str()).count() == 1;
        let name = if unique { source.id.to_string() } else { format!("{}.{}", source.client, source.id) };
        Ok(Response::new(pb::NegotiateCapabilitiesResponse {
            provider: source.provider.clone(),
            capabilities: Some(capabilities),
            advice,
            webhook_path: format!("/webhook/{}/{name}", source.provider),
        }))
    }
}

/// Any scope of any client will do.
fn authorize_known<T>(request: &Request<T>) -> Result<(), Error> {
    match request.extensions().get::<freshet_kit::rpc::Caller>() {
        Some(freshet_kit::rpc::Caller::Internal | freshet_kit::rpc::Caller::Key(_)) => Ok(()),
        // Says how to get a key, in the words that every other rpc uses.
        _ => authorize(request, Scope::ContentRead, "any"),
    }
}

/// A caller's text, safe to repeat.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn encode(judgement: Judgement) -> pb::ValidateDeliveryResponse {
    let (client_id, source_id) = judgement.owner.unwrap_or_default();
    let header = |header: Header| pb::Header { name: header.name, value: header.value };
    pb::ValidateDeliveryResponse {
        verdict: i32::from(judgement.verdict.code()),
        http_status: u32::from(judgement.http_status),
        reason: judgement.reason,
        detail: judgement.detail,
        field: judgement.field,
        retry_after: judgement.retry_after.map(duration_to_proto),
        client_id,
        source_id,
        event: judgement.event,
        dedup_keys: judgement.dedup_keys,
        dedup_horizon: Some(duration_to_proto(judgement.dedup_horizon)),
        changes: judgement.changes.into_iter().map(change_to_proto).collect(),
        retention: i32::from(judgement.retention.code()),
        proof: judgement.proof,
        archived_headers: judgement.archived_headers.into_iter().map(header).collect(),
    }
}
