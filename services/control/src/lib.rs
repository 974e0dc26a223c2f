//! The control service: receipts, and the state of the whole system.
//!
//! It joins what the content service knows of a delivery with what the build service knows of its batches. Replay and
//! reconciliation will live here too, each in a module of its own beside [`receipt`].
//!
//! **Invariants**
//! - It holds nothing of its own: every answer is put together from the other services' answers.
//! - It says of each fact what it is, and of what it cannot find out, that it could not.

pub mod receipt;
mod server;
mod status;

use std::sync::Arc;

use async_trait::async_trait;
use freshet_kit::CatalogueHandle;
use freshet_kit::rpc::Channel;
use freshet_proto::build::v1::build_service_client::BuildServiceClient;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::control::v1::ComponentStatus;
use freshet_proto::control::v1::control_service_server::ControlServiceServer;
use freshet_proto::validation::v1::validation_service_client::ValidationServiceClient;

/// A part of the system that can say how it is, besides the services: the spool, the bus, the edge.
#[async_trait]
pub trait Probe: Send + Sync {
    /// How it is now.
    async fn status(&self) -> ComponentStatus;
}

/// What the service works with.
#[derive(Clone)]
pub struct ControlDeps {
    /// Deliveries and entries.
    pub content: ContentServiceClient<Channel>,
    /// Batches and builds.
    pub build: BuildServiceClient<Channel>,
    /// Asked only whether it answers.
    pub validation: ValidationServiceClient<Channel>,
    /// Which sites use which sources.
    pub catalogue: CatalogueHandle,
    /// The other parts.
    pub probes: Vec<Arc<dyn Probe>>,
    /// `embedded` or `aws`.
    pub engine: &'static str,
}

/// The service, ready to be served or called in process.
pub fn server(deps: &ControlDeps) -> ControlServiceServer<server::Server> {
    ControlServiceServer::new(server::Server::new(deps.clone()))
}
