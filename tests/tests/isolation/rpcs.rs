//! Every rpc there is, called by whom it is none of the business.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use freshet_proto::content::v1 as content;
use freshet_tests::{Clients, Sample, TestSuite};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::codec::call;
use crate::{ALPHA, BETA, BETA_READER, catalogue};

/// For whom an rpc is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    /// Whoever has a key: what it answers belongs to no client.
    Known,
    /// Keys of the client that is named in the request.
    Client,
    /// Services, and keys for all clients.
    Services,
}

/// What exists at `beta`.
struct Beta {
    delivery: String,
    build: String,
    entry: String,
}

/// A request about `beta` that would be answered, for every rpc. A new rpc needs a line here.
fn requests(beta: &Beta) -> BTreeMap<&'static str, (For, String)> {
    let Beta { delivery, build, entry } = beta;
    let client = r#""clientId":"beta""#;
    let site = format!(r#"{client},"siteId":"www","requestId":"r-1""#);
    let of_build = format!(r#"{client},"buildId":"{build}","requestId":"r-2""#);
    let rows = [
        (
            "freshet.validation.v1.ValidationService.ValidateDelivery",
            For::Services,
            r#"{"provider":"strapi","sourceId":"beta.journal","method":"POST"}"#.to_owned(),
        ),
        ("freshet.validation.v1.ValidationService.ListProviders", For::Known, "{}".to_owned()),
        ("freshet.validation.v1.ValidationService.GetProvider", For::Known, r#"{"name":"strapi"}"#.to_owned()),
        (
            "freshet.validation.v1.ValidationService.NegotiateCapabilities",
            For::Client,
            format!(r#"{{{client},"sourceId":"journal"}}"#),
        ),
        (
            "freshet.content.v1.ContentService.IngestDelivery",
            For::Services,
            format!(r#"{{{client},"sourceId":"journal","deliveryId":"{delivery}"}}"#),
        ),
        ("freshet.content.v1.ContentService.GetEntry", For::Client, format!(r#"{{{client},"key":{entry}}}"#)),
        ("freshet.content.v1.ContentService.BatchGetEntries", For::Client, format!(r#"{{{client},"keys":[{entry}]}}"#)),
        ("freshet.content.v1.ContentService.ListEntries", For::Client, format!("{{{client}}}")),
        ("freshet.content.v1.ContentService.WatchChanges", For::Client, format!("{{{client}}}")),
        (
            "freshet.content.v1.ContentService.ExportSnapshot",
            For::Client,
            format!(r#"{{{client},"sourceIds":["journal"]}}"#),
        ),
        (
            "freshet.content.v1.ContentService.InvalidateEntries",
            For::Client,
            format!(r#"{{{client},"requestId":"r-3","all":true,"rebuild":true}}"#),
        ),
        (
            "freshet.content.v1.ContentService.GetDelivery",
            For::Client,
            format!(r#"{{{client},"deliveryId":"{delivery}","includeBody":true}}"#),
        ),
        ("freshet.content.v1.ContentService.ListDeliveries", For::Client, format!("{{{client}}}")),
        ("freshet.build.v1.BuildService.TriggerBuild", For::Client, format!("{{{site}}}")),
        ("freshet.build.v1.BuildService.GetBuild", For::Client, format!(r#"{{{client},"buildId":"{build}"}}"#)),
        ("freshet.build.v1.BuildService.ListBuilds", For::Client, format!("{{{client}}}")),
        ("freshet.build.v1.BuildService.CancelBuild", For::Client, format!("{{{of_build}}}")),
        ("freshet.build.v1.BuildService.RetryBuild", For::Client, format!("{{{of_build}}}")),
        ("freshet.build.v1.BuildService.WatchBuilds", For::Client, format!("{{{client}}}")),
        ("freshet.build.v1.BuildService.GetPendingBatch", For::Client, format!(r#"{{{client},"siteId":"www"}}"#)),
        ("freshet.build.v1.BuildService.FlushBatch", For::Client, format!("{{{site}}}")),
        ("freshet.build.v1.BuildService.PauseSite", For::Client, format!("{{{site}}}")),
        ("freshet.build.v1.BuildService.ResumeSite", For::Client, format!("{{{site}}}")),
        ("freshet.build.v1.BuildService.ListSites", For::Client, format!("{{{client}}}")),
        ("freshet.build.v1.BuildService.RollbackSite", For::Client, format!(r#"{{{site},"buildId":"{build}"}}"#)),
        (
            "freshet.build.v1.BuildService.ListDeliveryBatches",
            For::Client,
            format!(r#"{{{client},"deliveryId":"{delivery}"}}"#),
        ),
        ("freshet.build.v1.BuildService.ListDeadLetters", For::Services, "{}".to_owned()),
        ("freshet.build.v1.BuildService.RedriveDeadLetters", For::Services, "{}".to_owned()),
        (
            "freshet.control.v1.ControlService.GetReceipt",
            For::Client,
            format!(r#"{{{client},"deliveryId":"{delivery}"}}"#),
        ),
        ("freshet.control.v1.ControlService.ListReceipts", For::Client, format!("{{{client}}}")),
        ("freshet.control.v1.ControlService.GetSystemStatus", For::Client, format!("{{{client}}}")),
    ];
    rows.into_iter().map(|(name, whom, request)| (name, (whom, request))).collect()
}

/// Rpcs that change something, for which a key that may only read is not enough.
const WRITES: [&str; 8] = [
    "InvalidateEntries",
    "TriggerBuild",
    "CancelBuild",
    "RetryBuild",
    "FlushBatch",
    "PauseSite",
    "ResumeSite",
    "RollbackSite",
];

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(freshet_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let services: Vec<_> = pool.services().filter(|service| service.full_name().starts_with("freshet.")).collect();
    services.iter().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn encode(method: &MethodDescriptor, json: &str) -> Bytes {
    let mut reader = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(method.input(), &mut reader)
        .unwrap_or_else(|error| panic!("{}: {json}: {error}", method.full_name()));
    message.encode_to_vec().into()
}

/// A change of each client is live.
async fn prepared(suite: &TestSuite) -> Beta {
    let mut beta = String::new();
    for client in ["alpha", "beta"] {
        beta = suite.send_to(client, "journal", Sample::new(0, 0)).await.kept("accepted").delivery_id();
        suite.clients.wait_live(client, &beta).await;
        suite.clients.wait_idle(client, "www").await;
    }
    let build = suite.clients.builds("beta", "www").await[0].build_id.clone();
    let key = suite.clients.entries("beta", "journal").await[0].key.clone().expect("a key");
    let entry = format!(
        r#"{{"sourceId":"{}","type":"{}","id":"{}","locale":"{}"}}"#,
        key.source_id, key.r#type, key.id, key.locale
    );
    Beta { delivery: beta, build, entry }
}

async fn channel(suite: &TestSuite) -> Channel {
    Endpoint::from_shared(suite.grpc.clone()).expect("an address").connect().await.expect("connected")
}

/// Everything about `beta` that a call could have changed.
async fn state(suite: &TestSuite) -> String {
    let site = suite.clients.site("beta", "www").await;
    let entries = suite.clients.entries("beta", "").await;
    let builds = suite.clients.builds("beta", "www").await;
    let deliveries = suite.clients.deliveries("beta").await;
    format!("{site:?} {entries:?} {builds:?} {deliveries:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_no_rpc_answers_another_clients_key() {
    let suite = TestSuite::start(catalogue()).await;
    let beta = prepared(&suite).await;
    let requests = requests(&beta);
    let methods = methods();
    let known: BTreeSet<&str> = requests.keys().copied().collect();
    let found: BTreeSet<&str> = methods.iter().map(MethodDescriptor::full_name).collect();
    assert_eq!(known, found, "the table of requests does not match the protocol");

    let channel = channel(&suite).await;
    let before = state(&suite).await;
    let alpha = format!("Bearer {ALPHA}");
    let reader = format!("Bearer {BETA_READER}");
    for method in &methods {
        let name = method.full_name();
        let (whom, request) = &requests[name];
        let message = encode(method, request);
        // Nobody, and those who only look like somebody.
        for headers in [
            &[][..],
            &[("authorization", "Bearer ")],
            &[("authorization", "Bearer fk_nobody")],
            &[("authorization", "Basic YWxwaGE6YmV0YQ==")],
            &[("x-api-key", ALPHA)],
        ] {
            let status = call(&channel, method, message.clone(), headers).await.expect_err(name);
            assert_eq!(status.code(), Code::Unauthenticated, "{name} {headers:?}: {status}");
        }
        let answer = call(&channel, method, message.clone(), &[("authorization", &alpha)]).await;
        if *whom == For::Known {
            let answer = answer.expect(name);
            assert!(!freshet_tests::files::contains(&answer, b"beta"), "{name} tells of another client");
            continue;
        }
        let status = answer.expect_err(name);
        assert_eq!(status.code(), Code::PermissionDenied, "{name}: {status}");
        assert!(!status.message().contains(ALPHA), "{name}: {status}");
        if WRITES.contains(&method.name()) || *whom == For::Services {
            let status = call(&channel, method, message, &[("authorization", &reader)]).await.expect_err(name);
            assert_eq!(status.code(), Code::PermissionDenied, "{name} with a key that may only read: {status}");
        }
    }
    assert_eq!(state(&suite).await, before, "a call that was refused changed something");

    // The same requests mean something to those who may make them, or the refusals would prove nothing.
    let own = format!("Bearer {BETA}");
    for method in methods.iter().filter(|method| requests[method.full_name()].0 == For::Client) {
        let message = encode(method, &requests[method.full_name()].1);
        let answer = call(&channel, method, message, &[("authorization", &own)]).await;
        let code = answer.map_or_else(|status| status.code(), |_| Code::Ok);
        let fine = [Code::Ok, Code::NotFound, Code::FailedPrecondition, Code::AlreadyExists].contains(&code);
        assert!(fine, "{}: {code:?}", method.full_name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_ids_and_tokens_of_another_client_open_nothing() {
    let suite = TestSuite::start(catalogue()).await;
    let beta = prepared(&suite).await;
    let second = suite.send_to("beta", "journal", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("beta", &second).await;
    let channel = channel(&suite).await;
    let alpha = format!("Bearer {ALPHA}");
    let requests = requests(&beta);
    // The key fits the client that is named, but the ids are those of another client's things.
    for name in ["GetDelivery", "GetReceipt", "GetBuild", "CancelBuild", "RetryBuild", "RollbackSite"] {
        let methods = methods();
        let method = methods.iter().find(|method| method.name() == name).expect(name);
        let request = requests[method.full_name()].1.replace("\"beta\"", "\"alpha\"");
        let status = call(&channel, method, encode(method, &request), &[("authorization", &alpha)]).await;
        let status = status.expect_err(name);
        assert_eq!(status.code(), Code::NotFound, "{name}: {status}");
    }
    let clients = Clients::new(&suite.grpc, ALPHA);
    let batches = freshet_proto::build::v1::ListDeliveryBatchesRequest {
        client_id: "alpha".into(),
        delivery_id: beta.delivery.clone(),
    };
    let found = clients.build().list_delivery_batches(batches).await;
    assert!(found.is_err() || found.is_ok_and(|found| found.into_inner().batches.is_empty()));

    // Tokens are bound to the client that they were made for.
    let list = |client: &str, token: &str| content::ListEntriesRequest {
        client_id: client.into(),
        page_size: 1,
        page_token: token.into(),
        ..Default::default()
    };
    let page = suite.clients.content().list_entries(list("beta", "")).await.expect("listed").into_inner();
    assert!(!page.next_page_token.is_empty());
    let status = clients.content().list_entries(list("alpha", &page.next_page_token)).await.expect_err("bound");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let list = |client: &str, token: &str| content::ListDeliveriesRequest {
        client_id: client.into(),
        page_size: 1,
        page_token: token.into(),
        ..Default::default()
    };
    let page = suite.clients.content().list_deliveries(list("beta", "")).await.expect("listed").into_inner();
    let status = clients.content().list_deliveries(list("alpha", &page.next_page_token)).await.expect_err("bound");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");

    let export = content::ExportSnapshotRequest {
        client_id: "beta".into(),
        source_ids: vec!["journal".into()],
        r#type: String::new(),
    };
    let mut parts = suite.clients.content().export_snapshot(export).await.expect("exported").into_inner();
    let token = parts.message().await.expect("a part").expect("a part").resume_token;
    let watch = content::WatchChangesRequest { client_id: "alpha".into(), resume_token: token, ..Default::default() };
    let status = clients.content().watch_changes(watch).await.expect_err("bound");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");

    // The state of all is for those who may act for all; a key for one client can only mean that one.
    let request = freshet_proto::control::v1::GetSystemStatusRequest::default();
    let status = clients.control().get_system_status(request.clone()).await.expect("its own").into_inner();
    assert!(!status.sites.is_empty() && status.sites.iter().all(|site| site.client_id == "alpha"), "{status:?}");
    let status = suite.clients.control().get_system_status(request).await.expect("all").into_inner();
    assert!(status.sites.iter().any(|site| site.client_id == "beta"), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_feed_tells_nothing_of_another_client() {
    let suite = TestSuite::start(catalogue()).await;
    let clients = Clients::new(&suite.grpc, ALPHA);
    let watch = content::WatchChangesRequest { client_id: "alpha".into(), include_all: true, ..Default::default() };
    let mut feed = clients.content().watch_changes(watch).await.expect("watched").into_inner();
    suite.send_to("beta", "journal", Sample::new(0, 0)).await.kept("accepted");
    let own = suite.send_to("alpha", "journal", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    let next = tokio::time::timeout(freshet_tests::wait::PATIENCE, async {
        loop {
            let event = feed.message().await.expect("streamed").expect("no end");
            if event.change.is_some() {
                return event;
            }
        }
    });
    assert_eq!(next.await.expect("an event").delivery_id, own);
}
