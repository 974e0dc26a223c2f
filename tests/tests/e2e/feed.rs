//! The change feed and snapshots.

use std::time::Duration;

use freshet_kit::rpc::Channel;
use freshet_proto::content::v1 as content;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::{SOON, client};
use freshet_tests::{Options, Sample, every_engine};
use tonic::Code;

every_engine!(the_feed_resumes_where_it_ended, a_snapshot_has_every_published_entry_of_its_sources);

type Feed = tonic::Streaming<content::WatchChangesResponse>;

async fn watch(mut client: ContentServiceClient<Channel>, resume_token: &str) -> Feed {
    let request = content::WatchChangesRequest {
        client_id: "tidewater".into(),
        resume_token: resume_token.into(),
        ..Default::default()
    };
    client.watch_changes(request).await.expect("watched").into_inner()
}

/// The next changes, without heartbeats.
async fn take(feed: &mut Feed, count: usize) -> Vec<content::WatchChangesResponse> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(freshet_tests::wait::PATIENCE, feed.message());
        let event = next.await.unwrap_or_else(|_| panic!("only {} of {count} came", taken.len()));
        let event = event.expect("streamed").expect("no end");
        if event.change.is_some() {
            taken.push(event);
        }
    }
    taken
}

fn deliveries(events: &[content::WatchChangesResponse]) -> Vec<&str> {
    events.iter().map(|event| event.delivery_id.as_str()).collect()
}

async fn the_feed_resumes_where_it_ended(path: RpcPath) {
    let suite = Options::new(client("tidewater", &["journal", "shop"], SOON)).path(path).start().await;
    let send = |source, number| async move { (source, number) };
    let mut feed = watch(suite.clients.content(), "").await;
    let mut sent = Vec::new();
    for number in 0..3 {
        let (source, number) = send("journal", number).await;
        sent.push(suite.send(source, Sample::new(number, 0)).await.kept("accepted").delivery_id());
    }
    let first = take(&mut feed, 2).await;
    assert_eq!(deliveries(&first), sent[..2]);
    let token = first[1].resume_token.clone();
    drop(feed);

    for number in 0..3 {
        sent.push(suite.send("shop", Sample::new(number, 0)).await.kept("accepted").delivery_id());
    }
    // A draft is no change of published content.
    suite.send("journal", Sample::event("entry.update", 0, 1)).await.kept("ignored");
    let mut feed = watch(suite.clients.content(), &token).await;
    let rest = take(&mut feed, 4).await;
    assert_eq!(deliveries(&rest), sent[2..]);
    // The same token again gives the same: nothing is used up.
    let mut again = watch(suite.clients.content(), &token).await;
    assert_eq!(take(&mut again, 4).await, rest);

    let request = content::WatchChangesRequest {
        client_id: "tidewater".into(),
        resume_token: "nonsense".into(),
        ..Default::default()
    };
    let status = suite.clients.content().watch_changes(request).await.expect_err("no token");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");

    // A stream ends when the suite stops, instead of holding it.
    let end = tokio::time::timeout(Duration::from_secs(60), async {
        let mut suite = suite;
        suite.stop().await;
        while let Ok(Some(_)) = feed.message().await {}
    });
    end.await.expect("the stream ends");
}

async fn a_snapshot_has_every_published_entry_of_its_sources(path: RpcPath) {
    let suite = Options::new(client("tidewater", &["journal", "shop", "stories"], SOON)).path(path).start().await;
    for number in 0..4 {
        suite.send("journal", Sample::new(number, 0)).await.kept("accepted");
        suite.send("shop", Sample::new(number, 0)).await.kept("accepted");
        suite.send("stories", Sample::new(number, 0)).await.kept("accepted");
    }
    suite.send("journal", Sample::event("entry.unpublish", 1, 1)).await.kept("accepted");
    suite.send("shop", Sample::event("products/delete", 2, 1)).await.kept("accepted");

    let request = content::ExportSnapshotRequest {
        client_id: "tidewater".into(),
        source_ids: vec!["journal".into(), "shop".into()],
        r#type: String::new(),
    };
    let mut parts = suite.clients.content().export_snapshot(request).await.expect("exported").into_inner();
    let (mut entries, mut tokens) = (Vec::new(), Vec::new());
    while let Some(part) = parts.message().await.expect("a part") {
        entries.extend(part.entries);
        tokens.push(part.resume_token);
    }
    let mut wanted = suite.clients.entries("tidewater", "journal").await;
    wanted.extend(suite.clients.entries("tidewater", "shop").await);
    assert_eq!(wanted.len(), 6);
    assert_eq!(entries, wanted);
    tokens.dedup();
    assert_eq!(tokens.len(), 1, "one view, one position");

    // Whoever goes on from the snapshot misses nothing and gets nothing twice.
    let next = suite.send("shop", Sample::new(0, 1)).await.kept("accepted").delivery_id();
    let mut feed = watch(suite.clients.content(), &tokens[0]).await;
    assert_eq!(deliveries(&take(&mut feed, 1).await), [next.as_str()]);
}
