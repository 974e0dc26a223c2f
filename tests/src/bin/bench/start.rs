//! Memory when idle, and start to ready.

use std::time::Duration;

use crate::Plan;
use crate::freshet::{Freshet, catalogue, folder};
use crate::numbers::{median, millis, note, thousands};
use crate::store::Store;
use crate::table::Table;

/// What is left of the start is given back within this time.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn measure(plan: &Plan, large: &Store, table: &mut Table) -> anyhow::Result<()> {
    note("start and memory");
    let (mut fresh, mut again, mut full) = (Vec::new(), Vec::new(), Vec::new());
    let (mut idle, mut idle_full) = (Vec::new(), Vec::new());
    for _ in 0..plan.pick(3, 5) {
        let folder = folder(&catalogue("5s", "60s"))?;
        let freshet = Freshet::start(&plan.binary, folder.path())?;
        fresh.push(millis(freshet.ready_after));
        tokio::time::sleep(SETTLE).await;
        idle.push(freshet.resident_mib()?);
        freshet.stop().await?;
        let freshet = Freshet::start(&plan.binary, folder.path())?;
        again.push(millis(freshet.ready_after));
        freshet.stop().await?;

        let freshet = Freshet::start(&plan.binary, large.folder.path())?;
        full.push(millis(freshet.ready_after));
        tokio::time::sleep(SETTLE).await;
        idle_full.push(freshet.resident_mib()?);
        freshet.stop().await?;
    }
    let entries = thousands(large.entries as f64);
    let memory = median(&idle);
    table.judged("idle memory of a fresh suite", format!("{memory:.1} MiB"), "< 40 MiB", memory < 40.0);
    table.told(format!("idle memory with {entries} entries"), format!("{:.1} MiB", median(&idle_full)));
    let first = median(&fresh);
    table.judged("first start to ready, nothing stored", format!("{first:.0} ms"), "< 300 ms", first < 300.0);
    table.told("next start to ready, nothing stored", format!("{:.0} ms", median(&again)));
    let (middle, worst) = (median(&full), full.iter().copied().fold(0.0, f64::max));
    table.judged(
        format!("start to ready with {entries} entries"),
        format!("{middle:.0} ms (worst {worst:.0})"),
        "< 1000 ms",
        middle < 1_000.0,
    );
    Ok(())
}
