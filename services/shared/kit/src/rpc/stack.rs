//! Deadline, identity, panic guard, span and measurement around a generated server.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use tonic::body::Body;

use super::Caller;
use super::observe::{code_of, observed};
use crate::{CatalogueHandle, Error, ErrorKind};

/// The layers around one generated server.
#[derive(Clone)]
pub struct Stack<S> {
    inner: S,
    catalogue: CatalogueHandle,
}

/// A call without a deadline of its own gets this one. Of a stream only the beginning counts.
pub(super) const DEADLINE_DEFAULT: Duration = Duration::from_secs(30);

/// The W3C trace context of a call.
pub(super) const TRACEPARENT: http::HeaderName = http::HeaderName::from_static("traceparent");

impl<S> Stack<S> {
    /// Wraps a server. API keys are looked up in the catalogue that is in force at the time of the call.
    pub fn new(inner: S, catalogue: CatalogueHandle) -> Self {
        Self { inner, catalogue }
    }

    fn identify(&self, headers: &http::HeaderMap) -> Result<Caller, Error> {
        if !self.catalogue.is_loaded() {
            return Err(Error::unavailable("the catalogue, which has the API keys, is not loaded yet"));
        }
        let key = headers
            .get(http::header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, key)| self.catalogue.get().key(key.trim()).cloned());
        Ok(key.map_or(Caller::Unknown, Caller::Key))
    }
}

impl<S: tonic::server::NamedService> tonic::server::NamedService for Stack<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> tower::Service<http::Request<Body>> for Stack<S>
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        let mut refused = None;
        if request.extensions().get::<Caller>().is_none() {
            match self.identify(request.headers()) {
                Ok(caller) => drop(request.extensions_mut().insert(caller)),
                Err(error) => refused = Some(error),
            }
        }
        let deadline = deadline(request.headers());
        let method = request.uri().path().to_owned();
        let traceparent = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let call = async {
                if let Some(error) = refused {
                    return error.into_status().into_http();
                }
                match guarded(&method, deadline, inner.call(request)).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(never)) => match never {},
                    Err(error) => error.into_status().into_http(),
                }
            };
            Ok(observed(&method, traceparent.as_deref(), call, code_of).await)
        })
    }
}

/// Runs a call of `method` within its deadline, and turns a panic into an error with an id that finds its log line.
pub(super) async fn guarded<T>(method: &str, deadline: Duration, call: impl Future<Output = T>) -> Result<T, Error> {
    match tokio::time::timeout(deadline, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(panic)) => {
            let text = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            Err(Error::internal(format!("{method} failed")).with_source(format!("panic: {text}")))
        }
        Err(_) => Err(Error::new(
            ErrorKind::TimedOut,
            "DEADLINE_EXCEEDED",
            format!("{method} was not done within {} ms", deadline.as_millis()),
        )),
    }
}

/// The caller's `grpc-timeout`, for example `200m` for 200 milliseconds.
fn deadline(headers: &http::HeaderMap) -> Duration {
    let parse = |text: &str| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
        Some(match unit {
            "H" => Duration::from_secs(amount.saturating_mul(3600)),
            "M" => Duration::from_secs(amount.saturating_mul(60)),
            "S" => Duration::from_secs(amount),
            "m" => Duration::from_millis(amount),
            "u" => Duration::from_micros(amount),
            "n" => Duration::from_nanos(amount),
            _ => return None,
        })
    };
    headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).and_then(parse).unwrap_or(DEADLINE_DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_and_nonsense_is_not() {
        let of = |text: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("header"));
            deadline(&headers)
        };
        assert_eq!(of("200m"), Duration::from_millis(200));
        assert_eq!(of("3S"), Duration::from_secs(3));
        for bad in ["", "S", "123456789S", "12x", "-1S"] {
            assert_eq!(of(bad), DEADLINE_DEFAULT, "{bad:?}");
        }
    }
}
