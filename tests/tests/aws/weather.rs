//! Bad weather: what is missing, what vanishes, what fails at AWS, and what nobody can read.

use aws_sdk_dynamodb::Client;
use freshet_aws::testing;
use freshet_build::store::dynamodb as build_store;
use freshet_content::store::dynamodb::provision;
use freshet_proto::build::v1::{DeadLetter, ListDeadLettersRequest, RedriveDeadLettersRequest};
use freshet_tests::{Clients, Sample, wait_for};
use futures::StreamExt as _;

use crate::World;

/// What is missing is said by name, and the program is not ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_table_is_named_and_not_ready() {
    let Some(mut world) = World::start().await else { return };
    let table = format!("{}deliveries", world.cluster.prefix);
    let dynamo = Client::new(world.cluster.aws());
    dynamo.delete_table().table_name(&table).send().await.expect("gone");
    world.cluster.kill("content");
    world.cluster.launch("content").await;
    wait_for("the log to name the table", || async {
        let log = world.cluster.logged("content");
        if log.contains(&format!("the table {table} is not there")) { Ok(()) } else { Err(log) }
    })
    .await;
    assert!(!world.cluster.is_healthy("content"));
    provision::deliveries_table(&dynamo, &table).await.expect("made");
    world.cluster.wait_ready("content").await;
}

/// A table that vanishes while everything runs: deliveries wait in the spool, builds wait, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p9_what_vanishes_is_waited_for() {
    let Some(world) = World::start().await else { return };
    let dynamo = Client::new(world.cluster.aws());
    let first = world.send("shop", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &first).await;
    let entries = format!("{}tidewater-content-cache", world.cluster.prefix);
    dynamo.delete_table().table_name(&entries).send().await.expect("gone");
    let waiting = world.send("shop", Sample::new(2, 0)).await.kept("spooled").delivery_id();
    provision::client_table(&dynamo, &entries).await.expect("made");
    world.cluster.clients("control").wait_live("tidewater", &waiting).await;

    let builds = format!("{}builds", world.cluster.prefix);
    dynamo.delete_table().table_name(&builds).send().await.expect("gone");
    let unbuilt = world.send("shop", Sample::new(3, 0)).await.kept("accepted").delivery_id();
    wait_for("the log to say so", || async {
        let log = world.cluster.logged("build");
        if log.contains("a table is not there") { Ok(()) } else { Err(log) }
    })
    .await;
    build_store::provision::table(&dynamo, &builds).await.expect("made");
    world.cluster.clients("control").wait_live("tidewater", &unbuilt).await;
}

/// Every service of AWS fails now and then, before and after it did what it was asked. Senders repeat what was not
/// acknowledged; everything that was becomes live, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p2_p3_p4_in_bad_weather_every_acknowledged_delivery_becomes_live() {
    const DELIVERIES: u64 = 60;
    let Some(world) = World::start().await else { return };
    let name = &world.cluster.prefix;
    let rule = async |service: &str, action: &str, kind: &str, probability: f64, more: &str| {
        let action = if action.is_empty() { String::new() } else { format!(",\"action\":\"{action}\"") };
        let text = format!(
            "{{\"name\":\"{name}\",\"service\":\"{service}\"{action},\"kind\":\"{kind}\",\"probability\":{probability}{more}}}"
        );
        testing::tell("/_faults", &text).await;
    };
    for kind in ["throttle", "error", "error-after", "reset", "reset-after"] {
        rule("dynamodb", "", kind, 0.05, ",\"times\":20").await;
    }
    rule("dynamodb", "TransactWriteItems", "conflict", 0.05, ",\"times\":20").await;
    // Longer than an attempt may take, so that it is repeated although it had its effect.
    rule("dynamodb", "TransactWriteItems", "hang-after", 0.05, ",\"times\":5,\"seconds\":2").await;
    rule("dynamodb", "", "delay", 0.05, ",\"times\":20,\"seconds\":0.3").await;
    for (action, kind) in [("PublishBatch", "partial"), ("PublishBatch", "error-after"), ("PublishBatch", "reset")] {
        rule("sns", action, kind, 0.3, ",\"times\":6").await;
    }
    let of_queue = [("ReceiveMessage", "error"), ("DeleteMessageBatch", "partial"), ("DeleteMessageBatch", "throttle")];
    for (action, kind) in of_queue {
        rule("sqs", action, kind, 0.3, ",\"times\":6").await;
    }
    // Hides for half a minute what nobody got: a message that met it five times would be a dead letter.
    rule("sqs", "ReceiveMessage", "reset-after", 0.3, ",\"times\":2").await;
    let sent = futures::stream::iter(1..=DELIVERIES).map(|number| {
        let world = &world;
        async move {
            for _ in 0..20 {
                let answer = world.send("shop", Sample::new(number, 0)).await;
                if answer.status == 202 {
                    return answer.delivery_id();
                }
                // As the provider would: the answer says that it was not kept.
                assert_eq!(answer.status, 503, "{}", answer.body);
            }
            panic!("delivery {number} was never acknowledged");
        }
    });
    let acknowledged: Vec<String> = sent.buffer_unordered(8).collect().await;
    for delivery in &acknowledged {
        world.cluster.clients("control").wait_live("tidewater", delivery).await;
    }
    let entries = world.cluster.clients("content").entries("tidewater", "shop").await;
    assert_eq!(entries.len() as u64, DELIVERIES);
    assert!(entries.iter().all(|entry| entry.revision == 1), "an effect was had twice");
    let site = world.cluster.clients("build").site("tidewater", "www").await;
    assert!(site.pending_batch.is_none() && site.running_build.is_none(), "{site:?}");
}

/// What cannot be read goes to the dead letters with the reason, at once, and back when an operator says so. The next
/// event is not held up by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_what_nobody_can_read_is_put_aside_with_the_reason() {
    let Some(world) = World::start().await else { return };
    let sns = aws_sdk_sns::Client::new(world.cluster.aws());
    let arn = format!("arn:aws:sns:us-east-1:123456789012:{}content-updates", world.cluster.prefix);
    sns.publish().topic_arn(arn).message("this is no event").send().await.expect("published");
    let build = world.cluster.clients("build");
    let dead = async |build: &Clients| -> Result<DeadLetter, String> {
        let request = ListDeadLettersRequest { page_size: 10 };
        let answer = build.build().list_dead_letters(request).await.expect("listed").into_inner();
        match &answer.dead_letters[..] {
            [one] if answer.total == 1 => Ok(one.clone()),
            _ => Err(format!("{answer:?}")),
        }
    };
    let letter = wait_for("the dead letter", || dead(&build)).await;
    assert_eq!((letter.body.as_ref(), letter.receive_count), (&b"this is no event"[..], 1));
    assert!(letter.reason.contains("event.type"), "{}", letter.reason);
    let delivery = world.send("shop", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &delivery).await;
    let redriven = build.build().redrive_dead_letters(RedriveDeadLettersRequest {}).await.expect("moved").into_inner();
    assert_eq!(redriven.redriven, 1);
    assert!(wait_for("it to be dead again", || dead(&build)).await.reason.contains("event.type"));
}
