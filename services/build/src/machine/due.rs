//! When a pending batch is due, and when the site must be looked at next.

use std::time::Duration;

use freshet_domain::catalogue::BuildPolicy;
use freshet_domain::{Lane, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Hold, Pending, Phase, SiteState};

/// When a batch fires, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// When.
    #[serde(with = "super::wire::time")]
    pub at: Timestamp,
    /// By which rule.
    pub rule: Rule,
}

/// The rule that makes a batch due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Somebody asked for it.
    Asked,
    /// A change of the urgent lane.
    Urgent,
    /// As many changes as the policy allows in one batch.
    MaxChanges,
    /// No change came for the quiet period.
    Quiet,
    /// The first change has waited as long as the policy allows.
    MaxWait,
}

impl Rule {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Rule::Asked => "FIRED_ASKED",
            Rule::Urgent => "FIRED_URGENT",
            Rule::MaxChanges => "FIRED_MAX_CHANGES",
            Rule::Quiet => "FIRED_QUIET",
            Rule::MaxWait => "FIRED_MAX_WAIT",
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Rule::Asked => "on request",
            Rule::Urgent => "by an urgent change",
            Rule::MaxChanges => "by max_changes",
            Rule::Quiet => "by quiet_period",
            Rule::MaxWait => "by max_wait",
        }
    }
}

/// `None` for a batch that has only changes of failed batches: these wait for a new change or for somebody to ask, or
/// a broken site would be built for ever.
pub(super) fn due(pending: &Pending, policy: &BuildPolicy) -> Option<Due> {
    // A batch that was due and could not start stays due: what comes meanwhile joins it and restarts no quiet period.
    if let Some(fired) = pending.fired {
        return Some(fired);
    }
    if let Some(asked) = &pending.asked {
        return Some(Due { at: asked.at, rule: Rule::Asked });
    }
    let facts = &pending.facts;
    let (first, last) = (facts.first_change_at?, facts.last_change_at?);
    if facts.lane == Some(Lane::Urgent) {
        return Some(Due { at: first, rule: Rule::Urgent });
    }
    if policy.max_changes > 0 && facts.changes >= policy.max_changes {
        return Some(Due { at: last, rule: Rule::MaxChanges });
    }
    let bound = first.plus(policy.max_wait);
    let quiet = last.plus(policy.quiet_period);
    if facts.lane == Some(Lane::Bulk) || quiet > bound {
        return Some(Due { at: bound, rule: Rule::MaxWait });
    }
    Some(Due { at: quiet, rule: Rule::Quiet })
}

/// When the batch starts at the latest (promise P5), if nothing holds it.
pub fn due_at_latest(pending: &Pending, policy: &BuildPolicy) -> Option<Timestamp> {
    let due = due(pending, policy)?;
    match due.rule {
        Rule::Quiet => pending.facts.first_change_at.map(|first| first.plus(policy.max_wait)),
        Rule::Asked | Rule::Urgent | Rule::MaxChanges | Rule::MaxWait => Some(due.at),
    }
}

/// When the site must get its next tick. Both can be set: one batch may wait for room while another waits for its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wake {
    /// At this time.
    pub at: Option<Timestamp>,
    /// When a place becomes free; the time says who has waited longest.
    pub room_since: Option<Timestamp>,
}

impl Wake {
    /// What the state needs. `None` as policy: the site is not in the catalogue.
    pub(super) fn of(state: &SiteState, policy: Option<&BuildPolicy>) -> Self {
        let Some(policy) = policy.filter(|_| state.paused.is_none()) else { return Self::default() };
        let mut wake = Self::default();
        let pending = state.pending.as_ref().and_then(|pending| Some((due(pending, policy)?.at, pending.held)));
        match state.active.as_ref().map(|active| (&active.phase, active.held)) {
            None => {
                if let Some((at, held)) = pending {
                    wake.add(at, held == Some(Hold::Limit));
                }
            }
            Some((Phase::Queued { not_before }, held)) => {
                wake.add(*not_before, held == Some(Hold::Limit));
                if let Some((at, held)) = pending {
                    wake.add(at, held == Some(Hold::Limit));
                }
            }
            // The end of the build is the next thing that can matter, once the hold is on record.
            Some((Phase::Starting | Phase::Running | Phase::Cancelling { .. }, _)) => {
                if let Some((at, held)) = pending
                    && held != Some(Hold::Running)
                {
                    wake.add(at, false);
                }
            }
        }
        wake
    }

    fn add(&mut self, at: Timestamp, for_room: bool) {
        let earliest = if for_room { &mut self.room_since } else { &mut self.at };
        *earliest = Some(earliest.map_or(at, |present| present.min(at)));
    }
}

/// Pause before the next attempt after so many failures.
pub(super) fn retry_pause(policy: &BuildPolicy, failures: u32) -> Duration {
    let backoff = freshet_kit::retry::Backoff { first: policy.retry_backoff, max: policy.retry_backoff_max };
    backoff.pause(failures)
}
