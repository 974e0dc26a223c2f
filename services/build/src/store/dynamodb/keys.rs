//! The table: every item, its keys, and the access that it serves. There is no scan.
//!
//! | item | pk | sk | read by |
//! | --- | --- | --- | --- |
//! | site: the machine's state | `s#client/site` | `-` | every commit, under its version |
//! | running builds | `running` | `all`, or `client#` and the client | every commit that takes or frees a place |
//! | batch | `b#batch` | `-` | id |
//! | a batch that joined it | `b#batch` | `j#` and that batch | changed keys, settling |
//! | its changes, one commit's | `b#batch` | `c#` and the site's version | changed keys |
//! | its decisions | `b#batch` | `x#`, the site's version, number | batch, build |
//! | its builds | `b#batch` | `r#build` | batch |
//! | build | `r#build` | `-` | id |
//! | where changes of a delivery are | `d#client#delivery` | site, batch, the site's version | seen changes, receipts |
//! | who schedules | `lease` | `-` | the lease |
//! | answered request | `q#client` | request id | request |
//!
//! Global secondary indexes, all sparse, with all attributes where lists need them:
//!
//! | index | pk | sk | of | read by |
//! | --- | --- | --- | --- | --- |
//! | `list` | `due`, `room`, `work`, `settled`, `request` | time and name, or name | sites, batches, requests | scheduler, pruning |
//! | `list2` | the same | the same | a site can be due, wait for room and have work at once | scheduler |
//! | `list3` | the same | the same | | scheduler |
//! | `client` | client | build | builds | lists, newest first |
//! | `site` | `client/site` | build | builds | lists, newest first |
//!
//! Indexes follow a write within a second or so. The scheduler looks again after a second at the latest and commits under
//! the site's version; pruning reads again what it removes.

use freshet_aws::dynamo::Key;
use freshet_domain::{BatchId, BuildId, ClientId, DeliveryId, Timestamp};

use crate::machine::SiteKey;

/// An index by name, partition key and sort key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Index {
    pub(super) name: &'static str,
    pub(super) names: (&'static str, &'static str),
}

pub(super) const DUE: Index = Index { name: "list", names: ("list_pk", "list_sk") };
pub(super) const ROOM: Index = Index { name: "list2", names: ("list2_pk", "list2_sk") };
pub(super) const WORK: Index = Index { name: "list3", names: ("list3_pk", "list3_sk") };
pub(super) const SETTLED: Index = DUE;
pub(super) const OF_CLIENT: Index = Index { name: "client", names: ("client_pk", "client_sk") };
pub(super) const OF_SITE: Index = Index { name: "site", names: ("site_pk", "site_sk") };

/// Every index, for whoever makes the table.
#[cfg(any(test, feature = "testkit"))]
pub(super) const ALL: [Index; 5] = [DUE, ROOM, WORK, OF_CLIENT, OF_SITE];

pub(super) fn site(key: &SiteKey) -> Key {
    Key::new(format!("s#{key}"), "-")
}

pub(super) fn running_of(client: &ClientId) -> Key {
    Key::new("running", format!("client#{client}"))
}

pub(super) fn running() -> Key {
    Key::new("running", "all")
}

pub(super) fn of_batch(batch: BatchId) -> String {
    format!("b#{batch}")
}

pub(super) fn batch(batch: BatchId) -> Key {
    Key::new(of_batch(batch), "-")
}

pub(super) fn joined(into: BatchId, from: BatchId) -> Key {
    Key::new(of_batch(into), format!("j#{from}"))
}

pub(super) fn changes(batch: BatchId, version: u64) -> Key {
    Key::new(of_batch(batch), format!("c#{version:020}"))
}

pub(super) fn decision(batch: BatchId, version: u64, number: usize) -> Key {
    Key::new(of_batch(batch), format!("x#{version:020}#{number:04}"))
}

pub(super) fn build_of(batch: BatchId, build: BuildId) -> Key {
    Key::new(of_batch(batch), format!("r#{build}"))
}

pub(super) fn build(build: BuildId) -> Key {
    Key::new(format!("r#{build}"), "-")
}

pub(super) fn of_delivery(client: &ClientId, delivery: DeliveryId) -> String {
    format!("d#{client}#{delivery}")
}

/// What all places of a delivery's changes in a site begin with.
pub(super) fn place_of(key: &SiteKey) -> String {
    format!("{}#", key.site)
}

pub(super) fn place(key: &SiteKey, delivery: DeliveryId, batch: BatchId, version: u64) -> Key {
    Key::new(of_delivery(&key.client, delivery), format!("{}{batch}#{version:020}", place_of(key)))
}

pub(super) fn lease() -> Key {
    Key::new("lease", "-")
}

pub(super) fn request(client: &ClientId, id: &str) -> Key {
    // Chosen by callers: longer than a key may be, perhaps.
    let id: String = id.chars().take(200).collect();
    Key::new(format!("q#{client}"), format!("r#{id}"))
}

/// Sorts as the time does; times are after the epoch.
pub(super) fn instant(at: Timestamp) -> String {
    format!("{:020}", at.as_micros().max(0))
}
