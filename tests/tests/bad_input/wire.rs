//! Requests that no decent client sends.

use freshet_tests::catalogues::{SOON, client, secret};
use freshet_tests::raw::{Raw, exchange};
use freshet_tests::{Sample, TestSuite, wait_for};

use crate::{article, strapi, strapi_request};

async fn suite() -> TestSuite {
    TestSuite::start(client("tidewater", &["journal"], SOON)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_in_its_older_and_rarer_forms() {
    let suite = suite().await;
    let old = strapi_request(&article("old", ""), "").replace("HTTP/1.1", "HTTP/1.0");
    let answer = exchange(suite.http_address, old).await;
    assert_eq!(answer.status, 202, "{}", answer.text);

    // The sender waits until it is told to go on.
    let request = strapi_request(&article("expected", ""), "expect: 100-continue\r\n");
    let (head, body) = request.split_once("\r\n\r\n").expect("head and body");
    let mut raw = Raw::connect(suite.http_address).await;
    let told = raw.send(format!("{head}\r\n\r\n")).await.read_until("\r\n\r\n").await;
    assert!(told.starts_with("HTTP/1.1 100"), "{told}");
    let answer = raw.send(body).await.answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text);

    // Nobody is told to go on with what is refused anyhow.
    let huge = request.replace(&format!("content-length: {}", body.len()), "content-length: 99999999");
    let (head, _) = huge.split_once("\r\n\r\n").expect("head and body");
    let answer = exchange(suite.http_address, format!("{head}\r\n\r\n")).await;
    assert_eq!((answer.status, answer.json()["status"].as_u64()), (413, Some(413)), "{}", answer.text);

    // Chunks, several on one connection, one byte at a time.
    let body = article("chunked", "");
    let chunked = strapi_request("", "transfer-encoding: chunked\r\n").replace("content-length: 0\r\n", "");
    let mut raw = Raw::connect(suite.http_address).await;
    raw.send(chunked).await;
    for byte in body.as_bytes() {
        raw.send([b"1\r\n", std::slice::from_ref(byte), b"\r\n"].concat()).await;
    }
    let answer = raw.send("0\r\n\r\n").await.answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let answer = raw.send(strapi_request(&article("second", ""), "")).await.answer().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(suite.clients.entries("tidewater", "journal").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_breaks_the_rules_is_refused_and_stores_nothing() {
    let suite = suite().await;
    let good = article("smuggled", "");
    let many: String = (0..500).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "a".repeat(2 << 20));
    let length = format!("content-length: {}\r\n", good.len() + 5);
    for (what, request) in [
        ("not HTTP", "nonsense\r\n\r\n".to_owned()),
        ("too many headers", strapi_request(&good, &many)),
        ("a header of 2 MiB", strapi_request(&good, &long)),
        ("a zero byte in a header", strapi_request(&good, "x-zero: a\0b\r\n")),
        ("a line break in a header", strapi_request(&good, "x-break: a\rb\r\n")),
        ("a blank before the colon", strapi_request(&good, "x-blank : a\r\n")),
        ("two lengths", strapi_request(&good, &length)),
        ("a negative length", strapi_request("", "").replace("content-length: 0", "content-length: -1")),
        ("a length that is no number", strapi_request("", "").replace("content-length: 0", "content-length: 0x10")),
        ("an unknown encoding", strapi_request("", "transfer-encoding: nonsense\r\n")),
        (
            "a chunk without a length",
            strapi_request("", "transfer-encoding: chunked\r\n").replace("content-length: 0\r\n", "") + "zz\r\n{}\r\n",
        ),
    ] {
        let answer = exchange(suite.http_address, request).await;
        assert!((400..500).contains(&answer.status) || answer.text.is_empty(), "{what}: {}", answer.text);
    }
    assert_eq!(suite.clients.deliveries("tidewater").await, []);
    strapi(&suite, good).await.kept("accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_came_twice_proves_nothing() {
    let suite = suite().await;
    let good = secret("tidewater", "journal", "strapi");
    for other in ["Bearer nonsense", "Basic eDp5", ""] {
        let request = strapi_request(&article("twice", ""), &format!("authorization: {other}\r\n"));
        let answer = exchange(suite.http_address, request).await;
        assert_eq!(answer.status, 401, "{other:?}: {}", answer.text);
        assert_eq!(answer.json()["field"], "authorization", "{}", answer.text);
        assert!(!answer.text.contains(&good), "{}", answer.text);
    }
    // The same one twice leaves no doubt.
    let request = strapi_request(&article("twice", ""), &format!("authorization: Bearer {good}\r\n"));
    assert_eq!(exchange(suite.http_address, request).await.status, 202);
    // Headers that only a proxy should set mean nothing.
    let request = strapi_request(&article("proxied", ""), "x-forwarded-for: 127.0.0.1\r\nx-original-url: /healthz\r\n");
    assert_eq!(exchange(suite.http_address, request).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_leads_nowhere_else() {
    let suite = suite().await;
    let live = suite.send("journal", Sample::new(0, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &live).await;
    std::fs::write(suite.folder().join("outside.html"), "OUTSIDE").expect("written");
    let webhooks = [
        "/webhook/strapi/../..",
        "/webhook/strapi/journal/..",
        "/webhook/strapi/journal/more",
        "/webhook/strapi/journal%2f..%2fjournal",
        "/webhook/strapi/..%2f..%2fetc",
        "/webhook/strapi/%6aournal%00",
        "/webhook/strapi/%ff",
        "/webhook/%ff",
        "/webhook//journal",
        "/webhook/strapi%2fjournal",
        "/webhook/nobody/journal",
        "/webhook/strapi/nobody",
        "/webhook/sanity/journal",
        "/webhook/strapi/tidewater.nobody",
        "/webhook/strapi/nobody.journal",
        "/webhook/strapi/tidewater.journal.more",
        "/webhook/STRAPI/journal",
        "/webhook/strapi/JOURNAL",
        "/webhook",
        "/webhook/",
        "/nothing",
    ];
    for path in webhooks {
        let request = strapi_request(&article("path", ""), "").replacen("/webhook/strapi/journal", path, 1);
        let answer = exchange(suite.http_address, request).await;
        assert!(matches!(answer.status, 404 | 400), "{path}: {}", answer.text);
        assert!(answer.text.contains("content-type: application/problem+json"), "{path}: {}", answer.text);
    }
    let sites = [
        "/sites/../../etc/passwd",
        "/sites/tidewater/../../etc/passwd",
        "/sites/tidewater/www/../../../../../../../../etc/passwd",
        "/sites/tidewater/www/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/sites/tidewater/www/%2e%2e/%2e%2e/%2e%2e/%2e%2e/outside.html",
        "/sites/tidewater/www/..%5c..%5coutside.html",
        "/sites/tidewater/www/%00",
        "/sites/tidewater/www//etc/passwd",
        "/sites/tidewater/www/%2fetc%2fpasswd",
        "/sites/%2e%2e/%2e%2e/etc/passwd",
        "/sites/tidewater/%2e%2e/www/",
        "/sites/nobody/www/",
        "/sites/tidewater/nobody/",
        "/demo-assets/../../etc/passwd",
        "/demo-assets/%2e%2e/freshet.toml",
    ];
    for path in sites {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = exchange(suite.http_address, request).await;
        assert!(matches!(answer.status, 400 | 404), "{path}: {}", answer.text);
        assert!(!answer.text.contains("root:") && !answer.text.contains("OUTSIDE"), "{path}: {}", answer.text);
    }
    assert_eq!(suite.page("tidewater", "www", "").await.status, 200);
    // Redirects stay on this host, whatever the request's head says.
    let request = "GET /sites/tidewater/www HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    let answer = exchange(suite.http_address, request).await;
    assert!(answer.text.contains("location: /sites/tidewater/www/"), "{}", answer.text);
    // Writing is for webhooks only.
    let delete = suite.poster.send("DELETE", &format!("{}/sites/tidewater/www/", suite.http), &[], "").await;
    assert_eq!(delete.status, 405, "{delete:?}");
    assert_eq!(suite.clients.deliveries("tidewater").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_connection_that_ends_inside_a_body_stores_nothing() {
    let suite = suite().await;
    let request = strapi_request(&article("cut", ""), "");
    for length in [request.len() - 1, request.len() - 200] {
        let mut raw = Raw::connect(suite.http_address).await;
        raw.send(&request[..length]).await;
        drop(raw);
    }
    // The edge knows nothing of them any more once it answers on as many new connections.
    for number in 0..3 {
        suite.send("journal", Sample::new(number, 0)).await.kept("accepted");
    }
    wait_for("the edge to give up the connections", || async {
        let deliveries = suite.clients.deliveries("tidewater").await.len();
        if deliveries == 3 { Ok(()) } else { Err(format!("{deliveries} deliveries")) }
    })
    .await;
    // It was never seen: the whole of it is new.
    strapi(&suite, article("cut", "")).await.kept("accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_duplicates_at_once_are_accepted_once() {
    let suite = suite().await;
    let body = article("once", "");
    let answers = futures::future::join_all((0..50).map(|_| strapi(&suite, body.clone()))).await;
    let words: Vec<String> = answers.iter().map(|answer| answer.text("status")).collect();
    assert_eq!(words.iter().filter(|word| *word == "accepted").count(), 1, "{words:?}");
    assert_eq!(words.iter().filter(|word| *word == "duplicate").count(), 49, "{words:?}");
    assert_eq!(suite.clients.entries("tidewater", "journal").await[0].revision, 1);
}
