//! Connections: accepted within a bound, served, and ended gracefully.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use freshet_kit::{Readiness, Shutdown};
use http::StatusCode;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::{Front, IngressConfig};

/// Serves until the soft stop, then lets requests in flight end.
pub async fn serve(listener: TcpListener, front: Front, config: IngressConfig, shutdown: Shutdown) {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(config.header_timeout).half_close(true).pipeline_flush(true);
    let connections = Arc::new(Semaphore::new(config.connections_max));
    let graceful = GracefulShutdown::new();
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.stopping() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: give running requests time to end.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), front.clone()));
        tokio::spawn(async move {
            let _permit = permit;
            // Senders that go away in the middle are their own business.
            let _ = connection.await;
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

/// `/readyz`: 200 when every part has proved itself, else 503 with the names of those that have not.
pub(crate) async fn readyz(readiness: Readiness) -> Response {
    let pending = readiness.pending();
    if pending.is_empty() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", pending.join(", "))).into_response()
    }
}
