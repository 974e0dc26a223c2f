//! What is called at AWS, counted.

use std::time::{Duration, Instant};

use freshet_tests::{Sample, wait_for};
use futures::StreamExt as _;

use crate::World;

/// What a webhook costs at AWS while many come: at most one transaction, a tenth of a call of SNS, a fifth of one of SQS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_a_steady_stream_costs_few_calls_of_aws() {
    const WEBHOOKS: u64 = 150;
    // The emulator takes some ten a second, where AWS takes hundreds; so the outbox may wait for as much longer.
    let Some(world) = World::told(&[("content", "FRESHET_BUS__PUBLISH_PAUSE", "2s")]).await else { return };
    let first = world.send("shop", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &first).await;
    let calls = |service: &str| {
        let programs = ["freshet-ingress", "freshet-validation", "freshet-content", "freshet-build", "freshet-control"];
        let collector = &world.cluster.collector;
        programs.map(|program| collector.value(program, "freshet.aws.requests", service)).iter().sum::<f64>()
    };
    // Until no more is exported than before: every program has told of everything.
    let settled = async || {
        let mut last = Vec::new();
        wait_for("the counts", || {
            let now = ["TransactWriteItems", "\"sns\"", "\"sqs\""].map(calls).to_vec();
            let same = last.first() == now.first() && last.get(1) == now.get(1);
            last.clone_from(&now);
            async move {
                tokio::time::sleep(Duration::from_millis(2_500)).await;
                if same { Ok(now) } else { Err(format!("{now:?}")) }
            }
        })
        .await
    };
    let before = settled().await;
    let begun = Instant::now();
    let webhooks = futures::stream::iter(2..WEBHOOKS + 2);
    let sent = webhooks.map(|number| {
        let world = &world;
        async move {
            let answer = world.send("shop", Sample::new(number, 0)).await;
            // A slow emulator lets some of them take the way through the spool.
            assert_eq!(answer.status, 202, "{}", answer.body);
            answer.delivery_id()
        }
    });
    let deliveries: Vec<String> = sent.buffer_unordered(32).collect().await;
    let took = begun.elapsed();
    for delivery in deliveries.iter().step_by(30).chain(deliveries.last()) {
        world.cluster.clients("control").wait_live("tidewater", delivery).await;
    }
    let after = settled().await;
    let each: Vec<f64> = after.iter().zip(&before).map(|(after, before)| (after - before) / WEBHOOKS as f64).collect();
    let [transactions, sns, sqs] = each[..] else { panic!("three") };
    println!("of a webhook: {transactions:.3} transactions, {sns:.3} calls of SNS, {sqs:.3} calls of SQS; {took:?}");
    assert!(transactions <= 1.0, "{transactions} transactions");
    assert!(sns > 0.0 && sns <= 0.1, "{sns} calls of SNS");
    assert!(sqs > 0.0 && sqs <= 0.2, "{sqs} calls of SQS");
    let builds = world.cluster.clients("build").builds("tidewater", "www").await.len();
    assert!(builds as u64 * 5 <= WEBHOOKS, "{builds} builds for {WEBHOOKS} changes");
}
