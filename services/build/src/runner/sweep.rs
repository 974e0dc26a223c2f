//! Finding what a build left running: processes that left its process group, or outlived the process that ran it.
//! They still carry the build's id in their environment, and no other process has it.

use freshet_domain::BuildId;

/// Kills every process of this user that has the build's id in its environment. Where there is no `/proc`, nothing.
pub(super) async fn sweep(build: BuildId) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let swept = tokio::task::spawn_blocking(move || {
        // A process can fork while we look, so look until a round finds nothing.
        for _ in 0..10 {
            let found = processes_of(build);
            if found.is_empty() {
                return;
            }
            tracing::debug!(build.id = %build, processes = found.len(), "processes that a build left behind are killed");
            for process in found {
                // Gone meanwhile is as good.
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL);
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    if let Err(error) = swept.await {
        tracing::warn!(%error, "could not look for processes that a build left behind");
    }
}

fn processes_of(build: BuildId) -> Vec<i32> {
    let marker = format!("FRESHET_BUILD_ID={build}");
    let own = std::process::id().cast_signed();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|process| *process != own)
        .filter(|process| {
            // Unreadable: another user's, or gone. A dead process that nobody has waited for has an empty one.
            std::fs::read(format!("/proc/{process}/environ"))
                .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes()))
        })
        .collect()
}
