//! Who may deliver for which source, at what rate, and which answer follows.

use std::path::Path;
use std::sync::Arc;

use freshet_domain::catalogue::Settings;
use freshet_domain::{Catalogue, Timestamp};
use freshet_kit::rpc::{Channel, in_process};
use freshet_kit::secret::SecretResolver;
use freshet_kit::{CatalogueHandle, ManualClock, catalogue};
use freshet_proto::validation::v1 as pb;
use freshet_proto::validation::v1::validation_service_client::ValidationServiceClient;
use freshet_providers::{Registry, SampleRequest};
use freshet_validation::ValidationDeps;
use secrecy::SecretString;

/// Two clients that both have a source `blog`. The keys are `acme-key`, `other-key` and `reader-key`.
const CATALOGUE: &str = r#"
[[client]]
id = "acme"
[[client.source]]
id = "blog"
provider = "strapi"
secrets = ["x:blog-secret"]
[[client.source]]
id = "shop"
provider = "woocommerce"
secrets = ["x:shop-secret", "x:old-shop-secret"]
require_key = true
[[client.source]]
id = "slow"
provider = "standard_webhooks"
secrets = ["x:c2xvdy1zZWNyZXQtc2xvdy1zZWNyZXQtc2xvdy0xMjM="]
rate_limit = { per_second = 1, burst = 2 }
[[client]]
id = "other"
[[client.source]]
id = "blog"
provider = "strapi"
secrets = ["x:other-blog-secret"]
[[key]]
name = "acme"
sha256 = "ACME"
clients = ["acme"]
scopes = ["webhook"]
[[key]]
name = "other"
sha256 = "OTHER"
clients = ["other"]
scopes = ["webhook"]
[[key]]
name = "reader"
sha256 = "READER"
clients = ["acme"]
scopes = ["content:read"]
"#;

struct Plain;

impl SecretResolver for Plain {
    fn resolve(&self, reference: &str) -> Result<SecretString, String> {
        reference
            .strip_prefix("x:")
            .map(|text| SecretString::from(text.to_owned()))
            .ok_or_else(|| "no reference".into())
    }
}

const NOON: Timestamp = Timestamp::from_secs(1_795_435_200);

struct Fixture {
    client: ValidationServiceClient<Channel>,
    registry: Arc<Registry>,
}

fn fixture() -> Fixture {
    fixture_with(CatalogueHandle::new)
}

/// The catalogue comes into force as the caller says.
fn fixture_with(into_force: impl FnOnce(Catalogue) -> CatalogueHandle) -> Fixture {
    let digest = |key: &str| {
        use sha2::Digest as _;
        sha2::Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let text = CATALOGUE
        .replace("\"ACME\"", &format!("{:?}", digest("acme-key")))
        .replace("\"OTHER\"", &format!("{:?}", digest("other-key")))
        .replace("\"READER\"", &format!("{:?}", digest("reader-key")));
    let registry = Arc::new(Registry::new());
    let catalogue = catalogue::parse(&text, Path::new("."), &*registry, &Plain)
        .unwrap_or_else(|problems| panic!("{}", catalogue::report("test", &problems)));
    let catalogue = into_force(catalogue);
    let deps = ValidationDeps {
        registry: registry.clone(),
        catalogue: catalogue.clone(),
        clock: Arc::new(ManualClock::at(NOON)),
    };
    let client = ValidationServiceClient::new(in_process(
        freshet_validation::server(freshet_validation::service(&deps)),
        catalogue,
    ));
    Fixture { client, registry }
}

impl Fixture {
    fn request(&self, provider: &str, source: &str, secret: &str, number: u64) -> pb::ValidateDeliveryRequest {
        let adapter = self.registry.get(provider).expect("adapter");
        let sample = adapter
            .sample(&SampleRequest {
                event: adapter.sample_events()[0],
                secret: Some(secret),
                settings: &Settings::default(),
                now: NOON,
                number,
                revision: 1,
                asset_base: "http://localhost",
            })
            .expect("sample");
        let headers = sample.headers.iter().map(|(name, value)| pb::Header {
            name: name.to_ascii_lowercase(),
            value: value.clone().into_bytes().into(),
        });
        pb::ValidateDeliveryRequest {
            provider: provider.into(),
            source_id: source.into(),
            method: "POST".into(),
            path_and_query: format!("/webhook/{provider}/{source}"),
            headers: headers.collect(),
            body: sample.body.into(),
            ..Default::default()
        }
    }

    async fn judge(&self, request: pb::ValidateDeliveryRequest) -> pb::ValidateDeliveryResponse {
        self.client.clone().validate_delivery(request).await.expect("answer").into_inner()
    }
}

fn with_key(mut request: pb::ValidateDeliveryRequest, key: &str) -> pb::ValidateDeliveryRequest {
    request.api_key = key.into();
    request
}

#[tokio::test]
async fn p7_a_key_of_another_client_opens_nothing() {
    let fixture = fixture();
    let blog = || fixture.request("strapi", "acme.blog", "blog-secret", 0);
    assert_eq!(fixture.judge(blog()).await.verdict(), pb::Verdict::Accepted);
    assert_eq!(fixture.judge(with_key(blog(), "acme-key")).await.verdict(), pb::Verdict::Accepted);
    let refused = fixture.judge(with_key(blog(), "other-key")).await;
    assert_eq!((refused.http_status, refused.reason.as_str()), (401, "WRONG_KEY"));
    assert_eq!(refused.client_id, "", "nothing is said of the owner");
}

#[tokio::test]
async fn p7_a_name_that_two_clients_have_must_be_decided() {
    let fixture = fixture();
    let ambiguous = fixture.judge(fixture.request("strapi", "blog", "blog-secret", 0)).await;
    assert_eq!((ambiguous.http_status, ambiguous.reason.as_str()), (404, "AMBIGUOUS_SOURCE"));
    let decided = fixture.judge(with_key(fixture.request("strapi", "blog", "other-blog-secret", 0), "other-key")).await;
    assert_eq!((decided.verdict(), decided.client_id.as_str()), (pb::Verdict::Accepted, "other"));
    // The secret of one client does not open the other's source.
    let wrong = fixture.judge(fixture.request("strapi", "other.blog", "blog-secret", 0)).await;
    assert_eq!(wrong.http_status, 401);
}

#[tokio::test]
async fn a_source_can_demand_key_and_signature() {
    let fixture = fixture();
    let signed = || fixture.request("woocommerce", "shop", "shop-secret", 0);
    assert_eq!(fixture.judge(signed()).await.reason, "MISSING_KEY");
    assert_eq!(fixture.judge(with_key(signed(), "nonsense")).await.reason, "WRONG_KEY");
    assert_eq!(fixture.judge(with_key(signed(), "reader-key")).await.reason, "WRONG_KEY", "a key without the scope");
    let both = fixture.judge(with_key(signed(), "acme-key")).await;
    assert_eq!((both.verdict(), both.proof.as_str()), (pb::Verdict::Accepted, "key:acme+secret:0"));
    let rotated = fixture.request("woocommerce", "shop", "old-shop-secret", 0);
    assert_eq!(fixture.judge(with_key(rotated, "acme-key")).await.proof, "key:acme+secret:1");
    let unsigned = fixture.request("woocommerce", "shop", "wrong", 0);
    assert_eq!(fixture.judge(with_key(unsigned, "acme-key")).await.http_status, 401);
}

#[tokio::test]
async fn a_key_alone_names_the_source_where_there_is_one() {
    let fixture = fixture();
    let found = fixture.judge(with_key(fixture.request("strapi", "", "blog-secret", 0), "acme-key")).await;
    assert_eq!((found.verdict(), found.source_id.as_str()), (pb::Verdict::Accepted, "blog"));
    assert_eq!(fixture.judge(fixture.request("strapi", "", "blog-secret", 0)).await.reason, "MISSING_KEY");
}

#[tokio::test]
async fn unknown_providers_and_sources_are_404() {
    let fixture = fixture();
    let mut request = fixture.request("strapi", "acme.blog", "blog-secret", 0);
    request.source_id = "acme.nope".into();
    assert_eq!(fixture.judge(request.clone()).await.http_status, 404);
    request.source_id = "acme.shop".into();
    assert_eq!(fixture.judge(request.clone()).await.http_status, 404, "the source is of another provider");
    request.provider = "nope".into();
    assert_eq!(fixture.judge(request).await.reason, "UNKNOWN_PROVIDER");
}

/// The edge has acknowledged it by what it knew, which can be newer than what validation knows.
#[tokio::test]
async fn p1_a_replay_is_refused_by_the_newest_catalogue_only() {
    let (handle, mut asked) = CatalogueHandle::followed();
    handle.replace(Catalogue::default());
    let mut newest = None;
    let fixture = fixture_with(|catalogue| {
        newest = Some(catalogue);
        handle.clone()
    });
    let request = fixture.request("strapi", "acme.blog", "blog-secret", 0);
    assert_eq!(fixture.judge(request.clone()).await.http_status, 404, "whoever waits for it is told what is known");
    let replay = || {
        let request = pb::ValidateDeliveryRequest { replayed: true, ..request.clone() };
        let mut client = fixture.client.clone();
        tokio::spawn(async move { client.validate_delivery(request).await.map(tonic::Response::into_inner) })
    };
    let (unsure, ask) = (replay(), asked.recv().await.expect("asked"));
    ask.send(false).expect("somebody waits");
    assert_eq!(unsure.await.expect("ended").expect_err("nobody knows").code(), tonic::Code::Unavailable);
    let (unknown, ask) = (replay(), asked.recv().await.expect("asked"));
    ask.send(true).expect("somebody waits");
    assert_eq!(unknown.await.expect("ended").expect("judged").reason, "UNKNOWN_SOURCE");
    let (known, ask) = (replay(), asked.recv().await.expect("asked"));
    handle.replace(newest.expect("parsed"));
    ask.send(true).expect("somebody waits");
    assert_eq!(known.await.expect("ended").expect("judged").verdict(), pb::Verdict::Accepted);
}

#[tokio::test]
async fn a_source_has_its_rate_and_nobody_else_can_use_it_up() {
    let fixture = fixture();
    let secret = "c2xvdy1zZWNyZXQtc2xvdy1zZWNyZXQtc2xvdy0xMjM=";
    let wrong = "d3JvbmctLXNlY3JldC13cm9uZy1zZWNyZXQtd3JvbmctMTI=";
    for number in 0..20 {
        let forged = fixture.judge(fixture.request("standard_webhooks", "slow", wrong, number)).await;
        assert_eq!(forged.http_status, 401);
    }
    let mut limited = None;
    for number in 0..4 {
        let answer = fixture.judge(fixture.request("standard_webhooks", "slow", secret, number)).await;
        if answer.http_status == 429 {
            limited = Some((number, answer));
            break;
        }
        assert_eq!(answer.verdict(), pb::Verdict::Accepted);
    }
    let (passed, answer) = limited.expect("limited after the burst");
    assert!((2..=3).contains(&passed), "a burst of 2, one more if a second has passed");
    let wait = freshet_proto::convert::duration_from_proto(&answer.retry_after.expect("how long"));
    assert!(!wait.is_zero() && wait <= std::time::Duration::from_secs(1), "{wait:?}");
    tokio::time::sleep(wait).await;
    let again = fixture.judge(fixture.request("standard_webhooks", "slow", secret, 99)).await;
    assert_eq!(again.verdict(), pb::Verdict::Accepted, "the time that was given is true");
    let mut replayed = fixture.request("standard_webhooks", "slow", secret, 100);
    replayed.replayed = true;
    replayed.received_at = Some(freshet_proto::convert::timestamp_to_proto(NOON));
    assert_eq!(fixture.judge(replayed).await.verdict(), pb::Verdict::Accepted, "a replay costs no rate");
}

#[tokio::test]
async fn sizes_and_media_types_are_checked_per_provider() {
    let fixture = fixture();
    let mut request = fixture.request("strapi", "acme.blog", "blog-secret", 0);
    request.body = vec![b' '; (8 << 20) + 1].into();
    assert_eq!(fixture.judge(request).await.http_status, 413);
    let mut request = with_key(fixture.request("woocommerce", "shop", "shop-secret", 0), "acme-key");
    for header in &mut request.headers {
        if header.name == "content-type" {
            header.value = "image/png".into();
        }
    }
    assert_eq!(fixture.judge(request).await.http_status, 415);
}

#[tokio::test]
async fn woocommerce_pings_get_exactly_200_and_leave_no_trace() {
    let fixture = fixture();
    let header = pb::Header { name: "content-type".into(), value: "application/x-www-form-urlencoded".into() };
    let ping = pb::ValidateDeliveryRequest {
        provider: "woocommerce".into(),
        source_id: "shop".into(),
        method: "POST".into(),
        headers: vec![header],
        body: "webhook_id=5".into(),
        api_key: "acme-key".into(),
        ..Default::default()
    };
    let answer = fixture.judge(ping).await;
    assert_eq!((answer.http_status, answer.verdict()), (200, pb::Verdict::Ignored));
    assert_eq!(answer.client_id, "", "not to be stored");
}

/// Whatever happened is told by a header, so equal bodies can be two events.
#[tokio::test]
async fn what_is_not_understood_is_known_again_by_its_headers_too() {
    let fixture = fixture();
    let mut keys = Vec::new();
    for topic in ["product.frobbed", "product.unfrobbed", "product.frobbed"] {
        let mut request = with_key(fixture.request("woocommerce", "shop", "shop-secret", 1), "acme-key");
        for header in &mut request.headers {
            match header.name.as_str() {
                "x-wc-webhook-topic" => header.value = topic.into(),
                "x-wc-webhook-event" => header.value = topic.replace("product.", "").into(),
                _ => {}
            }
        }
        let answer = fixture.judge(request).await;
        assert_eq!(answer.verdict(), pb::Verdict::Quarantined, "{answer:?}");
        keys.push(answer.dedup_keys);
    }
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[0], keys[2]);
}

#[tokio::test]
async fn providers_and_sources_are_described() {
    let mut client = fixture().client;
    let first = pb::ListProvidersRequest { page_size: 3, ..Default::default() };
    let first = client.list_providers(first).await.expect("page").into_inner();
    let rest = pb::ListProvidersRequest { page_token: first.next_page_token.clone(), ..Default::default() };
    let rest = client.list_providers(rest).await.expect("page").into_inner();
    assert_eq!((first.providers.len(), rest.providers.len(), rest.next_page_token.as_str()), (3, 5, ""));
    let negotiate = pb::NegotiateCapabilitiesRequest { client_id: "other".into(), source_id: "blog".into() };
    let answer = client.negotiate_capabilities(negotiate).await.expect("answer").into_inner();
    assert_eq!(answer.webhook_path, "/webhook/strapi/other.blog");
    assert!(answer.advice.iter().any(|advice| advice.contains("does not repeat")), "{:?}", answer.advice);
    let missing = pb::GetProviderRequest { name: "nope\u{7}".into() };
    let status = client.get_provider(missing).await.expect_err("missing");
    assert_eq!((status.code(), status.message()), (tonic::Code::NotFound, "provider `nope` does not exist"));
}
