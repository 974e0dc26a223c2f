//! Reading a body within bounds.

use axum::response::Response;
use bytes::{Bytes, BytesMut};
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
            return Err(too_large(max));
        }
        // Nearly every delivery comes in one piece, which is then not copied.
        if all.is_empty() && first.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

pub(crate) fn too_large(max: usize) -> Response {
    let detail = format!("the body is larger than {max} bytes, which is the most that this provider sends");
    Problem::new(413, "BODY_TOO_LARGE", &detail).response()
}

fn too_slow() -> Response {
    Problem::new(408, "BODY_TOO_SLOW", "the body did not arrive in time").response()
}
