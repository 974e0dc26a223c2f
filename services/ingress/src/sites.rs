//! Finished sites, served for preview under `/sites/{client}/{site}/`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::SiteRoots;

pub(crate) fn router(roots: Arc<dyn SiteRoots>) -> Router {
    Router::new()
        .route("/sites/{client}/{site}", get(to_folder))
        .route("/sites/{client}/{site}/", get(front))
        .route("/sites/{client}/{site}/{*path}", get(file))
        .with_state(roots)
}

async fn to_folder(Path((client, site)): Path<(String, String)>) -> Response {
    if freshet_domain::ClientId::new(&client).is_err() || freshet_domain::SiteId::new(&site).is_err() {
        return not_there();
    }
    Redirect::permanent(&format!("/sites/{client}/{site}/")).into_response()
}

async fn front(
    State(roots): State<Arc<dyn SiteRoots>>,
    Path((client, site)): Path<(String, String)>,
    request: Request<axum::body::Body>,
) -> Response {
    serve(&*roots, &client, &site, request).await
}

async fn file(
    State(roots): State<Arc<dyn SiteRoots>>,
    Path((client, site, _)): Path<(String, String, String)>,
    request: Request<axum::body::Body>,
) -> Response {
    serve(&*roots, &client, &site, request).await
}

async fn serve(roots: &dyn SiteRoots, client: &str, site: &str, mut request: Request<axum::body::Body>) -> Response {
    // Names with other characters cannot be sites, and must not reach the file system.
    if freshet_domain::ClientId::new(client).is_err() || freshet_domain::SiteId::new(site).is_err() {
        return not_there();
    }
    let Some(root) = roots.live_root(client, site) else {
        return (StatusCode::NOT_FOUND, "this site has not been built yet\n").into_response();
    };
    let prefix = format!("/sites/{client}/{site}");
    // The path is passed on still encoded: ServeDir decodes it and refuses what would leave the folder.
    let rest = request.uri().path().strip_prefix(&prefix).unwrap_or("/").to_owned();
    let Ok(uri) = rest.parse::<Uri>() else { return not_there() };
    *request.uri_mut() = uri;
    let mut response = match ServeDir::new(&root).oneshot(request).await {
        Ok(response) => response.map(axum::body::Body::new),
        Err(never) => match never {},
    };
    if response.status() == StatusCode::NOT_FOUND
        && let Ok(page) = tokio::fs::read(root.join("404.html")).await
    {
        response = (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response();
    }
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn not_there() -> Response {
    (StatusCode::NOT_FOUND, "not found\n").into_response()
}
