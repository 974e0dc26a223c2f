//! Who goes first when the processors are not enough for all.
//!
//! A provider waits for its answer within seconds, and what it sent is lost if it gives up; whoever reads waits for the
//! tables; an editor waits for a build within minutes. Nobody is left without: each level has at least some part of a
//! processor, however much the others have to do. Decision 0021 tells what was measured.
//!
//! **Invariant:** a thread that gives way holds no lock for long that answers wait for.

/// How urgent work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Taking deliveries and answering them: many short pieces of work, each of which somebody waits for.
    Answers,
    /// Bringing what is already durable to where it is read.
    Tables,
    /// Builds, and what they start.
    Builds,
}

impl Priority {
    /// The POSIX nice value. Beside one busy thread of the level before, a thread of the tables has about a sixth of a
    /// processor, and one of a build a quarter; beside one that answers, a build has a sixteenth.
    #[must_use]
    pub const fn nice(self) -> i32 {
        match self {
            Self::Answers => 0,
            Self::Tables => 7,
            Self::Builds => 12,
        }
    }

    /// Gives it to the calling thread, for good: what has given way cannot claim it back. On Linux only, where a thread
    /// has a priority of its own; elsewhere this would be the whole process. Where the system does not let it, the thread
    /// runs as it is. It runs on [every processor](crate::processors::all), also if a worker of the runtime started it.
    pub fn take(self) {
        crate::processors::all();
        #[cfg(target_os = "linux")]
        match self {
            Self::Answers => linux::ask_for_short_slices(),
            Self::Tables | Self::Builds => {
                let _ = rustix::process::setpriority_process(None, self.nice());
            }
        }
    }
}

/// Lets others have the processor for a moment, again and again, while a thread has much to do at once.
///
/// On Linux, what waits for a processor may wait behind a thread of the lowest priority: whoever has had more than a fair
/// share is passed over until the others of that processor have caught up, and the more weight it has the longer that
/// takes. For the kernel's own threads, which have the most, this was 5 to 9 ms (measured on 6.18): among them the one that
/// tells the disk to make its cache durable, for which every answer waits. Where nothing else is runnable for a moment,
/// they run at once. Such a moment takes some 50 microseconds, a twentieth of the time.
#[derive(Debug, Default)]
pub struct GiveWay {
    /// When it last did, or began.
    #[cfg(target_os = "linux")]
    since: Option<std::time::Instant>,
}

impl GiveWay {
    /// How long a thread works until it is due again.
    #[cfg(target_os = "linux")]
    const EVERY: std::time::Duration = std::time::Duration::from_millis(1);

    /// In a virtual machine it takes 17 us to set a timer (measured), and a thread whose time is up by then does not let go
    /// of the processor at all.
    #[cfg(target_os = "linux")]
    const SLEEP: std::time::Duration = std::time::Duration::from_micros(30);

    /// To be called often, always by the same thread: takes tens of nanoseconds and sleeps when it is due. Does nothing
    /// elsewhere than on Linux.
    pub fn now_and_then(&mut self) {
        #[cfg(target_os = "linux")]
        {
            let now = std::time::Instant::now();
            match self.since {
                None => {
                    // The usual one adds 50 us to every sleep. Where this is not possible it does.
                    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
                    self.since = Some(now);
                }
                Some(since) if now - since >= Self::EVERY => {
                    std::thread::sleep(Self::SLEEP);
                    self.since = Some(std::time::Instant::now());
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    /// The shortest slice that the kernel grants. A thread of shorter slices takes over at once from one of longer slices
    /// when it wakes, and does not get more of the processor for it; otherwise it waits for the rest of the other's slice,
    /// one to a few milliseconds. Kernels before 6.12 ignore it.
    const SLICE_NANOS: u64 = 100_000;

    /// Threads and processes that the thread starts begin with the usual slices (`SCHED_FLAG_RESET_ON_FORK`): builds must
    /// not interrupt anybody.
    const RESET_ON_FORK: u64 = 1;

    /// `struct sched_attr` of the kernel, in its first version.
    #[derive(Default)]
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    #[allow(unsafe_code)]
    pub(super) fn ask_for_short_slices() {
        let Ok(nice) = rustix::process::getpriority_process(None) else { return };
        let attributes = Attributes {
            size: size_of::<Attributes>() as u32,
            policy: libc::SCHED_OTHER as u32,
            flags: RESET_ON_FORK,
            nice,
            runtime: SLICE_NANOS,
            ..Attributes::default()
        };
        // SAFETY: the kernel reads `size` bytes of a value that lives longer than the call, and changes nothing but how the
        // calling thread (0) is scheduled.
        let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// The slice of the calling thread, 0 if the kernel does not tell.
        #[allow(unsafe_code)]
        fn own_slice() -> u64 {
            let mut attributes = Attributes::default();
            let size = size_of::<Attributes>();
            // SAFETY: the kernel writes at most `size` bytes to a value of that size.
            let done = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
            assert_eq!(done, 0);
            attributes.runtime
        }

        #[test]
        fn slices_are_short_in_the_thread_that_asks_and_not_in_those_that_it_starts() {
            let usual = own_slice();
            let asks = || {
                ask_for_short_slices();
                (own_slice(), std::thread::spawn(own_slice).join().expect("ends"))
            };
            let (own, started) = std::thread::spawn(asks).join().expect("ends");
            // Older kernels tell nothing and change nothing.
            assert_eq!(own, if usual == 0 { 0 } else { SLICE_NANOS });
            assert_eq!((started, own_slice()), (usual, usual));
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn own_nice() -> i32 {
        rustix::process::getpriority_process(None).expect("known")
    }

    /// How often the calling thread has let the processor go by itself.
    fn own_switches() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("read");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.expect("there").trim().parse().expect("a number")
    }

    #[test]
    fn a_busy_thread_lets_others_have_the_processor() {
        let begun = std::time::Instant::now();
        let mut give_way = GiveWay::default();
        let before = own_switches();
        while own_switches() - before < 10 {
            assert!(begun.elapsed().as_secs() < 60, "it has kept the processor");
            give_way.now_and_then();
        }
    }

    #[test]
    fn only_the_thread_that_takes_it_gives_way() {
        let before = own_nice();
        let levels = [Priority::Answers, Priority::Tables, Priority::Builds];
        let thread = std::thread::spawn(move || {
            levels.map(|level| {
                level.take();
                own_nice()
            })
        });
        assert_eq!(thread.join().expect("ends"), levels.map(|level| before.max(level.nice())));
        assert_eq!(own_nice(), before);
    }
}
