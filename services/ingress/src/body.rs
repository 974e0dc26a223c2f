//! Reading a body within bounds.

use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::IngressConfig;
use crate::answer::Problem;

/// Reads the body, at most `max` bytes, within the times of the config.
pub(crate) async fn read(body: axum::body::Body, max: usize, config: &IngressConfig) -> Result<Bytes, Response> {
    match tokio::time::timeout(config.body_timeout, read_frames(body, max, config)).await {
        Ok(result) => result,
        Err(_) => Err(too_slow()),
    }
}

/// Most bytes that are read for nothing.
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// Reads what is left of a refused body and forgets it, within bounds. Nearly every sender writes its whole body before
/// it reads the answer; if the connection were closed under it, it would see a broken connection and not the refusal.
pub(crate) async fn discard(mut body: axum::body::Body, config: &IngressConfig) {
    let read = async {
        let mut left = DISCARD_BYTES_MAX;
        while left > 0 {
            match tokio::time::timeout(config.body_idle_timeout, body.frame()).await {
                Ok(Some(Ok(frame))) => left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len)),
                _ => return,
            }
        }
    };
    let _ = tokio::time::timeout(config.body_timeout, read).await;
}

async fn read_frames(mut body: axum::body::Body, max: usize, config: &IngressConfig) -> Result<Bytes, Response> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(config.body_idle_timeout, body.frame()).await {
            Err(_) => return Err(too_slow()),
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) => {
                // The sender has gone; nobody reads this answer, and nothing was kept.
                return Err(Problem::new(400, "BODY_CUT_OFF", "the connection ended inside the body").response());
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > max {
            drop((first, all, data));
            Box::pin(discard(body, config)).await;
            return Err(too_large(max));
        }
        // Nearly every delivery comes in one piece.
        if all.is_empty() && first.is_empty() {
            first = of_its_own(data);
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
        // Where the length was declared, the end is known without waiting for it.
        if body.is_end_stream() {
            break;
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Larger bodies fill most of the buffer that they are in.
const COPY_MAX: usize = 64 << 10;

/// The bytes without the buffer of the connection that they are a part of: it is several times as large, and would be
/// kept until the delivery is in the tables, so that each request needed a new one.
fn of_its_own(data: Bytes) -> Bytes {
    if data.len() <= COPY_MAX { Bytes::copy_from_slice(&data) } else { data }
}

pub(crate) fn too_large(max: usize) -> Response {
    let detail = format!("the body is larger than {max} bytes, which is the most that this provider sends");
    Problem::new(413, "BODY_TOO_LARGE", &detail).response()
}

fn too_slow() -> Response {
    Problem::new(408, "BODY_TOO_SLOW", "the body did not arrive in time").response()
}
