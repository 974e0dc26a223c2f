//! A suite in this process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use freshet_domain::catalogue::Source;
use freshet_kit::config::Layers;
use freshet_kit::{CatalogueHandle, Clock, SystemClock};
use freshet_providers::{Registry, SampleDelivery};
use freshet_suite::catalogue::CatalogueReader;
use freshet_suite::compose::{RpcPath, StartOptions, Suite};
use freshet_suite::data::DataFolder;
use freshet_suite::settings::{DEFAULTS, Settings};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::grpc::Clients;
use crate::http::{Answer, Poster};
use crate::wait::wait_for;
use crate::{Sample, catalogues, samples};

/// How a suite is started.
pub struct Options {
    catalogue: String,
    path: RpcPath,
    clock: Arc<dyn Clock>,
    settings: String,
    secrets: BTreeMap<String, String>,
    /// What all names in AWS begin with, if its engine is behind the ports.
    #[cfg(feature = "aws")]
    aws: Option<String>,
}

impl Options {
    /// With this catalogue, in process, on the system's clock.
    pub fn new(catalogue: impl Into<String>) -> Self {
        Self {
            catalogue: catalogue.into(),
            path: RpcPath::InProcess,
            clock: Arc::new(SystemClock),
            settings: String::new(),
            secrets: catalogues::secrets(),
            #[cfg(feature = "aws")]
            aws: crate::engine::prefix(),
        }
    }

    /// How the services reach each other.
    #[must_use]
    pub fn path(mut self, path: RpcPath) -> Self {
        self.path = path;
        self
    }

    /// On this clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// With these settings, as in a settings file.
    #[must_use]
    pub fn settings(mut self, settings: impl Into<String>) -> Self {
        self.settings = settings.into();
        self
    }

    /// With one more variable for `env:` references.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts in a new temporary folder.
    pub async fn start(self) -> TestSuite {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        TestSuite::start_in(self, Arc::new(folder)).await
    }

    /// Starts in a new temporary folder in which `prepare` has put files; the catalogue is read from there too.
    pub async fn start_prepared(self, prepare: impl FnOnce(&Path)) -> TestSuite {
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        prepare(folder.path());
        TestSuite::start_in(self, Arc::new(folder)).await
    }
}

/// A running suite, with everything that is needed to talk to it.
pub struct TestSuite {
    suite: Option<Suite>,
    options: Options,
    folder: Arc<TempDir>,
    data: Option<DataFolder>,
    /// The catalogue in force.
    pub catalogue: CatalogueHandle,
    /// The adapters.
    pub registry: Arc<Registry>,
    /// `http://host:port` of the edge.
    pub http: String,
    /// The edge.
    pub http_address: SocketAddr,
    /// `http://host:port` of gRPC.
    pub grpc: String,
    /// The key that may do everything.
    pub root_key: String,
    /// Posts.
    pub poster: Poster,
    /// Calls with the root key.
    pub clients: Clients,
}

impl TestSuite {
    /// Starts one with this catalogue, in process.
    pub async fn start(catalogue: impl Into<String>) -> Self {
        Options::new(catalogue).start().await
    }

    async fn start_in(options: Options, folder: Arc<TempDir>) -> Self {
        let data = DataFolder::take(&folder.path().join("data")).unwrap_or_else(|error| panic!("{error:#}"));
        let root_key = data.root_key().unwrap_or_else(|error| panic!("{error:#}"));
        let file = folder.path().join("freshet.toml");
        std::fs::write(&file, &options.catalogue).unwrap_or_else(|error| panic!("no catalogue: {error}"));
        let registry = Arc::new(Registry::new());
        let reader = CatalogueReader::new(&file, data.path(), options.secrets.clone(), registry.clone(), &root_key);
        let catalogue = reader.read(&options.catalogue).unwrap_or_else(|problems| panic!("{problems}"));
        let catalogue = CatalogueHandle::new(catalogue);
        let mut layers = Layers::new_of(DEFAULTS);
        #[cfg(feature = "aws")]
        if options.aws.is_some() {
            // The emulator is slow; what the spool is for has tests of its own.
            layers.file("the emulator", "[ingress]\nanswer_budget = \"20s\"");
        }
        layers.file("test", &options.settings);
        let settings = Settings::read(&layers).unwrap_or_else(|problems| panic!("{problems:?}"));

        #[cfg(feature = "aws")]
        let ports = match &options.aws {
            Some(prefix) => Some(crate::engine::ports(prefix, &catalogue, &options.clock).await),
            None => None,
        };
        #[cfg(not(feature = "aws"))]
        let ports = None;
        let suite = Suite::start(StartOptions {
            ports,
            settings,
            data: data.path().to_owned(),
            catalogue: catalogue.clone(),
            registry: registry.clone(),
            clock: options.clock.clone(),
            http: listener().await,
            grpc: listener().await,
            path: options.path,
            root_key: root_key.clone(),
        })
        .await
        .unwrap_or_else(|error| panic!("the suite does not start: {error:#}"));
        let watching = reader.watch(catalogue.clone(), file, suite.shutdown.clone());
        suite.shutdown.spawn("catalogue", watching);
        wait_for("the suite to be ready", || async {
            let pending = suite.readiness.pending();
            if pending.is_empty() { Ok(()) } else { Err(format!("{pending:?}")) }
        })
        .await;
        let grpc = format!("http://{}", suite.grpc);
        Self {
            http: format!("http://{}", suite.http),
            http_address: suite.http,
            clients: Clients::new(&grpc, &root_key),
            grpc,
            suite: Some(suite),
            options,
            folder,
            data: Some(data),
            catalogue,
            registry,
            root_key,
            poster: Poster::new(),
        }
    }

    /// The folder with the catalogue, and with `data` in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What the edge has answered, by counter.
    pub fn counted(&self, name: &str) -> u64 {
        let counters = self.suite.as_ref().map(|suite| suite.counters.all()).unwrap_or_default();
        counters.into_iter().find(|(counter, _)| *counter == name).map_or(0, |(_, count)| count)
    }

    /// Stops and waits until the databases are closed, so that everything is in their files.
    pub async fn stop(&mut self) {
        if let Some(suite) = self.suite.take() {
            let left = suite.stop().await;
            assert!(left.is_empty(), "had to be dropped: {left:?}");
        }
        let log = self.data().join("freshet.db-wal");
        wait_for("the database to be closed", || async {
            match std::fs::metadata(&log) {
                Ok(file) if file.len() > 0 => Err(format!("its log has {} bytes", file.len())),
                _ => Ok(()),
            }
        })
        .await;
        self.data = None;
    }

    /// Stops and starts again on the same data folder.
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        Self::start_in(self.options, self.folder).await
    }

    /// Replaces the catalogue's file. It is read again within a second or two.
    pub fn edit_catalogue(&mut self, text: impl Into<String>) {
        self.options.catalogue = text.into();
        let file = self.folder.path().join("freshet.toml");
        std::fs::write(file, &self.options.catalogue).unwrap_or_else(|error| panic!("not written: {error}"));
    }

    /// The catalogue's file as it was written last.
    pub fn catalogue_text(&self) -> &str {
        &self.options.catalogue
    }

    /// A source.
    pub fn source(&self, client: &str, source: &str) -> Arc<Source> {
        let catalogue = self.catalogue.get();
        catalogue.source(client, source).cloned().unwrap_or_else(|| panic!("no source {client}.{source}"))
    }

    /// The address of a source's webhook.
    pub fn webhook(&self, source: &Source) -> String {
        format!("{}/webhook/{}/{}.{}", self.http, source.provider, source.client, source.id)
    }

    /// The delivery that a source's provider would send.
    pub fn sample(&self, source: &Source, sample: Sample<'_>) -> SampleDelivery {
        samples::make(&self.registry, source, sample, self.options.clock.now())
    }

    /// Makes and posts a sample for a source of the client `tidewater`.
    pub async fn send(&self, source: &str, sample: Sample<'_>) -> Answer {
        self.send_to("tidewater", source, sample).await
    }

    /// Makes and posts a sample.
    pub async fn send_to(&self, client: &str, source: &str, sample: Sample<'_>) -> Answer {
        let source = self.source(client, source);
        let delivery = self.sample(&source, sample);
        self.post(&source, &delivery).await
    }

    /// Posts a delivery.
    pub async fn post(&self, source: &Source, delivery: &SampleDelivery) -> Answer {
        let url = self.webhook(source);
        self.poster.send(delivery.method, &url, &delivery.headers, delivery.body.clone()).await
    }

    /// The site's page below `/sites/{client}/{site}/`.
    pub async fn page(&self, client: &str, site: &str, path: &str) -> Answer {
        self.poster.get(&format!("{}/sites/{client}/{site}/{path}", self.http)).await
    }

    /// Every page of the site that is live, joined. Pages are found in its folder, and read over HTTP.
    pub async fn all_pages(&self, client: &str, site: &str) -> String {
        let mut text = String::new();
        let mut seen = vec![format!("/sites/{client}/{site}/")];
        let mut next = 0;
        while let Some(path) = seen.get(next).cloned() {
            next += 1;
            assert!(next < 5_000, "the site has no end");
            let answer = self.poster.get(&format!("{}{path}", self.http)).await;
            if answer.status != 200 {
                continue;
            }
            for link in answer.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let link = link.split(['#', '?']).next().unwrap_or_default();
                let is_page = link.starts_with(&format!("/sites/{client}/{site}/"))
                    && (link.ends_with('/') || link.ends_with(".html"));
                if is_page && !seen.iter().any(|known| known == link) {
                    seen.push(link.to_owned());
                }
            }
            text.push_str(&answer.body);
        }
        text
    }
}

async fn listener() -> TcpListener {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    TcpListener::bind(any).await.unwrap_or_else(|error| panic!("no port on loopback: {error}"))
}
