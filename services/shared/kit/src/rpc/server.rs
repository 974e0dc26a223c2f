//! Serving gRPC over TCP, with health and reflection for every service.

use std::convert::Infallible;
use std::time::Duration;

use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic_health::ServingStatus;

use super::{Stack, Tls};
use crate::{CatalogueHandle, Readiness, Shutdown};

/// Collects services and serves them. Health and reflection come with each service and cannot be forgotten.
pub struct GrpcServer {
    routes: tonic::service::RoutesBuilder,
    health: tonic_health::server::HealthReporter,
    names: Vec<&'static str>,
    catalogue: CatalogueHandle,
    tls: Tls,
}

/// Why serving ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors for reflection are broken.
    #[error("failed to read the descriptors for reflection")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The transport failed.
    #[error("failed to serve gRPC")]
    Transport(#[source] tonic::transport::Error),
}

impl GrpcServer {
    /// A server without services.
    pub async fn new(catalogue: CatalogueHandle) -> Self {
        let (health, service) = tonic_health::server::health_reporter();
        // tonic-health begins with "" serving, before anything is ready.
        health.set_service_status("", ServingStatus::NotServing).await;
        let mut routes = tonic::service::RoutesBuilder::default();
        routes.add_service(service);
        Self { routes, health, names: Vec::new(), catalogue, tls: Tls::default() }
    }

    /// Serves with this certificate; callers must show one of the authority's, if there is one.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Adds a service, wrapped in the stack. Its health is NOT_SERVING until the process is ready.
    pub async fn add<S>(&mut self, service: S)
    where
        S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.health.set_service_status(S::NAME, ServingStatus::NotServing).await;
        self.names.push(S::NAME);
        self.routes.add_service(Stack::new(service, self.catalogue.clone()));
    }

    /// Serves until the soft stop, then lets calls in flight end.
    pub async fn serve(
        mut self,
        listener: TcpListener,
        readiness: Readiness,
        shutdown: Shutdown,
    ) -> Result<(), ServeError> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(freshet_proto::FILE_DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        self.routes.add_service(reflection().build_v1().map_err(ServeError::Reflection)?);
        // Google's own Python client and older tools speak only the alpha version.
        self.routes.add_service(reflection().build_v1alpha().map_err(ServeError::Reflection)?);

        let (health, names) = (self.health.clone(), self.names.clone());
        let (ready, stop) = (readiness, shutdown.clone());
        shutdown.spawn("grpc health", async move {
            tokio::select! {
                () = ready.ready() => {
                    for name in names.iter().copied().chain([""]) {
                        health.set_service_status(name, ServingStatus::Serving).await;
                    }
                    tokio::select! {
                        () = stop.stopping() => {}
                        () = ready.draining() => {}
                    }
                }
                () = stop.stopping() => {}
            }
            for name in names.iter().copied().chain([""]) {
                health.set_service_status(name, ServingStatus::NotServing).await;
            }
        });

        let incoming = tonic::transport::server::TcpIncoming::from(listener).with_nodelay(Some(true));
        self.tls
            .of_server(tonic::transport::Server::builder())
            .map_err(ServeError::Transport)?
            // Without an age a silent connection keeps a graceful stop waiting for ever, and clients never spread out
            // after a deploy.
            .max_connection_age(Duration::from_secs(600))
            .max_connection_age_grace(Duration::from_secs(30))
            .http2_keepalive_interval(Some(Duration::from_secs(60)))
            .add_routes(self.routes.routes())
            .serve_with_incoming_shutdown(incoming, async move { shutdown.stopping().await })
            .await
            .map_err(ServeError::Transport)
    }
}
