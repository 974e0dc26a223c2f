//! What a service is started with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use freshet_kit::rpc::{Channel, GrpcServer, Tls, connect_with};
use freshet_kit::{CatalogueHandle, Clock, Readiness, Shutdown};
use freshet_providers::Registry;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

use crate::catalogue;

/// What a service is started with.
pub struct Base {
    /// The catalogue in force; empty until its first edition was read, which readiness waits for.
    pub catalogue: CatalogueHandle,
    /// The adapters.
    pub registry: Arc<Registry>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ready when every part is.
    pub readiness: Readiness,
    /// Stops it.
    pub shutdown: Shutdown,
    /// Configuration of all AWS clients.
    pub aws: aws_config::SdkConfig,
    /// Differs between tasks, also between one and its successor.
    pub instance: String,
    pub(crate) tls: Tls,
    pub(crate) environment: BTreeMap<String, String>,
}

impl Base {
    /// Binds an address and says in the log which one it became.
    pub async fn bind(&self, address: SocketAddr, what: &'static str) -> anyhow::Result<TcpListener> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        tracing::info!(address = %listener.local_addr()?, what, "listening");
        Ok(listener)
    }

    /// A gRPC server without services, with our certificate if there is one.
    pub async fn grpc_server(&self) -> GrpcServer {
        GrpcServer::new(self.catalogue.clone()).await.with_tls(self.tls.clone())
    }

    /// Serves until the soft stop.
    pub fn serve_grpc(&self, server: GrpcServer, listener: TcpListener) {
        let serving = server.serve(listener, self.readiness.clone(), self.shutdown.clone());
        self.shutdown.spawn("grpc", async move {
            if let Err(error) = serving.await {
                tracing::error!(error = %freshet_kit::error::chain(&error), "gRPC ended");
            }
        });
    }

    /// Makes channels to other services, which show the API key that this reference names.
    pub async fn links(&self, key: &str) -> anyhow::Result<Links> {
        let key = catalogue::secret(key, &self.environment, &self.aws).await.context("`rpc.key`")?;
        Ok(Links { key, tls: self.tls.clone() })
    }
}

/// Makes channels to other services.
pub struct Links {
    key: secrecy::SecretString,
    tls: Tls,
}

impl Links {
    /// A channel to the service at this address. Connects on first use and again whenever it must.
    pub fn to(&self, address: &str) -> anyhow::Result<Channel> {
        connect_with(address, self.key.expose_secret(), &self.tls).with_context(|| format!("the service at {address}"))
    }
}
