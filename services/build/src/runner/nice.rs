//! Builds give way: a provider waits for its answer within seconds, an editor for a build within minutes. On one machine
//! both want the same processors.

use tokio::sync::oneshot;

/// How much lower than the services' the priority of a build is (POSIX nice value). A build that has to share still gets
/// about a quarter of a processor.
const NICE: i32 = 5;

/// Lowers the priority of the process group that this process has just started.
pub(super) fn group(leader: Option<u32>) {
    let leader = leader.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    // What cannot be lowered runs as it is.
    let Some(leader) = leader else { return };
    let _ = rustix::process::setpriority_pgrp(Some(leader), NICE);
}

/// Does work on a thread of lower priority. `None` if it panicked or could not begin.
pub(super) async fn thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let begun = std::thread::Builder::new().name("freshet-build".to_owned()).spawn(move || {
        // On Linux a thread has a priority of its own; elsewhere this would lower the whole process.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::setpriority_process(None, NICE);
        let _ = done.send(work());
    });
    begun.ok()?;
    result.await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_nice() -> i32 {
        rustix::process::getpriority_process(None).expect("known")
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_the_thread_of_the_work_gives_way() {
        let before = own_nice();
        assert_eq!(thread(own_nice).await, Some(before.max(NICE)));
        assert_eq!(own_nice(), before);
        assert_eq!(thread(|| -> i32 { panic!("on purpose") }).await, None);
    }
}
