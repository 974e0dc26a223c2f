//! Durable deliveries a second over HTTP, and how long an answer takes, beside the bare server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bare::Bare;
use crate::freshet::{CLIENT, Freshet, catalogue, folder, freeze};
use crate::load::{Load, Outcome};
use crate::numbers::{median, note, thousands};
use crate::requests::{Kind, Maker, SHOPIFY, STRAPI};
use crate::table::Table;
use crate::{Plan, numbers};

/// A kind of delivery to one of the processes, and what came of it.
struct Contest<'a> {
    title: String,
    kind: Kind,
    freshet: &'a Freshet,
    share_wanted: f64,
    share_hoped: f64,
    per_round: usize,
    rounds: Vec<Round>,
    /// p99 at half of the full rate, in milliseconds.
    at_half: Vec<f64>,
}

struct Round {
    bare: f64,
    freshet: f64,
    /// Deliveries a second until everything that was answered could be read.
    readable: f64,
    p50: f64,
    p99: f64,
}

/// Lets only one of several processes run, so that what the others have still to do disturbs nothing.
struct Stage {
    pids: Vec<u32>,
}

impl Stage {
    fn only(&self, pid: u32) -> anyhow::Result<()> {
        for other in self.pids.iter().filter(|other| **other != pid) {
            freeze(*other, true)?;
        }
        freeze(pid, false)
    }

    fn none(&self) -> anyhow::Result<()> {
        self.pids.iter().try_for_each(|pid| freeze(*pid, true))
    }
}

/// The bare server gets at least so many requests in a round: about a second's worth.
const BARE_REQUESTS: usize = 80_000;

pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    note("durable deliveries: bare hyper and Freshet by turns");
    let bare = Bare::start()?;
    // No build begins at one site; at the other one follows the other.
    let (quiet_folder, busy_folder) = (folder(&catalogue("1h", "1d"))?, folder(&catalogue("0s", "1s"))?);
    let quiet = Freshet::start(&plan.binary, quiet_folder.path())?;
    let busy = Freshet::start(&plan.binary, busy_folder.path())?;
    let stage = Stage { pids: vec![bare.pid(), quiet.pid(), busy.pid()] };
    let contest = |title: String, kind, freshet, share_wanted, share_hoped| Contest {
        title,
        kind,
        freshet,
        share_wanted,
        share_hoped,
        per_round: 0,
        rounds: Vec::new(),
        at_half: Vec::new(),
    };
    let mut contests = [
        contest(STRAPI.title.to_owned(), STRAPI, &quiet, 20.0, 33.0),
        contest(SHOPIFY.title.to_owned(), SHOPIFY, &quiet, 12.0, 20.0),
        contest(format!("{} while building", STRAPI.title), STRAPI, &busy, 20.0, 33.0),
    ];
    let mut maker = Maker::new();
    let mut posted_to_quiet = 0;
    for contest in &mut contests {
        // A first guess of the rate, and warm caches.
        let requests = Arc::new(maker.make(contest.kind, 3_000)?);
        stage.only(contest.freshet.pid())?;
        let outcome = Load::new(contest.freshet.address, &requests).run().await?.checked()?;
        contest.freshet.settle().await?;
        let bytes = requests.iter().map(Vec::len).sum::<usize>() / requests.len();
        note(format!("  {}: {bytes} bytes a request, about {:.0} a second", contest.title, outcome.rate()));
        contest.per_round = ((outcome.rate() * plan.pick(1.5, 3.0)) as usize).clamp(2_000, 80_000);
        stage.none()?;
    }
    for round in 0..plan.pick(3, 7) {
        for contest in &mut contests {
            let requests = Arc::new(maker.make(contest.kind, contest.per_round)?);
            // Whoever comes second finds a warmer machine: each does in turn.
            let (first, second) = if round % 2 == 0 { (true, false) } else { (false, true) };
            let mut bare_outcome = Outcome::default();
            if first {
                bare_outcome = run_bare(&stage, &bare, &requests).await?;
            }
            stage.only(contest.freshet.pid())?;
            let begun = Instant::now();
            let outcome = Load::new(contest.freshet.address, &requests).run().await?.checked()?;
            contest.freshet.settle().await?;
            let readable = requests.len() as f64 / begun.elapsed().as_secs_f64();
            stage.none()?;
            if second {
                bare_outcome = run_bare(&stage, &bare, &requests).await?;
            }
            note(format!("  {}: {:.0} of {:.0}", contest.title, outcome.rate(), bare_outcome.rate()));
            contest.rounds.push(Round {
                bare: bare_outcome.rate(),
                freshet: outcome.rate(),
                readable,
                p50: outcome.millis(0.5),
                p99: outcome.millis(0.99),
            });
        }
    }
    for _ in 0..3 {
        for contest in &mut contests {
            let rate = median_of(&contest.rounds, |round| round.freshet) / 2.0;
            let requests = Arc::new(maker.make(contest.kind, (rate * plan.pick(2.0, 4.0)) as usize)?);
            stage.only(contest.freshet.pid())?;
            let load = Load { pace: Some(rate), ..Load::new(contest.freshet.address, &requests) };
            contest.at_half.push(load.run().await?.checked()?.millis(0.99));
            contest.freshet.settle().await?;
            stage.none()?;
            posted_to_quiet += if contest.freshet.pid() == quiet.pid() { requests.len() } else { 0 };
        }
    }
    for contest in &contests {
        posted_to_quiet += if contest.freshet.pid() == quiet.pid() { 3_000 } else { 0 };
        posted_to_quiet +=
            if contest.freshet.pid() == quiet.pid() { contest.per_round * contest.rounds.len() } else { 0 };
        contest.tell(table);
    }
    stage.only(quiet.pid())?;
    let (joined, seconds) = catch_up(&quiet, posted_to_quiet as u64).await;
    table.judged(
        "accepted changes that reached the site's batch",
        format!("{} of {}, {seconds:.1} s after the last answer", thousands(joined as f64), posted_to_quiet),
        "every one",
        joined == posted_to_quiet as u64,
    );
    // Frozen processes would not end.
    stage.pids.iter().try_for_each(|pid| freeze(*pid, false))
}

async fn run_bare(stage: &Stage, bare: &Bare, requests: &Arc<Vec<Vec<u8>>>) -> anyhow::Result<Outcome> {
    stage.only(bare.pid())?;
    // It is so much faster that one pass would measure little but the beginning.
    let load = Load { passes: BARE_REQUESTS.div_ceil(requests.len()), ..Load::new(bare.address, requests) };
    let outcome = load.run().await?.checked()?;
    stage.none()?;
    Ok(outcome)
}

/// Waits until as many changes wait for the build as were accepted: nothing of the work was put off for ever.
async fn catch_up(freshet: &Freshet, wanted: u64) -> (u64, f64) {
    let begun = Instant::now();
    loop {
        let joined = freshet.clients.pending(CLIENT, "www").await.map_or(0, |batch| batch.changes);
        if joined >= wanted || begun.elapsed() > Duration::from_secs(60) {
            return (joined, begun.elapsed().as_secs_f64());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn median_of(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    median(&rounds.iter().map(of).collect::<Vec<_>>())
}

impl Contest<'_> {
    fn tell(&self, table: &mut Table) {
        let of = |value: fn(&Round) -> f64| median_of(&self.rounds, value);
        let title = &self.title;
        table.told(
            format!("{title}: deliveries/s"),
            format!("{} (bare hyper {})", thousands(of(|round| round.freshet)), thousands(of(|round| round.bare))),
        );
        table.told(format!("{title}: deliveries/s until all can be read"), thousands(of(|round| round.readable)));
        let shares: Vec<f64> = self.rounds.iter().map(|round| 100.0 * round.freshet / round.bare).collect();
        let share = numbers::median(&shares);
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let most = shares.iter().copied().fold(0.0, f64::max);
        table.judged(
            format!("{title}: share of bare hyper"),
            format!("{share:.1} % (rounds {least:.1} to {most:.1})"),
            &format!(">= {} %, aiming at {} %", self.share_wanted, self.share_hoped),
            share >= self.share_wanted,
        );
        table.told(
            format!("{title}: answer at full rate, p50 / p99"),
            format!("{:.1} / {:.1} ms", of(|round| round.p50), of(|round| round.p99)),
        );
        let p99 = median(&self.at_half);
        let worst = self.at_half.iter().copied().fold(0.0, f64::max);
        table.judged(
            format!("{title}: answer at half that rate, p99"),
            format!("{p99:.1} ms (worst round {worst:.1})"),
            "< 10 ms",
            p99 < 10.0,
        );
    }
}
