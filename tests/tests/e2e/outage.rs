//! An edge of its own, as on AWS, whose way to validation or content is cut or blocked.

use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use freshet_domain::catalogue::Source;
use freshet_ingress::spool::{MIGRATIONS, Spool, SqliteSpool};
use freshet_ingress::upstream::{Remote, Validation};
use freshet_ingress::{Counters, IngressConfig, IngressDeps};
use freshet_kit::rpc::connect;
use freshet_kit::{Readiness, Shutdown, SystemClock};
use freshet_proto::validation::v1::{
    ListProvidersRequest, ListProvidersResponse, ValidateDeliveryRequest, ValidateDeliveryResponse,
};
use freshet_providers::SampleDelivery;
use freshet_sqlite::{Db, DbOptions};
use freshet_tests::catalogues::{SOON, client, key};
use freshet_tests::files::files_with;
use freshet_tests::gate::{Gate, Path};
use freshet_tests::{Answer, Sample, TestSuite, wait_for};
use tokio::net::TcpListener;
use tonic::Status;

const KEY: &str = "fk_webhook_key_of_tidewater_for_tests";
const NEW_KEY: &str = "fk_new_key_of_the_edge_for_tests";

/// Validation that goes down after some more judgements.
struct Ending {
    inner: Arc<dyn Validation>,
    left: AtomicUsize,
}

#[async_trait]
impl Validation for Ending {
    async fn validate_delivery(&self, request: ValidateDeliveryRequest) -> Result<ValidateDeliveryResponse, Status> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| Status::unavailable("down"))?;
        self.inner.validate_delivery(request).await
    }

    async fn list_providers(&self, request: ListProvidersRequest) -> Result<ListProvidersResponse, Status> {
        self.inner.list_providers(request).await
    }
}

/// An edge with gates before the services of a suite.
struct Edge {
    http: String,
    judgements: Arc<Ending>,
    validation: Gate,
    content: Gate,
    spool: Arc<dyn Spool>,
    shutdown: Shutdown,
}

impl Edge {
    async fn start(suite: &TestSuite, folder: &FilePath) -> Self {
        Self::with_key_for_content(suite, folder, &suite.root_key).await
    }

    async fn with_key_for_content(suite: &TestSuite, folder: &FilePath, key: &str) -> Self {
        let grpc: SocketAddr = suite.grpc.trim_start_matches("http://").parse().expect("an address");
        let (validation, content) = (Gate::before(grpc).await, Gate::before(grpc).await);
        let channel = |gate: &Gate, key: &str| connect(&format!("http://{}", gate.address), key).expect("a channel");
        let db = Db::open(&folder.join("edge.db"), &[MIGRATIONS], DbOptions::default()).expect("opens");
        let spool: Arc<dyn Spool> = Arc::new(SqliteSpool::new(db).await.expect("a spool"));
        let inner = Remote::validation(channel(&validation, &suite.root_key));
        let judgements = Arc::new(Ending { inner, left: AtomicUsize::new(usize::MAX) });
        let config = IngressConfig { answer_budget: Duration::from_millis(400), ..IngressConfig::default() };
        let deps = IngressDeps {
            config,
            validation: judgements.clone(),
            content: Remote::content(channel(&content, key)),
            spool: spool.clone(),
            catalogue: suite.catalogue.clone(),
            clock: Arc::new(SystemClock),
            sites: None,
            counters: Arc::new(Counters::default()),
            readiness: Readiness::new(),
        };
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        let http = format!("http://{}", listener.local_addr().expect("an address"));
        let shutdown = Shutdown::new();
        freshet_ingress::spawn_background(&deps, &shutdown);
        let serving = freshet_ingress::serve(listener, freshet_ingress::front(&deps), config, shutdown.clone());
        shutdown.spawn("http", serving);
        Self { http, judgements, validation, content, spool, shutdown }
    }

    async fn post(&self, suite: &TestSuite, source: &Source, delivery: &SampleDelivery, key: Option<&str>) -> Answer {
        let url = format!("{}/webhook/{}/{}", self.http, source.provider, source.id);
        let mut headers = delivery.headers.clone();
        headers.extend(key.map(|key| ("x-api-key".to_owned(), key.to_owned())));
        let begun = Instant::now();
        let answer = suite.poster.send(delivery.method, &url, &headers, delivery.body.clone()).await;
        // The tightest provider gives up after two seconds.
        assert!(begun.elapsed() < Duration::from_secs(2), "answered after {:?}: {answer:?}", begun.elapsed());
        answer
    }

    async fn wait_spool(&self, wanted: (u64, u64)) {
        wait_for("the spool", || async {
            let found = self.spool.count().await.map_err(|error| error.to_string())?;
            if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }
}

async fn suite() -> TestSuite {
    let catalogue = client("tidewater", &["journal", "shop"], SOON);
    TestSuite::start(catalogue + &key("hooks", KEY, &["tidewater"], &["webhook"])).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p9_while_validation_is_down_what_its_key_proves_is_kept_and_the_rest_must_come_again() {
    let suite = suite().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = Edge::start(&suite, folder.path()).await;
    let (journal, shop) = (suite.source("tidewater", "journal"), suite.source("tidewater", "shop"));
    let made = |source: &Source, number| suite.sample(source, Sample::new(number, 0));
    edge.post(&suite, &journal, &made(&journal, 0), Some(KEY)).await.kept("accepted");

    for (round, path) in [Path::Cut, Path::Blocked].into_iter().enumerate() {
        edge.validation.set(path);
        let number = 10 * (round as u64 + 1);
        let kept = edge.post(&suite, &journal, &made(&journal, number), Some(KEY)).await.kept("spooled");
        assert_eq!(kept.status, 202);
        // Sent again, because nobody knows what the provider's patience is.
        edge.post(&suite, &journal, &made(&journal, number), Some(KEY)).await.kept("spooled");
        // Genuine by its signature only: nobody can tell now.
        let later = edge.post(&suite, &shop, &made(&shop, number), None).await.problem(503);
        assert!(later.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{later:?}");
        edge.post(&suite, &journal, &made(&journal, number + 1), Some("fk_not_a_key")).await.problem(503);
        // A key is no signature: this one is found out when validation is back.
        let mut forged = made(&shop, number + 2);
        forged.body.push(b' ');
        edge.post(&suite, &shop, &forged, Some(KEY)).await.kept("spooled");
        edge.wait_spool((3, round as u64)).await;

        edge.validation.set(Path::Open);
        suite.clients.wait_live("tidewater", &kept.delivery_id()).await;
        edge.wait_spool((0, round as u64 + 1)).await;
    }
    assert_eq!(suite.clients.entries("tidewater", "journal").await.len(), 3);
    assert_eq!(suite.clients.entries("tidewater", "shop").await.len(), 0);
    assert!(edge.shutdown.drain(Duration::from_secs(10)).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p3_p9_while_everything_is_down_the_spool_keeps_the_order() {
    let suite = suite().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = Edge::start(&suite, folder.path()).await;
    let journal = suite.source("tidewater", "journal");
    edge.post(&suite, &journal, &suite.sample(&journal, Sample::new(0, 0)), Some(KEY)).await.kept("accepted");

    edge.content.set(Path::Cut);
    let verified = edge.post(&suite, &journal, &suite.sample(&journal, Sample::new(0, 1)), None).await.kept("spooled");
    edge.validation.set(Path::Cut);
    let mut last = String::new();
    for revision in 2..6 {
        let delivery = suite.sample(&journal, Sample::new(0, revision));
        last = edge.post(&suite, &journal, &delivery, Some(KEY)).await.kept("spooled").delivery_id();
    }
    edge.wait_spool((5, 0)).await;
    assert!(!files_with(folder.path(), b"api::article").is_empty());

    // Content alone is not enough for those that were not judged yet.
    edge.content.set(Path::Open);
    suite.clients.wait_live("tidewater", &verified.delivery_id()).await;
    edge.wait_spool((4, 0)).await;
    edge.validation.set(Path::Open);
    suite.clients.wait_live("tidewater", &last).await;
    edge.wait_spool((0, 0)).await;
    // Nor is any of it left in the spool's files (promise P8).
    wait_for("the spool to be empty to the last byte", || async {
        let found = files_with(folder.path(), b"api::article");
        if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
    let entries = suite.clients.entries("tidewater", "journal").await;
    // Each of the six states was stored, in their order.
    assert_eq!(entries.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [6]);
    assert!(edge.shutdown.drain(Duration::from_secs(10)).await.is_empty());
}

/// When keys are replaced, the edge and content do not change theirs in the same moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p9_a_key_that_content_does_not_take_yet_costs_no_delivery() {
    let mut suite = suite().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = Edge::with_key_for_content(&suite, folder.path(), NEW_KEY).await;
    let journal = suite.source("tidewater", "journal");
    let mut kept = Vec::new();
    let without = suite.catalogue_text().to_owned();
    for (number, scopes) in [&[][..], &["content:read"], &["content:write"]].into_iter().enumerate() {
        if !scopes.is_empty() {
            let before = suite.catalogue.get();
            suite.edit_catalogue(without.clone() + &key("edge", NEW_KEY, &["*"], scopes));
            wait_for("the edit to be in force", || async {
                if Arc::ptr_eq(&before, &suite.catalogue.get()) { Err("not yet".to_owned()) } else { Ok(()) }
            })
            .await;
        }
        let delivery = suite.sample(&journal, Sample::new(number as u64, 0));
        let answer = edge.post(&suite, &journal, &delivery, None).await;
        kept.push(answer.delivery_id());
        if scopes != ["content:write"] {
            answer.kept("spooled");
            // Nothing tells of a try in vain, so this must wait for some.
            tokio::time::sleep(Duration::from_secs(2)).await;
            edge.wait_spool((number as u64 + 1, 0)).await;
        }
    }
    for delivery in &kept {
        suite.clients.wait_live("tidewater", delivery).await;
    }
    edge.wait_spool((0, 0)).await;
    assert_eq!(suite.clients.entries("tidewater", "journal").await.len(), kept.len());
    assert!(edge.shutdown.drain(Duration::from_secs(10)).await.is_empty());
}

/// What content could not take is judged once more to be spooled. If nobody can judge it by then, the provider must know.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_what_cannot_be_judged_once_more_must_come_again() {
    let suite = suite().await;
    let folder = tempfile::tempdir().expect("a folder");
    let edge = Edge::start(&suite, folder.path()).await;
    let journal = suite.source("tidewater", "journal");
    let delivery = suite.sample(&journal, Sample::new(0, 0));
    edge.content.set(Path::Cut);
    edge.judgements.left.store(1, Ordering::SeqCst);
    // With a key, which would be enough for what was never judged.
    let refused = edge.post(&suite, &journal, &delivery, Some(KEY)).await.problem(503);
    assert!(refused.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{refused:?}");
    edge.wait_spool((0, 0)).await;
    edge.judgements.left.store(2, Ordering::SeqCst);
    let kept = edge.post(&suite, &journal, &delivery, Some(KEY)).await.kept("spooled").delivery_id();
    edge.judgements.left.store(usize::MAX, Ordering::SeqCst);
    edge.content.set(Path::Open);
    suite.clients.wait_live("tidewater", &kept).await;
    assert_eq!(suite.clients.entries("tidewater", "journal").await.len(), 1);
    assert!(edge.shutdown.drain(Duration::from_secs(10)).await.is_empty());
}
