//! Webhooks of one client at the door of another.

use freshet_tests::{Answer, Sample, TestSuite};

use crate::{ALPHA, BETA, BETA_READER, catalogue};

async fn post(suite: &TestSuite, path: &str, client: &str, source: &str, headers: &[(&str, &str)]) -> Answer {
    let source = suite.source(client, source);
    let sample = suite.sample(&source, Sample::new(0, 0));
    let mut all = sample.headers.clone();
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    suite.poster.send("POST", &format!("{}{path}", suite.http), &all, sample.body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_a_webhook_reaches_its_own_client_only() {
    let suite = TestSuite::start(catalogue()).await;
    // Another client's secret proves nothing, with a key of one's own or without.
    post(&suite, "/webhook/shopify_basic/beta.shop", "alpha", "shop", &[]).await.problem(401);
    for key in [ALPHA, BETA, BETA_READER] {
        post(&suite, "/webhook/shopify_basic/beta.shop", "alpha", "shop", &[("x-api-key", key)]).await.problem(401);
    }
    // Nor does another client's key make up for what is missing, however it is sent.
    post(&suite, "/webhook/shopify_basic/beta.shop", "beta", "shop", &[("x-api-key", ALPHA)]).await.problem(401);
    let path = format!("/webhook/shopify_basic/beta.shop?key={ALPHA}");
    post(&suite, &path, "beta", "shop", &[]).await.problem(401);
    let bearer = format!("Bearer {ALPHA}");
    post(&suite, "/webhook/shopify_basic/beta.shop", "beta", "shop", &[("authorization", &bearer)]).await.problem(401);
    assert_eq!(suite.clients.deliveries("beta").await, []);
    assert_eq!(suite.clients.deliveries("alpha").await, []);

    // The path names the client, or the key does; a bare name that fits two clients is not guessed at.
    let both = post(&suite, "/webhook/shopify_basic/shop", "beta", "shop", &[]).await.problem(404);
    assert!(both.text("detail").contains("{client}.{source}"), "{both:?}");
    let first = post(&suite, "/webhook/shopify_basic/beta.shop", "beta", "shop", &[]).await.kept("accepted");
    let delivery = suite.clients.delivery("beta", &first.delivery_id()).await.expect("stored");
    assert_eq!((delivery.client_id.as_str(), delivery.source_id.as_str()), ("beta", "shop"));
    let second = post(&suite, "/webhook/shopify_basic/shop", "alpha", "shop", &[("x-api-key", ALPHA)]).await;
    let delivery = suite.clients.delivery("alpha", &second.kept("accepted").delivery_id()).await.expect("stored");
    assert_eq!(delivery.client_id, "alpha");
    // A key that may only read delivers nothing.
    post(&suite, "/webhook/shopify_basic/shop", "beta", "shop", &[("x-api-key", BETA_READER)]).await.problem(404);
    post(&suite, "/webhook/shopify_basic", "beta", "shop", &[("x-api-key", BETA_READER)]).await.problem(401);
    assert_eq!(suite.clients.deliveries("beta").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_what_one_client_has_seen_is_new_to_another() {
    let suite = TestSuite::start(catalogue()).await;
    let at = freshet_domain::Timestamp::now();
    // The same bytes; only the secrets differ.
    let mut ids = Vec::new();
    for client in ["alpha", "beta"] {
        let sent = suite.send_to(client, "journal", Sample::new(0, 0).at(at)).await.kept("accepted");
        ids.push(sent.delivery_id());
        suite.send_to(client, "journal", Sample::new(0, 0).at(at)).await.kept("duplicate");
    }
    suite.clients.wait_live("alpha", &ids[0]).await;
    suite.clients.wait_live("beta", &ids[1]).await;

    // And what one publishes is on no page of the other.
    let only = suite.send_to("beta", "journal", Sample::new(4, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("beta", &only).await;
    let title = "Mending is a kind of memory";
    assert!(suite.all_pages("beta", "www").await.contains(title));
    assert!(!suite.all_pages("alpha", "www").await.contains(title));
    assert_eq!(suite.clients.builds("alpha", "www").await.len(), 1);
}
