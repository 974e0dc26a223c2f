//! Who goes first when the processors are not enough for all.
//!
//! A provider waits for its answer within seconds, and what it sent is lost if it gives up; whoever reads waits for the
//! tables; an editor waits for a build within minutes. Each level leaves the others something: a POSIX nice value that is
//! 5 higher means about a third of the share.

/// How urgent work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Bringing what is already durable to where it is read.
    Tables,
    /// Builds, and what they start.
    Builds,
}

impl Priority {
    /// The POSIX nice value; answers have the one that the process was started with.
    #[must_use]
    pub const fn nice(self) -> i32 {
        match self {
            Self::Tables => 5,
            Self::Builds => 10,
        }
    }

    /// Gives it to the calling thread, for good: what has given way cannot claim it back. On Linux only, where a thread
    /// has a priority of its own; elsewhere this would be the whole process.
    pub fn take(self) {
        #[cfg(target_os = "linux")]
        // What cannot be lowered runs as it is.
        let _ = rustix::process::setpriority_process(None, self.nice());
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn own_nice() -> i32 {
        rustix::process::getpriority_process(None).expect("known")
    }

    #[test]
    fn only_the_thread_that_takes_it_gives_way() {
        let before = own_nice();
        let thread = std::thread::spawn(|| {
            Priority::Tables.take();
            let tables = own_nice();
            Priority::Builds.take();
            (tables, own_nice())
        });
        let (tables, builds) = thread.join().expect("ends");
        assert_eq!((tables, builds), (before.max(Priority::Tables.nice()), before.max(Priority::Builds.nice())));
        assert_eq!(own_nice(), before);
    }
}
