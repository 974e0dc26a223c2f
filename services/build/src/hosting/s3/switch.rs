//! A release becomes the live site.

use freshet_aws::Listed;
use freshet_domain::BuildId;
use freshet_kit::retry::{Backoff, chance};
use freshet_kit::{Error, ErrorKind};

use super::invalidate::Invalidation;
use super::manifest::{self, LIVE, LIVE_MANIFEST, Live, Plan, Release};
use super::{Place, each, headers};

/// How often a switch begins anew because somebody else switched the same site meanwhile.
const SWITCHES_MAX: u32 = 5;

impl Place {
    /// Copies what differs. If this ends at any point, the next switch repairs it: `live.json` says what is unsure.
    pub(super) async fn activate(
        &self,
        build: BuildId,
        cloudfront: &aws_sdk_cloudfront::Client,
        backoff: Backoff,
    ) -> Result<(), Error> {
        let Some((release, _)) = manifest::read::<Release>(&self.objects, &manifest::manifest(build)).await? else {
            return Err(Error::new(
                ErrorKind::Missing,
                "RELEASE_GONE",
                format!("the release of {build} is not kept any more"),
            ));
        };
        for attempt in 1..=SWITCHES_MAX {
            if self.switch(build, &release, cloudfront, backoff).await? {
                return Ok(());
            }
            tokio::time::sleep(backoff.jittered(attempt, chance())).await;
        }
        Err(Error::new(ErrorKind::Unavailable, "SWITCHED_MEANWHILE", "the site was switched by others all the time"))
    }

    /// False if somebody else switched the site meanwhile.
    async fn switch(
        &self,
        build: BuildId,
        release: &Release,
        cloudfront: &aws_sdk_cloudfront::Client,
        backoff: Backoff,
    ) -> Result<bool, Error> {
        let (live, mut etag) = self.live().await?;
        let plan = Plan::of(&live, release);
        let mut switches = live.switches;
        if !plan.is_empty() {
            let during = plan.while_it_runs(&live);
            switches = during.switches;
            etag = self.note(&during, etag.as_deref()).await?;
            if etag.is_none() {
                return Ok(false);
            }
            // New assets before the pages that need them, and old ones after.
            self.copy(build, release, &plan.other).await?;
            self.copy(build, release, &plan.pages).await?;
            let removed: Vec<String> = plan.removed.iter().map(|path| format!("{LIVE}{path}")).collect();
            self.objects.delete_all(&removed).await?;
            // Before the last note, so that a switch that ends here tells CloudFront again.
            if let Some(distribution) = self.distribution.as_deref().filter(|_| !plan.stale.is_empty()) {
                let reference = format!("{build}-{switches}");
                let invalidation = Invalidation { distribution, reference, files: &plan.stale };
                invalidation.request(cloudfront, backoff).await;
            }
        }
        let done = Live {
            build: Some(build.to_string()),
            switches,
            files: release.files.clone(),
            unsure: std::collections::BTreeSet::new(),
        };
        if plan.is_empty() && done == live {
            return Ok(true);
        }
        self.note(&done, etag.as_deref()).await.map(|etag| etag.is_some())
    }

    /// Writes `live.json` if nobody else did. Returns its new ETag.
    async fn note(&self, live: &Live, expected: Option<&str>) -> Result<Option<String>, Error> {
        let (text, headers) = manifest::write(live)?;
        self.objects.put_over(LIVE_MANIFEST, text.into(), &headers, expected).await
    }

    async fn copy(&self, build: BuildId, release: &Release, paths: &[String]) -> Result<(), Error> {
        let folder = manifest::folder(build);
        let mut copies = Vec::with_capacity(paths.len());
        for path in paths {
            let Some(file) = release.files.get(path) else { continue };
            let from = Listed { key: format!("{folder}{path}"), etag: file.etag.clone(), bytes: file.bytes };
            copies.push((from, path.clone()));
        }
        let objects = &self.objects;
        let copied = each(copies, |(from, path)| {
            let objects = objects.clone();
            async move { objects.copy(&from, &format!("{LIVE}{path}"), &headers::headers(&path)).await }
        });
        copied.await.map(drop)
    }
}
