//! A build service in one process, over a real store and real runners, with a queue in memory and a content service
//! that holds what a test gives it.

#![allow(dead_code, reason = "each test binary uses a part of it")]

mod content;
mod queue;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freshet_build::{BuildDeps, Hosting, Hub, LocalHosting, MIGRATIONS, Runners, SqliteBuildStore};
use freshet_bus::{ChangedEntry, ContentChanged};
use freshet_domain::catalogue::{
    ApiKey, BuildPolicy, Client, KeyClients, Preset, RateLimit, Scope, Settings, Site, SiteAws, SiteBuild, Source,
};
use freshet_domain::{Catalogue, ChangeOp, ClientId, DeliveryId, Kind, Lane, SiteId, SourceId, Timestamp};
use freshet_kit::rpc::{Channel, Stack, in_process};
use freshet_kit::{CatalogueHandle, Readiness, Shutdown, SystemClock};
use freshet_proto::build::v1 as pb;
use freshet_proto::build::v1::build_service_client::BuildServiceClient;
use freshet_sqlite::{Db, DbOptions};

pub(crate) use content::FakeContent;
pub(crate) use queue::FakeQueue;

/// How long a test waits for a state before it gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn client_id(name: &str) -> ClientId {
    ClientId::new(name).expect("a name")
}

/// A site of a test.
#[derive(Clone)]
pub(crate) struct SiteSpec {
    pub(crate) client: &'static str,
    pub(crate) site: &'static str,
    pub(crate) build: SiteBuild,
    pub(crate) policy: BuildPolicy,
    pub(crate) aws: Option<SiteAws>,
}

/// Fires soon.
pub(crate) fn quick() -> BuildPolicy {
    BuildPolicy {
        quiet_period: Duration::from_millis(50),
        max_wait: Duration::from_secs(30),
        max_attempts: 2,
        retry_backoff: Duration::from_millis(20),
        retry_backoff_max: Duration::from_millis(50),
        ..BuildPolicy::default()
    }
}

pub(crate) fn builtin() -> SiteBuild {
    SiteBuild {
        preset: Preset::Builtin,
        command: Vec::new(),
        directory: None,
        output: PathBuf::new(),
        env: BTreeMap::new(),
        timeout: Duration::from_secs(60),
    }
}

/// A shell script as the site's command. It leaves its site in `out`.
pub(crate) fn script(directory: &Path, text: &str) -> SiteBuild {
    SiteBuild {
        preset: Preset::Custom,
        command: ["sh", "-c", text].map(str::to_owned).into(),
        directory: Some(directory.to_owned()),
        output: PathBuf::from("out"),
        ..builtin()
    }
}

pub(crate) fn site(client: &'static str, name: &'static str, build: SiteBuild) -> SiteSpec {
    SiteSpec { client, site: name, build, policy: quick(), aws: None }
}

/// Every site uses its client's source `blog`.
pub(crate) fn catalogue(sites: &[SiteSpec], max_of_client: u32, max_of_all: u32) -> Catalogue {
    let mut clients = BTreeMap::new();
    let rate = RateLimit { per_second: 1000, burst: 1000 };
    for name in ["acme", "beta"] {
        let client = client_id(name);
        let blog = SourceId::new("blog").expect("a name");
        let source = Source {
            client: client.clone(),
            id: blog.clone(),
            provider: "strapi".into(),
            secrets: Vec::new(),
            require_key: false,
            rate,
            settings: Settings::default(),
        };
        let of_client = sites.iter().filter(|site| site.client == name).map(|spec| {
            let id = SiteId::new(spec.site).expect("a name");
            let site = Site {
                client: client.clone(),
                id: id.clone(),
                title: "Tidewater".into(),
                sources: vec![blog.clone()],
                build: spec.build.clone(),
                policy: spec.policy.clone(),
                aws: spec.aws.clone(),
            };
            (id, Arc::new(site))
        });
        let value = Client {
            id: client.clone(),
            title: name.into(),
            content_ttl: Duration::from_secs(48 * 3600),
            max_running_builds: max_of_client,
            rate,
            sources: BTreeMap::from([(blog.clone(), Arc::new(source))]),
            sites: of_client.collect(),
        };
        clients.insert(client, Arc::new(value));
    }
    let mut keys = HashMap::new();
    for (text, client, scopes) in [
        ("acme-all", "acme", vec![Scope::BuildRead, Scope::BuildWrite]),
        ("acme-read", "acme", vec![Scope::BuildRead]),
        ("beta-all", "beta", vec![Scope::BuildRead, Scope::BuildWrite]),
    ] {
        let key =
            ApiKey { name: text.into(), clients: KeyClients::Only(vec![client_id(client)]), scopes, source: None };
        keys.insert(sha256(text), Arc::new(key));
    }
    Catalogue { clients, keys, max_running_builds: max_of_all }
}

fn sha256(text: &str) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(text.as_bytes()).into()
}

/// What outlives a process: files, the queue, and the content.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) queue: Arc<FakeQueue>,
    pub(crate) content: FakeContent,
    pub(crate) catalogue: CatalogueHandle,
}

impl World {
    pub(crate) fn new(sites: &[SiteSpec]) -> Self {
        Self::with_limits(sites, 10, 10)
    }

    pub(crate) fn with_limits(sites: &[SiteSpec], max_of_client: u32, max_of_all: u32) -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            queue: Arc::new(FakeQueue::default()),
            content: FakeContent::default(),
            catalogue: CatalogueHandle::new(catalogue(sites, max_of_client, max_of_all)),
        }
    }

    /// A process over this world.
    pub(crate) fn start(&self) -> Process {
        let hosting = LocalHosting::open(self.folder.path().join("sites"));
        self.start_with(Runners::local(), Arc::new(hosting))
    }

    /// A process that builds and publishes elsewhere.
    pub(crate) fn start_with(&self, runners: Runners, hosting: Arc<dyn Hosting>) -> Process {
        let db = Db::open(&self.folder.path().join("build.db"), &[MIGRATIONS], DbOptions::default()).expect("opens");
        let deps = BuildDeps {
            lease: None,
            store: Arc::new(SqliteBuildStore::open(db)),
            queue: self.queue.clone(),
            runners,
            content: self.content.client(self.catalogue.clone()),
            catalogue: self.catalogue.clone(),
            clock: Arc::new(SystemClock),
            hosting,
            work_dir: self.folder.path().join("work"),
            hub: Hub::new(),
        };
        let (shutdown, readiness) = (Shutdown::new(), Readiness::new());
        let server = freshet_build::server(&deps);
        freshet_build::spawn_background(deps.clone(), &shutdown, &readiness);
        let client = BuildServiceClient::new(in_process(server, self.catalogue.clone()));
        let hosting = LocalHosting::open(self.folder.path().join("sites"));
        Process { deps, hosting, shutdown, readiness, client }
    }

    /// From now on nobody has read the catalogue, as in a task that has just begun. Returns what puts it in force.
    pub(crate) fn forget_catalogue(&mut self) -> CatalogueHandle {
        let (handle, mut asked) = CatalogueHandle::followed();
        self.catalogue = handle.clone();
        let seen = handle.clone();
        tokio::spawn(async move {
            while let Some(ask) = asked.recv().await {
                let _ = ask.send(seen.is_loaded());
            }
        });
        handle
    }

    /// Entries that are published, and the event that says so, in one delivery.
    pub(crate) fn publish(&self, client: &str, ids: &[&str]) -> DeliveryId {
        let delivery = DeliveryId::generate();
        let all: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.content.publish(client, &all);
        self.queue.push(&event(client, delivery, &all));
        delivery
    }

    /// The folder of the site's own files.
    pub(crate) fn project(&self) -> PathBuf {
        let folder = self.folder.path().join("project");
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }
}

/// An event with one upsert per id.
pub(crate) fn event(client: &str, delivery: DeliveryId, ids: &[String]) -> ContentChanged {
    let changes = ids.iter().enumerate().map(|(index, id)| ChangedEntry {
        delivery,
        index: u32::try_from(index).expect("small"),
        id: id.clone(),
        locale: String::new(),
        op: ChangeOp::Upsert,
        lane: Lane::Normal,
        content_hash: "00".into(),
        sequence: u64::try_from(index).expect("small") + 1,
        received_at: Timestamp::now(),
        traceparent: String::new(),
    });
    ContentChanged {
        client: client_id(client),
        source: SourceId::new("blog").expect("a name"),
        entry_type: "article".into(),
        kind: Kind::Document,
        time: Timestamp::now(),
        changes: changes.collect(),
    }
}

/// One process.
pub(crate) struct Process {
    pub(crate) deps: BuildDeps,
    pub(crate) hosting: LocalHosting,
    pub(crate) shutdown: Shutdown,
    pub(crate) readiness: Readiness,
    pub(crate) client: BuildServiceClient<Channel>,
}

impl Process {
    pub(crate) async fn builds(&self, client: &str, site: &str) -> Vec<pb::Build> {
        let request = pb::ListBuildsRequest { client_id: client.into(), site_id: site.into(), ..Default::default() };
        let mut builds = self.client.clone().list_builds(request).await.expect("listed").into_inner().builds;
        builds.reverse();
        builds
    }

    pub(crate) async fn build(&self, client: &str, build: &str) -> pb::Build {
        let request = pb::GetBuildRequest { client_id: client.into(), build_id: build.into() };
        self.client.clone().get_build(request).await.expect("a build").into_inner().build.expect("a build")
    }

    pub(crate) async fn site(&self, client: &str, name: &str) -> pb::Site {
        let request = pb::ListSitesRequest { client_id: client.into(), ..Default::default() };
        let sites = self.client.clone().list_sites(request).await.expect("listed").into_inner().sites;
        sites.into_iter().find(|site| site.site_id == name).expect("the site")
    }

    pub(crate) async fn delivery(&self, client: &str, delivery: DeliveryId) -> Vec<pb::DeliveryBatch> {
        let request = pb::ListDeliveryBatchesRequest { client_id: client.into(), delivery_id: delivery.to_string() };
        self.client.clone().list_delivery_batches(request).await.expect("listed").into_inner().batches
    }

    /// Waits until the last batch of the delivery has this state.
    pub(crate) async fn until_delivery(
        &self,
        client: &str,
        delivery: DeliveryId,
        state: pb::BatchState,
    ) -> pb::DeliveryBatch {
        let reached = async || {
            let batches = self.delivery(client, delivery).await;
            let found = batches.into_iter().find(|found| found.batch.as_ref().is_some_and(|b| b.state() == state));
            found.ok_or_else(|| format!("the delivery is not {state:?}"))
        };
        until(reached).await
    }

    /// Waits until the newest build of the site has this state.
    pub(crate) async fn until_build(&self, client: &str, site: &str, state: pb::BuildState) -> pb::Build {
        until(async || {
            let builds = self.builds(client, site).await;
            let states: Vec<String> =
                builds.iter().map(|build| format!("{:?} {}", build.state(), build.error)).collect();
            builds.into_iter().next_back().filter(|build| build.state() == state).ok_or_else(|| states.join(", "))
        })
        .await
    }

    pub(crate) fn live(&self, client: &str, site: &str, path: &str) -> String {
        let root = self.hosting.live_root(client, site).expect("a live site");
        std::fs::read_to_string(root.join(path)).expect("a page")
    }

    /// Ends in order.
    pub(crate) async fn stop(self) {
        assert_eq!(self.shutdown.drain(Duration::from_secs(30)).await, Vec::<&str>::new());
    }

    /// Ends as `kill -9` does, as near as one process can come to it: nothing gets the chance to say goodbye.
    pub(crate) async fn kill(self) {
        self.shutdown.drain(Duration::ZERO).await;
    }

    /// A client that comes over the network with this key.
    pub(crate) fn outside(&self, world: &World) -> BuildServiceClient<Stack<impl GrpcService>> {
        BuildServiceClient::new(Stack::new(freshet_build::server(&self.deps), world.catalogue.clone()))
    }
}

/// What a generated server is.
pub(crate) trait GrpcService:
    tonic::codegen::Service<
        tonic::codegen::http::Request<tonic::body::Body>,
        Response = tonic::codegen::http::Response<tonic::body::Body>,
        Error = std::convert::Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
}

impl<T> GrpcService for T where
    T: tonic::codegen::Service<
            tonic::codegen::http::Request<tonic::body::Body>,
            Response = tonic::codegen::http::Response<tonic::body::Body>,
            Error = std::convert::Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

/// Polls until it works; says what was seen last when it never does.
pub(crate) async fn until<T>(mut reached: impl AsyncFnMut() -> Result<T, String>) -> T {
    let end = tokio::time::Instant::now() + PATIENCE;
    loop {
        match reached().await {
            Ok(value) => return value,
            Err(seen) if tokio::time::Instant::now() > end => panic!("waited for too long; last seen: {seen}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
