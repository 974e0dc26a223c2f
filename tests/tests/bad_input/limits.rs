//! Too slow, too often, too much at once.

use std::time::Duration;

use freshet_tests::catalogues::{SOON, client, variable};
use freshet_tests::raw::Raw;
use freshet_tests::{Options, Sample, TestSuite};

use crate::{article, strapi, strapi_request};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_senders_are_cut_off() {
    let suite = Options::new(client("tidewater", &["journal"], SOON))
        .settings("[ingress]\nheader_timeout = \"500ms\"\nbody_idle_timeout = \"500ms\"\nbody_timeout = \"1500ms\"")
        .start()
        .await;
    let request = strapi_request(&article("slow", ""), "");
    let (head, body) = request.split_once("\r\n\r\n").expect("head and body");

    // Silence inside of the body.
    let mut raw = Raw::connect(suite.http_address).await;
    let answer = raw.send(format!("{head}\r\n\r\n{}", &body[..20])).await.answer().await;
    assert_eq!((answer.status, answer.json()["status"].as_u64()), (408, Some(408)), "{}", answer.text);

    // Never silent for long, but never done.
    let mut raw = Raw::connect(suite.http_address).await;
    raw.send(format!("{head}\r\n\r\n")).await;
    for byte in body.as_bytes().iter().take(30) {
        raw.send([*byte]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let answer = raw.answer().await;
    assert_eq!(answer.status, 408, "{}", answer.text);

    // Not even a head.
    let mut raw = Raw::connect(suite.http_address).await;
    let answer = raw.send("POST /webhook/strapi/journal HTTP/1.1\r\nhost:").await.answer().await;
    assert!(answer.status == 0 || answer.status == 408, "{}", answer.text);
    assert_eq!(suite.clients.deliveries("tidewater").await, []);
    strapi(&suite, article("slow", "")).await.kept("accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_sends_too_often_is_told_when_to_come_again() {
    let limited = format!(
        "[[client.source]]\nid = \"journal\"\nprovider = \"strapi\"\nsecrets = [\"env:{}\"]\n\
         rate_limit = {{ per_second = 1, burst = 3 }}\n[[client.source]]\nid = \"stories\"\nprovider = \"sanity\"\n\
         secrets = [\"env:{}\"]\n[[client.site]]\nid = \"www\"\nsources = [\"journal\", \"stories\"]\n",
        variable("tidewater", "journal"),
        variable("tidewater", "stories"),
    );
    let suite = TestSuite::start(format!("[[client]]\nid = \"tidewater\"\n{limited}")).await;
    // Whoever cannot prove himself costs nobody anything.
    for _ in 0..20 {
        let url = format!("{}/webhook/strapi/journal", suite.http);
        suite.poster.send("POST", &url, &[], article("forged", "")).await.problem(401);
    }
    let mut accepted = 0;
    let mut refused = None;
    for number in 0..200 {
        let answer = suite.send("journal", Sample::new(number, 0)).await;
        if answer.status == 429 {
            refused = Some(answer.problem(429));
            break;
        }
        answer.kept("accepted");
        accepted += 1;
    }
    let refused = refused.expect("a limit of one a second was never reached");
    assert!(accepted >= 3, "only {accepted} of a burst of 3 were taken");
    let after: u64 = refused.header("retry-after").parse().expect("whole seconds");
    assert!((1..=2).contains(&after), "{refused:?}");
    // Others are not held up.
    suite.send("stories", Sample::new(0, 0)).await.kept("accepted");
    tokio::time::sleep(Duration::from_secs(after)).await;
    suite.send("journal", Sample::new(500, 0)).await.kept("accepted");
    assert!(suite.counted("rate_limited") >= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_can_be_served_is_shed() {
    let suite =
        Options::new(client("tidewater", &["journal"], SOON)).settings("[ingress]\nrequests_max = 2").start().await;
    strapi(&suite, article("first", "")).await.kept("accepted");
    let request = strapi_request(&article("held", ""), "expect: 100-continue\r\n");
    let (head, body) = request.split_once("\r\n\r\n").expect("head and body");
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(suite.http_address).await;
        // Told to go on: it is being served, and holds its place.
        raw.send(format!("{head}\r\n\r\n")).await.read_until("100 Continue").await;
        held.push(raw);
    }
    let shed = strapi(&suite, article("second", "")).await.problem(503);
    assert_eq!(shed.header("retry-after"), "1", "{shed:?}");
    // Health and sites are not webhooks.
    assert_eq!(suite.poster.get(&format!("{}/healthz", suite.http)).await.status, 200);
    assert_eq!(suite.poster.get(&format!("{}/readyz", suite.http)).await.status, 200);
    for raw in &mut held {
        let answer = raw.send(body).await.answer().await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }
    strapi(&suite, article("second", "")).await.kept("accepted");
}
