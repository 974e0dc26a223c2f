//! What it costs that services call each other over gRPC instead of directly: the same suite with either path.

use std::sync::Arc;

use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues;
use freshet_tests::suite::Options;

use crate::load::Load;
use crate::numbers::{median, note, thousands};
use crate::requests::{Maker, STRAPI};
use crate::table::Table;
use crate::{CLIENT, Plan};

/// Hops of a delivery: to validation and to content.
const HOPS: f64 = 2.0;

/// A second, far below what either path can do.
const CALM: f64 = 200.0;

pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    note("gRPC hops: one process, directly and over loopback by turns");
    let site = "quiet_period = \"1h\"\nmax_wait = \"1d\"\n";
    let catalogue = || catalogues::client(CLIENT, &["journal", "shop"], site);
    let suites = [
        Options::new(catalogue()).path(RpcPath::InProcess).start().await,
        Options::new(catalogue()).path(RpcPath::Tcp).start().await,
    ];
    let mut maker = Maker::with_secret(catalogues::secret(CLIENT, "journal", "strapi"));
    let (mut calm, mut full) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..plan.pick(3, 7) {
        for (path, suite) in suites.iter().enumerate() {
            let requests = Arc::new(maker.make(STRAPI, (CALM * 2.0) as usize)?);
            let load = Load { pace: Some(CALM), ..Load::new(suite.http_address, &requests) };
            calm[path].push(load.run().await?.checked()?.millis(0.5));
            let requests = Arc::new(maker.make(STRAPI, plan.pick(3_000, 10_000))?);
            full[path].push(Load::new(suite.http_address, &requests).run().await?.checked()?.rate());
        }
    }
    let [direct, over_tcp] = calm.map(|values| median(&values));
    table.told(
        "a delivery at 200/s, p50: direct / over gRPC",
        format!("{direct:.2} / {over_tcp:.2} ms: {:.0} us a hop", (over_tcp - direct) * 1e3 / HOPS),
    );
    let [direct, over_tcp] = full.map(|values| median(&values));
    table.told(
        "deliveries/s: direct / over gRPC (generator in the same process)",
        format!("{} / {} ({:.0} %)", thousands(direct), thousands(over_tcp), 100.0 * over_tcp / direct),
    );
    Ok(())
}
