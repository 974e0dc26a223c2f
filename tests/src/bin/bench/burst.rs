//! Ten thousand changes at once: how many builds they need, and whether the first waits too long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_proto::build::v1::ListDeliveryBatchesRequest;
use freshet_proto::convert::timestamp_from_proto;

use crate::Plan;
use crate::freshet::{CLIENT, Freshet, catalogue, folder};
use crate::load::Load;
use crate::numbers::{note, thousands};
use crate::requests::{Maker, STRAPI};
use crate::table::Table;

const CHANGES: usize = 10_000;

/// The site's `max_wait`.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// What a build may start later than promised: the scheduler is a program, too.
const TOLERANCE: Duration = Duration::from_millis(500);

/// What is known of one batch.
struct Batch {
    deliveries: usize,
    first_sent_at: Timestamp,
    started_at: Option<Timestamp>,
}

pub(crate) async fn measure(plan: &Plan, table: &mut Table) -> anyhow::Result<()> {
    note("a burst of changes");
    let folder = folder(&catalogue("2s", "10s"))?;
    let freshet = Freshet::start(&plan.binary, folder.path())?;
    let requests = Arc::new(Maker::new().make(STRAPI, CHANGES)?);
    let load = Load { keep_ids: true, ..Load::new(freshet.address, &requests) };
    let outcome = load.run().await?.checked()?;
    anyhow::ensure!(outcome.ids.len() == CHANGES, "{} answers have an id", outcome.ids.len());
    // The batch may not have begun when the last answer came.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let site = freshet.clients.wait_idle(CLIENT, "www").await;
    let builds = freshet.clients.builds(CLIENT, "www").await;
    let batches = batches(&freshet, &outcome.ids).await?;

    let took = format!("{} builds ({:.1} s of posting)", builds.len(), outcome.elapsed.as_secs_f64());
    table.judged(format!("{} changes at once", thousands(CHANGES as f64)), took, "<= 2 builds", builds.len() <= 2);
    let contained: usize = batches.values().map(|batch| batch.deliveries).sum();
    let entries = site.live_build.map_or(0, |build| build.entries);
    table.judged(
        "  changes in builds; entries in the live one",
        format!("{}; {}", thousands(contained as f64), thousands(entries as f64)),
        "all; all (P4)",
        contained == CHANGES && entries == CHANGES as u64,
    );
    let waits = batches.values().map(|batch| batch.started_at.map(|at| at.since(batch.first_sent_at)));
    let longest = waits.map(|wait| wait.unwrap_or(Duration::MAX)).max().unwrap_or(Duration::MAX);
    table.judged(
        "  longest wait from posting to the start of the build",
        format!("{:.1} s", longest.as_secs_f64()),
        "<= max_wait of 10 s (P5)",
        longest <= MAX_WAIT + TOLERANCE,
    );
    freshet.stop().await
}

/// Which batches took the deliveries. Asked for every single one: none may be missing.
async fn batches(freshet: &Freshet, ids: &[(String, Timestamp)]) -> anyhow::Result<BTreeMap<String, Batch>> {
    let mut batches: BTreeMap<String, Batch> = BTreeMap::new();
    let mut client = freshet.clients.build();
    for (id, sent_at) in ids {
        let request = ListDeliveryBatchesRequest { client_id: CLIENT.to_owned(), delivery_id: id.clone() };
        for found in client.list_delivery_batches(request).await?.into_inner().batches {
            let started_at = found.builds.iter().filter_map(|build| build.start_time).min_by_key(|at| at.seconds);
            let batch_id = found.batch.map(|batch| batch.batch_id).unwrap_or_default();
            let batch = batches.entry(batch_id).or_insert(Batch {
                deliveries: 0,
                first_sent_at: *sent_at,
                started_at: started_at.as_ref().map(timestamp_from_proto),
            });
            batch.deliveries += 1;
            batch.first_sent_at = batch.first_sent_at.min(*sent_at);
        }
    }
    Ok(batches)
}
