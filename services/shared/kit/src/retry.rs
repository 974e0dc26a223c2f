//! Pauses between attempts.

use std::time::Duration;

/// Doubling pauses with a cap, drawn from the upper half of their range so that callers spread out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause before the second attempt.
    pub first: Duration,
    /// The longest pause.
    pub max: Duration,
}

impl Backoff {
    /// The pause before attempt `attempt + 1`, without jitter. `attempt` counts from 1.
    pub fn pause(self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.max)
    }

    /// The pause with jitter: from half of [`Backoff::pause`] to all of it. `chance` is uniform over its range.
    pub fn jittered(self, attempt: u32, chance: u32) -> Duration {
        let pause = self.pause(attempt);
        let half = pause / 2;
        half + half.mul_f64(f64::from(chance) / f64::from(u32::MAX))
    }
}

/// A number drawn from the system's source of chance.
pub fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_jitter_stays_in_its_half() {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(10) };
        assert_eq!([1, 2, 3, 4, 5, 99].map(|n| backoff.pause(n).as_secs()), [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.jittered(2, 0), Duration::from_secs(1));
        assert_eq!(backoff.jittered(2, u32::MAX), Duration::from_secs(2));
    }
}
