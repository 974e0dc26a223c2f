//! Commands that change something at a site.

use std::process::ExitCode;

use clap::Subcommand;
use freshet_proto::build::v1 as pb;

use super::Target;
use super::connect::{Services, explain};
use super::output::{ago, json, line, short, table, time, word};

/// What waits for the next build of a site.
#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Show what waits and when it will start
    Show {
        /// The site
        site: String,
    },
    /// Start it now
    Flush {
        /// The site
        site: String,
    },
}

/// Sites.
#[derive(Debug, Subcommand)]
pub(crate) enum SiteCommand {
    /// List the sites with what waits, runs and is live
    List,
    /// Start no more builds of a site; changes keep collecting
    Pause {
        /// The site
        site: String,
        /// Why; shown in receipts
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Build a paused site again
    Resume {
        /// The site
        site: String,
    },
    /// Ask for a build now, whether or not changes wait
    Build {
        /// The site
        site: String,
    },
    /// Make an earlier build the live one again
    Rollback {
        /// The site
        site: String,
        /// The build; left out: the one before the live one
        build: Option<String>,
    },
}

/// Each run of a command is one request.
fn request_id() -> String {
    freshet_domain::DeliveryId::generate().to_string()
}

pub(crate) async fn batch(target: &Target, command: BatchCommand) -> anyhow::Result<ExitCode> {
    let services = target.connect().await?;
    let client_id = services.client().await?;
    let batch = match command {
        BatchCommand::Show { site } => {
            let request = pb::GetPendingBatchRequest { client_id, site_id: site };
            services.build().get_pending_batch(request).await.map_err(explain)?.into_inner().batch
        }
        BatchCommand::Flush { site } => {
            let request = pb::FlushBatchRequest { client_id, site_id: site, request_id: request_id() };
            services.build().flush_batch(request).await.map_err(explain)?.into_inner().batch
        }
    };
    show_batch(target, &batch.unwrap_or_default())
}

fn show_batch(target: &Target, batch: &pb::Batch) -> anyhow::Result<ExitCode> {
    if target.json() {
        json("build.v1.Batch", batch)?;
        return Ok(ExitCode::SUCCESS);
    }
    line(format!("{}  {}", batch.batch_id, word(batch.state().as_str_name(), "BATCH_STATE_")));
    line(format!("changes   {}", batch.changes));
    line(format!("first     {}", time(batch.first_change_at.as_ref())));
    if batch.state() == pb::BatchState::Pending {
        let starts = batch
            .due_at
            .as_ref()
            .map_or("not while it is held".to_owned(), |at| format!("at the latest {}", time(Some(at))));
        line(format!("starts    {starts}"));
    }
    for decision in &batch.decisions {
        line(format!("  {}  {}  {}", time(decision.at.as_ref()), decision.code, decision.reason));
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn site(target: &Target, command: SiteCommand) -> anyhow::Result<ExitCode> {
    let services = target.connect().await?;
    let client_id = services.client().await?;
    let request_id = request_id();
    match command {
        SiteCommand::List => list(target, &services, client_id).await,
        SiteCommand::Pause { site, reason } => {
            let request = pb::PauseSiteRequest { client_id, site_id: site, request_id, reason };
            show_site(target, services.build().pause_site(request).await.map_err(explain)?.into_inner().site)
        }
        SiteCommand::Resume { site } => {
            let request = pb::ResumeSiteRequest { client_id, site_id: site, request_id };
            show_site(target, services.build().resume_site(request).await.map_err(explain)?.into_inner().site)
        }
        SiteCommand::Build { site } => {
            let reason = "asked for on the command line".to_owned();
            let request = pb::TriggerBuildRequest { client_id, site_id: site, request_id, reason };
            let batch = services.build().trigger_build(request).await.map_err(explain)?.into_inner().batch;
            show_batch(target, &batch.unwrap_or_default())
        }
        SiteCommand::Rollback { site, build } => {
            let build_id = build.unwrap_or_default();
            let request = pb::RollbackSiteRequest { client_id, site_id: site, build_id, request_id };
            let build = services.build().rollback_site(request).await.map_err(explain)?.into_inner().build;
            let build = build.unwrap_or_default();
            if target.json() {
                json("build.v1.Build", &build)?;
            } else {
                line(format!("{} is live at {}", build.build_id, build.site_path));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(target: &Target, services: &Services, client_id: String) -> anyhow::Result<ExitCode> {
    let request = pb::ListSitesRequest { client_id, page_size: 1000, page_token: String::new() };
    let page = services.build().list_sites(request).await.map_err(explain)?.into_inner();
    if target.json() {
        json("build.v1.ListSitesResponse", &page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = page.sites.iter().map(row).collect();
    table(&["SITE", "SOURCES", "PRESET", "STATE", "WAITING", "LIVE", "PATH"], rows);
    Ok(ExitCode::SUCCESS)
}

fn show_site(target: &Target, site: Option<pb::Site>) -> anyhow::Result<ExitCode> {
    let site = site.unwrap_or_default();
    if target.json() {
        json("build.v1.Site", &site)?;
    } else {
        table(&["SITE", "SOURCES", "PRESET", "STATE", "WAITING", "LIVE", "PATH"], vec![row(&site)]);
    }
    Ok(ExitCode::SUCCESS)
}

fn row(site: &pb::Site) -> Vec<String> {
    let left_over = site.left_over_batch.as_ref();
    let state = match (site.paused, &site.running_build, &site.pending_batch) {
        (true, _, _) => format!("paused: {}", short(&site.pause_reason, 30)),
        (_, Some(_), _) => "building".to_owned(),
        (_, None, Some(_)) => "waiting".to_owned(),
        (_, None, None) => match left_over.map(pb::Batch::state) {
            Some(pb::BatchState::Failed) => "failed".to_owned(),
            Some(_) => "cancelled".to_owned(),
            None => "idle".to_owned(),
        },
    };
    let waiting =
        [site.pending_batch.as_ref(), left_over].into_iter().flatten().map(|batch| batch.changes).sum::<u64>();
    vec![
        site.site_id.clone(),
        short(&site.source_ids.join(","), 40),
        site.preset.clone(),
        state,
        if waiting > 0 { waiting.to_string() } else { String::new() },
        site.live_build.as_ref().map(|build| ago(build.end_time.as_ref())).unwrap_or_default(),
        site.site_path.clone(),
    ]
}
