//! Files of this machine into a bucket.

use std::path::Path;

use freshet_aws::{Headers, Objects};
use freshet_kit::{Error, ErrorKind};
use tokio::io::AsyncReadExt as _;

/// Read in one go.
const PIECE_BYTES: usize = 256 << 10;

/// Uploads a file of any size. Returns the object's ETag and size in bytes.
pub(crate) async fn upload(
    objects: &Objects,
    file: &Path,
    key: &str,
    headers: Headers,
) -> Result<(String, u64), Error> {
    let mut upload = objects.upload(key, headers);
    let mut file = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece).await.map_err(unreadable)?;
        let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
        upload.write(piece).await?;
        bytes += read as u64;
    }
    upload.finish().await.map(|etag| (etag, bytes))
}

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "WORK_DIR", format!("a file cannot be read: {error}")).with_source(error)
}
