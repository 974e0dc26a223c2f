//! Random schedules against the promises. A small world (some sites of two clients, their queue of running builds, the
//! limits) drives the machine exactly as the scheduler does, and keeps its own books of every change.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use freshet_domain::catalogue::{BuildPolicy, Supersede};
use freshet_domain::{BatchId, BuildId, Lane, Timestamp};
use proptest::prelude::*;

use super::*;

const SITES: usize = 3;
/// Sites 0 and 1 belong to one client, site 2 to another.
const CLIENT_OF: [usize; SITES] = [0, 0, 1];

#[derive(Clone, Debug)]
enum Event {
    Changes { site: usize, count: u64, lane: Lane },
    Pass { millis: u64 },
    Started { site: usize },
    Ended { site: usize, outcome: u8 },
    Trigger { site: usize },
    Sources { site: usize, number: u8 },
    Flush { site: usize },
    Retry { site: usize },
    Cancel { site: usize },
    Pause { site: usize },
    Resume { site: usize },
    Restart,
    Policy { site: usize, policy: u8 },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let site = 0..SITES;
    let lane = prop_oneof![4 => Just(Lane::Normal), 1 => Just(Lane::Urgent), 1 => Just(Lane::Bulk)];
    let event = prop_oneof![
        6 => (site.clone(), 1..4_u64, lane).prop_map(|(site, count, lane)| Event::Changes { site, count, lane }),
        6 => (0..40_000_u64).prop_map(|millis| Event::Pass { millis }),
        2 => site.clone().prop_map(|site| Event::Started { site }),
        5 => (site.clone(), 0..6_u8).prop_map(|(site, outcome)| Event::Ended { site, outcome }),
        1 => site.clone().prop_map(|site| Event::Trigger { site }),
        1 => (site.clone(), 0..3_u8).prop_map(|(site, number)| Event::Sources { site, number }),
        1 => site.clone().prop_map(|site| Event::Flush { site }),
        1 => site.clone().prop_map(|site| Event::Retry { site }),
        1 => site.clone().prop_map(|site| Event::Cancel { site }),
        1 => site.clone().prop_map(|site| Event::Pause { site }),
        1 => site.clone().prop_map(|site| Event::Resume { site }),
        1 => Just(Event::Restart),
        1 => (site, 0..5_u8).prop_map(|(site, policy)| Event::Policy { site, policy }),
    ];
    prop::collection::vec(event, 1..120)
}

fn policy(number: u8) -> Option<BuildPolicy> {
    let base = BuildPolicy {
        quiet_period: Duration::from_secs(5),
        max_wait: Duration::from_secs(30),
        max_attempts: 2,
        retry_backoff: Duration::from_secs(1),
        retry_backoff_max: Duration::from_secs(8),
        ..BuildPolicy::default()
    };
    match number {
        0 => Some(base),
        1 => Some(BuildPolicy { supersede: Supersede::Cancel, ..base }),
        2 => Some(BuildPolicy { max_changes: 3, max_attempts: 1, ..base }),
        3 => Some(BuildPolicy { quiet_period: Duration::ZERO, max_wait: Duration::ZERO, ..base }),
        _ => None,
    }
}

#[derive(Default)]
struct SiteWorld {
    state: SiteState,
    wake: Wake,
    policy: Option<BuildPolicy>,
    /// Changes that came, and the batch that each joined.
    changes: BTreeMap<u64, BatchId>,
    joins: BTreeMap<BatchId, BatchId>,
    succeeded: BTreeSet<BatchId>,
    states: BTreeMap<BatchId, BatchState>,
    /// When the batch was first held, and so excused from its time.
    held: BTreeSet<BatchId>,
    asked: BTreeSet<BatchId>,
    /// Longest allowed wait under any policy that was in force while the batch was pending.
    patience: BTreeMap<BatchId, Duration>,
}

impl SiteWorld {
    /// The batch that has the changes of this one now.
    fn holder(&self, batch: BatchId) -> BatchId {
        let mut batch = batch;
        while let Some(next) = self.joins.get(&batch) {
            batch = *next;
        }
        batch
    }
}

struct World {
    now: Timestamp,
    sites: [SiteWorld; SITES],
    next_change: u64,
}

impl World {
    fn new() -> Self {
        let site = || SiteWorld { policy: policy(0), ..SiteWorld::default() };
        Self { now: Timestamp::from_secs(1_000_000), sites: [site(), site(), site()], next_change: 0 }
    }

    /// One input, as the engine applies it: step, check the limit, commit (through text, as the store does).
    fn input(&mut self, index: usize, input: Input) -> Result<(), Refusal> {
        let room = self.room(index);
        let input = match input {
            Input::Tick { .. } => Input::Tick { room },
            other => other,
        };
        let now = self.now;
        let site = &mut self.sites[index];
        let context = Context { now, policy: site.policy.as_ref() };
        let was_running = site.state.is_running();
        let arrived = matches!(input, Input::ChangesArrived { .. });
        let step = step(&site.state, input, context, &mut NewIds)?;
        if arrived {
            let batch = step.batch.expect("changes join a batch");
            site.changes.insert(self.next_change, batch);
            self.next_change += 1;
        }
        for decision in &step.effects.decisions {
            if decision.code.starts_with("HELD") {
                site.held.insert(decision.batch);
            }
            if ["TRIGGERED", "FLUSHED", "RETRY_ASKED", "SOURCES_CHANGED", "SITE_ADDED"].contains(&decision.code) {
                site.asked.insert(decision.batch);
            }
        }
        site.joins.extend(step.effects.joins.iter().copied());
        for batch in &step.effects.batches {
            site.states.insert(batch.facts.batch, batch.state);
            if batch.state == BatchState::Succeeded {
                site.succeeded.insert(batch.facts.batch);
            }
        }
        let starts: Vec<&Action> =
            step.actions.iter().filter(|action| matches!(action, Action::StartBuild { .. })).collect();
        assert!(starts.len() <= 1, "two builds of one site at once");
        assert!(starts.is_empty() || !was_running, "a build started beside another one of its site");
        let stored = serde_json::to_string(&step.state).expect("json");
        site.state = serde_json::from_str(&stored).expect("a state");
        site.wake = step.wake;
        if !starts.is_empty() {
            self.check_start(index);
        }
        self.check_limits();
        Ok(())
    }

    fn room(&self, index: usize) -> Room {
        let running = |of: &dyn Fn(usize) -> bool| {
            (0..SITES).filter(|other| of(*other) && self.sites[*other].state.is_running()).count()
        };
        let of_client = running(&|other| CLIENT_OF[other] == CLIENT_OF[index]);
        if of_client >= 1 || running(&|_| true) >= 2 { Room::Full("the house is full".into()) } else { Room::Free }
    }

    fn check_limits(&self) {
        let running: Vec<usize> = (0..SITES).filter(|site| self.sites[*site].state.is_running()).collect();
        assert!(running.len() <= 2, "the global limit");
        assert!(running.iter().filter(|site| CLIENT_OF[**site] == 0).count() <= 1, "the limit of a client");
    }

    /// P5 and P6 at the moment of a start.
    fn check_start(&self, index: usize) {
        let site = &self.sites[index];
        let active = site.state.active.as_ref().expect("an active build");
        let facts = &active.facts;
        assert!(
            facts.total() > 0 || site.asked.contains(&facts.batch),
            "P6: a build without changes that nobody asked for"
        );
        assert!(site.state.paused.is_none(), "a paused site was built");
        if active.attempt > 1 || site.held.contains(&facts.batch) || site.asked.contains(&facts.batch) {
            return;
        }
        let Some(first) = facts.first_change_at else { return };
        let patience = site.patience.get(&facts.batch).copied().unwrap_or_default();
        assert!(
            self.now.since(first) <= patience,
            "P5: waited {:?}, allowed {patience:?}, and nothing held it visibly",
            self.now.since(first)
        );
    }

    /// Ticks whoever is due, as the scheduler does, until nobody is.
    fn settle(&mut self) {
        for _ in 0..100 {
            let now = self.now;
            let due: Vec<usize> = (0..SITES)
                .filter(|site| {
                    let wake = self.sites[*site].wake;
                    let has_room = wake.room_since.is_some() && self.room(*site) == Room::Free;
                    wake.at.is_some_and(|at| at <= now) || has_room
                })
                .collect();
            if due.is_empty() {
                return;
            }
            for site in due {
                self.note_patience(site);
                let _ = self.input(site, Input::Tick { room: Room::Free });
            }
        }
        panic!("somebody is due for ever");
    }

    fn note_patience(&mut self, index: usize) {
        let site = &mut self.sites[index];
        if let (Some(policy), Some(pending)) = (&site.policy, &site.state.pending) {
            let longest = site.patience.entry(pending.facts.batch).or_default();
            *longest = (*longest).max(policy.max_wait);
        }
    }

    /// Time passes, stopping at every deadline on the way.
    fn pass(&mut self, millis: u64) {
        let end = self.now.plus(Duration::from_millis(millis));
        loop {
            self.settle();
            let next = self.sites.iter().filter_map(|site| site.wake.at).min();
            match next {
                Some(at) if at <= end => self.now = at.max(self.now),
                _ => break,
            }
        }
        self.now = end;
        self.settle();
    }

    fn running(&self, site: usize) -> Option<BuildId> {
        self.sites[site].state.active.as_ref().filter(|active| active.phase.is_running()).map(|active| active.build)
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Changes { site, count, lane } => {
                let input = Input::ChangesArrived {
                    count,
                    lane,
                    example: "blog/a/1".into(),
                    traceparent: String::new(),
                    redacts: false,
                };
                self.input(site, input).expect("changes are never refused");
                self.note_patience(site);
            }
            Event::Pass { millis } => self.pass(millis),
            Event::Started { site } => {
                if let Some(build) = self.running(site) {
                    self.input(site, Input::BuildStarted { build, report: Report::default() }).expect("taken");
                }
            }
            Event::Ended { site, outcome } => {
                if let Some(build) = self.running(site) {
                    let outcome = match outcome {
                        0 | 1 => Outcome::Succeeded,
                        2 | 3 => Outcome::Failed("broken".into()),
                        4 => Outcome::Interrupted,
                        _ => Outcome::Cancelled,
                    };
                    self.input(site, Input::BuildEnded { build, outcome, report: Report::default() }).expect("taken");
                }
            }
            Event::Trigger { site } => drop(self.input(site, Input::Trigger { reason: "why not".into() })),
            Event::Sources { site, number } => {
                let sources = vec![format!("source-{number}")];
                self.input(site, Input::SourcesSeen { sources, has_content: number > 0 }).expect("taken");
            }
            Event::Flush { site } => drop(self.input(site, Input::Flush)),
            Event::Retry { site } => {
                let left = self.sites[site].state.left_over.as_ref().map(|left| left.batch);
                if let Some(batch) = left {
                    let _ = self.input(site, Input::Retry { batch });
                }
            }
            Event::Cancel { site } => {
                let active = self.sites[site].state.active.as_ref().map(|active| active.build);
                if let Some(build) = active {
                    self.input(site, Input::Cancel { build, reason: String::new() }).expect("taken");
                }
            }
            Event::Pause { site } => self.input(site, Input::Pause { reason: "night".into() }).expect("taken"),
            Event::Resume { site } => {
                self.input(site, Input::Resume).expect("taken");
                self.note_patience(site);
            }
            Event::Restart => {
                for site in 0..SITES {
                    if let Some(build) = self.running(site) {
                        let outcome = Outcome::Interrupted;
                        let input = Input::BuildEnded { build, outcome, report: Report::default() };
                        self.input(site, input).expect("taken");
                    }
                }
            }
            Event::Policy { site, policy: number } => {
                self.note_patience(site);
                self.sites[site].policy = policy(number);
                self.note_patience(site);
                self.input(site, Input::Tick { room: Room::Free }).expect("taken");
            }
        }
        self.settle();
    }

    /// P4 at any moment: every change is live, waits, is being built, or stands visibly as failed or cancelled.
    fn check_nothing_lost(&self) {
        for site in &self.sites {
            for batch in site.changes.values() {
                let holder = site.holder(*batch);
                let is_pending = site.state.pending.as_ref().is_some_and(|pending| pending.facts.batch == holder);
                let is_active = site.state.active.as_ref().is_some_and(|active| active.facts.batch == holder);
                let is_left = site.state.left_over.as_ref().is_some_and(|left| left.batch == holder);
                let is_visible = matches!(site.states.get(&holder), Some(BatchState::Failed | BatchState::Cancelled));
                assert!(
                    site.succeeded.contains(&holder) || is_pending || is_active || (is_left && is_visible),
                    "P4: a change was lost"
                );
            }
        }
    }

    /// Everything works from now on, and one more change comes to each site.
    fn calm_down(&mut self) {
        for site in 0..SITES {
            self.apply(Event::Policy { site, policy: 0 });
            self.apply(Event::Resume { site });
            self.apply(Event::Changes { site, count: 1, lane: Lane::Normal });
        }
        for _ in 0..50 {
            self.pass(10_000);
            for site in 0..SITES {
                self.apply(Event::Ended { site, outcome: 0 });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn p4_p5_p6_hold_under_any_schedule(events in events()) {
        let mut world = World::new();
        for event in events {
            world.apply(event);
            world.check_nothing_lost();
        }
        world.calm_down();
        for site in &world.sites {
            prop_assert!(!site.state.has_work(), "something still waits: {:?}", site.state);
            prop_assert_eq!(&site.state.left_over, &None);
            for batch in site.changes.values() {
                prop_assert!(site.succeeded.contains(&site.holder(*batch)), "P4: a change is in no successful build");
            }
        }
    }
}
