//! Bodies that are not what they should be, and some that only look odd.

use freshet_proto::validation::v1::Verdict;
use freshet_tests::catalogues::{SOON, client, secret};
use freshet_tests::raw::exchange;
use freshet_tests::{Sample, TestSuite};

use crate::{article, base64, mac, strapi, strapi_request, with_header};

async fn suite(sources: &[&str]) -> TestSuite {
    TestSuite::start(client("tidewater", sources, SOON)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_an_object_of_json_is_refused() {
    let suite = suite(&["journal"]).await;
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let deep_inside = article("deep", &format!(r#","blocks":{}"#, String::from_utf8_lossy(&deep)));
    let bodies: [&[u8]; 18] = [
        b"",
        b" ",
        b"nonsense",
        b"{",
        b"{}}",
        b"{} {}",
        b"{\"event\":}",
        b"{'event':'entry.publish'}",
        b"{\"event\":\"entry.publish\",}",
        b"{\"event\":\"\xff\xfe\"}",
        b"{\"event\":\"\\ud800\"}",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b"null",
        b"[]",
        b"\"entry.publish\"",
        b"12",
        &deep,
        deep_inside.as_bytes(),
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        let answer = strapi(&suite, body.to_vec()).await;
        assert_eq!(answer.status, 400, "{shown}: {answer:?}");
        answer.problem(400);
    }
    assert_eq!(suite.clients.deliveries("tidewater").await, []);
    assert_eq!(suite.counted("malformed"), bodies.len() as u64);
    strapi(&suite, article("good", "")).await.kept("accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_field_is_named() {
    let suite = suite(&["journal", "shop", "workshop", "stories", "bulletin", "pages"]).await;
    for (body, field) in [
        ("{}", "event"),
        (r#"{"event":7}"#, "event"),
        (r#"{"event":"entry.publish","uid":"api::article.article"}"#, "entry"),
        (r#"{"event":"entry.publish","uid":"api::article.article","model":"article","entry":[]}"#, "entry"),
        (r#"{"event":"entry.publish","entry":{"id":1}}"#, "model"),
        (r#"{"event":"entry.publish","entry":{"documentId":"a"}}"#, "uid"),
        (r#"{"event":"entry.publish","model":"article","uid":"api::article.article","entry":{}}"#, "entry.id"),
        (r#"{"event":"media.create"}"#, "media"),
    ] {
        let answer = strapi(&suite, body).await;
        assert_eq!((answer.status, answer.text("field").as_str()), (400, field), "{body}: {answer:?}");
        answer.problem(400);
    }
    // With a signature that fits.
    let changed = async |name: &str, from: &str, to: &str, without: Option<&str>| {
        let source = suite.source("tidewater", name);
        let sample = suite.sample(&source, Sample::new(0, 0));
        let body = String::from_utf8(sample.body.clone()).expect("text");
        assert!(body.contains(from), "{body}");
        let body = body.replacen(from, to, 1);
        let secret = secret("tidewater", name, &source.provider);
        let (header, value) = match name {
            "shop" => ("x-shopify-hmac-sha256", base64(&mac(&secret, body.as_bytes()))),
            "workshop" => ("x-wc-webhook-signature", base64(&mac(&secret, body.as_bytes()))),
            "pages" => ("x-hub-signature-256", format!("sha256={}", hex::encode(mac(&secret, body.as_bytes())))),
            _ => unreachable!(),
        };
        let mut sample = with_header(&sample, header, Some(&value));
        if let Some(without) = without {
            sample = with_header(&sample, without, None);
        }
        sample.body = body.into_bytes();
        suite.post(&source, &sample).await
    };
    changed("shop", "\"id\":741953208417000001", "\"key\":1", None).await.problem(400).field("id");
    changed("shop", "\"id\":741953208417000001", "\"id\":true", None).await.problem(400).field("id");
    changed("shop", "{", "{", Some("x-shopify-topic")).await.problem(400).field("x-shopify-topic");
    changed("workshop", "\"id\":301", "\"key\":301", None).await.problem(400).field("id");
    changed("workshop", "{", "{", Some("x-wc-webhook-topic")).await.problem(400).field("x-wc-webhook-topic");
    changed("pages", "{", "{", Some("x-github-event")).await.problem(400).field("x-github-event");
    changed("pages", "\"ref\":", "\"r\":", None).await.problem(400).field("ref");
    assert_eq!(suite.clients.deliveries("tidewater").await, []);
}

/// It would be refused each time it comes again, so it is kept for people to look at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_content_can_never_take_is_kept_in_quarantine() {
    let suite = suite(&["journal"]).await;
    for (id, more) in [
        ("x".repeat(501), ""),
        ("a".to_owned(), r#","locale":"a-locale-that-is-longer-than-any-that-there-is-in-the-world""#),
    ] {
        let answer = strapi(&suite, article(&id, more)).await.kept("quarantined");
        let kept = suite.clients.delivery("tidewater", &answer.delivery_id()).await.expect("stored");
        assert_eq!((kept.verdict(), kept.reason.as_str()), (Verdict::Quarantined, "REFUSED_BY_CONTENT"));
        assert!(kept.detail.contains("is longer than"), "{}", kept.detail);
    }
    assert_eq!(suite.counted("unavailable"), 0);
    strapi(&suite, article("good", "")).await.kept("accepted");
}

/// Whoever asks to forget must not be told that it was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_a_request_to_forget_that_content_can_never_take_is_not_accepted() {
    let suite = suite(&["shop"]).await;
    let source = suite.source("tidewater", "shop");
    let order = "9".repeat(501);
    let body = format!(
        r#"{{"shop_id":1,"shop_domain":"tidewater.myshopify.com","customer":{{"id":1,"email":"a@example.test"}},"orders_to_redact":[{order}]}}"#
    );
    let signature = base64(&mac(&secret("tidewater", "shop", &source.provider), body.as_bytes()));
    let sample = with_header(&suite.sample(&source, Sample::new(0, 0)), "x-shopify-topic", Some("customers/redact"));
    let mut sample = with_header(&sample, "x-shopify-hmac-sha256", Some(&signature));
    sample.body = body.into_bytes();
    suite.post(&source, &sample).await.problem(503);
    assert_eq!(suite.clients.deliveries("tidewater").await, []);
}

/// A push that names more files than gRPC's usual message can have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_of_very_many_changes_has_a_receipt() {
    let suite = suite(&["pages"]).await;
    let source = suite.source("tidewater", "pages");
    let sample = suite.sample(&source, Sample::new(0, 0));
    let text = String::from_utf8_lossy(&sample.body).into_owned();
    let files: Vec<String> = (0..40_000).map(|number| format!(r#""content/a-page-with-a-name/{number}.md""#)).collect();
    let body = text.replacen("\"removed\":[", &format!("\"removed\":[{}", files.join(",")), 1);
    let signature = hex::encode(mac(&secret("tidewater", "pages", "decap"), body.as_bytes()));
    let mut sample = with_header(&sample, "x-hub-signature-256", Some(&format!("sha256={signature}")));
    sample.body = body.into_bytes();
    let answer = suite.post(&source, &sample).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let receipt = suite.clients.receipt("tidewater", &answer.delivery_id()).await.expect("it can be read");
    assert!(receipt.changes.len() >= 40_000, "{}", receipt.changes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_stay_exact_from_end_to_end() {
    let suite = suite(&["journal"]).await;
    let numbers = [
        r#""big":9007199254740993"#,
        r#""bigger":123456789012345678901234567890"#,
        r#""negative":-9223372036854775809"#,
        r#""fraction":0.1000000000000000055511151231257827"#,
        r#""power":1.0E+400"#,
        r#""price":10.00"#,
        r#""text":"\u00e9\/\ud83d\ude00""#,
    ];
    let sent = strapi(&suite, article("exact", &format!(",{}", numbers.join(",")))).await.kept("accepted");
    let delivery = suite.clients.delivery("tidewater", &sent.delivery_id()).await.expect("stored");
    let key = delivery.outcomes[0].key.clone().expect("a key");
    let one = suite.clients.entry("tidewater", &key).await.expect("readable");
    let listed = suite.clients.entries("tidewater", "journal").await;
    for entry in [&one, &listed[0]] {
        let fields = entry.content.as_ref().expect("content").fields_json.clone();
        let fields = String::from_utf8(fields.to_vec()).expect("text");
        for number in numbers {
            assert!(fields.contains(number), "{number} is not in {fields}");
        }
    }
    // Ids beyond 2^53 are what Shopify has.
    let suite = self::suite(&["shop"]).await;
    suite.send("shop", Sample::new(0, 0)).await.kept("accepted");
    suite.send("shop", Sample::new(1, 0)).await.kept("accepted");
    let entries = suite.clients.entries("tidewater", "shop").await;
    let ids: Vec<&str> = entries.iter().filter_map(|entry| Some(entry.key.as_ref()?.id.as_str())).collect();
    assert_eq!(ids, ["741953208417000001", "741953208417001001"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_may_be_as_large_as_its_provider_sends() {
    let suite = suite(&["journal", "pages"]).await;
    let padded = |body: &[u8], size: usize| {
        let mut body = body.to_vec();
        body.resize(size, b' ');
        body
    };
    let source = suite.source("tidewater", "pages");
    let secret = secret("tidewater", "pages", "decap");
    for (size, status) in [(25 << 20, 202), ((25 << 20) + 1, 413)] {
        let sample = suite.sample(&source, Sample::new(0, 0));
        let body = padded(&sample.body, size);
        let signature = format!("sha256={}", hex::encode(mac(&secret, &body)));
        let mut sample = with_header(&sample, "x-hub-signature-256", Some(&signature));
        sample.body = body;
        let answer = suite.post(&source, &sample).await;
        assert_eq!(answer.status, status, "{size}: {answer:?}");
    }
    let big = |size: usize| padded(article("large", "").as_bytes(), size);
    strapi(&suite, big(8 << 20)).await.kept("accepted");
    strapi(&suite, big((8 << 20) + 1)).await.problem(413);
    strapi(&suite, big(25 << 20)).await.problem(413);
    assert_eq!(suite.clients.deliveries("tidewater").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_have_to_be_unpacked_is_refused() {
    let suite = suite(&["journal"]).await;
    let before = memory();
    let url = format!("{}/webhook/strapi/journal", suite.http);
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip"] {
        let headers = [
            ("authorization".to_owned(), format!("Bearer {}", secret("tidewater", "journal", "strapi"))),
            ("content-encoding".to_owned(), encoding.to_owned()),
        ];
        for _ in 0..4 {
            let answer = suite.poster.send("POST", &url, &headers, vec![0x1f; 4 << 20]).await;
            answer.problem(415).field("content-encoding");
        }
    }
    let request = strapi_request(&article("twice", ""), "content-encoding: identity\r\ncontent-encoding: gzip\r\n");
    assert_eq!(exchange(suite.http_address, request).await.status, 415);
    // Read to the end, or the sender would see a broken connection.
    let url = format!("{}/webhook/nobody/journal", suite.http);
    suite.poster.send("POST", &url, &[], vec![b' '; 8 << 20]).await.problem(404);
    // 96 MiB came in; none of it is kept.
    assert!(memory() < before + (64 << 20), "from {before} to {} bytes", memory());
    assert_eq!(suite.clients.deliveries("tidewater").await, []);
}

/// Memory of this process in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forms_are_for_those_who_send_forms() {
    let suite = suite(&["shop", "pages", "stories", "bulletin", "workshop"]).await;
    for name in ["shop", "stories", "bulletin"] {
        let source = suite.source("tidewater", name);
        let sample = suite.sample(&source, Sample::new(0, 0));
        for media in ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x"] {
            let sample = with_header(&sample, "content-type", Some(media));
            suite.post(&source, &sample).await.problem(415).field("content-type");
        }
        let sample = with_header(&sample, "content-type", Some("Application/JSON; charset=utf-8"));
        suite.post(&source, &sample).await.kept("accepted");
    }
    // GitHub can post its JSON inside of a form.
    let source = suite.source("tidewater", "pages");
    let sample = suite.sample(&source, Sample::new(0, 0));
    let encoded: String = sample.body.iter().map(|byte| format!("%{byte:02X}")).collect();
    let body = format!("payload={encoded}");
    let secret = secret("tidewater", "pages", "decap");
    let signature = format!("sha256={}", hex::encode(mac(&secret, body.as_bytes())));
    let sample = with_header(&sample, "x-hub-signature-256", Some(&signature));
    let mut sample = with_header(&sample, "content-type", Some("application/x-www-form-urlencoded"));
    sample.body = body.into_bytes();
    suite.post(&source, &sample).await.kept("accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_genuine_but_not_understood_is_kept_aside() {
    let suite = suite(&["journal"]).await;
    let body = r#"{"event":"entry.teleport","createdAt":"2026-11-01T10:00:00.000Z"}"#;
    let first = strapi(&suite, body).await.kept("quarantined");
    assert_eq!(first.text("reason"), "UNKNOWN_EVENT", "{first:?}");
    let again = strapi(&suite, body).await.kept("duplicate");
    assert_eq!(again.delivery_id(), first.delivery_id());
    let receipt = suite.clients.receipt("tidewater", &first.delivery_id()).await.expect("known");
    assert_eq!(receipt.progress(), freshet_proto::control::v1::Progress::Quarantined);
    let request = freshet_proto::content::v1::GetDeliveryRequest {
        client_id: "tidewater".into(),
        delivery_id: first.delivery_id(),
        include_body: true,
    };
    let kept = suite.clients.content().get_delivery(request).await.expect("stored").into_inner();
    assert_eq!(kept.body, body, "it can be replayed only if its bytes are kept");
}
