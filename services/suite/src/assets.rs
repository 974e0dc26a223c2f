//! The pictures that sample deliveries show, and the page at `/`.

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};

/// Pictures for samples, below `/demo-assets/`.
const PICTURES: &[(&str, &str)] = &[
    ("mug.svg", include_str!("assets/mug.svg")),
    ("chair.svg", include_str!("assets/chair.svg")),
    ("lamp.svg", include_str!("assets/lamp.svg")),
    ("hero.svg", include_str!("assets/hero.svg")),
];

/// Routes that the edge itself knows nothing of.
pub(crate) fn router() -> Router {
    Router::new().route("/", get(front)).route("/demo-assets/{name}", get(picture))
}

async fn picture(axum::extract::Path(name): axum::extract::Path<String>) -> Response {
    match PICTURES.iter().find(|(known, _)| *known == name) {
        Some((_, svg)) => ([(header::CONTENT_TYPE, "image/svg+xml")], *svg).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn front() -> Html<&'static str> {
    Html(
        "<!doctype html><meta charset=utf-8><title>Freshet</title>\
         <body style=\"font:16px/1.6 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem\">\
         <h1>Freshet runs.</h1><p>Providers post webhooks to <code>/webhook/{provider}/{source}</code>. Finished sites \
         are at <code>/sites/{client}/{site}/</code>. See <code>freshet site list</code>.",
    )
}
