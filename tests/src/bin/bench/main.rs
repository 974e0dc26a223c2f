//! Measures what Freshet promises about speed and size, against a bare HTTP server on the same machine in the same run.
//!
//! Machines are noisy and differ, so what counts is the ratio to the bare server, whose rounds alternate with Freshet's.
//! It is no test and no gate: a short measure is told, and the exit code stays 0. Only wrong answers are an error.

mod bare;
mod burst;
mod durable;
mod entries;
mod freshet;
mod hop;
mod load;
mod numbers;
mod profile;
#[cfg(feature = "aws")]
mod programs;
mod requests;
mod start;
mod store;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

pub(crate) use crate::freshet::CLIENT;
use crate::table::Table;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Deliveries a second and the time of the answer, against a bare server.
    Durable,
    /// Memory when idle, and start to ready.
    Start,
    /// Snapshots and lists of many entries.
    Entries,
    /// Ten thousand changes at once.
    Burst,
    /// What calling over gRPC costs, against calling directly.
    Hop,
    /// Only when asked for: the five programs of the AWS engine, against the emulator.
    Programs,
    /// Only when asked for: keeps one Freshet busy and tells what a delivery costs it.
    Profile,
}

/// Measures Freshet against a bare HTTP server.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Args {
    /// Parts to run, comma separated [default: all but profile and programs]
    #[arg(value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// Fewer and shorter rounds, and fewer entries: under two minutes
    #[arg(long)]
    quick: bool,
    /// The binary to measure [default: `freshet` beside this one]
    #[arg(long)]
    freshet: Option<PathBuf>,
    /// Profile with Shopify deliveries of 8 KiB in place of Strapi's of 2 KiB
    #[arg(long)]
    shopify: bool,
    /// Runs the bare server; how this program starts itself
    #[arg(long, hide = true)]
    serve_bare: bool,
}

/// What every part needs to know.
pub(crate) struct Plan {
    /// The binary to measure.
    pub(crate) binary: PathBuf,
    /// Shorter in everything.
    pub(crate) quick: bool,
    /// What the profile is of.
    pub(crate) profiled: requests::Kind,
}

impl Plan {
    /// One of two numbers.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

// As many threads as the servers have, so that the generator is never the smaller machine.
#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let args = Args::parse();
    // Interrupted, it drops what it holds like at any other end: the processes it started and their folders.
    let result = tokio::select! {
        result = async { if args.serve_bare { bare::serve().await } else { run(args).await } } => result,
        result = interrupted() => result,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            numbers::note(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    anyhow::bail!("interrupted")
}

async fn run(args: Args) -> anyhow::Result<()> {
    let binary = match args.freshet {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("freshet"),
    };
    anyhow::ensure!(binary.is_file(), "{} is not there; use scripts/bench, which builds it", binary.display());
    let profiled = if args.shopify { requests::SHOPIFY } else { requests::STRAPI };
    let plan = Plan { binary, quick: args.quick, profiled };
    let wanted = |part| args.parts.is_empty() || args.parts.contains(&part);
    let mut table = Table::default();
    if wanted(Part::Durable) {
        durable::measure(&plan, &mut table).await?;
    }
    if wanted(Part::Burst) {
        burst::measure(&plan, &mut table).await?;
    }
    if wanted(Part::Hop) {
        hop::measure(&plan, &mut table).await?;
    }
    if wanted(Part::Start) || wanted(Part::Entries) {
        // Both need a large store, and making one takes longest.
        let large = store::Store::make(plan.pick(200_000, 1_000_000)).await?;
        if wanted(Part::Start) {
            start::measure(&plan, &large, &mut table).await?;
        }
        if wanted(Part::Entries) {
            entries::measure(&plan, &large, &mut table).await?;
        }
    }
    if args.parts.contains(&Part::Programs) {
        #[cfg(feature = "aws")]
        programs::measure(&plan, &mut table).await?;
        #[cfg(not(feature = "aws"))]
        anyhow::bail!("built without the AWS engine; use `scripts/bench programs`");
    }
    if args.parts.contains(&Part::Profile) {
        profile::run(&plan).await?;
    }
    table.print();
    Ok(())
}
