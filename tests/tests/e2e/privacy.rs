//! Requests to forget.

use freshet_domain::Timestamp;
use freshet_providers::SampleDelivery;
use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::{SOON, client, secret};
use freshet_tests::files::files_with;
use freshet_tests::{Options, Sample, TestSuite, both_paths, every_engine};
use hmac::{Hmac, KeyInit as _, Mac as _};
use tonic::Code;

every_engine!(p8_a_redaction_removes_for_good);
// These look into the embedded engine's files; tests/tests/aws looks at what AWS has.
both_paths!(p8_personal_fields_are_kept_nowhere, p8_a_shop_that_leaves_is_forgotten);

/// The same delivery with another body, signed again.
fn with_body(sample: SampleDelivery, body: String) -> SampleDelivery {
    let secret = secret("tidewater", "outlet", "shopify_advanced");
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(body.as_bytes());
    let signature = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mac.finalize().into_bytes());
    let headers = sample
        .headers
        .into_iter()
        .map(|(name, value)| if name == "X-Shopify-Hmac-Sha256" { (name, signature.clone()) } else { (name, value) })
        .collect();
    SampleDelivery { headers, body: body.into_bytes(), ..sample }
}

/// The sample with `marker` in place of `text`.
fn marked(suite: &TestSuite, sample: Sample<'_>, text: &str, marker: &str) -> SampleDelivery {
    let source = suite.source("tidewater", "outlet");
    let sample = suite.sample(&source, sample);
    let body = String::from_utf8(sample.body.clone()).expect("text");
    assert!(body.contains(text), "{body}");
    with_body(sample, body.replace(text, marker))
}

async fn p8_personal_fields_are_kept_nowhere(path: RpcPath) {
    let mut suite = Options::new(client("tidewater", &["outlet", "workshop"], SOON)).path(path).start().await;
    suite.send("outlet", Sample::event("orders/create", 0, 0)).await.kept("accepted");
    suite.send("workshop", Sample::event("order.created", 0, 0)).await.kept("accepted");
    suite.send("outlet", Sample::event("customers/data_request", 0, 0)).await.kept("ignored");
    let data = suite.data();
    suite.stop().await;
    for personal in ["ines.holm@example.com", "5550 0142", "Hafenstrasse", "ada@example.test", "203.0.113.24", "Kai 3"]
    {
        assert_eq!(files_with(&data, personal.as_bytes()), Vec::<std::path::PathBuf>::new(), "{personal}");
    }
}

async fn p8_a_redaction_removes_for_good(path: RpcPath) {
    let marker = "REDACTME5f1c9b7a";
    let mut suite = Options::new(client("tidewater", &["outlet"], SOON)).path(path).start().await;
    let source = suite.source("tidewater", "outlet");
    let name = format!("\"name\":\"#{marker}\"");
    let order = marked(&suite, Sample::event("orders/create", 0, 0), "\"name\":\"#1001\"", &name);
    let order = suite.post(&source, &order).await.kept("accepted").delivery_id();
    let stored = suite.clients.delivery("tidewater", &order).await.expect("stored");
    let key = stored.outcomes[0].key.clone().expect("a key");
    let entry = suite.clients.entry("tidewater", &key).await.expect("readable");
    assert!(entry.content.expect("content").title.contains(marker), "the marker is not where it is looked for");
    // Others must stay.
    let other = suite.send("outlet", Sample::event("orders/create", 1, 0)).await.kept("accepted").delivery_id();

    let redact = suite.send("outlet", Sample::event("customers/redact", 0, 0)).await.kept("accepted").delivery_id();
    let status = suite.clients.entry("tidewater", &key).await.expect_err("removed");
    assert_eq!(status.code(), Code::NotFound, "{status}");
    let other = suite.clients.delivery("tidewater", &other).await.expect("stored");
    suite.clients.entry("tidewater", &other.outcomes[0].key.clone().expect("a key")).await.expect("stays");
    suite.clients.delivery("tidewater", &redact).await.expect("that it was asked for is on record");
    // A late copy of the order does not bring it back.
    let late = marked(
        &suite,
        Sample::event("orders/create", 0, 0).at(Timestamp::now().minus(std::time::Duration::from_secs(60))),
        "\"name\":\"#1001\"",
        &name,
    );
    let late = suite.post(&source, &late).await.kept("accepted");
    assert_eq!(late.json()["changes"], 0, "{late:?}");

    let data = suite.data();
    suite.stop().await;
    assert_eq!(files_with(&data, marker.as_bytes()), Vec::<std::path::PathBuf>::new());
}

async fn p8_a_shop_that_leaves_is_forgotten(path: RpcPath) {
    let marker = "Leaving Shop Mug 77aa01";
    let mut suite = Options::new(client("tidewater", &["outlet"], SOON)).path(path).start().await;
    let source = suite.source("tidewater", "outlet");
    let sample = suite.sample(&source, Sample::new(0, 0));
    let body: serde_json::Value = serde_json::from_slice(&sample.body).expect("JSON");
    let title = body["title"].as_str().expect("a title").to_owned();
    let product = marked(&suite, Sample::new(0, 0), &title, marker);
    let product = suite.post(&source, &product).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &product).await;
    assert!(suite.all_pages("tidewater", "www").await.contains(marker));
    // A second release, so that there is one to roll back to.
    let other = suite.send("outlet", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &other).await;
    let found = files_with(&suite.data(), marker.as_bytes());
    assert!(found.iter().any(|path| path.starts_with(suite.data().join("sites"))), "not where it is looked for");
    assert!(found.iter().any(|path| !path.starts_with(suite.data().join("sites"))), "not where it is looked for");

    let request = suite.sample(&source, Sample::event("customers/redact", 0, 0));
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| {
            (name.clone(), if name == "X-Shopify-Topic" { "shop/redact".to_owned() } else { value.clone() })
        })
        .collect();
    let body = r#"{"shop_id":548380009,"shop_domain":"tidewater.myshopify.com"}"#.to_owned();
    let request = with_body(SampleDelivery { headers, ..request }, body);
    let redact = suite.post(&source, &request).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &redact).await;
    assert_eq!(suite.clients.entries("tidewater", "outlet").await, []);
    assert!(!suite.all_pages("tidewater", "www").await.contains(marker));
    suite.clients.wait_idle("tidewater", "www").await;
    let data = suite.data();
    suite.stop().await;
    // Nor in releases that are kept for rolling back.
    assert_eq!(files_with(&data, marker.as_bytes()), Vec::<std::path::PathBuf>::new());
}
