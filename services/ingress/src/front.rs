//! What hyper asks for answers: webhooks are answered at once, everything else by the router.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use freshet_kit::Readiness;
use futures::FutureExt as _;
use http::{Method, Request};
use hyper::body::Incoming;

use crate::answer;
use crate::webhook::{Edge, receive};

/// Everything that the edge answers.
#[derive(Clone)]
pub struct Front {
    edge: Arc<Edge>,
    router: Router,
    /// False as long as every request must go through the router.
    webhooks_at_once: Arc<AtomicBool>,
}

impl Front {
    pub(crate) fn new(edge: Arc<Edge>, router: Router) -> Self {
        Self { edge, router, webhooks_at_once: Arc::new(AtomicBool::new(true)) }
    }

    /// With the routes of another router.
    #[must_use]
    pub fn merge(mut self, other: Router) -> Self {
        self.router = self.router.merge(other);
        self
    }

    /// Answers webhooks with 503 and Retry-After until everything was ready once: an empty catalogue would refuse them
    /// for good. Afterwards, and while the process drains, they are taken.
    #[must_use]
    pub fn until_ready(self, readiness: Readiness) -> Self {
        let was_ready = Arc::new(AtomicBool::new(false));
        let webhooks_at_once = was_ready.clone();
        let gate = move |request: axum::extract::Request, next: axum::middleware::Next| {
            if !was_ready.load(Ordering::Relaxed) && readiness.is_ready() {
                was_ready.store(true, Ordering::Relaxed);
            }
            let refused = !was_ready.load(Ordering::Relaxed) && request.uri().path().starts_with("/webhook/");
            async move { if refused { answer::not_ready() } else { next.run(request).await } }
        };
        Self { router: self.router.layer(axum::middleware::from_fn(gate)), webhooks_at_once, ..self }
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if self.webhooks_at_once.load(Ordering::Relaxed)
            && let Some((provider, source)) = plain_webhook(request.method(), request.uri().path())
        {
            let (edge, provider, source) = (self.edge.clone(), provider.to_owned(), source.to_owned());
            return Box::pin(receive(edge, provider, source, request.map(Body::new)).map(Ok));
        }
        Box::pin(tower::Service::call(&mut self.router.clone(), request))
    }
}

/// Provider and source (empty if there is none) of a webhook whose address needs no decoding. The router finds the same
/// and takes many times as long, which is a part of every delivery that counts.
fn plain_webhook<'a>(method: &Method, path: &'a str) -> Option<(&'a str, &'a str)> {
    let is_plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
    };
    if method != Method::POST {
        return None;
    }
    let names = path.strip_prefix("/webhook/")?;
    match names.split_once('/') {
        None => is_plain(names).then_some((names, "")),
        Some((provider, source)) => (is_plain(provider) && is_plain(source)).then_some((provider, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_of_webhooks_do_without_the_router() {
        for (path, names) in [
            ("/webhook/strapi", Some(("strapi", ""))),
            ("/webhook/strapi/acme.blog", Some(("strapi", "acme.blog"))),
            ("/webhook/", None),
            ("/webhook/strapi/", None),
            ("/webhook//blog", None),
            ("/webhook/strapi/blog/", None),
            ("/webhook/strapi/blog/more", None),
            ("/webhook/str%61pi/blog", None),
            ("/webhook/strapi/bl%2Fog", None),
            ("/webhooks/strapi", None),
            ("/sites/acme/www/", None),
        ] {
            assert_eq!(plain_webhook(&Method::POST, path), names, "{path}");
            assert_eq!(plain_webhook(&Method::GET, path), None, "{path}");
        }
    }
}
