//! `freshet`: every service in one process, and the operators' command line.

use clap::Parser as _;

/// A delivery makes some hundred small allocations on one thread and frees them on another, which the C library's
/// allocator answers with a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    freshet_suite::cli::run(freshet_suite::cli::Cli::parse()).await
}
