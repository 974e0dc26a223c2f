//! What the edge takes from a request's head.

use axum::response::Response;
use bytes::BytesMut;
use freshet_proto::validation::v1 as pb;
use http::{HeaderMap, Uri, header};

use crate::answer::Problem;

/// The API key that came along: `x-api-key`, else `Authorization: Bearer`, else `?key=`. Empty if there is none, or
/// if it came twice with different values: which one was meant is then unknown, and guessing would be wrong.
pub(crate) fn api_key(headers: &HeaderMap, uri: &Uri) -> String {
    if headers.contains_key("x-api-key") {
        return only(headers.get_all("x-api-key").iter().filter_map(text)).to_owned();
    }
    let bearer = headers.get_all(header::AUTHORIZATION).iter().filter_map(text).filter_map(|value| {
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let bearer = only(bearer);
    if !bearer.is_empty() {
        return bearer.to_owned();
    }
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    only(pairs.filter(|(name, _)| name == "key").map(|(_, value)| value)).into_owned()
}

fn text(value: &http::HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn only<T: PartialEq + Default>(mut values: impl Iterator<Item = T>) -> T {
    let Some(first) = values.next() else { return T::default() };
    if values.all(|value| value == first) { first } else { T::default() }
}

/// Path and query without the value of `key`, so that it travels no further than it must.
pub(crate) fn path_and_query(uri: &Uri) -> String {
    let Some(query) = uri.query() else { return uri.path().to_owned() };
    if !query.contains("key=") {
        return format!("{}?{query}", uri.path());
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("key=")).collect();
    if kept.is_empty() { uri.path().to_owned() } else { format!("{}?{}", uri.path(), kept.join("&")) }
}

/// The headers in their order, names in lower case.
pub(crate) fn headers(headers: &HeaderMap) -> Vec<pb::Header> {
    // One copy that all values share, in place of one for each.
    let mut values = BytesMut::with_capacity(headers.values().map(http::HeaderValue::len).sum());
    let one = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        values.extend_from_slice(value.as_bytes());
        pb::Header { name: name.as_str().to_owned(), value: values.split().freeze() }
    };
    headers.iter().map(one).collect()
}

/// Refuses what the edge would have to unpack: a few bytes could become gigabytes, and a signature covers the bytes
/// that were sent.
pub(crate) fn check_encoding(headers: &HeaderMap) -> Result<(), Response> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let problem = Problem::new(415, "UNSUPPORTED_CONTENT_ENCODING", "send the body uncompressed");
    Err(problem.field("content-encoding").response())
}

/// The sender's W3C `traceparent` if it is well formed.
pub(crate) fn given_traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent").and_then(|value| value.to_str().ok()).filter(|text| is_traceparent(text))
}

/// The trace that the delivery belongs to where nothing is exported: the sender's, else a new one whose trace id is the
/// delivery's id.
pub(crate) fn traceparent(given: Option<&str>, delivery: &freshet_domain::DeliveryId) -> String {
    if let Some(given) = given {
        return given.to_owned();
    }
    let id = u128::from_be_bytes(*delivery.as_bytes());
    let (high, low) = ((id >> 64) as u64, id as u64);
    // The second half of a UUIDv7 is random, so it serves as the first span's id.
    format!("00-{high:016x}{low:016x}-{low:016x}-01")
}

fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    matches!(parts.as_slice(), [version, trace, span, flags]
        if *version == "00" && hex(trace, 32) && !zero(trace) && hex(span, 16) && !zero(span) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().expect("value"));
        }
        headers
    }

    #[test]
    fn the_key_is_found_in_its_three_places_and_in_order() {
        let uri: Uri = "/webhook/x?a=1&key=q%21".parse().expect("uri");
        assert_eq!(api_key(&map(&[]), &uri), "q!");
        assert_eq!(api_key(&map(&[("authorization", "bearer b")]), &uri), "b");
        assert_eq!(api_key(&map(&[("authorization", "Bearer b"), ("x-api-key", "h")]), &uri), "h");
        assert_eq!(api_key(&map(&[("authorization", "Basic b")]), &"/".parse().expect("uri")), "");
        assert_eq!(api_key(&map(&[("x-api-key", "a"), ("x-api-key", "b")]), &uri), "");
    }

    #[test]
    fn p8_the_key_does_not_travel_in_the_path() {
        for (given, kept) in
            [("/w?key=s", "/w"), ("/w?a=1&key=s&b=2", "/w?a=1&b=2"), ("/w?a=1", "/w?a=1"), ("/w", "/w")]
        {
            assert_eq!(path_and_query(&given.parse().expect("uri")), kept);
        }
    }

    #[test]
    fn each_header_has_its_own_value() {
        let given = [("host", "a"), ("x-empty", ""), ("x-b", "bb")];
        let headers = headers(&map(&given));
        let read: Vec<_> = headers.iter().map(|header| (header.name.as_str(), &*header.value)).collect();
        assert_eq!(read, given.map(|(name, value)| (name, value.as_bytes())));
    }

    #[test]
    fn a_trace_is_continued_or_begun() {
        let id = freshet_domain::DeliveryId::generate();
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(traceparent(given_traceparent(&map(&[("traceparent", good)])), &id), good);
        for bad in [
            "x",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            let mut headers = HeaderMap::new();
            headers.append("traceparent", bad.parse().expect("value"));
            let begun = traceparent(given_traceparent(&headers), &id);
            assert!(is_traceparent(&begun) && begun != bad, "{begun}");
            let digits = id.to_string().split_off("dlv_".len());
            assert_eq!(begun, format!("00-{digits}-{}-01", &digits[16..]));
        }
    }
}
