//! Traces, metrics and logs.

use freshet_domain::Timestamp;
use freshet_tests::{Sample, samples, wait_for};

use crate::World;

/// One trace from the edge through every program to the build, metrics that tell what happened, and log lines that name
/// their trace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_follows_a_change_through_every_program() {
    let Some(mut world) = World::start().await else { return };
    let delivery = world.send("shop", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    world.cluster.clients("control").wait_live("tidewater", &delivery).await;
    let builds = world.cluster.clients("build").builds("tidewater", "www").await;
    let traceparent = builds.first().expect("a build").traceparent.clone();
    let trace = traceparent.split('-').nth(1).expect("a trace").to_owned();
    let id = delivery.trim_start_matches("dlv_").replace('-', "");
    assert_eq!(trace, id, "whoever has the delivery's id has the trace's");

    let wanted: [(&str, &str, Option<&str>); 9] = [
        ("freshet-ingress", "POST /webhook/{provider}", None),
        (
            "freshet-validation",
            "freshet.validation.v1.ValidationService/ValidateDelivery",
            Some("POST /webhook/{provider}"),
        ),
        ("freshet-content", "freshet.content.v1.ContentService/IngestDelivery", Some("POST /webhook/{provider}")),
        ("freshet-content", "publish content.changed", Some("POST /webhook/{provider}")),
        ("freshet-build", "process content.changed", Some("POST /webhook/{provider}")),
        ("freshet-build", "build tidewater/www", Some("POST /webhook/{provider}")),
        ("freshet-build", "snapshot", Some("build tidewater/www")),
        ("freshet-content", "freshet.content.v1.ContentService/ExportSnapshot", Some("snapshot")),
        ("freshet-build", "publish", Some("build tidewater/www")),
    ];
    let spans = wait_for("every part of the trace", || async {
        let spans = world.cluster.collector.trace(&trace);
        let missing = wanted
            .iter()
            .find(|(service, name, _)| !spans.iter().any(|span| span.service == *service && span.name == *name));
        missing.map_or_else(|| Ok(spans.clone()), |missing| Err(format!("{missing:?} is not in {spans:#?}")))
    })
    .await;
    for (service, name, parent) in wanted {
        let span = spans.iter().find(|span| span.service == service && span.name == name).expect("there");
        match parent {
            None => assert_eq!(span.parent, "", "{name} is the first"),
            Some(parent) => {
                let above = spans.iter().find(|span| span.name == parent).expect("there");
                assert_eq!(span.parent, above.id, "{name} is below {parent}");
            }
        }
    }
    let edge = spans.iter().find(|span| span.parent.is_empty()).expect("there");
    assert_eq!(edge.attributes["freshet.delivery.id"], delivery);
    assert_eq!(edge.attributes["http.response.status_code"], "202");
    let build = spans.iter().find(|span| span.name == "build tidewater/www").expect("there");
    assert_eq!(traceparent, format!("00-{trace}-{}-01", build.id), "what the build is told is its own span");
    assert_eq!(build.attributes["freshet.build.outcome"], "succeeded");
    assert!(spans.iter().any(|span| span.attributes.get("rpc.system.name").is_some_and(|name| name == "aws-api")));
    let line = world.cluster.logged("build").lines().find(|line| line.contains("build starts")).map(str::to_owned);
    assert!(line.expect("a line").contains(&format!("\"trace_id\":\"{trace}\"")), "{}", world.cluster.logged("build"));

    let collector = world.cluster.collector.clone();
    let told = [
        ("freshet-ingress", "http.server.request.duration", "202", 1.0),
        ("freshet-ingress", "freshet.deliveries", "accepted", 1.0),
        ("freshet-validation", "rpc.server.call.duration", "ValidateDelivery", 1.0),
        ("freshet-content", "rpc.server.call.duration", "IngestDelivery", 1.0),
        ("freshet-content", "freshet.ingest.batch.size", "", 1.0),
        ("freshet-content", "freshet.publish.batch.size", "", 1.0),
        ("freshet-build", "freshet.receive.batch.size", "", 1.0),
        ("freshet-build", "freshet.event.age", "", 1.0),
        ("freshet-build", "freshet.builds", "succeeded", 1.0),
        ("freshet-build", "freshet.build.duration", "tidewater", 1.0),
        ("freshet-build", "freshet.batch.live.duration", "www", 1.0),
        ("freshet-build", "freshet.lease.held", "", 1.0),
    ];
    wait_for("the metrics", || async {
        let differs = told.iter().find(|(of, name, attribute, value)| collector.value(of, name, attribute) != *value);
        differs.map_or(Ok(()), |(of, name, attribute, _)| {
            Err(format!("{of} {name} {attribute}: {}", collector.value(of, name, attribute)))
        })
    })
    .await;
    assert!(collector.value("freshet-content", "freshet.aws.requests", "TransactWriteItems") >= 1.0);

    // A sender's own trace is gone on with; a spooled delivery stays in its own.
    let given = "0af7651916cd43dd8448eb211c80319c";
    world.cluster.kill("content");
    let mut sample = samples::make(&world.registry, &world.source("journal"), Sample::new(3, 0), Timestamp::now());
    sample.headers.push(("traceparent".to_owned(), format!("00-{given}-b7ad6b7169203331-01")));
    let url = format!("{}/webhook/strapi/journal", world.cluster.address("ingress"));
    world.cluster.poster.send(sample.method, &url, &sample.headers, sample.body).await.kept("spooled");
    world.cluster.launch("content").await;
    wait_for("the replay to be in the sender's trace", || async {
        let spans = collector.trace(given);
        let has = |name: &str| spans.iter().any(|span| span.name == name);
        let all = has("replay from the spool") && has("build tidewater/www");
        if all { Ok(()) } else { Err(format!("{spans:#?}")) }
    })
    .await;
    // Every name that was exported is in the inventory, with its unit.
    let inventory: std::collections::BTreeMap<_, _> = freshet_kit::telemetry::inventory()
        .map(|instrument| (instrument.name.to_owned(), instrument.unit.to_owned()))
        .collect();
    for (name, unit) in collector.metrics() {
        assert_eq!(inventory.get(&name), Some(&unit), "{name}");
    }
}
