//! Renders the snapshot with Freshet's own templates: a site without installing a generator.

use async_trait::async_trait;
use freshet_domain::BuildId;
use tokio_util::sync::CancellationToken;

use super::log::BuildLog;
use super::{BuildJob, Output, OutputFolder, RunOutcome, RunResult, Runner, nice};
use crate::render::{self, RenderError, SiteInfo};
use crate::snapshot;

/// Renders in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltinRunner;

#[async_trait]
impl Runner for BuiltinRunner {
    async fn run(&self, job: &BuildJob, stop: &CancellationToken) -> RunResult {
        let (job, token) = (job.clone(), stop.child_token());
        // Dropping the future (at the hard stop) must end the work on the blocking thread too.
        let _ends_with_us = token.clone().drop_guard();
        nice::thread(move || render_job(&job, &token)).await.unwrap_or_else(|| {
            let outcome = RunOutcome::Failed("the built-in renderer failed; the service's log says why".to_owned());
            RunResult { outcome, log_tail: String::new(), log_location: None }
        })
    }

    async fn abandon(&self, _build: BuildId) {
        // Its threads ended with the process.
    }
}

fn render_job(job: &BuildJob, stop: &CancellationToken) -> RunResult {
    let mut log = BuildLog::create(&job.log);
    let folder = job.folder.join("output");
    let env = &job.site.build.env;
    let info = SiteInfo {
        title: job.site.title.clone(),
        base_path: job.site_path.clone(),
        site_url: env.get("SITE_URL").cloned().unwrap_or_default(),
        build_id: job.build.to_string(),
        batch_id: job.batch.to_string(),
        built_at: snapshot::rfc3339(job.now),
    };
    let keep_going = || !stop.is_cancelled();
    let rendered = std::fs::create_dir_all(&folder)
        .and_then(|()| snapshot::read(&job.content))
        .map_err(RenderError::from)
        .and_then(|entries| render::render(&info, entries, &folder, &keep_going));
    let outcome = match rendered {
        Ok(summary) => {
            log.note(&format!("rendered {} entries to {} pages", summary.entries, summary.pages));
            RunOutcome::Succeeded(Output::Folder(OutputFolder { folder, inside: job.folder.clone(), owned: true }))
        }
        Err(RenderError::Stopped) => {
            log.note("stopped");
            RunOutcome::Stopped
        }
        Err(error) => {
            let text = freshet_kit::error::chain(&error);
            log.note(&text);
            RunOutcome::Failed(text)
        }
    };
    RunResult { outcome, log_tail: log.finish(), log_location: None }
}
