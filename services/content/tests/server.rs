//! The service over its generated client.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use freshet_bus::{OutgoingEvent, Publisher};
use freshet_content::store::contract::support::{START, at, delete, key, touch, upsert};
use freshet_content::{ContentDeps, Server, SqliteStore};
use freshet_domain::catalogue::{ApiKey, Client, KeyClients, RateLimit, Scope, Settings, Source};
use freshet_domain::{Catalogue, Change, ClientId, DeliveryId, SourceId};
use freshet_kit::rpc::{Stack, in_process};
use freshet_kit::{CatalogueHandle, Error, ManualClock, Readiness, Shutdown};
use freshet_proto::common::v1 as common;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::content::v1::content_service_server::ContentServiceServer;
use freshet_proto::content::v1::*;
use freshet_proto::convert;
use freshet_sqlite::{Db, DbOptions};
use sha2::{Digest as _, Sha256};
use tonic::Code;

struct Nowhere;

#[async_trait]
impl Publisher for Nowhere {
    async fn publish(&self, events: Vec<OutgoingEvent>) -> Result<Vec<Result<(), Error>>, Error> {
        Ok(events.iter().map(|_| Ok(())).collect())
    }
}

struct World {
    _folder: tempfile::TempDir,
    clock: ManualClock,
    deps: ContentDeps,
    client: ContentServiceClient<freshet_kit::rpc::Channel>,
}

const RATE: RateLimit = RateLimit { per_second: 1, burst: 1 };

fn catalogue() -> Catalogue {
    let mut catalogue = Catalogue::default();
    for name in ["acme", "other"] {
        let id = ClientId::new(name).expect("valid");
        let sources = ["blog", "shop"].map(|source| {
            let source = Source {
                client: id.clone(),
                id: SourceId::new(source).expect("valid"),
                provider: "strapi".into(),
                secrets: Vec::new(),
                require_key: false,
                rate: RATE,
                settings: Settings::default(),
            };
            (source.id.clone(), Arc::new(source))
        });
        let client = Client {
            id: id.clone(),
            title: name.into(),
            content_ttl: Duration::from_secs(48 * 3600),
            max_running_builds: 1,
            rate: RATE,
            sources: sources.into(),
            sites: Default::default(),
        };
        catalogue.clients.insert(id, Arc::new(client));
    }
    let acme = KeyClients::Only(vec![ClientId::new("acme").expect("valid")]);
    for (text, clients, scopes) in [
        ("acme-read", acme.clone(), vec![Scope::ContentRead]),
        ("acme-write", acme, vec![Scope::ContentWrite]),
        ("all", KeyClients::All, vec![Scope::ContentRead, Scope::ContentWrite]),
    ] {
        let key = ApiKey { name: text.into(), clients, scopes, source: None };
        catalogue.keys.insert(Sha256::digest(text).into(), Arc::new(key));
    }
    catalogue
}

fn world() -> World {
    let folder = tempfile::tempdir().expect("folder");
    let db = Db::open(&folder.path().join("t.db"), &[freshet_content::MIGRATIONS], DbOptions::default());
    let clock = ManualClock::at(START);
    let deps = ContentDeps {
        publish_pause: std::time::Duration::ZERO,
        store: Arc::new(SqliteStore::open(db.expect("opens"), &folder.path().join("bodies")).expect("opens")),
        publisher: Arc::new(Nowhere),
        catalogue: CatalogueHandle::new(catalogue()),
        clock: Arc::new(clock.clone()),
    };
    let client = ContentServiceClient::new(in_process(
        freshet_content::server(freshet_content::service(&deps)),
        deps.catalogue.clone(),
    ))
    .max_decoding_message_size(32 << 20);
    World { _folder: folder, clock, deps, client }
}

fn ingest_request(changes: Vec<Change>) -> IngestDeliveryRequest {
    IngestDeliveryRequest {
        delivery_id: DeliveryId::generate().to_string(),
        client_id: "acme".into(),
        source_id: "blog".into(),
        provider: "strapi".into(),
        verdict: 1,
        retention: 1,
        changes: changes.into_iter().map(convert::change_to_proto).collect(),
        body: "{}".into(),
        ..IngestDeliveryRequest::default()
    }
}

impl World {
    async fn ingest(&mut self, changes: Vec<Change>) -> IngestDeliveryResponse {
        self.client.ingest_delivery(ingest_request(changes)).await.expect("ingested").into_inner()
    }

    async fn get(&mut self, id: &str) -> Result<Entry, Code> {
        let key = Some(convert::key_to_proto(&key(id)));
        let request = GetEntryRequest { client_id: "acme".into(), key, ..GetEntryRequest::default() };
        let response = self.client.get_entry(request).await.map_err(|status| status.code())?;
        Ok(response.into_inner().entry.expect("entry"))
    }

    fn over_key(&self) -> ContentServiceClient<Stack<ContentServiceServer<Server>>> {
        ContentServiceClient::new(Stack::new(
            freshet_content::server(freshet_content::service(&self.deps)),
            self.deps.catalogue.clone(),
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_found_until_it_is_deleted_or_expires() {
    let mut world = world();
    let response = world.ingest(vec![upsert("1", 10, "a"), upsert("2", 10, "b")]).await;
    assert_eq!(response.outcomes.iter().map(|outcome| outcome.effect).collect::<Vec<_>>(), [1, 1]);
    let entry = world.get("1").await.expect("found");
    assert_eq!(entry.content.expect("content").title, "Title a");
    assert_eq!(entry.delivery_id, response.delivery_id);
    world.ingest(vec![delete("1", 20)]).await;
    assert_eq!(world.get("1").await, Err(Code::NotFound));
    let proto_key = |id: &str| convert::key_to_proto(&key(id));
    let request = BatchGetEntriesRequest {
        client_id: "acme".into(),
        keys: vec![proto_key("2"), proto_key("1"), proto_key("x")],
        include_deleted: true,
        include_expired: false,
    };
    let batch = world.client.batch_get_entries(request.clone()).await.expect("batch").into_inner();
    assert_eq!((batch.entries.len(), batch.missing), (2, vec![proto_key("x")]));
    world.clock.set(START.plus(Duration::from_secs(48 * 3600)));
    assert_eq!(world.get("2").await, Err(Code::NotFound), "expired");
    let batch = world.client.batch_get_entries(request.clone()).await.expect("batch").into_inner();
    assert_eq!(batch.missing, [proto_key("2"), proto_key("x")]);
    let request = BatchGetEntriesRequest { include_expired: true, ..request };
    assert_eq!(world.client.batch_get_entries(request).await.expect("batch").into_inner().entries.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_and_named() {
    let mut world = world();
    type Spoil = fn(&mut IngestDeliveryRequest);
    let cases: [(Spoil, Code, &str); 11] = [
        (|request| request.client_id = "none".into(), Code::NotFound, "`none`"),
        (|request| request.source_id = "wiki".into(), Code::NotFound, "`wiki`"),
        (|request| request.delivery_id = "7".into(), Code::InvalidArgument, "`delivery_id`"),
        (|request| request.verdict = 5, Code::InvalidArgument, "`verdict`"),
        (|request| request.retention = 0, Code::InvalidArgument, "`retention`"),
        (|request| request.changes[0].op = 9, Code::InvalidArgument, "`changes[0].op`"),
        (|request| request.changes[0].status = 3, Code::InvalidArgument, "`changes[0].status`"),
        (|request| request.changes[0].key = None, Code::InvalidArgument, "`changes[0].key`"),
        (
            |request| request.changes[0].key.as_mut().expect("key").source_id = "shop".into(),
            Code::InvalidArgument,
            "`changes[0].key.source_id`",
        ),
        (|request| request.changes[0].version = None, Code::InvalidArgument, "`changes[0].version`"),
        (
            |request| request.changes[0].content.as_mut().expect("content").content_hash = vec![1].into(),
            Code::InvalidArgument,
            "`changes[0].content.content_hash`",
        ),
    ];
    for (spoil, code, named) in cases {
        let mut request = ingest_request(vec![upsert("1", 10, "a")]);
        spoil(&mut request);
        let status = world.client.ingest_delivery(request).await.expect_err(named);
        assert_eq!(status.code(), code, "{named}");
        assert!(status.message().contains(named), "{named}: {}", status.message());
    }
    assert_eq!(world.get("1").await, Err(Code::NotFound));
    let list = |change: fn(&mut ListEntriesRequest)| {
        let mut request = ListEntriesRequest { client_id: "acme".into(), ..ListEntriesRequest::default() };
        change(&mut request);
        request
    };
    for (request, named) in [
        (list(|request| request.r#type = "a".into()), "`type`"),
        (list(|request| request.page_size = -1), "`page_size`"),
        (list(|request| request.page_token = "x".into()), "`page_token`"),
        (list(|request| request.order = 7), "`order`"),
        (list(|request| request.source_id = "No".into()), "`source_id`"),
    ] {
        let status = world.client.list_entries(request).await.expect_err(named);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(named), "{}", status.message());
    }
    let invalidate = InvalidateEntriesRequest { client_id: "acme".into(), ..InvalidateEntriesRequest::default() };
    let both = InvalidateEntriesRequest { all: true, tag: "t".into(), ..invalidate.clone() };
    for request in [invalidate, both] {
        assert_eq!(world.client.invalidate_entries(request).await.expect_err("refused").code(), Code::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_a_key_of_one_client_reaches_nothing_of_another() {
    let mut world = world();
    world.ingest(vec![upsert("1", 10, "a")]).await;
    let delivery_id = world.ingest(vec![]).await.delivery_id;
    let mut client = world.over_key();
    macro_rules! code {
        ($bearer:expr, $method:ident, $request:expr) => {{
            let mut request = tonic::Request::new($request);
            if !$bearer.is_empty() {
                request.metadata_mut().insert("authorization", format!("Bearer {}", $bearer).parse().expect("ascii"));
            }
            client.$method(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
        }};
    }
    macro_rules! every_read {
        ($bearer:expr, $client_id:expr) => {{
            let client_id: String = $client_id.into();
            let key = Some(convert::key_to_proto(&key("1")));
            let source_ids = vec!["blog".to_owned()];
            [
                code!($bearer, get_entry, GetEntryRequest { client_id: client_id.clone(), key, ..Default::default() }),
                code!(
                    $bearer,
                    batch_get_entries,
                    BatchGetEntriesRequest { client_id: client_id.clone(), ..Default::default() }
                ),
                code!($bearer, list_entries, ListEntriesRequest { client_id: client_id.clone(), ..Default::default() }),
                code!(
                    $bearer,
                    watch_changes,
                    WatchChangesRequest { client_id: client_id.clone(), ..Default::default() }
                ),
                code!(
                    $bearer,
                    export_snapshot,
                    ExportSnapshotRequest { client_id: client_id.clone(), source_ids, ..Default::default() }
                ),
                code!(
                    $bearer,
                    get_delivery,
                    GetDeliveryRequest {
                        client_id: client_id.clone(),
                        delivery_id: delivery_id.clone(),
                        ..Default::default()
                    }
                ),
                code!($bearer, list_deliveries, ListDeliveriesRequest { client_id, ..Default::default() }),
            ]
        }};
    }
    let invalidate =
        |client_id: &str| InvalidateEntriesRequest { client_id: client_id.into(), all: true, ..Default::default() };
    assert_eq!(every_read!("acme-read", "acme"), [Code::Ok; 7]);
    assert_eq!(every_read!("acme-read", "other"), [Code::PermissionDenied; 7]);
    assert_eq!(every_read!("acme-write", "acme"), [Code::PermissionDenied; 7]);
    assert_eq!(every_read!("", "acme"), [Code::Unauthenticated; 7]);
    assert_eq!(every_read!("guess", "acme"), [Code::Unauthenticated; 7]);
    assert_eq!(every_read!("acme-read", "../x"), [Code::InvalidArgument; 7]);
    assert_eq!(code!("acme-read", invalidate_entries, invalidate("acme")), Code::PermissionDenied);
    assert_eq!(code!("acme-write", invalidate_entries, invalidate("other")), Code::PermissionDenied);
    assert_eq!(code!("acme-write", invalidate_entries, invalidate("acme")), Code::Ok);
    assert_eq!(code!("acme-write", ingest_delivery, ingest_request(vec![])), Code::PermissionDenied, "internal");
    assert_eq!(code!("all", ingest_delivery, ingest_request(vec![])), Code::Ok);
}

/// A task listens before it has read the catalogue: a key that it does not know may be a good one.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_before_the_first_edition_may_come_again() {
    let mut world = world();
    let (handle, _asked) = CatalogueHandle::followed();
    world.deps.catalogue = handle;
    let mut client = world.over_key();
    let request = || tonic::Request::new(ingest_request(vec![upsert("1", 1, "a")]));
    let keyed = |mut request: tonic::Request<_>| {
        request.metadata_mut().insert("authorization", "Bearer all".parse().expect("ascii"));
        request
    };
    let status = client.ingest_delivery(keyed(request())).await.expect_err("not yet");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    world.deps.catalogue.replace(catalogue());
    client.ingest_delivery(keyed(request())).await.expect("known now");
    let status = client.ingest_delivery(request()).await.expect_err("without a key");
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
}

/// Validation reads the catalogue at times of its own: it can judge a delivery of a client before content knows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_known_yet_is_looked_for() {
    let mut world = world();
    let (handle, mut asked) = CatalogueHandle::followed();
    handle.replace(Catalogue::default());
    world.deps.catalogue = handle.clone();
    let client = ContentServiceClient::new(in_process(
        freshet_content::server(freshet_content::service(&world.deps)),
        handle.clone(),
    ));
    let ingest = |id: &str| {
        let (mut client, request) = (client.clone(), ingest_request(vec![upsert(id, 1, "a")]));
        tokio::spawn(async move { client.ingest_delivery(request).await.map_err(|status| status.code()) })
    };
    let (cannot, none) = (ingest("1"), asked.recv().await.expect("asked"));
    none.send(false).expect("somebody waits");
    assert_eq!(cannot.await.expect("ended").expect_err("nobody knows"), Code::Unavailable);
    let (unknown, seen) = (ingest("2"), asked.recv().await.expect("asked"));
    seen.send(true).expect("somebody waits");
    assert_eq!(unknown.await.expect("ended").expect_err("no such client"), Code::NotFound);
    let (known, newer) = (ingest("3"), asked.recv().await.expect("asked"));
    handle.replace(catalogue());
    newer.send(true).expect("somebody waits");
    assert_eq!(known.await.expect("ended").expect("stored").into_inner().outcomes.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn p7_tokens_of_one_client_are_refused_for_another() {
    let mut world = world();
    world.ingest((0..4).map(|id| upsert(&id.to_string(), 10, "a")).collect()).await;
    let first = ListEntriesRequest { client_id: "acme".into(), page_size: 2, ..Default::default() };
    let page = world.client.list_entries(first.clone()).await.expect("page").into_inner();
    assert_eq!(page.entries.len(), 2);
    let next = ListEntriesRequest { page_token: page.next_page_token.clone(), ..first };
    let last = world.client.list_entries(next.clone()).await.expect("page").into_inner();
    assert_eq!((last.entries.len(), last.next_page_token.as_str()), (2, ""));
    for request in [
        ListEntriesRequest { client_id: "other".into(), ..next.clone() },
        ListEntriesRequest { tag: "t".into(), ..next.clone() },
        ListEntriesRequest { order: 2, ..next },
    ] {
        assert_eq!(world.client.list_entries(request).await.expect_err("refused").code(), Code::InvalidArgument);
    }
    let resume_token = export(&mut world, &["blog"]).await.expect("exported").0;
    let watch = WatchChangesRequest { client_id: "other".into(), resume_token, ..Default::default() };
    assert_eq!(world.client.watch_changes(watch).await.expect_err("refused").code(), Code::InvalidArgument);
}

async fn export(world: &mut World, sources: &[&str]) -> Result<(String, Vec<Entry>), tonic::Status> {
    let source_ids = sources.iter().map(|name| (*name).to_owned()).collect();
    let request = ExportSnapshotRequest { client_id: "acme".into(), source_ids, r#type: String::new() };
    let mut stream = world.client.export_snapshot(request).await?.into_inner();
    let (mut token, mut entries) = (String::new(), Vec::new());
    while let Some(part) = stream.message().await? {
        assert!(token.is_empty() || token == part.resume_token, "the same in every part");
        token = part.resume_token;
        entries.extend(part.entries);
    }
    assert!(!token.is_empty());
    Ok((token, entries))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_and_the_feed_behind_it_have_every_change_once() {
    let mut world = world();
    let (token, entries) = export(&mut world, &["blog", "shop"]).await.expect("exported");
    assert_eq!(entries.len(), 0);
    world.ingest((0..1_500).map(|id| upsert(&format!("{id:04}"), 10, "a")).collect()).await;
    let (_, entries) = export(&mut world, &["blog"]).await.expect("exported");
    assert_eq!(entries.len(), 1_500);
    let status = export(&mut world, &["blog", "wiki"]).await.expect_err("no such source");
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("`wiki`"));
    assert_eq!(export(&mut world, &[]).await.expect_err("none").code(), Code::InvalidArgument);

    let watch = WatchChangesRequest { client_id: "acme".into(), resume_token: token, ..Default::default() };
    let mut stream = world.client.watch_changes(watch.clone()).await.expect("stream").into_inner();
    let mut seen = Vec::new();
    for _ in 0..1_400 {
        seen.push(stream.message().await.expect("change").expect("not the end"));
    }
    // Live changes come behind the ones that were there; and a second watcher resumes in the middle.
    world.ingest(vec![touch("live", 10)]).await;
    let token = seen[1_399].resume_token.clone();
    let resumed = WatchChangesRequest { resume_token: token, ..watch };
    let mut second = world.client.watch_changes(resumed).await.expect("stream").into_inner();
    for stream in [&mut stream, &mut second] {
        for number in 1_400..1_501 {
            let change = stream.message().await.expect("change").expect("not the end").change.expect("change");
            let expected = if number < 1_500 { format!("{number:04}") } else { "live".into() };
            assert_eq!(change.key.expect("key").id, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_what_comes_and_the_stream_ends_at_the_stop() {
    let mut world = world();
    world.ingest(vec![upsert("before", 10, "a")]).await;
    let shutdown = Shutdown::new();
    freshet_content::spawn_background(&world.deps, &shutdown, &Readiness::new());
    let watch = |source_id: &str, include_all| WatchChangesRequest {
        client_id: "acme".into(),
        source_id: source_id.into(),
        resume_token: String::new(),
        include_all,
    };
    let mut published = world.client.watch_changes(watch("", false)).await.expect("stream").into_inner();
    let mut all = world.client.watch_changes(watch("blog", true)).await.expect("stream").into_inner();
    let mut shop = world.client.watch_changes(watch("shop", true)).await.expect("stream").into_inner();
    world.ingest(vec![upsert("draft", 10, "a").as_draft(), upsert("live", 10, "a")]).await;
    let id = |response: WatchChangesResponse| response.change.expect("change").key.expect("key").id;
    assert_eq!(id(published.message().await.expect("change").expect("open")), "live");
    assert_eq!(id(all.message().await.expect("change").expect("open")), "draft");
    assert_eq!(id(all.message().await.expect("change").expect("open")), "live");
    assert!(shutdown.drain(Duration::from_secs(5)).await.is_empty());
    for stream in [&mut published, &mut all, &mut shop] {
        assert_eq!(stream.message().await.expect("a clean end"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_too_old_is_out_of_range() {
    let mut world = world();
    let (token, _) = export(&mut world, &["blog"]).await.expect("exported");
    for id in ["1", "2"] {
        world.ingest(vec![upsert(id, 10, "a")]).await;
    }
    let batch = world.deps.store.read_outbox(10).await.expect("outbox");
    world.deps.store.finish_outbox(&batch, at(1)).await.expect("confirmed");
    let later = START.plus(Duration::from_secs(8 * 86_400));
    world.deps.store.sweep(later, Default::default()).await.expect("swept");
    let watch = WatchChangesRequest { client_id: "acme".into(), resume_token: token, ..Default::default() };
    assert_eq!(world.client.watch_changes(watch).await.expect_err("gone").code(), Code::OutOfRange);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_listed_and_read_with_their_bodies() {
    let mut world = world();
    let first = world.ingest(vec![upsert("1", 10, "a")]).await.delivery_id;
    world.clock.set(at(5));
    let request = IngestDeliveryRequest { verdict: 3, body: vec![7; 9 << 20].into(), ..ingest_request(vec![]) };
    world.client.ingest_delivery(request.clone()).await.expect("ingested");
    let list = ListDeliveriesRequest { client_id: "acme".into(), page_size: 1, ..Default::default() };
    let page = world.client.list_deliveries(list.clone()).await.expect("page").into_inner();
    assert_eq!(page.deliveries[0].delivery_id, request.delivery_id);
    let next = ListDeliveriesRequest { page_token: page.next_page_token, ..list };
    let page = world.client.list_deliveries(next).await.expect("page").into_inner();
    assert_eq!((page.deliveries[0].delivery_id.as_str(), page.next_page_token.as_str()), (first.as_str(), ""));
    assert_eq!(page.deliveries[0].outcomes.len(), 1);
    let get = |include_body| GetDeliveryRequest {
        client_id: "acme".into(),
        delivery_id: request.delivery_id.clone(),
        include_body,
    };
    assert_eq!(world.client.get_delivery(get(false)).await.expect("got").into_inner().body.len(), 0);
    assert_eq!(world.client.get_delivery(get(true)).await.expect("got").into_inner().body, request.body);
    let missing = GetDeliveryRequest { delivery_id: DeliveryId::generate().to_string(), ..get(false) };
    assert_eq!(world.client.get_delivery(missing).await.expect_err("missing").code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_without_a_status_is_taken_as_the_protocol_says() {
    let mut world = world();
    let mut request = ingest_request(vec![touch("1", 10)]);
    request.changes[0].status = common::EntryStatus::Unspecified as i32;
    let response = world.client.ingest_delivery(request).await.expect("ingested").into_inner();
    assert_eq!(response.outcomes[0].effect, 1);
}
