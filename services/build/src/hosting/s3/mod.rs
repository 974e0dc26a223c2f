//! The AWS engine's hosting: one bucket per site, and CloudFront in front of it.
//!
//! | key | what |
//! | --- | --- |
//! | `releases/{build}/...` | a release, uploaded by this service or by the build itself |
//! | `releases/{build}.json` | its files; written last, so that a release without it is not complete |
//! | `live/...` | what visitors see |
//! | `live.json` | what is in it; written before and after every switch |
//!
//! Why the live site is a copy: `docs/decisions/0013-the-live-site-is-a-copy.md`.

mod headers;
mod invalidate;
mod manifest;
mod stage;
mod switch;

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use aws_smithy_types::timeout::TimeoutConfig;
use freshet_aws::{Objects, SdkConfig};
use freshet_domain::BuildId;
use freshet_kit::error::chain;
use freshet_kit::retry::Backoff;
use freshet_kit::{CatalogueHandle, Error, ErrorKind};
use tokio::task::JoinSet;

use self::manifest::{LIVE_MANIFEST, Live, RELEASES};
use super::{Hosting, RELEASES_KEPT};
use crate::machine::SiteKey;
use crate::runner::Output;

/// Calls on their way at the same time, for one site.
const CALLS_AT_ONCE: usize = 16;

/// CloudFront answers slowly, and nobody waits for it.
const CLOUDFRONT_ATTEMPT: Duration = Duration::from_secs(10);
const CLOUDFRONT_OPERATION: Duration = Duration::from_secs(40);

/// Keeps each site in the bucket that the catalogue names.
#[derive(Clone)]
pub struct S3Hosting {
    config: SdkConfig,
    cloudfront: aws_sdk_cloudfront::Client,
    catalogue: CatalogueHandle,
    backoff: Backoff,
}

/// Where one site is.
struct Place {
    objects: Objects,
    distribution: Option<String>,
}

impl S3Hosting {
    /// Reaches S3 and CloudFront with `config`.
    pub fn new(config: &SdkConfig, catalogue: CatalogueHandle) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(CLOUDFRONT_ATTEMPT)
            .operation_timeout(CLOUDFRONT_OPERATION)
            .build();
        let cloudfront = aws_sdk_cloudfront::config::Builder::from(config).timeout_config(timeouts).build();
        Self {
            config: config.clone(),
            cloudfront: aws_sdk_cloudfront::Client::from_conf(cloudfront),
            catalogue,
            backoff: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(10) },
        }
    }

    fn place(&self, site: &SiteKey) -> Result<Place, Error> {
        let catalogue = self.catalogue.get();
        let found = catalogue.site(site.client.as_str(), site.site.as_str());
        let aws = found.and_then(|site| site.aws.as_ref()).ok_or_else(|| {
            let message = format!("the catalogue has no bucket for the site {site}: [client.site.aws] names it");
            Error::new(ErrorKind::WrongState, "NO_SITE_BUCKET", message)
        })?;
        Ok(Place { objects: Objects::new(&self.config, aws.bucket.as_str()), distribution: aws.distribution.clone() })
    }
}

impl Place {
    async fn live(&self) -> Result<(Live, Option<String>), Error> {
        let found = manifest::read::<Live>(&self.objects, LIVE_MANIFEST).await?;
        Ok(found.map_or_else(|| (Live::default(), None), |(live, etag)| (live, Some(etag))))
    }

    /// Complete releases, and those of which there are only files. Oldest first.
    async fn releases(&self) -> Result<(BTreeSet<BuildId>, BTreeSet<BuildId>), Error> {
        let level = self.objects.list_level(RELEASES).await?;
        let build = |key: &str, end: &str| key.strip_prefix(RELEASES)?.strip_suffix(end)?.parse::<BuildId>().ok();
        let complete: BTreeSet<BuildId> =
            level.objects.iter().filter_map(|object| build(&object.key, ".json")).collect();
        let folders = level.folders.iter().filter_map(|folder| build(folder, "/"));
        let partial = folders.filter(|build| !complete.contains(build)).collect();
        Ok((complete, partial))
    }

    /// First the manifest: what is half gone must not be activated.
    async fn remove(&self, build: BuildId) -> Result<(), Error> {
        self.objects.delete(&manifest::manifest(build)).await?;
        let files = self.objects.list(&manifest::folder(build)).await?;
        self.objects.delete_all(&files.into_iter().map(|file| file.key).collect::<Vec<_>>()).await
    }

    /// Removes complete releases beyond those that are kept, and what builds before this one left unfinished.
    async fn prune(&self, live: BuildId) -> Result<(), Error> {
        let (complete, partial) = self.releases().await?;
        let others: Vec<BuildId> = complete.into_iter().filter(|build| *build != live).collect();
        let too_many = others.len().saturating_sub(RELEASES_KEPT - 1);
        let unfinished = partial.into_iter().filter(|build| *build < live);
        for build in others.into_iter().take(too_many).chain(unfinished) {
            self.remove(build).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Hosting for S3Hosting {
    async fn stage(&self, site: &SiteKey, build: BuildId, output: &Output) -> Result<(), Error> {
        let place = self.place(site)?;
        match output {
            Output::Folder(folder) => place.stage_folder(build, folder).await,
            Output::Uploaded => place.stage_uploaded(build).await,
        }
    }

    async fn activate(&self, site: &SiteKey, build: BuildId) -> Result<(), Error> {
        let place = self.place(site)?;
        place.activate(build, &self.cloudfront, self.backoff).await?;
        // The site is live; what is not tidied up now is tidied up next time.
        if let Err(error) = place.prune(build).await {
            tracing::warn!(%site, error = %chain(&error), "old releases could not be removed");
        }
        Ok(())
    }

    async fn releases(&self, site: &SiteKey) -> Result<Vec<BuildId>, Error> {
        let (complete, _) = self.place(site)?.releases().await?;
        Ok(complete.into_iter().collect())
    }

    async fn discard(&self, site: &SiteKey, build: BuildId) -> Result<(), Error> {
        let place = self.place(site)?;
        let (live, _) = place.live().await?;
        if live.build == Some(build.to_string()) { Ok(()) } else { place.remove(build).await }
    }

    fn site_path(&self, _site: &SiteKey) -> String {
        // Every site has a distribution of its own.
        "/".to_owned()
    }
}

/// Does the work for every item, some at a time. Ends with the first failure.
async fn each<T, R, F>(items: Vec<T>, work: impl Fn(T) -> F) -> Result<Vec<R>, Error>
where
    R: Send + 'static,
    F: Future<Output = Result<R, Error>> + Send + 'static,
{
    let mut running = JoinSet::new();
    let mut done = Vec::new();
    let take = |ended: Result<Result<R, Error>, tokio::task::JoinError>| {
        ended.unwrap_or_else(|broken| Err(Error::internal("a call to S3 ended").with_source(broken)))
    };
    for item in items {
        if running.len() >= CALLS_AT_ONCE
            && let Some(ended) = running.join_next().await
        {
            done.push(take(ended)?);
        }
        running.spawn(work(item));
    }
    while let Some(ended) = running.join_next().await {
        done.push(take(ended)?);
    }
    Ok(done)
}

#[cfg(test)]
mod tests;
