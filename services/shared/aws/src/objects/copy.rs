//! Copying inside a bucket.

use std::fmt::Write as _;

use aws_sdk_s3::types::MetadataDirective;
use freshet_kit::Error;

use super::{Headers, Listed, Objects};

impl Objects {
    /// Copies an object of at most 5 GB inside the bucket, with headers of its own. `Conflict` if it is not the listed
    /// one any more, `Missing` if there is none.
    pub async fn copy(&self, from: &Listed, to: &str, headers: &Headers) -> Result<(), Error> {
        let limits = self.limits.moving(from.bytes);
        self.client
            .copy_object()
            .copy_source(format!("{}/{}", self.bucket, encoded(&from.key)))
            .copy_source_if_match(&from.etag)
            .bucket(&*self.bucket)
            .key(to)
            .metadata_directive(MetadataDirective::Replace)
            .set_content_type(headers.content_type.clone())
            .set_content_encoding(headers.content_encoding.clone())
            .set_cache_control(headers.cache_control.clone())
            .customize()
            .config_override(limits)
            .send()
            .await
            .map(drop)
            .map_err(|failed| self.failed("CopyObject", to, failed))
    }
}

/// The name of a source stands in a header, where only these are safe.
fn encoded(key: &str) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
