//! What the five programs share, so that each `main.rs` says only what is its own.
//!
//! [`main`] reads the settings (every problem at once, before anything listens), loads the catalogue, starts the service,
//! is ready when everything has proved itself, and stops in order: not ready, a delay in which balancers notice, then
//! the drain.
//!
//! **Invariants**
//! - A program listens at once and is not ready until the catalogue and everything it depends on was reached.
//! - What is missing is said by name in the log, again and again no oftener than it changes.
//! - Nothing here knows what a service does.

mod base;
mod catalogue;
mod health;
mod prove;
mod settings;
mod telemetry;
#[cfg(feature = "testkit")]
pub mod testing;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use freshet_domain::DeliveryId;
use freshet_kit::config::Layers;
use freshet_kit::{Readiness, Shutdown, StopSignal, SystemClock};

pub use base::{Base, Links};
pub use catalogue::CATALOGUE;
pub use health::Asked;
pub use prove::prove;
pub use settings::{Common, DEFAULTS, some};

/// A delivery makes some hundred small allocations on one thread and frees them on another, which the C library's
/// allocator answers with a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for a bad configuration (`EX_USAGE`).
const BAD_CONFIG: u8 = 64;

/// One of the five programs.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name, `freshet-content` for example.
    pub name: &'static str,
    /// The defaults of its own settings, in parts.
    pub defaults: &'static [&'static str],
    /// What its health check asks.
    pub health: Asked,
}

#[derive(Debug, Parser)]
#[command(version, about = "One of Freshet's services. Without a command, it runs until SIGTERM.")]
struct Cli {
    /// Settings file (TOML)
    #[arg(long, global = true, value_name = "FILE")]
    settings: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Command {
    /// Ask the program that runs on this machine whether it is ready; for container health checks
    Healthcheck,
    /// Print the settings that it reads, as JSON
    Settings,
}

/// Runs a program: the whole of its `main`.
///
/// `read` reads its own settings; problems stay in the layers. `start` starts its tasks and returns; they end by
/// themselves after the soft stop of [`Base::shutdown`].
pub fn main<S, F>(program: Program, read: impl FnOnce(&Layers) -> S, start: impl FnOnce(Base, S) -> F) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    match run(program, read, start) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run<S, F>(
    program: Program,
    read: impl FnOnce(&Layers) -> S,
    start: impl FnOnce(Base, S) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let cli = Cli::parse();
    let environment = environment();
    let mut layers = Layers::new_of(&[&[DEFAULTS], program.defaults].concat());
    if let Some(Command::Settings) = cli.command {
        print_settings(&layers)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = &cli.settings {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the settings {}", path.display()))?;
        layers.file(&path.display().to_string(), &text);
    }
    layers.environment(&environment);
    let (common, own) = (Common::read(&layers), read(&layers));
    let address = layers.address(program.health.setting());
    if let Err(problems) = layers.finish() {
        problems.iter().for_each(|problem| complain(problem));
        return Ok(ExitCode::from(BAD_CONFIG));
    }
    // One thread can be in a call that blocks (flushing traces, reading certificates); the other must go on.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8))
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let aws = freshet_aws::load().await;
        let tls = catalogue::tls(&common, &environment, &aws).await?;
        if let Some(Command::Healthcheck) = cli.command {
            return match health::check(program.health, address, &tls).await {
                Ok(()) => Ok(ExitCode::SUCCESS),
                Err(error) => {
                    complain(&format!("{error:#}"));
                    Ok(ExitCode::FAILURE)
                }
            };
        }
        let instance = DeliveryId::generate().to_string().replace("dlv_", "task-");
        let exports = telemetry::start(program, &common, &instance)?;
        let aws = telemetry::count(aws);
        let served = serve(program, common, environment, (aws, tls), instance, |base| start(base, own)).await;
        if let Some(exports) = exports {
            exports.shutdown().await;
        }
        served
    })
}

async fn serve<F>(
    program: Program,
    common: Common,
    environment: BTreeMap<String, String>,
    (aws, tls): (aws_config::SdkConfig, freshet_kit::rpc::Tls),
    instance: String,
    start: impl FnOnce(Base) -> F,
) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut stop = StopSignal::listen()?;
    let (readiness, shutdown) = (Readiness::new(), Shutdown::new());
    let starting = readiness.latch("start");
    let registry = Arc::new(freshet_providers::Registry::new());
    let catalogue = catalogue::load(&common, environment.clone(), &aws, registry.clone(), &readiness, &shutdown)?;
    let base = Base {
        catalogue,
        registry,
        clock: Arc::new(SystemClock),
        readiness: readiness.clone(),
        shutdown: shutdown.clone(),
        aws,
        tls,
        environment,
        instance,
    };
    start(base).await?;
    drop(starting);
    tracing::info!(program = program.name, version = env!("CARGO_PKG_VERSION"), "started");
    tokio::select! {
        () = readiness.ready() => {
            tracing::info!(program = program.name, "ready");
            tokio::select! {
                () = stop.asked() => {}
                () = shutdown.stopping() => {}
            }
        }
        () = stop.asked() => {}
        () = shutdown.stopping() => {}
    }
    // A part that cannot go on has said why; whoever runs the program starts it again.
    let gave_up = shutdown.is_stopping();
    tracing::info!(program = program.name, "stopping");
    readiness.drain();
    tokio::select! {
        () = tokio::time::sleep(common.drain_delay) => {}
        () = stop.asked() => {}
    }
    let left = shutdown.drain(common.drain_deadline).await;
    tracing::info!(program = program.name, dropped = ?left, "stopped");
    Ok(if gave_up { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The environment, as far as it is text.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn print_settings(layers: &Layers) -> anyhow::Result<()> {
    use std::io::Write as _;
    let rows: Vec<_> = layers
        .explain()
        .into_iter()
        .map(|setting| {
            serde_json::json!({
                "key": setting.key,
                "variable": Layers::variable(&setting.key),
                "default": setting.value,
                "meaning": setting.meaning,
            })
        })
        .collect();
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&rows)?).context("cannot print")
}

fn complain(text: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{text}");
}
