//! Which processors a thread may use: each worker of the runtime keeps to one, every other thread has all of them.
//!
//! The kernel weighs threads by their priority when it spreads them over the processors, and on two of them it often put
//! both workers on one and the tables' writer, which gives way, alone on the other. Held to a processor each, they are what
//! runs first on every one. Decision 0024 tells what was measured.
//!
//! **Invariant:** threads and processes begin with the processors of whoever starts them. So every thread that a worker may
//! start calls [`all`], which [`Priority::take`](crate::Priority::take) does as well; and programs are started by threads of
//! the blocking pool, never by a worker.

use tokio::runtime::{Builder, Runtime};

/// Builds a runtime whose threads [answer](crate::Priority::Answers). Where it has a worker for each processor that the
/// process may use, and these are few (2 to 4), each worker keeps to one from the first time that it has nothing to do; its
/// other threads use all of them. With more processors there is nearly always a free one, and they may differ in speed.
///
/// # Errors
/// Those of [`Builder::build`].
pub fn runtime(builder: &mut Builder) -> std::io::Result<Runtime> {
    builder.on_thread_start(|| crate::Priority::Answers.take());
    #[cfg(target_os = "linux")]
    {
        linux::runtime(builder)
    }
    #[cfg(not(target_os = "linux"))]
    builder.build()
}

/// Lets the calling thread use every processor that the process had at its start.
pub fn all() {
    #[cfg(target_os = "linux")]
    linux::all();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::cell::Cell;
    use std::ops::RangeInclusive;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, OnceLock};

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    use super::{Builder, Runtime};

    /// How many processors workers keep to.
    const FEW: RangeInclusive<usize> = 2..=4;

    /// What the process may use. Empty until workers keep to one each: then nobody has to be let go.
    static ALL: OnceLock<CpuSet> = OnceLock::new();

    thread_local! {
        static HAS_PLACE: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn runtime(builder: &mut Builder) -> std::io::Result<Runtime> {
        let places = Arc::new(OnceLock::<Vec<usize>>::new());
        let taken = AtomicUsize::new(0);
        let seen = places.clone();
        // Only workers park. By its start alone a worker cannot be told from a thread of the blocking pool.
        builder.on_thread_park(move || {
            let Some(places) = seen.get() else { return };
            if !HAS_PLACE.replace(true) {
                keep_to(places, taken.fetch_add(1, Ordering::Relaxed));
            }
        });
        let runtime = builder.build()?;
        // Where the system does not tell, threads run where they are put.
        if let Ok(allowed) = sched_getaffinity(None)
            && let Some(found) = one_each(&allowed, runtime.metrics().num_workers())
        {
            let _ = ALL.set(allowed);
            let _ = places.set(found);
        }
        Ok(runtime)
    }

    /// A processor for each worker, if there are as many of them and few.
    fn one_each(allowed: &CpuSet, workers: usize) -> Option<Vec<usize>> {
        let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number)).collect();
        (numbers.len() == workers && FEW.contains(&workers)).then_some(numbers)
    }

    fn keep_to(places: &[usize], worker: usize) {
        let mut own = CpuSet::new();
        // A worker more than there were at first: one whose thread was taken over by a blocking call.
        let Some(place) = places.get(worker % places.len()) else { return };
        own.set(*place);
        let _ = sched_setaffinity(None, &own);
    }

    pub(super) fn all() {
        if let Some(all) = ALL.get() {
            let _ = sched_setaffinity(None, all);
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn set(numbers: &[usize]) -> CpuSet {
            let mut set = CpuSet::new();
            numbers.iter().for_each(|number| set.set(*number));
            set
        }

        #[test]
        fn workers_get_a_processor_each_where_these_are_as_many_and_few() {
            assert_eq!(one_each(&set(&[1, 3]), 2), Some(vec![1, 3]));
            assert_eq!(one_each(&set(&[0, 1, 2, 3]), 4), Some(vec![0, 1, 2, 3]));
            // A quota of processor time, or TOKIO_WORKER_THREADS.
            assert_eq!(one_each(&set(&[0, 1, 2, 3]), 2), None);
            assert_eq!(one_each(&set(&[0, 1]), 4), None);
            assert_eq!(one_each(&set(&[0]), 1), None);
            assert_eq!(one_each(&set(&[0, 1, 2, 3, 4, 5, 6, 7]), 8), None);
        }

        #[test]
        fn only_workers_keep_to_a_processor() {
            let allowed = sched_getaffinity(None).expect("known");
            let workers = std::thread::available_parallelism().expect("known").get();
            let runtime =
                super::super::runtime(Builder::new_multi_thread().enable_all().worker_threads(workers)).expect("built");
            let is_held = one_each(&allowed, workers).is_some() || workers == 1;
            let of_thread = || sched_getaffinity(None).expect("known");
            let own = move || async move {
                // The first time with nothing to do is behind it.
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                let started = std::thread::spawn(move || {
                    let before = of_thread();
                    super::super::all();
                    (before, of_thread())
                });
                let blocking = tokio::task::spawn_blocking(of_thread).await.expect("ends");
                (of_thread().count(), started.join().expect("ends"), blocking)
            };
            for _ in 0..4 * workers {
                let (worker, (inherited, freed), blocking) =
                    runtime.block_on(async { tokio::spawn(own()).await.expect("ends") });
                assert_eq!(worker == 1, is_held);
                assert_eq!(inherited.count() == 1, is_held, "what `all` is for");
                assert_eq!((freed, blocking), (allowed, allowed));
            }
        }
    }
}
