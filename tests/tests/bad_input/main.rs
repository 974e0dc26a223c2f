//! What comes in wrong, at the wrong time, too often, too large or on purpose.

mod bodies;
mod folder;
mod full;
mod limits;
mod proof;
mod secrets;
mod start;
mod wire;

use freshet_providers::SampleDelivery;
use freshet_tests::catalogues::secret;
use freshet_tests::{Answer, TestSuite};
use hmac::{Hmac, KeyInit as _, Mac as _};

/// HMAC-SHA256.
fn mac(secret: &str, message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

/// The sample with this header's value replaced; `None` removes it.
fn with_header(sample: &SampleDelivery, header: &str, value: Option<&str>) -> SampleDelivery {
    let mut changed = sample.clone();
    changed.headers.retain(|(name, _)| !name.eq_ignore_ascii_case(header));
    if let Some(value) = value {
        changed.headers.push((header.to_owned(), value.to_owned()));
    }
    changed
}

fn header<'s>(sample: &'s SampleDelivery, header: &str) -> &'s str {
    let found = sample.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(header));
    found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("no {header} in {:?}", sample.headers))
}

/// Posts any body to the Strapi source `journal`, with its secret.
async fn strapi(suite: &TestSuite, body: impl Into<bytes::Bytes>) -> Answer {
    let headers = [
        ("authorization".to_owned(), format!("Bearer {}", secret("tidewater", "journal", "strapi"))),
        ("content-type".to_owned(), "application/json".to_owned()),
    ];
    suite.poster.send("POST", &format!("{}/webhook/strapi/journal", suite.http), &headers, body).await
}

/// A request to the Strapi source `journal` as bytes.
fn strapi_request(body: &str, more: &str) -> String {
    format!(
        "POST /webhook/strapi/journal HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\n{more}content-length: {}\r\n\r\n{body}",
        secret("tidewater", "journal", "strapi"),
        body.len()
    )
}

/// A publication of an article, as Strapi 5 sends it. `more` has more members of the entry, each after a comma.
fn article(id: &str, more: &str) -> String {
    format!(
        r#"{{"event":"entry.publish","createdAt":"2026-11-01T10:00:00.000Z","model":"article","uid":"api::article.article","entry":{{"id":7,"documentId":"{id}","title":"Title of {id}","slug":"{id}","createdAt":"2026-11-01T09:00:00.000Z","updatedAt":"2026-11-01T10:00:00.000Z","publishedAt":"2026-11-01T10:00:00.000Z","locale":"en"{more}}}}}"#
    )
}
