//! Every service in one process, each handed its neighbours' clients.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use freshet_build::{BuildDeps, BuildStore, LocalHosting, Runners, SqliteBuildStore};
use freshet_bus::sqlite::{QueueOptions, SqliteBus, Subscription};
use freshet_bus::{Publisher, Queue};
use freshet_content::store::Store;
use freshet_content::{ContentDeps, SqliteStore};
use freshet_control::{ControlDeps, Probe};
use freshet_ingress::spool::{Spool, SqliteSpool};
use freshet_ingress::upstream::{Local, Remote};
use freshet_ingress::{Counters, IngressDeps, SiteRoots};
use freshet_kit::rpc::{Channel, GrpcServer, MESSAGE_BYTES_MAX, connect, in_process};
use freshet_kit::{CatalogueHandle, Clock, Readiness, Shutdown};
use freshet_proto::build::v1::build_service_client::BuildServiceClient;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::control::v1::ComponentStatus;
use freshet_proto::validation::v1::validation_service_client::ValidationServiceClient;
use freshet_providers::Registry;
use freshet_sqlite::{Db, DbOptions};
use freshet_validation::ValidationDeps;
use tokio::net::TcpListener;

use crate::assets;
use crate::settings::Settings;

/// How the services reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcPath {
    /// Directly, as one process does.
    InProcess,
    /// Over loopback TCP, as separate processes do.
    Tcp,
}

/// What a suite starts with.
pub struct StartOptions {
    /// Settings; their addresses are not used, the listeners are.
    pub settings: Settings,
    /// The data folder.
    pub data: PathBuf,
    /// The catalogue.
    pub catalogue: CatalogueHandle,
    /// The adapters.
    pub registry: Arc<Registry>,
    /// The clock of everything but timeouts.
    pub clock: Arc<dyn Clock>,
    /// Where the edge listens.
    pub http: TcpListener,
    /// Where gRPC listens.
    pub grpc: TcpListener,
    /// How the services reach each other.
    pub path: RpcPath,
    /// A key that may do everything, for [`RpcPath::Tcp`].
    pub root_key: String,
    /// What keeps and carries everything; `None`: the embedded engine, in the data folder. Sites are built and served
    /// here in any case.
    pub ports: Option<Ports>,
}

/// What is behind the services' ports.
#[derive(Clone)]
pub struct Ports {
    /// Deliveries and entries.
    pub content: Arc<dyn Store>,
    /// Where changes are published.
    pub publisher: Arc<dyn Publisher>,
    /// Where the build service hears of them.
    pub queue: Arc<dyn Queue>,
    /// Batches and builds.
    pub builds: Arc<dyn BuildStore>,
    /// Deliveries while validation or content is down.
    pub spool: Arc<dyn Spool>,
}

impl Ports {
    /// The embedded engine: three databases and a log of bodies in a folder.
    async fn embedded(data: &Path, clock: &Arc<dyn Clock>, queue: QueueOptions) -> anyhow::Result<Self> {
        // Opening can mean recovering a log and running migrations, which is no work for the runtime's threads.
        let opened = data.to_owned();
        let (db, spool) = tokio::task::spawn_blocking(move || open(&opened)).await??;
        let content = SqliteStore::open(db.clone(), &data.join("bodies")).context("cannot open the content store")?;
        let bus = SqliteBus::new(db.clone(), clock.clone(), vec![Subscription::all(BUILD_QUEUE)]);
        let queue = bus.queue(BUILD_QUEUE, queue).context("the build queue is not subscribed")?;
        Ok(Self {
            content: Arc::new(content),
            publisher: Arc::new(bus),
            queue: Arc::new(queue),
            builds: Arc::new(SqliteBuildStore::open(db)),
            spool: Arc::new(SqliteSpool::new(spool).await?),
        })
    }
}

/// A running suite.
pub struct Suite {
    /// Where the edge listens.
    pub http: SocketAddr,
    /// Where gRPC listens.
    pub grpc: SocketAddr,
    /// Ready when every part is.
    pub readiness: Readiness,
    /// Stops it.
    pub shutdown: Shutdown,
    /// What the edge has answered.
    pub counters: Arc<Counters>,
    drain_deadline: std::time::Duration,
}

/// Far beyond what a start takes, even with a long log to recover.
const READY_WITHIN: std::time::Duration = std::time::Duration::from_secs(120);

/// The queue of the build service.
const BUILD_QUEUE: &str = "build";

impl Suite {
    /// Opens the databases, composes the services and starts them. Ready when `readiness` is.
    pub async fn start(options: StartOptions) -> anyhow::Result<Self> {
        let StartOptions { settings, data, catalogue, registry, clock, http, grpc, path, root_key, ports } = options;
        let (http_address, grpc_address) = (http.local_addr()?, grpc.local_addr()?);
        let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
        let starting = readiness.latch("start");

        let ports = match ports {
            Some(ports) => ports,
            None => Ports::embedded(&data, &clock, settings.queue).await?,
        };
        let Ports { content: store, publisher, queue, builds, spool } = ports;
        let hosting = Arc::new(LocalHosting::open(data.join("sites")));

        let validation = ValidationDeps { registry, catalogue: catalogue.clone(), clock: clock.clone() };
        let content = ContentDeps {
            publish_pause: std::time::Duration::ZERO,
            store,
            publisher,
            catalogue: catalogue.clone(),
            clock: clock.clone(),
        };
        let links = Links { path, catalogue: catalogue.clone(), grpc: grpc_address, root_key };
        let validation = freshet_validation::service(&validation);
        let content_service = freshet_content::service(&content);
        let validation_server = freshet_validation::server(validation.clone());
        let content_server = freshet_content::server(content_service.clone());
        let to_validation = links.to(validation_server.clone())?;
        let to_content = links.to(content_server.clone())?;

        let build = BuildDeps {
            store: builds,
            queue: queue.clone(),
            lease: None,
            runners: Runners::local(),
            content: ContentServiceClient::new(to_content.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
            catalogue: catalogue.clone(),
            clock: clock.clone(),
            hosting: hosting.clone(),
            work_dir: data.join("builds"),
            hub: freshet_build::Hub::new(),
        };
        let build_server = freshet_build::server(&build);
        let to_build = links.to(build_server.clone())?;

        let counters = Arc::new(Counters::default());
        let control = ControlDeps {
            content: ContentServiceClient::new(to_content.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX),
            build: BuildServiceClient::new(to_build),
            validation: ValidationServiceClient::new(to_validation.clone()),
            catalogue: catalogue.clone(),
            probes: vec![
                Arc::new(EdgeProbe(counters.clone())),
                Arc::new(SpoolProbe(spool.clone())),
                Arc::new(QueueProbe(queue)),
            ],
            engine: "embedded",
        };

        let mut server = GrpcServer::new(catalogue.clone()).await;
        server.add(validation_server).await;
        server.add(content_server).await;
        server.add(build_server).await;
        server.add(freshet_control::server(&control)).await;
        let serving = server.serve(grpc, readiness.clone(), shutdown.clone());
        shutdown.spawn("grpc", log_failure(serving));

        let (validation, content_service) = match path {
            RpcPath::InProcess => (Local::validation(validation), Local::content(content_service)),
            RpcPath::Tcp => (Remote::validation(to_validation), Remote::content(to_content)),
        };
        let ingress = IngressDeps {
            config: settings.ingress,
            validation,
            content: content_service,
            spool,
            catalogue,
            clock,
            sites: Some(Arc::new(Sites(hosting))),
            counters: counters.clone(),
            readiness: readiness.clone(),
        };
        freshet_content::spawn_background(&content, &shutdown, &readiness);
        freshet_build::spawn_background(build, &shutdown, &readiness);
        freshet_ingress::spawn_background(&ingress, &shutdown);
        let front = freshet_ingress::front(&ingress).merge(assets::router());
        shutdown.spawn("http", freshet_ingress::serve(http, front, settings.ingress, shutdown.clone()));
        drop(starting);
        Ok(Self {
            http: http_address,
            grpc: grpc_address,
            readiness,
            shutdown,
            counters,
            drain_deadline: settings.drain_deadline,
        })
    }

    /// Waits until every part is ready, and names those that do not become so.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let waited = tokio::time::timeout(READY_WITHIN, self.readiness.ready()).await;
        waited.map_err(|_| anyhow::anyhow!("not ready after {READY_WITHIN:?}: {}", self.readiness.pending().join(", ")))
    }

    /// Stops: nothing new is taken, what runs may end. Returns the names of the tasks that had to be dropped.
    pub async fn stop(self) -> Vec<&'static str> {
        self.shutdown.drain(self.drain_deadline).await
    }
}

fn open(data: &Path) -> anyhow::Result<(Db, Db)> {
    let tables = [freshet_content::MIGRATIONS, freshet_bus::sqlite::MIGRATIONS, freshet_build::MIGRATIONS];
    let db = Db::open(&data.join("freshet.db"), &tables, DbOptions::default())?;
    let spool = Db::open(&data.join("spool.db"), &[freshet_ingress::spool::MIGRATIONS], DbOptions::default())?;
    Ok((db, spool))
}

async fn log_failure(serving: impl Future<Output = Result<(), freshet_kit::rpc::ServeError>>) {
    if let Err(error) = serving.await {
        tracing::error!(error = %freshet_kit::error::chain(&error), "gRPC ended");
    }
}

/// Makes the channels between the services.
struct Links {
    path: RpcPath,
    catalogue: CatalogueHandle,
    grpc: SocketAddr,
    root_key: String,
}

impl Links {
    fn to<S>(&self, server: S) -> anyhow::Result<Channel>
    where
        S: tower::Service<
                http::Request<tonic::body::Body>,
                Response = http::Response<tonic::body::Body>,
                Error = std::convert::Infallible,
            > + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        match self.path {
            RpcPath::InProcess => Ok(in_process(server, self.catalogue.clone())),
            RpcPath::Tcp => Ok(connect(&format!("http://{}", self.grpc), &self.root_key)?),
        }
    }
}

/// Finished sites for the edge's preview.
struct Sites(Arc<LocalHosting>);

impl SiteRoots for Sites {
    fn live_root(&self, client: &str, site: &str) -> Option<PathBuf> {
        self.0.live_root(client, site)
    }
}

struct EdgeProbe(Arc<Counters>);

#[async_trait]
impl Probe for EdgeProbe {
    async fn status(&self) -> ComponentStatus {
        let counts = self.0.all().into_iter().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(name, count)| format!("{count} {name}")).collect();
        let detail = if counts.is_empty() { "no deliveries yet".to_owned() } else { counts.join(", ") };
        ComponentStatus { name: "ingress".to_owned(), healthy: true, detail }
    }
}

struct SpoolProbe(Arc<dyn Spool>);

#[async_trait]
impl Probe for SpoolProbe {
    async fn status(&self) -> ComponentStatus {
        let (healthy, detail) = match self.0.count().await {
            Ok((0, 0)) => (true, "empty".to_owned()),
            Ok((waiting, aside)) => (false, format!("{waiting} deliveries wait, {aside} were put aside")),
            Err(error) => (false, error.to_string()),
        };
        ComponentStatus { name: "spool".to_owned(), healthy, detail }
    }
}

struct QueueProbe(Arc<dyn Queue>);

#[async_trait]
impl Probe for QueueProbe {
    async fn status(&self) -> ComponentStatus {
        let (healthy, detail) = match self.0.stats().await {
            Ok(stats) => (
                stats.dead == 0,
                format!("{} events wait, {} are worked on, {} are dead", stats.visible, stats.in_flight, stats.dead),
            ),
            Err(error) => (false, error.to_string()),
        };
        ComponentStatus { name: "build queue".to_owned(), healthy, detail }
    }
}
