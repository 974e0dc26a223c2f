//! Snapshots and lists of many entries.

use std::time::Instant;

use freshet_kit::rpc::Channel;
use freshet_proto::content::v1::ListEntriesRequest;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;

use crate::Plan;
use crate::freshet::{CLIENT, Freshet};
use crate::numbers::{median, note, thousands};
use crate::store::{SNAPSHOT_ENTRIES, Store, TAGS, slug, snapshot};
use crate::table::Table;

const SMALL: u64 = 10_000;

pub(crate) async fn measure(plan: &Plan, large: &Store, table: &mut Table) -> anyhow::Result<()> {
    note("snapshots and lists");
    let freshet = Freshet::start(&plan.binary, large.folder.path())?;
    let over_tcp = exports(&mut freshet.clients.content()).await?;
    freshet.stop().await?;

    let small = Store::make(SMALL).await?;
    let (mut few, mut many) = (small.open()?, large.open()?);
    let in_process = exports(&mut many.client).await?;
    let wanted = "> 100 000 entries/s";
    let name = format!("snapshot of {} entries", thousands(SNAPSHOT_ENTRIES as f64));
    for (how, rate) in [("over gRPC", over_tcp), ("in process", in_process)] {
        table.judged(format!("{name}, {how}"), format!("{} entries/s", thousands(rate)), wanted, rate > 100_000.0);
    }

    let (mut by_slug, mut by_tag) = (Lists::default(), Lists::default());
    for round in 0..plan.pick(300, 1_000) {
        // By turns, so that noise meets both alike; other entries each time, so that no page is always at hand.
        let seed = (round as u64).wrapping_mul(7_919);
        let of = |entries: u64| ListEntriesRequest { slug: slug(seed % entries), ..request() };
        by_slug.few.push(list(&mut few.client, of(SMALL), 1).await?);
        by_slug.many.push(list(&mut many.client, of(large.entries), 1).await?);
        let tagged = ListEntriesRequest { tag: format!("tag-{}", seed % TAGS), ..request() };
        by_tag.few.push(list(&mut few.client, tagged.clone(), 50).await?);
        by_tag.many.push(list(&mut many.client, tagged, 50).await?);
    }
    for (how, lists) in [("by slug", by_slug), ("by tag, 50 a page", by_tag)] {
        let (few, many) = (median(&lists.few), median(&lists.many));
        table.judged(
            format!("entries {how}: {} against {}", thousands(large.entries as f64), thousands(SMALL as f64)),
            format!("{many:.0} us against {few:.0} us, {:.2} times", many / few),
            "<= 2 times",
            many / few <= 2.0,
        );
    }
    many.close(large.folder.path()).await?;
    few.close(small.folder.path()).await
}

/// Entries a second, the median of three snapshots.
async fn exports(client: &mut ContentServiceClient<Channel>) -> anyhow::Result<f64> {
    let mut rates = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let entries = snapshot(client, "shop").await?;
        anyhow::ensure!(entries == SNAPSHOT_ENTRIES, "the snapshot has {entries} entries");
        rates.push(entries as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(median(&rates))
}

/// Microseconds of each call.
#[derive(Default)]
struct Lists {
    few: Vec<f64>,
    many: Vec<f64>,
}

fn request() -> ListEntriesRequest {
    ListEntriesRequest { client_id: CLIENT.to_owned(), ..Default::default() }
}

async fn list(
    client: &mut ContentServiceClient<Channel>,
    request: ListEntriesRequest,
    wanted: usize,
) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let entries = client.list_entries(request).await?.into_inner().entries;
    let micros = begun.elapsed().as_secs_f64() * 1e6;
    anyhow::ensure!(entries.len() == wanted, "{} entries were listed, not {wanted}", entries.len());
    Ok(micros)
}
