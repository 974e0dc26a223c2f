//! What people ask for.

use freshet_domain::{BatchId, BuildId, Lane};

use super::input::{Action, Refusal, Report};
use super::model::{Asked, Hold, Paused, Pending, Phase, StopCause};
use super::step::Stepper;
use super::text;

impl Stepper<'_> {
    pub(super) fn trigger(&mut self, reason: String) -> Result<(), Refusal> {
        if self.state.paused.is_some() {
            return Err(Refusal::Paused);
        }
        let pending = self.open_pending();
        self.ask(pending, "TRIGGERED", reason);
        Ok(())
    }

    /// Content that no change tells of waits like changes do: that of a new site, and of sources that a site did not use
    /// before. Changes that come at the same time are in the same build.
    pub(super) fn sources_seen(&mut self, sources: Vec<String>, has_content: bool) {
        let known = self.state.sources.replace(sources.clone());
        let (code, reason) = match known {
            Some(known) if known == sources => return,
            Some(_) => ("SOURCES_CHANGED", format!("the site now uses {}", sources.join(", "))),
            // What waits or runs will have everything, and who was live before anybody looked is not new.
            None if !has_content || self.state.has_work() || self.state.live.is_some() => return,
            None => ("SITE_ADDED", "the site is new, and its sources have content".to_owned()),
        };
        let now = self.now();
        let mut pending = self.open_pending();
        pending.facts.first_change_at.get_or_insert(now);
        pending.facts.last_change_at = Some(now);
        pending.facts.lane.get_or_insert(Lane::Normal);
        self.decide(pending.facts.batch, None, code, reason);
        self.keep_pending(pending);
        self.show_standing_holds();
    }

    pub(super) fn flush(&mut self) -> Result<(), Refusal> {
        if self.state.pending.is_none() {
            return Err(Refusal::NothingWaits);
        }
        if self.state.paused.is_some() {
            return Err(Refusal::Paused);
        }
        let pending = self.open_pending();
        self.ask(pending, "FLUSHED", String::new());
        Ok(())
    }

    fn ask(&mut self, mut pending: Pending, code: &'static str, reason: String) {
        let said = if reason.is_empty() { "asked for without waiting any longer".to_owned() } else { reason.clone() };
        self.decide(pending.facts.batch, None, code, said);
        pending.asked.get_or_insert(Asked { at: self.context.now, reason });
        self.keep_pending(pending);
    }

    pub(super) fn retry(&mut self, batch: BatchId) -> Result<(), Refusal> {
        if self.state.paused.is_some() {
            return Err(Refusal::Paused);
        }
        let now = self.now();
        if let Some(active) = self.state.active.as_mut().filter(|active| active.facts.batch == batch) {
            self.batch = Some(batch);
            if let Phase::Queued { not_before } = &mut active.phase
                && *not_before > now
            {
                *not_before = now;
                let build = active.build;
                self.decide(batch, Some(build), "RETRY_ASKED", "asked for without waiting any longer");
            }
            return Ok(());
        }
        let waits = self.state.left_over.as_ref().is_some_and(|left| left.batch == batch)
            || self.state.pending.as_ref().is_some_and(|pending| pending.facts.batch == batch);
        if !waits {
            return Err(Refusal::NotFailed);
        }
        let pending = self.open_pending();
        self.ask(pending, "RETRY_ASKED", format!("the batch {batch} is tried again"));
        Ok(())
    }

    pub(super) fn cancel(&mut self, build: BuildId, reason: String) -> Result<(), Refusal> {
        let Some(active) = self.state.active.take_if(|active| active.build == build) else {
            return Err(Refusal::HasEnded);
        };
        let reason = if reason.is_empty() { "cancelled on request".to_owned() } else { reason };
        self.batch = Some(active.facts.batch);
        if matches!(active.phase, Phase::Queued { .. }) {
            self.cancelled(&active, StopCause::Person, &reason, Report::default());
            return Ok(());
        }
        self.state.active = Some(active);
        self.stop(StopCause::Person, reason);
        Ok(())
    }

    pub(super) fn stop(&mut self, cause: StopCause, reason: String) {
        let Some(active) = &mut self.state.active else { return };
        // A person's word stands over a newer batch's.
        let is_news = !matches!(active.phase, Phase::Cancelling { .. });
        let (batch, build) = (active.facts.batch, active.build);
        if is_news || cause == StopCause::Person {
            active.phase = Phase::Cancelling { cause, reason: reason.clone() };
        }
        if is_news {
            self.decide(batch, Some(build), "CANCELLING", reason);
        }
        self.actions.push(Action::CancelBuild { build });
    }

    pub(super) fn pause(&mut self, reason: String) {
        if self.state.paused.is_none() {
            self.state.paused = Some(Paused { reason: reason.clone(), at: self.now() });
        } else if let Some(paused) = &mut self.state.paused {
            paused.reason = reason.clone();
        }
        self.hold_pending(Hold::Paused, text::held_by_pause(&reason));
        self.hold_queued(Hold::Paused, "the site is paused");
    }

    pub(super) fn resume(&mut self) {
        if self.state.paused.take().is_none() {
            return;
        }
        if let Some(pending) = self.state.pending.as_mut().filter(|pending| pending.held == Some(Hold::Paused)) {
            pending.held = None;
            let batch = pending.facts.batch;
            self.decide(batch, None, "RESUMED", "the site is no longer paused");
        }
        if let Some(active) = self.state.active.as_mut().filter(|active| active.held == Some(Hold::Paused)) {
            active.held = None;
        }
    }
}
