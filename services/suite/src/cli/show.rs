//! Commands that show what is there.

use std::process::ExitCode;

use clap::Args;
use freshet_proto::build::v1 as build;
use freshet_proto::common::v1 as common;
use freshet_proto::content::v1 as content;
use freshet_proto::control::v1 as control;
use freshet_proto::convert::duration_from_proto;
use freshet_proto::validation::v1 as validation;
use tonic::{Code, Status};

use super::Target;
use super::connect::explain;
use super::output::{ago, json, line, short, table, time, word};
use super::pages::{Limit, Listed, list};

/// The life of one delivery, or the latest.
#[derive(Debug, Args)]
pub(crate) struct ReceiptArgs {
    /// The delivery; left out: the latest ones
    delivery: Option<String>,
    /// Only this source
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// Entries.
#[derive(Debug, Args)]
pub(crate) struct EntriesArgs {
    /// One entry: SOURCE/TYPE/ID or SOURCE/TYPE/ID@LOCALE
    entry: Option<String>,
    /// Only this source
    #[arg(long)]
    source: Option<String>,
    /// Only this type (needs --source)
    #[arg(long)]
    r#type: Option<String>,
    /// Only with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only with this slug
    #[arg(long)]
    slug: Option<String>,
    /// Drafts instead of published entries
    #[arg(long)]
    drafts: bool,
    #[command(flatten)]
    limit: Limit,
}

/// Deliveries.
#[derive(Debug, Args)]
pub(crate) struct DeliveriesArgs {
    /// One delivery
    delivery: Option<String>,
    /// Also print its raw body
    #[arg(long)]
    body: bool,
    /// Only this source
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

/// Builds.
#[derive(Debug, Args)]
pub(crate) struct BuildsArgs {
    /// One build
    build: Option<String>,
    /// Only this site
    #[arg(long)]
    site: Option<String>,
    #[command(flatten)]
    limit: Limit,
}

pub(crate) async fn receipt(target: &Target, args: ReceiptArgs) -> anyhow::Result<ExitCode> {
    let services = target.connect().await?;
    let client_id = services.client().await?;
    if let Some(delivery_id) = args.delivery {
        let request = control::GetReceiptRequest { client_id, delivery_id };
        let receipt = services.control().get_receipt(request).await.map_err(explain)?.into_inner().receipt;
        let receipt = receipt.unwrap_or_default();
        if target.json() {
            json("control.v1.Receipt", &receipt)?;
        } else {
            print_receipt(&receipt);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let source_id = args.source.unwrap_or_default();
    let ask = |page_size, page_token| {
        let (mut control, client_id, source_id) = (services.control(), client_id.clone(), source_id.clone());
        async move {
            let request = control::ListReceiptsRequest { client_id, source_id, page_size, page_token };
            let page = control.list_receipts(request).await?.into_inner();
            Ok((page.receipts, page.next_page_token))
        }
    };
    let listed = list(args.limit, ask).await?;
    if target.json() {
        let Listed { items: receipts, next_page_token } = listed;
        json("control.v1.ListReceiptsResponse", &control::ListReceiptsResponse { receipts, next_page_token })?;
    } else {
        print_receipts(&listed.items);
        listed.note_the_rest();
    }
    Ok(ExitCode::SUCCESS)
}

/// Receipts, a line each.
pub(crate) fn print_receipts(receipts: &[control::Receipt]) {
    let rows = receipts.iter().map(|receipt| {
        let live = receipt.changes.iter().flat_map(|change| &change.sites).flat_map(|site| &site.stages);
        let live = live.filter(|stage| stage.name == "live").map(|stage| stage.elapsed_ms).max();
        let progress = word(receipt.progress().as_str_name(), "PROGRESS_");
        vec![
            receipt.delivery_id.clone(),
            receipt.source_id.clone(),
            short(&receipt.event, 30),
            receipt.changes.len().to_string(),
            match live {
                Some(millis) if progress == "live" => format!("live after {:.1} s", millis as f64 / 1_000.0),
                _ => progress,
            },
            short(&receipt.reason, 60),
        ]
    });
    table(&["DELIVERY", "SOURCE", "EVENT", "CHANGES", "PROGRESS", "WHY"], rows.collect());
}

/// One receipt, every stage.
pub(crate) fn print_receipt(receipt: &control::Receipt) {
    let progress = word(receipt.progress().as_str_name(), "PROGRESS_");
    line(format!("{}  {}  {}  {}", receipt.delivery_id, receipt.source_id, receipt.event, progress));
    if !receipt.reason.is_empty() {
        line(format!("  {}", receipt.reason));
    }
    if receipt.duplicates > 0 {
        line(format!("  came again {} times", receipt.duplicates));
    }
    print_stages(&receipt.stages, "  ");
    for change in &receipt.changes {
        let outcome = change.outcome.clone().unwrap_or_default();
        line(format!(
            "  change {}: {} {}: {}",
            outcome.index,
            word(outcome.op().as_str_name(), "CHANGE_OP_"),
            key(outcome.key.as_ref()),
            outcome.reason
        ));
        for site in &change.sites {
            line(format!(
                "    site {}: {}: {}",
                site.site_id,
                word(site.progress().as_str_name(), "PROGRESS_"),
                site.reason
            ));
            print_stages(&site.stages, "      ");
            for decision in &site.decisions {
                line(format!("        {decision}"));
            }
        }
    }
}

fn print_stages(stages: &[control::Stage], indent: &str) {
    for stage in stages {
        line(format!(
            "{indent}{:<14} {}  +{} ms  {}",
            stage.name,
            time(stage.at.as_ref()),
            stage.elapsed_ms,
            short(&stage.detail, 80)
        ));
    }
}

fn key(key: Option<&common::EntryKey>) -> String {
    let Some(key) = key else { return String::new() };
    let locale = if key.locale.is_empty() { String::new() } else { format!("@{}", key.locale) };
    format!("{}/{}/{}{locale}", key.source_id, key.r#type, key.id)
}

/// What a text can name: with an `@`, an id and a locale, or an id that has one.
fn parse_key(text: &str) -> anyhow::Result<Vec<common::EntryKey>> {
    let mut parts = text.splitn(3, '/');
    let (Some(source), Some(entry_type), Some(rest)) = (parts.next(), parts.next(), parts.next()) else {
        anyhow::bail!("an entry is named SOURCE/TYPE/ID or SOURCE/TYPE/ID@LOCALE");
    };
    let key = |id: &str, locale: &str| common::EntryKey {
        source_id: source.into(),
        r#type: entry_type.into(),
        id: id.into(),
        locale: locale.into(),
    };
    let with_locale = rest.rsplit_once('@').map(|(id, locale)| key(id, locale));
    Ok(with_locale.into_iter().chain([key(rest, "")]).collect())
}

pub(crate) async fn entries(target: &Target, args: EntriesArgs) -> anyhow::Result<ExitCode> {
    let services = target.connect().await?;
    let client_id = services.client().await?;
    if let Some(text) = args.entry {
        let mut found = Err(Status::not_found(""));
        for key in parse_key(&text)? {
            let request = content::GetEntryRequest {
                client_id: client_id.clone(),
                key: Some(key),
                include_deleted: true,
                include_expired: true,
            };
            found = services.content().get_entry(request).await;
            if !matches!(&found, Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument)) {
                break;
            }
        }
        json("content.v1.Entry", &found.map_err(explain)?.into_inner().entry.unwrap_or_default())?;
        return Ok(ExitCode::SUCCESS);
    }
    let status = if args.drafts { common::EntryStatus::Draft } else { common::EntryStatus::Published };
    let request = content::ListEntriesRequest {
        client_id,
        source_id: args.source.unwrap_or_default(),
        r#type: args.r#type.unwrap_or_default(),
        tag: args.tag.unwrap_or_default(),
        slug: args.slug.unwrap_or_default(),
        order: content::EntryOrder::Newest.into(),
        status: status.into(),
        keys_only: !target.json(),
        ..Default::default()
    };
    let ask = |page_size, page_token| {
        let mut content = services.content();
        let request = content::ListEntriesRequest { page_size, page_token, ..request.clone() };
        async move {
            let page = content.list_entries(request).await?.into_inner();
            Ok((page.entries, page.next_page_token))
        }
    };
    let listed = list(args.limit, ask).await?;
    if target.json() {
        let Listed { items: entries, next_page_token } = listed;
        json("content.v1.ListEntriesResponse", &content::ListEntriesResponse { entries, next_page_token })?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = listed.items.iter().map(|entry| {
        let content = entry.content.clone().unwrap_or_default();
        vec![
            key(entry.key.as_ref()),
            word(entry.kind().as_str_name(), "KIND_"),
            short(&content.title, 40),
            short(&content.slug, 30),
            entry.revision.to_string(),
            ago(entry.stored_at.as_ref()),
        ]
    });
    table(&["ENTRY", "KIND", "TITLE", "SLUG", "REVISION", "STORED"], rows.collect());
    listed.note_the_rest();
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn deliveries(target: &Target, args: DeliveriesArgs) -> anyhow::Result<ExitCode> {
    let services = target.connect().await?;
    let client_id = services.client().await?;
    if let Some(delivery_id) = args.delivery {
        let request = content::GetDeliveryRequest { client_id, delivery_id, include_body: args.body };
        let response = services.content().get_delivery(request).await.map_err(explain)?.into_inner();
        json("content.v1.Delivery", &response.delivery.unwrap_or_default())?;
        if args.body {
            line(String::from_utf8_lossy(&response.body));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let request =
        content::ListDeliveriesRequest { client_id, source_id: args.source.unwrap_or_default(), ..Default::default() };
    let ask = |page_size, page_token| {
        let mut content = services.content();
        let request = content::ListDeliveriesRequest { page_size, page_token, ..request.clone() };
        async move {
            let page = content.list_deliveries(request).await?.into_inner();
            Ok((page.deliveries, page.next_page_token))
        }
    };
    let listed = list(args.limit, ask).await?;
    if target.json() {
        let Listed { items: deliveries, next_page_token } = listed;
        let page = content::ListDeliveriesResponse { deliveries, next_page_token };
        json("content.v1.ListDeliveriesResponse", &page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = listed.items.iter().map(|delivery| {
        vec![
            delivery.delivery_id.clone(),
            delivery.source_id.clone(),
            short(&delivery.event, 30),
            word(delivery.verdict().as_str_name(), "VERDICT_"),
            delivery.body_bytes.to_string(),
            delivery.duplicates.to_string(),
            delivery.proof.clone(),
            ago(delivery.received_at.as_ref()),
        ]
    });
    table(&["DELIVERY", "SOURCE", "EVENT", "VERDICT", "BYTES", "AGAIN", "PROOF", "RECEIVED"], rows.collect());
    listed.note_the_rest();
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn builds(target: &Target, args: BuildsArgs) -> anyhow::Result<ExitCode> {
    let services = target.connect().await?;
    let client_id = services.client().await?;
    if let Some(build_id) = args.build {
        let request = build::GetBuildRequest { client_id, build_id };
        let found = services.build().get_build(request).await.map_err(explain)?.into_inner().build.unwrap_or_default();
        if target.json() {
            json("build.v1.Build", &found)?;
            return Ok(ExitCode::SUCCESS);
        }
        line(format!("{}  {}", found.build_id, word(found.state().as_str_name(), "BUILD_STATE_")));
        line(format!("site      {}  {}", found.site_id, found.site_path));
        line(format!("batch     {}, attempt {}, {} changes", found.batch_id, found.attempt, found.changes));
        line(format!("started   {}", time(found.start_time.as_ref())));
        line(format!("ended     {}", time(found.end_time.as_ref())));
        if !found.error.is_empty() {
            line(format!("error     {}", found.error));
        }
        for decision in &found.decisions {
            line(format!("  {}  {}  {}", time(decision.at.as_ref()), decision.code, decision.reason));
        }
        line(found.log_tail.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let request = build::ListBuildsRequest { client_id, site_id: args.site.unwrap_or_default(), ..Default::default() };
    let ask = |page_size, page_token| {
        let mut build = services.build();
        let request = build::ListBuildsRequest { page_size, page_token, ..request.clone() };
        async move {
            let page = build.list_builds(request).await?.into_inner();
            Ok((page.builds, page.next_page_token))
        }
    };
    let listed = list(args.limit, ask).await?;
    if target.json() {
        let Listed { items: builds, next_page_token } = listed;
        json("build.v1.ListBuildsResponse", &build::ListBuildsResponse { builds, next_page_token })?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = listed.items.iter().map(|found| {
        vec![
            found.build_id.clone(),
            found.site_id.clone(),
            word(found.state().as_str_name(), "BUILD_STATE_") + if found.live { ", live" } else { "" },
            found.attempt.to_string(),
            found.changes.to_string(),
            found.entries.to_string(),
            ago(found.end_time.as_ref().or(found.start_time.as_ref()).or(found.create_time.as_ref())),
            short(&found.error, 50),
        ]
    });
    table(&["BUILD", "SITE", "STATE", "ATTEMPT", "CHANGES", "ENTRIES", "WHEN", "ERROR"], rows.collect());
    listed.note_the_rest();
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn status(target: &Target) -> anyhow::Result<ExitCode> {
    let services = target.connect().await?;
    let request = control::GetSystemStatusRequest { client_id: target.client().unwrap_or_default().to_owned() };
    let status = services.control().get_system_status(request).await.map_err(explain)?.into_inner();
    if target.json() {
        json("control.v1.GetSystemStatusResponse", &status)?;
    } else {
        line(format!("freshet {} on the {} engine", status.version, status.engine));
        let rows = status.components.iter().map(|component| {
            let state = if component.healthy { "well" } else { "NOT WELL" };
            vec![component.name.clone(), state.to_owned(), component.detail.clone()]
        });
        table(&["PART", "STATE", "DETAIL"], rows.collect());
        let rows = status.sites.iter().map(|site| {
            vec![
                format!("{}/{}", site.client_id, site.site_id),
                word(site.progress().as_str_name(), "PROGRESS_"),
                site.changes_waiting.to_string(),
                short(&site.detail, 80),
            ]
        });
        table(&["SITE", "STATE", "WAITING", "DETAIL"], rows.collect());
    }
    Ok(if status.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) async fn providers(target: &Target) -> anyhow::Result<ExitCode> {
    let services = target.connect().await?;
    let request = validation::ListProvidersRequest { page_size: 1000, page_token: String::new() };
    let page = services.validation().list_providers(request).await.map_err(explain)?.into_inner();
    if target.json() {
        json("validation.v1.ListProvidersResponse", &page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = page.providers.iter().map(|provider| {
        let can = provider.capabilities.unwrap_or_default();
        let yes = |flag: bool| if flag { "yes" } else { "-" }.to_owned();
        let retries = can.retry_horizon.as_ref().map(duration_from_proto).unwrap_or_default();
        vec![
            provider.name.clone(),
            provider.title.clone(),
            yes(can.signs),
            yes(can.signs_time),
            yes(can.sends_full_content),
            yes(can.sends_deletes),
            if retries.is_zero() { "never".to_owned() } else { format!("{} min", retries.as_secs() / 60) },
        ]
    });
    table(&["PROVIDER", "NAME", "SIGNS", "SIGNS TIME", "FULL CONTENT", "DELETES", "RETRIES"], rows.collect());
    Ok(ExitCode::SUCCESS)
}
