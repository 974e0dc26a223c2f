//! `kill -9` at any moment loses nothing that was acknowledged, does nothing twice, and leaves no change behind
//! (promises P1, P2 and P4).
//!
//! The real binary runs under load and is killed again and again; at the end every answer that was given is held
//! against what is there. `FRESHET_CRASH_ROUNDS` sets the number of kills, `FRESHET_CRASH_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use freshet_domain::Timestamp;
use freshet_domain::catalogue::Source;
use freshet_kit::catalogue::parse;
use freshet_kit::secret::LocalSecrets;
use freshet_proto::build::v1::{BatchState, BuildState, ListDeliveryBatchesRequest};
use freshet_proto::common::v1::{ChangeEffect, EntryKey};
use freshet_proto::content::v1::Delivery;
use freshet_providers::{Registry, SampleDelivery};
use freshet_tests::catalogues::{client, secrets};
use freshet_tests::process::Dev;
use freshet_tests::{Clients, Poster, Sample, samples, wait_for};
use tempfile::tempdir;

const SOURCES: [&str; 4] = ["journal", "stories", "shop", "bulletin"];
/// Entries per source: few, so that most deliveries are updates.
const ENTRIES: u64 = 12;

/// Small and repeatable (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What one source has sent.
#[derive(Default)]
struct Sent {
    /// Revision that each entry has come to.
    revisions: HashMap<u64, u64>,
    /// Number, revision and delivery id of what was acknowledged.
    acknowledged: Vec<(u64, u64, String)>,
    /// Number and revision of what was sent and never answered.
    unanswered: Vec<(u64, u64)>,
    /// Sent, not answered, to be sent again: providers do so.
    again: Option<(u64, u64, SampleDelivery)>,
}

struct Sender {
    registry: Arc<Registry>,
    source: Arc<Source>,
    random: Random,
    sent: Sent,
}

impl Sender {
    /// Sends until told to stop or until nobody answers any more.
    async fn run(mut self, http: String, stop: Arc<AtomicBool>) -> Self {
        let poster = Poster::new();
        let url = format!("{http}/webhook/{}/{}", self.source.provider, self.source.id);
        while !stop.load(Ordering::SeqCst) {
            let (number, revision, delivery) = match self.sent.again.take() {
                Some(again) => again,
                None => self.next(),
            };
            let answer = poster.try_send(delivery.method, &url, &delivery.headers, delivery.body.clone()).await;
            match answer {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    self.sent.acknowledged.push((number, revision, answer.delivery_id()));
                }
                // Refused or not answered: it may be there or not.
                other => {
                    self.sent.unanswered.push((number, revision));
                    if self.random.below(2) == 0 {
                        self.sent.again = Some((number, revision, delivery));
                    }
                    if other.is_err() {
                        break;
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(self.random.below(12))).await;
        }
        self
    }

    fn next(&mut self) -> (u64, u64, SampleDelivery) {
        let number = self.random.below(ENTRIES);
        let revision = self.sent.revisions.entry(number).and_modify(|revision| *revision += 1).or_insert(0);
        let sample = Sample::new(number, *revision);
        (number, *revision, samples::make(&self.registry, &self.source, sample, Timestamp::now()))
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_p2_p4_kill_9_loses_nothing_and_repeats_nothing() {
    let rounds = setting("FRESHET_CRASH_ROUNDS").unwrap_or(12);
    let seed = setting("FRESHET_CRASH_SEED").unwrap_or_else(|| Timestamp::now().as_micros().unsigned_abs());
    println!("FRESHET_CRASH_SEED={seed} FRESHET_CRASH_ROUNDS={rounds}");
    let mut random = Random(seed);
    let folder = tempdir().expect("a folder");
    let policy = "quiet_period = \"100ms\"\nmax_wait = \"700ms\"";
    let second = format!("\n[[client.site]]\nid = \"second\"\nsources = [\"journal\", \"shop\"]\n{policy}\n");
    let text = format!("{}{second}", client("tidewater", &SOURCES, policy));
    let registry = Arc::new(Registry::new());
    let resolver = LocalSecrets::new(secrets(), folder.path(), None);
    let catalogue = parse(&text, folder.path(), &*registry, &resolver).expect("good");
    let dev = Dev::new(folder.path(), &text, secrets());
    let mut senders: Vec<Sender> = SOURCES
        .iter()
        .map(|name| Sender {
            registry: registry.clone(),
            source: catalogue.source("tidewater", name).expect("a source").clone(),
            random: Random(random.next()),
            sent: Sent::default(),
        })
        .collect();

    for round in 0..rounds {
        // Sometimes it does not even get to its feet.
        if random.below(3) == 0 {
            dev.start_and_kill(Duration::from_millis(random.below(250))).await;
        }
        let mut process = dev.start().await;
        let stop = Arc::new(AtomicBool::new(false));
        let tasks: Vec<_> = senders
            .drain(..)
            .map(|sender| tokio::spawn(sender.run(process.running.http.clone(), stop.clone())))
            .collect();
        tokio::time::sleep(Duration::from_millis(50 + random.below(1_500))).await;
        process.kill();
        stop.store(true, Ordering::SeqCst);
        for task in tasks {
            senders.push(task.await.expect("a sender"));
        }
        let acknowledged: usize = senders.iter().map(|sender| sender.sent.acknowledged.len()).sum();
        println!("round {round}: {acknowledged} deliveries acknowledged so far");
    }

    let mut process = dev.start().await;
    let clients = process.clients.clone();
    let (deliveries, entries) = account(&clients, &senders).await;
    println!("{deliveries} deliveries of {entries} entries are accounted for");
    let status = process.stop().await.expect("it ran");
    assert!(status.success(), "{status}");
    assert!(!dev.stderr().contains("panicked"), "{}", dev.stderr());
}

/// Holds every answer against what is there. Returns the number of deliveries and of entries.
async fn account(clients: &Clients, senders: &[Sender]) -> (usize, usize) {
    // From the spool some may come a little later.
    for sender in senders {
        for (_, _, id) in &sender.sent.acknowledged {
            wait_for("every acknowledged delivery to be there", || async {
                clients.delivery("tidewater", id).await.map_err(|status| format!("{id}: {status}"))
            })
            .await;
        }
    }
    let deliveries = clients.deliveries("tidewater").await;
    let bodies: BTreeSet<_> = deliveries.iter().map(|delivery| delivery.body_hash.clone()).collect();
    assert_eq!(bodies.len(), deliveries.len(), "the same delivery was stored twice");
    let by_id: HashMap<&str, &Delivery> =
        deliveries.iter().map(|delivery| (delivery.delivery_id.as_str(), delivery)).collect();

    let written = written(&deliveries);
    for sender in senders {
        check_entries(clients, sender, &by_id, &written).await;
    }
    check_builds(clients, &deliveries).await;
    (deliveries.len(), written.len())
}

type Key = (String, String, String);

fn key(key: &EntryKey) -> Key {
    (key.source_id.clone(), key.r#type.clone(), key.id.clone())
}

/// How often each entry was changed, by the outcomes on record; each has a place of its own in the feed.
fn written(deliveries: &[Delivery]) -> BTreeMap<Key, u64> {
    let (mut written, mut sequences) = (BTreeMap::new(), BTreeSet::new());
    for outcome in deliveries.iter().flat_map(|delivery| &delivery.outcomes) {
        if matches!(outcome.effect(), ChangeEffect::Published | ChangeEffect::Stored) {
            *written.entry(key(outcome.key.as_ref().expect("a key"))).or_default() += 1;
            assert!(sequences.insert(outcome.sequence), "two changes have the number {}", outcome.sequence);
        }
    }
    written
}

async fn check_entries(
    clients: &Clients,
    sender: &Sender,
    by_id: &HashMap<&str, &Delivery>,
    written: &BTreeMap<Key, u64>,
) {
    let sent = &sender.sent;
    let entries = clients.entries("tidewater", sender.source.id.as_str()).await;
    let mut newest: BTreeMap<u64, (u64, &str)> = BTreeMap::new();
    for (number, revision, id) in &sent.acknowledged {
        let found = newest.entry(*number).or_insert((*revision, id));
        if *revision >= found.0 {
            *found = (*revision, id);
        }
    }
    for (number, (revision, id)) in newest {
        let outcome = by_id[id].outcomes.first().expect("a change");
        assert_eq!(outcome.effect(), ChangeEffect::Published, "{id}: {outcome:?}");
        let wanted = outcome.key.as_ref();
        let entry = entries.iter().find(|entry| entry.key.as_ref() == wanted);
        let entry = entry.unwrap_or_else(|| panic!("{wanted:?} of {id} is gone"));
        // Only something that was sent later and never answered may have replaced it.
        let later = sent.unanswered.iter().any(|(of, at)| *of == number && *at > revision);
        let is_acknowledged = sent.acknowledged.iter().any(|(_, _, known)| *known == entry.delivery_id);
        assert!(
            entry.delivery_id == id || (later && !is_acknowledged),
            "{wanted:?} is at {}, but {id} was acknowledged last",
            entry.delivery_id
        );
        assert_eq!(entry.revision, written[&key(wanted.expect("a key"))], "{wanted:?}");
    }
}

async fn check_builds(clients: &Clients, deliveries: &[Delivery]) {
    // What the last kill left in the outbox is still on its way.
    for delivery in deliveries {
        if delivery.outcomes.iter().any(|outcome| outcome.effect() == ChangeEffect::Published) {
            clients.wait_live("tidewater", &delivery.delivery_id).await;
        }
    }
    for site in ["www", "second"] {
        clients.wait_idle("tidewater", site).await;
    }
    for site in ["www", "second"] {
        let found = clients.site("tidewater", site).await;
        assert!(found.pending_batch.is_none() && found.running_build.is_none(), "{found:?}");
        for build in clients.builds("tidewater", site).await {
            let ended = [BuildState::Succeeded, BuildState::Failed, BuildState::Cancelled].contains(&build.state());
            assert!(ended, "{build:?}");
        }
    }
    for delivery in deliveries {
        let id = &delivery.delivery_id;
        let published: Vec<u32> = delivery
            .outcomes
            .iter()
            .filter(|outcome| outcome.effect() == ChangeEffect::Published)
            .map(|outcome| outcome.index)
            .collect();
        if published.is_empty() {
            continue;
        }
        let request = ListDeliveryBatchesRequest { client_id: "tidewater".into(), delivery_id: id.clone() };
        let batches = clients.build().list_delivery_batches(request).await.expect("told").into_inner().batches;
        let sites: &[&str] =
            if matches!(delivery.source_id.as_str(), "journal" | "shop") { &["www", "second"] } else { &["www"] };
        for site in sites {
            for index in &published {
                let succeeded = batches.iter().filter(|taken| {
                    let batch = taken.batch.as_ref().expect("a batch");
                    batch.site_id == *site
                        && batch.state() == BatchState::Succeeded
                        && taken.change_indexes.contains(index)
                });
                assert_eq!(succeeded.count(), 1, "change {index} of {id} at {site}: {batches:?}");
            }
        }
    }
}
