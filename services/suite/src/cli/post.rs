//! Posting deliveries over HTTP, as providers do.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// An HTTP client that keeps its connections.
#[derive(Clone)]
pub(crate) struct Poster {
    client: Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    /// For programs.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_else(|_| self.body.clone().into());
        serde_json::json!({ "status": self.status, "retry_after": self.retry_after, "body": body })
    }

    /// The delivery's id, if the delivery was kept.
    pub(crate) fn delivery_id(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        Some(body.get("delivery_id")?.as_str()?.to_owned())
    }

    /// `status` of a kept delivery, `detail` of a problem.
    pub(crate) fn word(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
        text("detail").or_else(|| text("status")).unwrap_or_else(|| self.body.clone())
    }
}

impl Poster {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends one request. Headers that belong to the connection are left to the client.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, Vec<u8>)],
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::from_bytes(method.as_bytes())?;
        *request.uri_mut() = url.parse()?;
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes())?;
            let of_connection = ["host", "content-length", "connection", "transfer-encoding", "expect", "keep-alive"];
            if !of_connection.contains(&name.as_str()) {
                request.headers_mut().append(name, HeaderValue::from_bytes(value)?);
            }
        }
        let response = self.client.request(request).await?;
        let status = response.status().as_u16();
        let retry_after =
            response.headers().get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Headers as a sample has them.
pub(crate) fn text_headers(headers: &[(String, String)]) -> Vec<(String, Vec<u8>)> {
    headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes())).collect()
}
