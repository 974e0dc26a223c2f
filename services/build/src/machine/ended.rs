//! What the runner reports, and what becomes of the batch.

use freshet_domain::BuildId;
use freshet_domain::catalogue::BuildPolicy;

use super::due::retry_pause;
use super::input::{Outcome, Report};
use super::model::{Active, BatchState, BuildState, LeftOver, Phase, StopCause};
use super::step::Stepper;
use super::text;

/// Attempts of one batch that may end with their process without counting as failures. Without this bound a build that
/// takes the whole machine down would do so for ever.
pub const INTERRUPTIONS_MAX: u32 = 5;

impl Stepper<'_> {
    pub(super) fn build_started(&mut self, build: BuildId, report: Report) {
        let Some(active) = self.state.active.as_mut().filter(|active| active.build == build) else { return };
        // A build that is already being stopped stays so; what the report says is recorded all the same.
        active.start_time.get_or_insert(self.context.now);
        if active.phase == Phase::Starting {
            active.phase = Phase::Running;
        }
        let active = active.clone();
        self.record_build(&active, BuildState::Running, None, report);
    }

    pub(super) fn build_ended(&mut self, build: BuildId, outcome: Outcome, report: Report) {
        let is_present = self.state.active.as_ref().is_some_and(|active| active.build == build);
        // A late or repeated report of a build that is not the present one changes nothing.
        if !is_present {
            return;
        }
        let Some(active) = self.state.active.take() else { return };
        self.batch = Some(active.facts.batch);
        match (outcome, active.phase.clone()) {
            (Outcome::Succeeded, _) => self.succeeded(active, report),
            (_, Phase::Cancelling { cause, reason }) => self.cancelled(&active, cause, &reason, report),
            (Outcome::Cancelled, _) => self.cancelled(&active, StopCause::Person, "the runner stopped it", report),
            (Outcome::Failed(error), _) => self.failed(active, error, report, false),
            (Outcome::Interrupted, _) => {
                self.failed(active, "it ended with the process that ran it".to_owned(), report, true);
            }
        }
    }

    fn succeeded(&mut self, active: Active, report: Report) {
        self.record_build(&active, BuildState::Succeeded, None, report);
        self.record_batch(&active.facts, BatchState::Succeeded, true);
        let took = active.start_time.unwrap_or(active.create_time);
        let reason = format!("live after {}", text::duration(self.now().since(took)));
        self.decide(active.facts.batch, Some(active.build), "SUCCEEDED", reason);
        self.state.live = Some(active.build);
        self.state.superseded_in_row = 0;
    }

    pub(super) fn cancelled(&mut self, active: &Active, cause: StopCause, reason: &str, report: Report) {
        if cause == StopCause::Superseded {
            self.state.superseded_in_row += 1;
        }
        self.record_build(active, BuildState::Cancelled, None, report);
        self.decide(active.facts.batch, Some(active.build), "CANCELLED", reason);
        self.leave_over(active, BatchState::Cancelled);
    }

    fn failed(&mut self, mut active: Active, error: String, report: Report, interrupted: bool) {
        let default = BuildPolicy::default();
        let policy = self.context.policy.unwrap_or(&default);
        let (batch, build) = (active.facts.batch, active.build);
        self.record_build(&active, BuildState::Failed, Some(error.clone()), report);
        self.decide(batch, Some(build), if interrupted { "INTERRUPTED" } else { "FAILED" }, error);
        let counts = if interrupted {
            active.interruptions += 1;
            active.interruptions > INTERRUPTIONS_MAX
        } else {
            true
        };
        active.failures += u32::from(counts);
        if active.failures >= policy.max_attempts {
            let reason = format!("{} attempts failed; the changes join the next batch", active.failures);
            self.decide(batch, None, "FAILED", reason);
            self.leave_over(&active, BatchState::Failed);
            return;
        }
        let pause = if counts { retry_pause(policy, active.failures) } else { std::time::Duration::ZERO };
        active.build = self.ids.build();
        active.attempt += 1;
        active.create_time = self.now();
        active.start_time = None;
        active.held = None;
        active.phase = Phase::Queued { not_before: self.now().plus(pause) };
        let reason = format!("attempt {} starts in {}", active.attempt, text::duration(pause));
        self.record_build(&active, BuildState::Queued, None, Report::default());
        self.decide(batch, Some(active.build), "RETRY_SCHEDULED", reason);
        self.state.active = Some(active);
    }

    /// Ends a batch without success. Its changes join the pending batch, or wait for the next one.
    pub(super) fn leave_over(&mut self, active: &Active, state: BatchState) {
        self.record_batch(&active.facts, state, true);
        let failed = state == BatchState::Failed;
        let left = LeftOver {
            batch: active.facts.batch,
            changes: active.facts.total(),
            failed,
            redacts: active.facts.redacts,
        };
        match self.state.pending.take() {
            Some(mut pending) => {
                self.join(&mut pending, &left);
                self.keep_pending(pending);
            }
            None => self.state.left_over = Some(left),
        }
    }
}
