//! `freshet`: every service in one process, and the operators' command line.

use clap::Parser as _;
use freshet_kit::processors;

/// A delivery makes some hundred small allocations on one thread and frees them on another, which the C library's
/// allocator answers with a lock.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// For so long the allocator keeps what was freed, in milliseconds. With its own second, a burst of deliveries takes
/// memory back from the system again and again, which has to clear each page: four hundredths of what a delivery costs.
const PURGE_DELAY: std::ffi::c_long = 10_000;

/// `mi_option_purge_delay` of the allocator's `mi_option_t`, for which its crate has no name.
const PURGE_DELAY_OPTION: libmimalloc_sys::mi_option_t = 15;

#[allow(unsafe_code)]
fn keep_freed_memory_for_a_while() {
    // SAFETY: sets an integer that the allocator reads whenever it has freed something; any value is good.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY_OPTION, PURGE_DELAY) }
}

fn main() -> std::io::Result<std::process::ExitCode> {
    // The allocator asks for huge pages. Of each an idle process needs a few parts, and it would keep them all: 40 MiB in
    // place of 25. What a build starts does without them as well.
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_thp_disable(true);
    keep_freed_memory_for_a_while();
    let cli = freshet_suite::cli::Cli::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = processors::runtime(runtime.enable_all())?;
    Ok(runtime.block_on(freshet_suite::cli::run(cli)))
}
