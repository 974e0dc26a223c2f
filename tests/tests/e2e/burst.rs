//! Many changes, few builds, and none too late. On a clock that is set by hand, so that the times are exact.

use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_kit::ManualClock;
use freshet_proto::build::v1::{Batch, Build, BuildState, ListDeliveryBatchesRequest};
use freshet_proto::convert::timestamp_from_proto;
use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::client;
use freshet_tests::{Options, Sample, TestSuite, both_paths, every_engine, wait_for};
use futures::StreamExt as _;

every_engine!(p5_a_batch_starts_after_max_wait_whatever_keeps_coming);
// The emulator would take minutes for these.
both_paths!(p4_p6_ten_thousand_changes_need_one_build);

const MAX_WAIT: Duration = Duration::from_secs(10);
const POLICY: &str = "quiet_period = \"2s\"\nmax_wait = \"10s\"";

async fn started(suite: &TestSuite) -> Build {
    wait_for("a build to be done", || async {
        let builds = suite.clients.builds("tidewater", "www").await;
        match builds.into_iter().next() {
            Some(build) if build.state() == BuildState::Succeeded => Ok(build),
            other => Err(format!("{:?}", other.map(|build| (build.state(), build.decisions)))),
        }
    })
    .await
}

fn decided(batch: &[freshet_proto::build::v1::Decision], code: &str) -> Option<Timestamp> {
    let decision = batch.iter().find(|decision| decision.code == code)?;
    decision.at.as_ref().map(timestamp_from_proto)
}

async fn p4_p6_ten_thousand_changes_need_one_build(path: RpcPath) {
    const CHANGES: u64 = 10_000;
    let clock = ManualClock::at(Timestamp::now());
    let begin = freshet_kit::Clock::now(&clock);
    let suite = Options::new(client("tidewater", &["journal"], POLICY)).path(path).clock(clock.clone()).start().await;
    let suite = &suite;
    let ids: Vec<String> = futures::stream::iter(0..CHANGES)
        .map(|number| {
            // The whole burst takes nine seconds of the suite's time, less than the longest wait.
            clock.set(begin.plus(Duration::from_micros(number * 900)));
            suite.send("journal", Sample::new(number, 0))
        })
        .buffer_unordered(32)
        .map(|answer| answer.kept("accepted").delivery_id())
        .collect()
        .await;
    let waiting = suite.clients.wait_pending("tidewater", "www", CHANGES).await;
    assert_eq!(suite.clients.builds("tidewater", "www").await, [], "{:?}", waiting.decisions);

    clock.advance(MAX_WAIT);
    let build = started(suite).await;
    assert_eq!((build.changes, build.entries), (CHANGES, CHANGES));
    for delivery in ids.iter().step_by(1_111) {
        suite.clients.wait_live("tidewater", delivery).await;
    }
    suite.clients.wait_idle("tidewater", "www").await;
    assert_eq!(suite.clients.builds("tidewater", "www").await.len(), 1);
}

async fn p5_a_batch_starts_after_max_wait_whatever_keeps_coming(path: RpcPath) {
    let clock = ManualClock::at(Timestamp::now());
    let suite = Options::new(client("tidewater", &["journal"], POLICY)).path(path).clock(clock.clone()).start().await;
    let send = |number: u64| suite.send("journal", Sample::new(number, 0));
    let first = send(0).await.kept("accepted").delivery_id();
    let batch: Batch = suite.clients.wait_pending("tidewater", "www", 1).await;
    let begin = batch.first_change_at.as_ref().map(timestamp_from_proto).expect("it has begun");
    let due = batch.due_at.as_ref().map(timestamp_from_proto).expect("it is due");
    assert_eq!(due, begin.plus(MAX_WAIT));

    // One more change each second: the site is never quiet.
    for second in 1..10_u64 {
        clock.set(begin.plus(Duration::from_secs(second)));
        send(second).await.kept("accepted");
        let batch = suite.clients.wait_pending("tidewater", "www", second + 1).await;
        assert_eq!(batch.due_at.as_ref().map(timestamp_from_proto), Some(due), "it must not be put off");
        assert_eq!(suite.clients.builds("tidewater", "www").await, [], "after {second} s");
    }
    clock.set(due);
    let build = started(&suite).await;
    assert_eq!(build.changes, 10);
    let receipt = suite.clients.wait_live("tidewater", &first).await;
    let decisions = &receipt.changes[0].sites[0].decisions;
    assert!(decisions.iter().any(|decision| decision.starts_with("FIRED_MAX_WAIT")), "{decisions:?}");
    // The clock stands still at that moment, so what is recorded is exact.
    let request = ListDeliveryBatchesRequest { client_id: "tidewater".into(), delivery_id: first };
    let taken = suite.clients.build().list_delivery_batches(request).await.expect("told").into_inner().batches;
    let batch = taken[0].batch.as_ref().expect("a batch");
    assert_eq!(decided(&batch.decisions, "FIRED_MAX_WAIT"), Some(due), "{batch:?}");
    assert_eq!(decided(&batch.decisions, "STARTED"), Some(due), "{batch:?}");
    assert_eq!(build.create_time.as_ref().map(timestamp_from_proto), Some(due));
}
