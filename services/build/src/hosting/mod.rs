//! Where finished sites go.

#[cfg(feature = "testkit")]
pub mod contract;
mod copy;
mod durable;
mod local;
#[cfg(feature = "aws")]
mod s3;

use async_trait::async_trait;
use freshet_domain::BuildId;
use freshet_kit::Error;

pub use local::LocalHosting;
#[cfg(feature = "aws")]
pub use s3::S3Hosting;

use crate::machine::SiteKey;
use crate::runner::Output;

/// Releases that are kept per site, the live one among them.
pub const RELEASES_KEPT: usize = 5;

/// Keeps the last few releases of each site and says which one visitors see.
///
/// Publishing has two halves, so that the slow one can be repeated and the fast one is atomic: [`Hosting::stage`]
/// uploads a release beside the live one, [`Hosting::activate`] switches to it. Visitors of a `LocalHosting` see one
/// whole release or another, never a mixture; those of an `S3Hosting` can see pages of both for the seconds that the
/// switch takes, but no page before what it needs. What fails before the switch leaves the live release as it is.
#[async_trait]
pub trait Hosting: Send + Sync {
    /// Stores the release of this build. Replaces what an earlier attempt to stage the same build left. Refuses an
    /// output that is missing, is empty, or has links that leave it; the message is for the build's record.
    async fn stage(&self, site: &SiteKey, build: BuildId, output: &Output) -> Result<(), Error>;

    /// Makes a staged release the live one, and removes releases beyond those that are kept. `Missing` if the release
    /// is not there (any more).
    async fn activate(&self, site: &SiteKey, build: BuildId) -> Result<(), Error>;

    /// The releases that can be activated, in no promised order.
    async fn releases(&self, site: &SiteKey) -> Result<Vec<BuildId>, Error>;

    /// Removes a release that is not live.
    async fn discard(&self, site: &SiteKey, build: BuildId) -> Result<(), Error>;

    /// The path below the preview address at which the site is seen, with a slash at both ends.
    fn site_path(&self, site: &SiteKey) -> String {
        format!("/sites/{}/{}/", site.client, site.site)
    }
}
