//! `freshet`: every service in one process, and the operators' command line.

use clap::Parser as _;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    freshet_suite::cli::run(freshet_suite::cli::Cli::parse()).await
}
