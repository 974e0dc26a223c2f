//! `freshet dev`: everything on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use freshet_kit::config::Layers;
use freshet_kit::{CatalogueHandle, StopSignal, SystemClock, logging};
use freshet_providers::Registry;
use tokio::net::TcpListener;

use super::Target;
use super::output::{line, note};
use crate::catalogue::CatalogueReader;
use crate::compose::{RpcPath, StartOptions, Suite};
use crate::data::{DataFolder, Running};
use crate::settings::{DEFAULTS, Settings};

/// Where settings come from.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SettingsArgs {
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The catalogue of clients, sources and sites [default: freshet.toml]
    #[arg(long, value_name = "FILE")]
    catalogue: Option<String>,
    /// Where providers post, for example 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Where gRPC listens, for example 127.0.0.1:8081
    #[arg(long, value_name = "ADDRESS")]
    grpc: Option<String>,
    /// Which log lines are written: error, warn, info, debug
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// How log lines look: json or text
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SettingsArgs {
    /// Every layer.
    pub(crate) fn layers(&self, target: &Target, environment: &BTreeMap<String, String>) -> anyhow::Result<Layers> {
        let mut layers = Layers::new_of(DEFAULTS);
        if let Some(path) = &self.settings {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the settings {}", path.display()))?;
            layers.file(&path.display().to_string(), &text);
        }
        layers.environment(environment);
        let data = target.data.as_ref().map(|path| path.display().to_string());
        for (key, flag, value) in [
            ("suite.data", "data", data),
            ("suite.catalogue", "catalogue", self.catalogue.clone()),
            ("suite.log", "log", self.log.clone()),
            ("suite.log_format", "log-format", self.log_format.clone()),
            ("ingress.http_address", "http", self.http.clone()),
            ("grpc.address", "grpc", self.grpc.clone()),
        ] {
            layers.flag(key, flag, value);
        }
        Ok(layers)
    }

    /// The settings, or every problem with them.
    pub(crate) fn settings(
        &self,
        target: &Target,
        environment: &BTreeMap<String, String>,
    ) -> anyhow::Result<Result<Settings, Vec<String>>> {
        Ok(Settings::read(&self.layers(target, environment)?))
    }
}

/// The environment, as far as it is text.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Run everything on this machine.
#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(crate) async fn run(target: &Target, args: DevArgs) -> anyhow::Result<ExitCode> {
    let environment = environment();
    let settings = match args.settings.settings(target, &environment)? {
        Ok(settings) => settings,
        Err(problems) => {
            problems.iter().for_each(note);
            return Ok(ExitCode::from(64));
        }
    };
    logging::init(settings.log_format, &settings.log, std::io::stderr);

    let data = DataFolder::take(&settings.data)?;
    let root_key = data.root_key()?;
    let registry = Arc::new(Registry::new());
    let path = settings.catalogue.clone();
    let reader = CatalogueReader::new(&path, data.path(), environment, registry.clone(), &root_key);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read the catalogue {}; name another one with --catalogue", path.display()))?;
    let catalogue = match reader.read(&text) {
        Ok(catalogue) => CatalogueHandle::new(catalogue),
        Err(problems) => {
            note(problems.trim_end());
            return Ok(ExitCode::from(64));
        }
    };

    let suite = Suite::start(StartOptions {
        http: bind(settings.http_address, "http").await?,
        grpc: bind(settings.grpc_address, "grpc").await?,
        data: data.path().to_owned(),
        catalogue: catalogue.clone(),
        registry,
        clock: Arc::new(SystemClock),
        path: RpcPath::InProcess,
        ports: None,
        root_key,
        settings,
    })
    .await?;
    let watching = reader.watch(catalogue.clone(), path.clone(), suite.shutdown.clone());
    suite.shutdown.spawn("catalogue", watching);
    suite.ready().await?;
    let running = Running {
        http: format!("http://{}", suite.http),
        grpc: format!("http://{}", suite.grpc),
        pid: std::process::id(),
        catalogue: std::path::absolute(&path)?,
    };
    // Before anybody knows whom to stop.
    let mut stop = StopSignal::listen()?;
    data.announce(&running)?;
    greet(&running, &catalogue, target);

    stop.asked().await;
    note("stopping (once more to stop at once)");
    tokio::select! {
        left = suite.stop() => {
            if !left.is_empty() {
                note(format!("stopped; dropped: {}", left.join(", ")));
            }
        }
        () = stop.asked() => note("stopped at once"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Binds an address, or says what to do.
pub(crate) async fn bind(address: std::net::SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}; choose another address with --{flag} (port 0: any free one)")
    })
}

fn greet(running: &Running, catalogue: &CatalogueHandle, target: &Target) {
    let catalogue = catalogue.get();
    line(format!("Freshet runs. Data: {}  Catalogue: {}", target.data().display(), running.catalogue.display()));
    line(format!(
        "  gRPC      {}  (reflection and health on; key in {}/root.key)",
        running.grpc,
        target.data().display()
    ));
    for client in catalogue.clients.values() {
        for source in client.sources.values() {
            line(format!("  webhook   {}{}", running.http, webhook_path(&catalogue, source)));
        }
        for site in client.sites.values() {
            line(format!("  site      {}/sites/{}/{}/", running.http, client.id, site.id));
        }
    }
    let data = target.data();
    let flag = if data == Path::new(super::connect::DATA_DEFAULT) {
        String::new()
    } else {
        format!(" --data {}", data.display())
    };
    if let Some(source) = catalogue.clients.values().flat_map(|client| client.sources.values()).next() {
        line("Try, in another terminal:");
        line(format!("  freshet{flag} send {} --wait", source.provider));
    }
}

/// The path of a source's webhook.
pub(crate) fn webhook_path(
    catalogue: &freshet_domain::Catalogue,
    source: &freshet_domain::catalogue::Source,
) -> String {
    if catalogue.sources_named(source.id.as_str()).count() == 1 {
        format!("/webhook/{}/{}", source.provider, source.id)
    } else {
        format!("/webhook/{}/{}.{}", source.provider, source.client, source.id)
    }
}
