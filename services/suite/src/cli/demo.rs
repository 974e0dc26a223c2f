//! `freshet demo`: every provider's webhook in, a fresh site out.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use freshet_domain::Timestamp;
use freshet_kit::config::Layers;
use freshet_kit::{CatalogueHandle, StopSignal, SystemClock, logging};
use freshet_proto::control::v1 as control;
use freshet_proto::control::v1::control_service_client::ControlServiceClient;
use freshet_providers::Registry;

use super::Target;
use super::dev::bind;
use super::output::{json, line, note};
use super::post::Poster;
use super::send::{Sender, Which, wait_for};
use super::show::print_receipts;
use crate::catalogue::CatalogueReader;
use crate::compose::{RpcPath, StartOptions, Suite};
use crate::data::{DataFolder, Running};
use crate::settings::{DEFAULTS, Settings};

const CATALOGUE: &str = include_str!("../demo.toml");

/// Show the whole way once: every provider's webhook in, a fresh site out.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep running afterwards, so that the site can be looked at
    #[arg(long)]
    stay: bool,
    /// Entries of each provider beyond the first, to fill the site
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=100))]
    more: u64,
}

pub(crate) async fn run(target: &Target, args: DemoArgs) -> anyhow::Result<ExitCode> {
    // From here on nothing ends this at once: the folder would stay.
    let mut stop = StopSignal::listen()?;
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = target.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let data = DataFolder::take(&folder)?;
    let mut layers = Layers::new_of(DEFAULTS);
    layers.flag("suite.data", "data", Some(folder.display().to_string()));
    let settings = Settings::read(&layers).map_err(|problems| anyhow::anyhow!(problems.join("\n")))?;
    logging::init(logging::LogFormat::Text, "warn", std::io::stderr);

    let root_key = data.root_key()?;
    let registry = Arc::new(Registry::new());
    // Written out, so that `freshet send` and the other commands work with a demo that stays.
    let file = data.path().join("demo.toml");
    std::fs::write(&file, CATALOGUE).context("cannot write the demo's catalogue")?;
    let reader = CatalogueReader::new(&file, data.path(), Default::default(), registry.clone(), &root_key);
    let catalogue = reader.read(CATALOGUE).map_err(|problems| anyhow::anyhow!("{problems}"))?;
    let catalogue = CatalogueHandle::new(catalogue);
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let suite = Suite::start(StartOptions {
        http: bind(any, "http").await?,
        grpc: bind(any, "grpc").await?,
        data: data.path().to_owned(),
        catalogue: catalogue.clone(),
        registry: registry.clone(),
        clock: Arc::new(SystemClock),
        path: RpcPath::InProcess,
        ports: None,
        root_key: root_key.clone(),
        settings,
    })
    .await?;
    suite.ready().await?;
    let http = format!("http://{}", suite.http);
    data.announce(&Running {
        http: http.clone(),
        grpc: format!("http://{}", suite.grpc),
        pid: std::process::id(),
        catalogue: std::path::absolute(&file)?,
    })?;
    note(format!("Freshet runs at {http}, gRPC at http://{}", suite.grpc));

    let channel = freshet_kit::rpc::connect(&format!("http://{}", suite.grpc), &root_key)?;
    let control = ControlServiceClient::new(channel);
    let sender = Sender { registry, catalogue: catalogue.get(), http: http.clone(), root_key, poster: Poster::new() };
    let complete = tokio::select! {
        complete = show(target, &sender, &control, &args) => complete,
        () = stop.asked() => Err(anyhow::anyhow!("stopped before everything was live")),
    };
    let site = format!("{http}/sites/tidewater/www/");
    let visible = match &complete {
        Ok(true) => check_site(&sender, &site).await,
        _ => Ok(false),
    };
    let good = matches!((&complete, &visible), (Ok(true), Ok(true)));
    if let Err(error) = complete.and(visible) {
        note(format!("error: {error:#}"));
    }
    if good {
        let say = if target.json() { note } else { line };
        say("".to_owned());
        say(format!("Every change is live. The site: {site}"));
        if args.stay {
            say(format!("Other commands reach it with `--data {}`. Ctrl-C ends it.", folder.display()));
            stop.asked().await;
        } else {
            say("(`freshet demo --stay` keeps it running, so that you can look at it.)".to_owned());
        }
    }
    suite.stop().await;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Posts one delivery of every provider, and some more; waits for all; shows the receipts. True if nothing is missing.
async fn show(
    target: &Target,
    sender: &Sender,
    control: &ControlServiceClient<freshet_kit::rpc::Channel>,
    args: &DemoArgs,
) -> anyhow::Result<bool> {
    let sources: Vec<_> =
        sender.catalogue.clients.values().flat_map(|client| client.sources.values()).cloned().collect();
    let mut first = Vec::new();
    for number in 0..=args.more {
        for source in &sources {
            let which = Which { event: None, number, revision: 1, at: Timestamp::now() };
            let answer = sender.post(source, &sender.sample(source, which)?, false).await?;
            if number == 0 {
                note(format!("  {:<18} -> {} {}", source.provider, answer.status, answer.word()));
                first.push((source.clone(), answer));
            } else if !(200..300).contains(&answer.status) {
                anyhow::bail!("{}: {} {}", source.provider, answer.status, answer.body);
            }
        }
    }
    note("waiting for the site ...");
    let mut receipts = Vec::new();
    let mut complete = true;
    for (source, answer) in &first {
        let Some(delivery) = answer.delivery_id() else {
            note(format!("{} was refused: {}", source.provider, answer.body));
            complete = false;
            continue;
        };
        let waited = wait_for(control.clone(), source.client.as_str(), &delivery, Duration::from_secs(60)).await?;
        if waited.progress() != control::Progress::Live {
            note(format!("{} is not live: {}", source.provider, waited.reason));
            complete = false;
        }
        receipts.push(waited);
    }
    let is_complete = complete && !receipts.is_empty();
    if target.json() {
        let page = control::ListReceiptsResponse { receipts, next_page_token: String::new() };
        json("control.v1.ListReceiptsResponse", &page)?;
    } else {
        print_receipts(&receipts);
    }
    Ok(is_complete)
}

async fn check_site(sender: &Sender, address: &str) -> anyhow::Result<bool> {
    let answer = sender.poster.send("GET", address, &[], Default::default()).await?;
    anyhow::ensure!(answer.status == 200, "the site answers {}", answer.status);
    anyhow::ensure!(answer.body.contains("Tidewater"), "the site does not show its title");
    Ok(true)
}
