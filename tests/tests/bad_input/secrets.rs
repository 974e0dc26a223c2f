//! Promise P8 on the real binary: secrets and personal fields are put everywhere they can be, and looked for everywhere
//! they must not be.

use std::collections::BTreeMap;
use std::path::Path;

use freshet_domain::Timestamp;
use freshet_domain::catalogue::{RateLimit, Settings, Source};
use freshet_domain::{ClientId, SourceId};
use freshet_providers::Registry;
use freshet_tests::catalogues::{SOON, SOURCES, client, key, variable};
use freshet_tests::files::{all_below, contains, files_with};
use freshet_tests::process::Dev;
use freshet_tests::{Answer, Clients, Poster, Sample, samples};
use secrecy::SecretString;
use tempfile::tempdir;

const MARK: &str = "m4rkm4rkm4rk";
const KEY: &str = "fk_m4rkm4rkm4rk_key_that_is_good_0123456789";
const WRONG_KEY: &str = "fk_m4rkm4rkm4rk_key_that_is_wrong_012345678";

fn secret(source: &str) -> String {
    // Also good base64, which Standard Webhooks wants.
    format!("{MARK}{source}{}", "0".repeat(40 - MARK.len() - source.len()))
}

fn source(name: &str, provider: &str) -> Source {
    let settings = if name == "pages" {
        let host = freshet_domain::catalogue::Setting::Text("github".to_owned());
        Settings(BTreeMap::from([("host".to_owned(), host)]))
    } else {
        Settings::default()
    };
    Source {
        client: ClientId::new("tidewater").expect("a name"),
        id: SourceId::new(name).expect("a name"),
        provider: provider.to_owned(),
        secrets: vec![SecretString::from(secret(name))],
        require_key: false,
        rate: RateLimit { per_second: 1, burst: 1 },
        settings,
    }
}

/// Everything that was answered, to be searched.
#[derive(Default)]
struct Heard(Vec<String>);

impl Heard {
    fn http(&mut self, what: &str, answer: &Answer) {
        self.0.push(format!("{what}: {} {:?} {}", answer.status, answer.headers, answer.body));
    }
}

async fn busy_session(http: &str, clients: &Clients, grpc: &str, heard: &mut Heard) -> String {
    let (poster, registry) = (Poster::new(), Registry::new());
    let mut last = String::new();
    for (name, provider, _) in SOURCES {
        let source = source(name, provider);
        let events = registry.get(provider).expect("an adapter").sample_events();
        for (number, event) in events.iter().enumerate() {
            let sample = samples::make(&registry, &source, Sample::event(event, number as u64, 0), Timestamp::now());
            let url = format!("{http}/webhook/{provider}/{name}");
            // As it should be, again, with a key in each place, forged, cut off, and to the wrong door.
            let mut with_key = sample.headers.clone();
            with_key.push(("x-api-key".to_owned(), KEY.to_owned()));
            let mut with_bearer = sample.headers.clone();
            with_bearer.push(("authorization".to_owned(), format!("Bearer {WRONG_KEY}")));
            let mut garbled = sample.body.clone();
            garbled.truncate(garbled.len() / 2);
            let nowhere = format!("{http}/webhook/{provider}/nobody?key={KEY}");
            for (what, url, headers, body) in [
                ("good", url.clone(), &sample.headers, sample.body.clone()),
                ("again", url.clone(), &sample.headers, sample.body.clone()),
                ("query key", format!("{url}?a=1&key={KEY}"), &sample.headers, sample.body.clone()),
                ("wrong query key", format!("{url}?key={WRONG_KEY}"), &sample.headers, sample.body.clone()),
                ("header key", url.clone(), &with_key, sample.body.clone()),
                ("bearer", url.clone(), &with_bearer, sample.body.clone()),
                ("garbled", url.clone(), &sample.headers, garbled.clone()),
                ("garbled with key", url.clone(), &with_key, garbled),
                ("nowhere", nowhere, &with_key, sample.body.clone()),
            ] {
                let answer = poster.send(sample.method, &url, headers, body).await;
                if what == "good" {
                    assert!((200..300).contains(&answer.status), "{provider} {event}: {answer:?}");
                }
                if answer.text("status") == "accepted" && provider == "strapi" && *event == "entry.publish" {
                    last = answer.delivery_id();
                }
                heard.http(what, &answer);
            }
        }
    }
    let live = clients.wait_live("tidewater", &last).await;
    heard.0.push(format!("{live:?}"));
    for delivery in clients.deliveries("tidewater").await {
        heard.0.push(format!("{:?}", clients.receipt("tidewater", &delivery.delivery_id).await));
        heard.0.push(format!("{delivery:?}"));
    }
    for (name, ..) in SOURCES {
        heard.0.push(format!("{:?}", clients.entries("tidewater", name).await));
    }
    heard.0.push(format!("{:?}", clients.builds("tidewater", "www").await));
    heard.0.push(format!("{:?}", clients.site("tidewater", "www").await));
    for key in [WRONG_KEY, KEY] {
        // The good key has the scope for webhooks only, so everything is refused.
        let refused = Clients::new(grpc, key);
        heard.0.push(format!("{:?}", refused.receipt("tidewater", &last).await.expect_err("refused")));
        heard.0.push(format!("{:?}", refused.delivery(key, &last).await.expect_err("refused")));
        let request = freshet_proto::validation::v1::GetProviderRequest { name: key.to_owned() };
        let status = refused.validation().get_provider(request).await.expect_err("refused");
        // What the caller sent in as a name may come back to him.
        heard.0.push(format!("{:?}", status.code()));
    }
    let request = freshet_proto::control::v1::GetSystemStatusRequest::default();
    heard.0.push(format!("{:?}", clients.control().get_system_status(request).await));
    last
}

/// Every form in which the marker could lie around.
fn forms() -> Vec<(String, Vec<u8>)> {
    let plain = MARK.as_bytes();
    let mut forms = vec![
        ("plain".to_owned(), plain.to_vec()),
        ("upper case".to_owned(), MARK.to_uppercase().into_bytes()),
        ("hexadecimal".to_owned(), hex::encode(plain).into_bytes()),
    ];
    for skip in 0..3 {
        // Base64 of a text depends on where in a group of three bytes it begins.
        let cut = &plain[skip..skip + 9];
        let engine = &base64::engine::general_purpose::STANDARD_NO_PAD;
        forms.push((format!("base64 from {skip}"), base64::Engine::encode(engine, cut).into_bytes()));
    }
    forms
}

fn search(place: &str, bytes: &[u8]) {
    let personal = ["ines.holm@example.com", "5550 0142", "Hafenstrasse", "ada@example.test", "mara@tidewater.example"];
    let personal = personal.into_iter().map(|text| (text.to_owned(), text.as_bytes().to_vec()));
    for (form, needle) in forms().into_iter().chain(personal) {
        if contains(bytes, &needle) {
            let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap_or_default();
            let around = &bytes[at.saturating_sub(300)..bytes.len().min(at + 100)];
            panic!("`{form}` is in {place}: ...{}...", String::from_utf8_lossy(around));
        }
    }
}

fn search_folder(data: &Path) {
    for path in all_below(data) {
        if path.starts_with(data.join("secrets")) || path == data.join("root.key") {
            continue;
        }
        search(&path.display().to_string(), &std::fs::read(&path).expect("readable"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_no_secret_is_in_a_log_an_answer_or_a_file() {
    let folder = tempdir().expect("a folder");
    let names: Vec<&str> = SOURCES.iter().map(|(source, ..)| *source).collect();
    let catalogue =
        format!("{}{}", client("tidewater", &names, SOON), key("webhooks", KEY, &["tidewater"], &["webhook"]));
    let mut environment = BTreeMap::new();
    for (name, provider, _) in SOURCES {
        let prefix = if provider == "standard_webhooks" { "whsec_" } else { "" };
        environment.insert(variable("tidewater", name), format!("{prefix}{}", secret(name)));
    }
    // Not one of ours, but in the same environment.
    environment.insert("AWS_SECRET_ACCESS_KEY".to_owned(), format!("{MARK}-of-the-machine"));
    let mut dev = Dev::new(folder.path(), &catalogue, environment);
    dev.log = "trace".to_owned();
    let mut process = dev.start().await;
    let root_key = process.root_key.clone();
    let mut heard = Heard::default();
    let running = process.running.clone();
    busy_session(&running.http, &process.clients, &running.grpc, &mut heard).await;
    // What is public is found, so what is looked for below would be found too.
    assert!(!files_with(&dev.data, b"The potter who works with the tide").is_empty());
    // A running process has its log files beside the database; then it is killed, started again, and stopped.
    search_folder(&dev.data);
    process.kill();
    search_folder(&dev.data);
    let mut process = dev.start().await;
    process.stop().await;
    search_folder(&dev.data);

    let log = dev.stderr();
    assert!(log.contains("\"TRACE\"") && log.contains("delivery refused"), "the log is not what it should be");
    search("the log", log.as_bytes());
    assert!(!log.contains(&root_key), "the root key is in the log");
    search("standard output", &std::fs::read(folder.path().join("stdout.log")).expect("there"));
    for answer in &heard.0 {
        search("an answer", answer.as_bytes());
        assert!(!answer.contains(&root_key), "{answer}");
    }
}
