//! Keeps one Freshet busy for a while and tells what a delivery costs it, thread by thread; and for how long a profiler
//! can look into it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::Plan;
use crate::freshet::{Freshet, catalogue, folder};
use crate::load::Load;
use crate::numbers::note;
use crate::requests::Maker;

const DELIVERIES: usize = 20_000;

pub(crate) async fn run(plan: &Plan) -> anyhow::Result<()> {
    let folder = folder(&catalogue("1h", "1d"))?;
    let freshet = Freshet::start(&plan.binary, folder.path())?;
    let mut maker = Maker::new();
    note(format!("  perf record -g --call-graph dwarf -p {} -- sleep 5", freshet.pid()));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(plan.pick(10, 30)) {
        let requests = Arc::new(maker.make(plan.profiled, DELIVERIES)?);
        let (cpu, written) = (cpu(freshet.pid())?, written(freshet.pid())?);
        let began = Instant::now();
        let outcome = Load::new(freshet.address, &requests).run().await?.checked()?;
        // What was put off until afterwards is a delivery's cost as well.
        freshet.settle().await?;
        let readable = DELIVERIES as f64 / began.elapsed().as_secs_f64();
        let (p50, p99) = (outcome.millis(0.5), outcome.millis(0.99));
        let kib_since = |before: u64, deliveries: usize| -> anyhow::Result<f64> {
            Ok((self::written(freshet.pid())? - before) as f64 / deliveries as f64 / 1024.0)
        };
        let kib = kib_since(written, DELIVERIES)?;
        let rate = outcome.rate();
        note(format!(
            "  {rate:.0}/s, {readable:.0}/s until all can be read, p50 {p50:.1} ms, p99 {p99:.1} ms; \
             each {kib:.1} KiB to files and us of CPU:"
        ));
        let after = self::cpu(freshet.pid())?;
        let spent = after.iter().map(|(thread, ticks)| {
            // A tick is 10 ms.
            let ticks = ticks - cpu.get(thread).copied().unwrap_or_default();
            format!("{thread} {:.1}", ticks as f64 * 1e4 / DELIVERIES as f64)
        });
        note(format!("    {}", spent.collect::<Vec<_>>().join(", ")));

        let requests = Arc::new(maker.make(plan.profiled, DELIVERIES / 2)?);
        let written = self::written(freshet.pid())?;
        let load = Load { pace: Some(rate / 2.0), ..Load::new(freshet.address, &requests) };
        let outcome = load.run().await?.checked()?;
        freshet.settle().await?;
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|share| outcome.millis(share));
        let kib = kib_since(written, requests.len())?;
        note(format!(
            "    at half that rate: p50 {p50:.1} ms, p99 {p99:.1} ms, at most {most:.1} ms; each {kib:.1} KiB to files"
        ));
    }
    freshet.stop().await
}

/// Ticks of CPU by the threads' names.
fn cpu(pid: u32) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut ticks = BTreeMap::new();
    for thread in std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task"))? {
        // It may have ended since.
        let Ok(text) = std::fs::read_to_string(thread?.path().join("stat")) else { continue };
        let (head, tail) = text.rsplit_once(')').context("no name in stat")?;
        let name = head.split_once('(').context("no name in stat")?.1.to_owned();
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let (user, system): (u64, u64) = (fields[11].parse()?, fields[12].parse()?);
        *ticks.entry(name).or_default() += user + system;
    }
    Ok(ticks)
}

/// Bytes that it has written to files.
fn written(pid: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("wchar: ")).context("no wchar")?;
    Ok(line.parse()?)
}
