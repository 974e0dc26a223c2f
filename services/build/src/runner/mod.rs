//! What builds sites: a port, the two runners of the embedded engine, and CodeBuild.

mod builtin;
#[cfg(feature = "aws")]
mod codebuild;
#[cfg(feature = "testkit")]
pub mod contract;
mod environment;
mod log;
mod nice;
mod presets;
mod process;
mod sweep;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use freshet_domain::catalogue::{Preset, Site};
use freshet_domain::{BatchId, BuildId, Timestamp};
use freshet_kit::Error;
use tokio_util::sync::CancellationToken;

pub use builtin::BuiltinRunner;
#[cfg(feature = "aws")]
pub use codebuild::{CodeBuildRunner, Pace};
pub use presets::{PresetDefaults, preset_defaults};
pub use process::ProcessRunner;

use crate::machine::SiteKey;

/// One build to run.
#[derive(Clone, Debug)]
pub struct BuildJob {
    /// Client and site.
    pub key: SiteKey,
    /// The site as the catalogue has it at the start of the build.
    pub site: Arc<Site>,
    /// The build.
    pub build: BuildId,
    /// Its batch.
    pub batch: BatchId,
    /// Number of the attempt.
    pub attempt: u32,
    /// The build's own folder; removed after the build.
    pub folder: PathBuf,
    /// Snapshot: NDJSON, zstd.
    pub content: PathBuf,
    /// Keys that changed: NDJSON.
    pub changed_keys: PathBuf,
    /// Where the log goes; stays after the build.
    pub log: PathBuf,
    /// W3C trace context.
    pub traceparent: String,
    /// Where the site will be seen, with a slash at both ends.
    pub site_path: String,
    /// Now, by the service's clock.
    pub now: Timestamp,
}

/// A finished site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// In a folder on this machine.
    Folder(OutputFolder),
    /// In the site's bucket, below `releases/{build}/`: the build put it there itself.
    Uploaded,
}

/// A folder with a finished site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFolder {
    /// The folder.
    pub folder: PathBuf,
    /// The folder must be inside this one after links are followed.
    pub inside: PathBuf,
    /// True if the folder belongs to the build alone and may be moved away instead of copied.
    pub owned: bool,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunOutcome {
    /// The site is finished.
    Succeeded(Output),
    /// One sentence for people.
    Failed(String),
    /// Stopped by the token.
    Stopped,
}

/// How a run ended, and the last lines of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResult {
    /// How.
    pub outcome: RunOutcome,
    /// At most 16 KiB.
    pub log_tail: String,
    /// Where the whole log is seen, if not in the build's folder.
    pub log_location: Option<String>,
}

/// Runs builds. It needs to keep no order and remember nothing: that is the store's and the machine's work.
#[async_trait]
pub trait Runner: Send + Sync {
    /// Runs one build to its end and leaves nothing of it running, whatever the end. Cancelling `stop` ends it soon
    /// (within about 6 s; in CodeBuild, within about a minute). Dropping the future ends it too, less politely; one that
    /// [outlives](Self::outlives_process) goes on, and running the same job again follows it to its end.
    async fn run(&self, job: &BuildJob, stop: &CancellationToken) -> RunResult;

    /// True if what runs does not end with this process.
    fn outlives_process(&self) -> bool {
        false
    }

    /// True if a run of this build that another process began is known, so that running its job again takes it over.
    async fn goes_on(&self, _build: BuildId) -> Result<bool, Error> {
        Ok(false)
    }

    /// Ends whatever an earlier process left running of this build. Called before the next attempt after a restart.
    async fn abandon(&self, build: BuildId);
}

/// The runners, by what a site asks for.
#[derive(Clone)]
pub struct Runners {
    /// Runs what the site itself says: its command, or its project.
    pub process: Arc<dyn Runner>,
    /// Renders with Freshet's own templates.
    pub builtin: Arc<dyn Runner>,
}

impl Runners {
    /// The embedded engine's: local processes and the built-in renderer.
    pub fn local() -> Self {
        Self { process: Arc::new(ProcessRunner::new()), builtin: Arc::new(BuiltinRunner) }
    }

    /// The AWS engine's: CodeBuild, and the built-in renderer in this process.
    #[cfg(feature = "aws")]
    pub fn aws(codebuild: Arc<CodeBuildRunner>) -> Self {
        Self { process: codebuild, builtin: Arc::new(BuiltinRunner) }
    }

    /// The runner for a site.
    pub fn of(&self, preset: Preset) -> &Arc<dyn Runner> {
        match preset {
            Preset::Builtin => &self.builtin,
            Preset::Eleventy
            | Preset::Astro
            | Preset::Hugo
            | Preset::Jekyll
            | Preset::Gatsby
            | Preset::Nextjs
            | Preset::Nuxt
            | Preset::Custom => &self.process,
        }
    }

    /// See [`Runner::abandon`]; which runner it was may have changed with the catalogue.
    pub(crate) async fn abandon(&self, build: BuildId) {
        self.process.abandon(build).await;
        self.builtin.abandon(build).await;
    }
}
