//! Freshet and software that knows nothing of it: the providers' own libraries sign what it takes and accept what it
//! sends, and Google's gRPC client calls everything that it offers.

#[path = "../compat/tools.rs"]
mod tools;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use freshet_domain::Timestamp;
use freshet_domain::catalogue::Source;
use freshet_providers::{SampleDelivery, SampleRequest};
use freshet_tests::{Options, Sample, TestSuite, catalogues};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

/// The sources whose deliveries a library can sign: source, how it is signed, and a member with free text.
const SIGNED: [(&str, &str, &str); 8] = [
    ("stories", "sanity", "title"),
    ("pages", "github", "message"),
    ("vault", "github", "message"),
    ("shop", "shopify", "title"),
    ("outlet", "shopify", "title"),
    ("bulletin", "standard_webhooks", "title"),
    ("wiki", "standard_webhooks", "message"),
    ("atlas", "standard_webhooks", "message"),
];

/// Git hosts beside GitHub, which [`catalogues::SOURCES`] does not have.
const MORE_SOURCES: &str = r#"
[[client.source]]
id = "vault"
provider = "tina"
host = "github"
secrets = ["env:VAULT"]

[[client.source]]
id = "wiki"
provider = "decap"
host = "gitlab"
secrets = ["env:WIKI"]

[[client.source]]
id = "atlas"
provider = "tina"
host = "gitlab"
secrets = ["env:OLD_TOKEN", "env:WIKI"]
"#;

async fn signed_suite() -> TestSuite {
    let sources = ["stories", "pages", "shop", "outlet", "bulletin"];
    let catalogue = catalogues::client("tidewater", &sources, catalogues::SOON) + MORE_SOURCES;
    Options::new(catalogue)
        .secret("VAULT", "Ümläute & <signs> \\ \"quotes\" 🌊")
        .secret("WIKI", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .secret("OLD_TOKEN", "a token from before signing tokens")
        .start()
        .await
}

/// JSON texts that are the same to a parser and not to a signature, and a long one.
fn texts() -> Vec<String> {
    vec![
        r#""Low water""#.to_owned(),
        "\"Grüße aus 東京 🌊 \u{2028} ﷽\"".to_owned(),
        r#""Gr\u00fc\u00DFe \ud83c\udf0a \/ \u001B[1m \u003cb\u003e \" \\ \u0000""#.to_owned(),
        format!("\"{}\"", "Ebbe und Flut \\u00e9 – 東京 🌊 ".repeat(220)),
    ]
}

/// A delivery before it is signed.
struct Draft {
    source: std::sync::Arc<Source>,
    scheme: &'static str,
    delivery: SampleDelivery,
}

impl Draft {
    fn new(suite: &TestSuite, (name, scheme, member): (&str, &'static str, &str), number: u64, text: &str) -> Self {
        let source = suite.source("tidewater", name);
        let adapter = suite.registry.get(&source.provider).expect("is in the registry");
        let request = SampleRequest {
            event: adapter.sample_events()[0],
            secret: None,
            settings: &source.settings,
            now: Timestamp::now(),
            number,
            revision: 1,
            asset_base: "http://127.0.0.1/demo-assets",
        };
        let mut delivery = adapter.sample(&request).expect("its own event");
        let body = String::from_utf8(delivery.body).expect("JSON is text");
        delivery.body = with_text(&body, member, text).into_bytes();
        Self { source, scheme, delivery }
    }

    /// As a form, which GitHub can be told to send: the signature covers the form.
    fn into_form(mut self) -> Self {
        let mut form = "payload=".to_owned();
        for byte in &self.delivery.body {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => form.push(char::from(*byte)),
                b' ' => form.push('+'),
                other => form.push_str(&format!("%{other:02X}")),
            }
        }
        self.delivery.body = form.into_bytes();
        self.replace_header("Content-Type", "application/x-www-form-urlencoded");
        self
    }

    fn replace_header(&mut self, name: &str, value: &str) {
        self.delivery.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.delivery.headers.push((name.to_owned(), value.to_owned()));
    }

    /// What `sign.mjs` is asked. The last secret: that older ones stay valid is part of what is tested.
    fn question(&self, op: &str) -> Value {
        let secret = self.source.secrets.last().expect("every source here has one");
        let headers: serde_json::Map<String, Value> =
            self.delivery.headers.iter().map(|(name, value)| (name.to_lowercase(), json!(value))).collect();
        json!({
            "op": op,
            "scheme": self.scheme,
            "secret": secret.expose_secret(),
            "body": BASE64.encode(&self.delivery.body),
            "headers": headers,
        })
    }

    /// The same with another letter or digit in the body.
    fn tampered(&self) -> SampleDelivery {
        let mut delivery = self.delivery.clone();
        let at = delivery.body.iter().rposition(u8::is_ascii_lowercase).expect("has letters");
        delivery.body[at] = if delivery.body[at] == b'z' { b'a' } else { delivery.body[at] + 1 };
        delivery
    }
}

/// The body with another text in every member of that name, byte for byte the same elsewhere.
fn with_text(body: &str, member: &str, text: &str) -> String {
    let start = format!("\"{member}\":\"");
    let mut out = String::new();
    let mut rest = body;
    while let Some((before, behind)) = rest.split_once(&start) {
        let mut is_escaped = false;
        let end = behind.find(|letter| {
            let ends = letter == '"' && !is_escaped;
            is_escaped = letter == '\\' && !is_escaped;
            ends
        });
        out.push_str(&format!("{before}\"{member}\":{text}"));
        rest = &behind[end.expect("the text ends") + 1..];
    }
    assert!(!out.is_empty(), "there is no {member} in {body}");
    out + rest
}

/// Asks `sign.mjs` everything at once.
async fn ask(node: tools::Tool, questions: Vec<Value>) -> Vec<Value> {
    let asked = questions.len();
    let input = questions.iter().map(|question| format!("{question}\n")).collect();
    let answers = tokio::task::spawn_blocking(move || node.run("sign.mjs", input)).await.expect("runs");
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), asked, "one answer for each question");
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_signed_by_the_providers_own_libraries_are_taken() {
    let Some(node) = tools::node() else { return };
    let mut suite = signed_suite().await;
    let mut drafts = Vec::new();
    for signed in SIGNED {
        for (number, text) in (0..).zip(texts()) {
            drafts.push(Draft::new(&suite, signed, number, &text));
        }
        // The same content as the first, laid out differently.
        let mut spacious = Draft::new(&suite, signed, 10, "\"Low water\"");
        let body = String::from_utf8(spacious.delivery.body).expect("JSON is text");
        spacious.delivery.body = format!(" {}\r\n", body.replacen('{', "{\r\n\t", 1)).into_bytes();
        drafts.push(spacious);
    }
    for (number, text) in (20..).zip(texts()) {
        drafts.push(Draft::new(&suite, SIGNED[1], number, &text).into_form());
    }
    assert!(drafts.iter().any(|draft| draft.delivery.body.len() > 8 << 10), "a large one is among them");

    let answers = ask(node, drafts.iter().map(|draft| draft.question("sign")).collect()).await;
    for (draft, answer) in drafts.iter_mut().zip(answers) {
        for (name, value) in answer["headers"].as_object().expect("signed") {
            draft.replace_header(name, value.as_str().expect("text"));
        }
        let of = format!("{} {}", draft.source.id, String::from_utf8_lossy(&draft.delivery.body));
        let refused = suite.post(&draft.source, &draft.tampered()).await;
        assert_eq!(refused.status, 401, "one byte changed in {of}: {refused:?}");
        let answer = suite.post(&draft.source, &draft.delivery).await.kept("accepted");
        assert_eq!(answer.json()["changes"], 1, "{of}: {answer:?}");
        let delivery = suite.clients.delivery("tidewater", &answer.delivery_id()).await.expect("is stored");
        let place = draft.source.secrets.len() - 1;
        assert_eq!(delivery.proof, format!("secret:{place}"), "{of}");
    }
    println!("{} deliveries signed by the providers' libraries were taken", drafts.len());
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_freshet_signs_the_providers_own_libraries_accept() {
    let Some(node) = tools::node() else { return };
    let mut suite = signed_suite().await;
    let mut questions = Vec::new();
    for (name, scheme, _) in SIGNED {
        let source = suite.source("tidewater", name);
        // Samples are signed with a source's first secret, and a GitLab token is no signature.
        if source.secrets.len() > 1 {
            continue;
        }
        for number in 0..5 {
            let delivery = suite.sample(&source, Sample::new(number, number));
            let mut draft = Draft { source: source.clone(), scheme, delivery };
            questions.push((format!("{name} {number}"), true, draft.question("verify")));
            draft.delivery = draft.tampered();
            questions.push((format!("{name} {number}, one byte changed"), false, draft.question("verify")));
        }
    }
    let answers = ask(node, questions.iter().map(|(_, _, question)| question.clone()).collect()).await;
    for ((what, wanted, _), answer) in questions.iter().zip(answers) {
        assert_eq!(answer["valid"], *wanted, "{what}: {answer}");
    }
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rpc_answers_an_independent_client() {
    let Some(python) = tools::python() else { return };
    const READER: &str = "fk_reader_of_tidewater_and_nothing_else_0001";
    let catalogue = [
        catalogues::client("tidewater", &["journal", "shop"], catalogues::SOON),
        catalogues::source("tidewater", "stories"),
        catalogues::source("tidewater", "bulletin"),
        r#"
[[client.site]]
id = "later"
sources = ["stories"]
quiet_period = "1h"
max_wait = "2h"

[[client.site]]
id = "slow"
sources = ["bulletin"]
preset = "custom"
directory = "slow"
command = ["sleep", "60"]
output = "public"
quiet_period = "50ms"
"#
        .to_owned(),
        catalogues::client("alpha", &["journal"], catalogues::SOON),
        catalogues::key("reader", READER, &["tidewater"], &["content:read", "build:read", "control:read"]),
    ]
    .concat();
    let start = Options::new(catalogue).start_prepared(|folder| {
        std::fs::create_dir(folder.join("slow")).expect("made");
    });
    let mut suite = start.await;

    let mut posted = serde_json::Map::new();
    for (name, count) in [("journal", 3), ("shop", 1), ("stories", 1), ("bulletin", 1)] {
        let source = suite.source("tidewater", name);
        let mut of_source = Vec::new();
        for number in 0..count {
            let sample = suite.sample(&source, Sample::new(number, 0));
            let answer = suite.post(&source, &sample).await.kept("accepted");
            of_source.push(json!({
                "delivery_id": answer.delivery_id(),
                "title": title(&sample),
                "body": BASE64.encode(&sample.body),
            }));
        }
        posted.insert(name.to_owned(), of_source.into());
    }
    let unsent = suite.sample(&suite.source("tidewater", "journal"), Sample::new(7, 0));
    let headers = unsent
        .headers
        .iter()
        .map(|(name, value)| json!({ "name": name.to_lowercase(), "value": BASE64.encode(value) }));
    let setup = json!({
        "address": suite.grpc.trim_start_matches("http://"),
        "root": suite.root_key,
        "reader": READER,
        "client": "tidewater",
        "other_client": "alpha",
        "posted": posted,
        "unsent": {
            "provider": "strapi",
            "source_id": "tidewater.journal",
            "method": "POST",
            "headers": headers.collect::<Vec<_>>(),
            "body": BASE64.encode(&unsent.body),
            "title": title(&unsent),
        },
    });
    let run = tokio::task::spawn_blocking(move || python.run("grpc_client.py", setup.to_string()));
    let said = run.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    print!("{said}");
    assert!(said.contains("rpcs was called"), "{said}");
    suite.stop().await;
}

/// The title in a sample's body, wherever its provider puts it.
fn title(sample: &SampleDelivery) -> String {
    let body: Value = serde_json::from_slice(&sample.body).expect("JSON");
    let places = [&body["entry"]["title"], &body["data"]["title"], &body["title"]];
    places.into_iter().find_map(Value::as_str).expect("a title").to_owned()
}
