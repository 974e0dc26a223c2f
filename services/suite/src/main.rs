//! `freshet`: every service in one process, and the operators' command line.

use clap::Parser as _;
use freshet_kit::processors;

/// A delivery makes some hundred small allocations on one thread and frees them on another, which the C library's
/// allocator answers with a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::io::Result<std::process::ExitCode> {
    // The allocator asks for huge pages. Of each an idle process needs a few parts, and it would keep them all: 40 MiB in
    // place of 25. What a build starts does without them as well.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
    let cli = freshet_suite::cli::Cli::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = processors::runtime(runtime.enable_all())?;
    Ok(runtime.block_on(freshet_suite::cli::run(cli)))
}
