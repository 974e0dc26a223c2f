//! Keeps one Freshet busy for a while, for whoever wants to look into it with a profiler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Plan;
use crate::freshet::{Freshet, catalogue, folder};
use crate::load::Load;
use crate::numbers::note;
use crate::requests::{Maker, STRAPI};

pub(crate) async fn run(plan: &Plan) -> anyhow::Result<()> {
    let folder = folder(&catalogue("1h", "1d"))?;
    let freshet = Freshet::start(&plan.binary, folder.path())?;
    let mut maker = Maker::new();
    note(format!("  perf record -g --call-graph dwarf -p {} -- sleep 5", freshet.pid()));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(plan.pick(10, 30)) {
        let requests = Arc::new(maker.make(STRAPI, 20_000)?);
        let outcome = Load::new(freshet.address, &requests).run().await?.checked()?;
        let (p50, p99) = (outcome.millis(0.5), outcome.millis(0.99));
        note(format!("  {:.0} deliveries/s, p50 {p50:.1} ms, p99 {p99:.1} ms", outcome.rate()));
    }
    freshet.stop().await
}
