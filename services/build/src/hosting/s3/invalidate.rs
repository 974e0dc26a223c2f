//! Telling CloudFront what changed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::types::{InvalidationBatch, Paths};
use freshet_kit::Error;
use freshet_kit::error::chain;
use freshet_kit::retry::{Backoff, chance};

/// Beyond so many paths, everything is invalidated: that is one path for CloudFront's bill.
const PATHS_MAX: usize = 100;

const ATTEMPTS: u32 = 4;

/// What is to be forgotten by which distribution.
pub(super) struct Invalidation<'a> {
    pub(super) distribution: &'a str,
    /// The same for every attempt, so that CloudFront does it once.
    pub(super) reference: String,
    /// Paths of files inside the site.
    pub(super) files: &'a [String],
}

impl Invalidation<'_> {
    /// Asks for it. A site whose caches are not told is shown with old pages until they expire; it is published all the
    /// same, so a failure is only said.
    pub(super) async fn request(&self, client: &Client, backoff: Backoff) {
        let paths = paths(self.files);
        for attempt in 1.. {
            let Err(error) = self.attempt(client, &paths).await else { return };
            if attempt >= ATTEMPTS || !error.kind().is_transient() {
                tracing::warn!(
                    distribution = self.distribution, paths = paths.len(), error = %chain(&error),
                    "CloudFront was not told what changed, old pages are shown until they expire"
                );
                return;
            }
            tokio::time::sleep(backoff.jittered(attempt, chance())).await;
        }
    }

    async fn attempt(&self, client: &Client, paths: &[String]) -> Result<(), Error> {
        let bug = |error| Error::internal("CreateInvalidation").with_source(error);
        let quantity = i32::try_from(paths.len()).unwrap_or(i32::MAX);
        let paths = Paths::builder().quantity(quantity).set_items(Some(paths.to_vec())).build().map_err(bug)?;
        let batch = InvalidationBatch::builder().paths(paths).caller_reference(&self.reference).build().map_err(bug)?;
        let asked = client.create_invalidation().distribution_id(self.distribution).invalidation_batch(batch);
        asked.send().await.map(drop).map_err(|failed| {
            let what = format!("CreateInvalidation {}", self.distribution);
            freshet_aws::error(&what, failed)
        })
    }
}

/// The paths under which visitors ask for these files.
fn paths(files: &[String]) -> Vec<String> {
    let mut paths = BTreeSet::new();
    for file in files {
        paths.insert(encoded(file));
        let folder = if file == "index.html" { Some("") } else { file.strip_suffix("/index.html") };
        match folder {
            Some("") => {
                paths.insert("/".to_owned());
            }
            Some(folder) => {
                let folder = encoded(folder);
                paths.insert(format!("{folder}/"));
                paths.insert(folder);
            }
            None => {}
        }
        if paths.len() > PATHS_MAX {
            return vec!["/*".to_owned()];
        }
    }
    paths.into_iter().collect()
}

/// With a slash before it, and everything encoded that CloudFront does not take as it is; an asterisk would stand for
/// anything.
fn encoded(path: &str) -> String {
    let mut text = String::from("/");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_under_every_name_that_it_has() {
        let files = ["index.html", "a/b/index.html", "a.css", "ü *.html"].map(str::to_owned);
        let wanted = ["/", "/%C3%BC%20%2A.html", "/a.css", "/a/b", "/a/b/", "/a/b/index.html", "/index.html"];
        assert_eq!(paths(&files), wanted);
        let many: Vec<String> = (0..101).map(|number| format!("{number}.html")).collect();
        assert_eq!(paths(&many), ["/*"]);
        assert_eq!(paths(&many[..100]).len(), 100);
    }
}
