//! What was answered, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freshet_domain::Timestamp;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counts since the start.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[$doc])* pub $name: AtomicU64,)+
            /// Second of the last log line about a refusal, and how many there were in it.
            refusals_logged: AtomicU64,
        }

        impl Counters {
            /// Every count with its name.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Ordering::Relaxed)),)+]
            }
        }
    };
}

counters!(
    /// Stored with changes or without.
    accepted,
    /// Seen before.
    duplicates,
    /// Nothing to do.
    ignored,
    /// Kept, not understood.
    quarantined,
    /// Kept in the spool.
    spooled,
    /// Not what the provider sends.
    malformed,
    /// No proof.
    unauthenticated,
    /// No such provider or source.
    unknown,
    /// Too many from one source.
    rate_limited,
    /// Too large, wrong media type, or too slow.
    unacceptable,
    /// Too many at once, or nothing could keep them.
    unavailable,
);

/// Most log lines a second about refused requests: an attacker must not fill the disk.
const REFUSAL_LINES_PER_SECOND: u64 = 20;

impl Counters {
    /// One more.
    pub(crate) fn add(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// True while this second has log lines left.
    pub(crate) fn may_log_refusal(&self, now: Timestamp) -> bool {
        let second = now.since(Timestamp::EPOCH).min(Duration::from_secs(u64::MAX >> 8)).as_secs() << 8;
        let seen = self.refusals_logged.load(Ordering::Relaxed);
        let next = if seen & !0xff == second { second | (seen & 0xff).saturating_add(1).min(0xff) } else { second + 1 };
        // Losing a race costs a line too many or too few.
        self.refusals_logged.store(next, Ordering::Relaxed);
        next & 0xff <= REFUSAL_LINES_PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_not_logged_line_by_line() {
        let counters = Counters::default();
        let lines = |second| (0..200).filter(|_| counters.may_log_refusal(Timestamp::from_secs(second))).count();
        assert_eq!(lines(100), 20);
        assert_eq!(lines(101), 20);
    }
}
