//! The validation service: the adapter registry behind gRPC.
//!
//! A delivery comes in raw; out comes a verdict, the status code that its provider must get, and the changes it means.
//!
//! **Invariants**
//! - It writes nothing and opens no connection.
//! - Bytes are verified before they are parsed.
//! - A delivery that is not genuine costs its source none of its rate: nobody can use it up from outside.
//! - Every judgement is a verdict in the response; an rpc error means that the service itself failed.

mod describe;
mod judge;
mod locate;
mod prepared;
mod server;

use std::sync::Arc;

use freshet_kit::rpc::MESSAGE_BYTES_MAX;
use freshet_kit::{CatalogueHandle, Clock};
use freshet_proto::validation::v1::validation_service_server::ValidationServiceServer;
use freshet_providers::Registry;

pub use server::Server;

/// What the service works with.
#[derive(Clone)]
pub struct ValidationDeps {
    /// The adapters.
    pub registry: Arc<Registry>,
    /// Clients, sources and keys.
    pub catalogue: CatalogueHandle,
    /// What signed times are compared with.
    pub clock: Arc<dyn Clock>,
}

/// The service. One instance serves every path, because it counts what each source sends.
pub fn service(deps: &ValidationDeps) -> Arc<Server> {
    Arc::new(Server::new(deps))
}

/// The gRPC server over it.
pub fn server(service: Arc<Server>) -> ValidationServiceServer<Server> {
    ValidationServiceServer::from_arc(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}
