//! The two services behind the edge: ports with an adapter for each path.
//!
//! Over the network they are generated clients ([`Remote`]). In one process the messages are handed over as they are
//! ([`Local`]): a delivery would otherwise be encoded and decoded four times, which costs more than judging it.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use freshet_kit::rpc::{Channel, MESSAGE_BYTES_MAX, call_local};
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::content::v1::content_service_server::ContentService;
use freshet_proto::content::v1::{IngestDeliveryRequest, IngestDeliveryResponse};
use freshet_proto::validation::v1::validation_service_client::ValidationServiceClient;
use freshet_proto::validation::v1::validation_service_server::ValidationService;
use freshet_proto::validation::v1::{
    ListProvidersRequest, ListProvidersResponse, ValidateDeliveryRequest, ValidateDeliveryResponse,
};
use tonic::Status;

/// What the edge asks of validation.
#[async_trait]
pub trait Validation: Send + Sync {
    /// Judges a delivery.
    async fn validate_delivery(&self, request: ValidateDeliveryRequest) -> Result<ValidateDeliveryResponse, Status>;
    /// Lists the providers with what their adapters can do.
    async fn list_providers(&self, request: ListProvidersRequest) -> Result<ListProvidersResponse, Status>;
}

/// What the edge asks of content.
#[async_trait]
pub trait Content: Send + Sync {
    /// Stores a delivery.
    async fn ingest_delivery(&self, request: IngestDeliveryRequest) -> Result<IngestDeliveryResponse, Status>;
}

/// Over a channel.
pub struct Remote<C>(C);

impl Remote<ValidationServiceClient<Channel>> {
    /// Validation behind a channel.
    pub fn validation(channel: Channel) -> Arc<dyn Validation> {
        Arc::new(Self(
            ValidationServiceClient::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        ))
    }
}

impl Remote<ContentServiceClient<Channel>> {
    /// Content behind a channel.
    pub fn content(channel: Channel) -> Arc<dyn Content> {
        Arc::new(Self(
            ContentServiceClient::new(channel)
                .max_decoding_message_size(MESSAGE_BYTES_MAX)
                .max_encoding_message_size(MESSAGE_BYTES_MAX),
        ))
    }
}

#[async_trait]
impl Validation for Remote<ValidationServiceClient<Channel>> {
    async fn validate_delivery(&self, request: ValidateDeliveryRequest) -> Result<ValidateDeliveryResponse, Status> {
        self.0.clone().validate_delivery(request).await.map(tonic::Response::into_inner)
    }

    async fn list_providers(&self, request: ListProvidersRequest) -> Result<ListProvidersResponse, Status> {
        self.0.clone().list_providers(request).await.map(tonic::Response::into_inner)
    }
}

#[async_trait]
impl Content for Remote<ContentServiceClient<Channel>> {
    async fn ingest_delivery(&self, request: IngestDeliveryRequest) -> Result<IngestDeliveryResponse, Status> {
        self.0.clone().ingest_delivery(request).await.map(tonic::Response::into_inner)
    }
}

/// In this process.
pub struct Local<S>(Arc<S>);

impl<S: ValidationService> Local<S> {
    /// Validation in this process.
    pub fn validation(service: Arc<S>) -> Arc<dyn Validation> {
        Arc::new(Self(service))
    }
}

impl<S: ContentService> Local<S> {
    /// Content in this process.
    pub fn content(service: Arc<S>) -> Arc<dyn Content> {
        Arc::new(Self(service))
    }
}

#[async_trait]
impl<S: ValidationService> Validation for Local<S> {
    fn validate_delivery<'s, 'f>(&'s self, request: ValidateDeliveryRequest) -> Answer<'f, ValidateDeliveryResponse>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(call_local("ValidateDelivery", request, |request| self.0.validate_delivery(request)))
    }

    async fn list_providers(&self, request: ListProvidersRequest) -> Result<ListProvidersResponse, Status> {
        call_local("ListProviders", request, |request| self.0.list_providers(request)).await
    }
}

#[async_trait]
impl<S: ContentService> Content for Local<S> {
    fn ingest_delivery<'s, 'f>(&'s self, request: IngestDeliveryRequest) -> Answer<'f, IngestDeliveryResponse>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(call_local("IngestDelivery", request, |request| self.0.ingest_delivery(request)))
    }
}

/// What `async_trait` makes of an `async fn`. Written out where the future would otherwise have the request twice.
type Answer<'f, T> = Pin<Box<dyn Future<Output = Result<T, Status>> + Send + 'f>>;
