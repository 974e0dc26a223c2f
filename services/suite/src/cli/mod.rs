//! The command line. Results go to standard output, everything else to standard error.

mod act;
mod config;
mod connect;
mod corpus;
mod demo;
mod dev;
mod keys;
mod output;
mod pages;
mod post;
mod queue;
mod send;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Turns content webhooks into fresh static sites.
#[derive(Debug, Parser)]
#[command(name = "freshet", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    command: Command,
}

/// Which suite is meant, and how answers look.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// Data folder of the suite; where it runs and its key are found there [default: .freshet]
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// gRPC address of a suite elsewhere, for example http://127.0.0.1:8081
    #[arg(long, global = true, env = "FRESHET_SERVER", value_name = "URL")]
    server: Option<String>,
    /// API key for that suite
    #[arg(long, global = true, env = "FRESHET_API_KEY", hide_env_values = true, value_name = "KEY")]
    key: Option<String>,
    /// The client; may be left out where there is only one
    #[arg(long, global = true, env = "FRESHET_CLIENT", value_name = "NAME")]
    client: Option<String>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine
    Dev(dev::DevArgs),
    /// Show the whole way once: every provider's webhook in, a fresh site out
    Demo(demo::DemoArgs),
    /// Post a realistic, signed delivery as a provider would
    Send(send::SendArgs),
    /// Show the life of one delivery, or list the latest
    Receipt(show::ReceiptArgs),
    /// List entries, or show one
    Entries(show::EntriesArgs),
    /// List deliveries, or show one
    Deliveries(show::DeliveriesArgs),
    /// List builds, or show one with the end of its log
    Builds(show::BuildsArgs),
    /// What waits for the next build of a site
    #[command(subcommand)]
    Batch(act::BatchCommand),
    /// List, pause, resume, build and roll back sites
    #[command(subcommand)]
    Site(act::SiteCommand),
    /// Events that could not be handled
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Make API keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Check and explain the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Tell how every part of a running suite is
    Status,
    /// List the providers and what their webhooks can do
    Providers,
    /// Post every case of a corpus of recorded deliveries and compare the verdicts
    Corpus(corpus::CorpusArgs),
}

/// Runs one command.
pub async fn run(cli: Cli) -> ExitCode {
    let target = cli.target;
    let result = match cli.command {
        Command::Dev(args) => dev::run(&target, args).await,
        Command::Demo(args) => demo::run(&target, args).await,
        Command::Send(args) => send::run(&target, args).await,
        Command::Receipt(args) => show::receipt(&target, args).await,
        Command::Entries(args) => show::entries(&target, args).await,
        Command::Deliveries(args) => show::deliveries(&target, args).await,
        Command::Builds(args) => show::builds(&target, args).await,
        Command::Batch(command) => act::batch(&target, command).await,
        Command::Site(command) => act::site(&target, command).await,
        Command::Queue(command) => queue::run(&target, command).await,
        Command::Keys(command) => keys::run(&target, command),
        Command::Config(command) => config::run(&target, command),
        Command::Status => show::status(&target).await,
        Command::Providers => show::providers(&target).await,
        Command::Corpus(args) => corpus::run(&target, args).await,
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            output::note(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
