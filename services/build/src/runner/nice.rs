//! Builds give way, see [`Priority`].

use freshet_kit::Priority;
use tokio::sync::oneshot;

/// Lowers the priority of the process group that this process has just started.
pub(super) fn group(leader: Option<u32>) {
    let leader = leader.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    // What cannot be lowered runs as it is.
    let Some(leader) = leader else { return };
    let _ = rustix::process::setpriority_pgrp(Some(leader), Priority::Builds.nice());
}

/// Does work on a thread of lower priority. `None` if it panicked or could not begin.
pub(super) async fn thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let begun = std::thread::Builder::new().name("freshet-build".to_owned()).spawn(move || {
        Priority::Builds.take();
        let _ = done.send(work());
    });
    begun.ok()?;
    result.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_the_thread_of_the_work_gives_way() {
        let own_nice = || rustix::process::getpriority_process(None).expect("known");
        let before = own_nice();
        assert_eq!(thread(own_nice).await, Some(before.max(Priority::Builds.nice())));
        assert_eq!(own_nice(), before);
        assert_eq!(thread(|| -> i32 { panic!("on purpose") }).await, None);
    }
}
