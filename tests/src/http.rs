//! A small HTTP client.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Posts and gets; keeps its connections.
#[derive(Clone, Debug)]
pub struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, as far as it is text.
    pub body: String,
}

impl Answer {
    /// The body as JSON; `null` if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// A text member of the body, empty if it is not there.
    pub fn text(&self, name: &str) -> String {
        self.json().get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    }

    /// The delivery's id.
    pub fn delivery_id(&self) -> String {
        let id = self.text("delivery_id");
        assert!(!id.is_empty(), "no delivery id in {self:?}");
        id
    }

    /// A header as text, empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Panics unless this is a kept delivery with that word.
    #[track_caller]
    pub fn kept(self, word: &str) -> Self {
        assert!((200..300).contains(&self.status), "{self:?}");
        assert_eq!(self.text("status"), word, "{self:?}");
        self
    }

    /// Panics unless this is a problem document of that status.
    #[track_caller]
    pub fn problem(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], status, "{self:?}");
        for member in ["type", "title", "detail"] {
            assert!(!self.text(member).is_empty(), "`{member}` is missing in {self:?}");
        }
        self
    }

    /// Panics unless the problem names this field.
    #[track_caller]
    pub fn field(self, field: &str) -> Self {
        assert_eq!(self.text("field"), field, "{self:?}");
        self
    }
}

impl Default for Poster {
    fn default() -> Self {
        Self::new()
    }
}

impl Poster {
    /// A new client without connections.
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends one request; the error is the connection's.
    pub async fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
        *request.uri_mut() = url.parse().map_err(|error| format!("{url}: {error}"))?;
        for (name, value) in headers {
            // Those that belong to the connection are the client's business.
            if ["host", "content-length", "connection", "transfer-encoding"].contains(&name.to_lowercase().as_str()) {
                continue;
            }
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| error.to_string())?;
            request.headers_mut().append(name, value);
        }
        let response = self.client.request(request).await.map_err(|error| format!("{error:?}"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Sends one request that must be answered.
    pub async fn send(&self, method: &str, url: &str, headers: &[(String, String)], body: impl Into<Bytes>) -> Answer {
        match self.try_send(method, url, headers, body).await {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {url} was not answered: {error}"),
        }
    }

    /// Gets a page.
    pub async fn get(&self, url: &str) -> Answer {
        self.send("GET", url, &[], Bytes::new()).await
    }
}
