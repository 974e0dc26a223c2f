//! The five programs of the AWS engine: start, memory, and deliveries a second against the emulator.
//!
//! `scripts/bench programs` builds them and starts the emulator. What they do a second says more about the emulator, which
//! is one Python process on the same cores, than about them; start and memory are their own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use freshet_tests::catalogues;
use freshet_tests::cluster::{Cluster, PROGRAMS};

use crate::freshet::resident_mib;
use crate::load::Load;
use crate::numbers::{median, millis, note, thousands};
use crate::requests::{Maker, STRAPI};
use crate::table::Table;
use crate::{CLIENT, Plan};

/// What is left of the start is given back within this time.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    note("the five programs");
    let catalogue = |bucket: &str| {
        let site = format!("quiet_period = \"1h\"\nmax_wait = \"1d\"\n[client.site.aws]\nbucket = \"{bucket}\"\n");
        catalogues::client(CLIENT, &["journal", "shop"], &site)
    };
    let cluster = Cluster::start(&[CLIENT], catalogue, &[]).await;
    let mut cluster = cluster.context("no emulator; use `scripts/bench programs`")?;
    for service in PROGRAMS {
        let (mut ready, mut idle) = (Vec::new(), Vec::new());
        for _ in 0..plan.pick(3, 5) {
            cluster.kill(service);
            ready.push(millis(cluster.launch_timed(service).await));
            tokio::time::sleep(SETTLE).await;
            idle.push(resident_mib(cluster.pid(service))?);
        }
        let (ready, idle) = (median(&ready), median(&idle));
        table.judged(format!("{service}: start to ready"), format!("{ready:.0} ms"), "< 1000 ms", ready < 1_000.0);
        table.judged(format!("{service}: idle memory"), format!("{idle:.1} MiB"), "< 30 MiB", idle < 30.0);
    }
    let address = cluster.address("ingress").trim_start_matches("http://").parse()?;
    let mut maker = Maker::with_secret(catalogues::secret(CLIENT, "journal", "strapi"));
    let (mut rates, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let requests = Arc::new(maker.make(STRAPI, plan.pick(300, 1_000))?);
        let outcome = Load::new(address, &requests).run().await?;
        // Some of them may have taken the way through the spool: the emulator is slow.
        rates.push(outcome.rate());
        answers.push(outcome.millis(0.5));
        note(format!("  {:.0} a second, {} not at once", outcome.rate(), outcome.wrong.values().sum::<u64>()));
    }
    table.told(
        "five programs on the emulator: deliveries/s, p50",
        format!("{}, {:.0} ms", thousands(median(&rates)), median(&answers)),
    );
    Ok(())
}
