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

/// The service, ready to be served or called in process.
pub fn server(deps: &ValidationDeps) -> ValidationServiceServer<server::Server> {
    ValidationServiceServer::new(server::Server::new(deps))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}
