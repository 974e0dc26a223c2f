//! The suite that every store passes: plain functions over the port, turned into one test each by
//! [`build_store_contract!`](crate::build_store_contract).

use std::time::Duration;

use freshet_domain::{BatchId, BuildId, ChangeOp, ClientId, DeliveryId, EntryKey, Lane, SiteId, SourceId, Timestamp};

use super::{BuildQuery, BuildStore, ChangeId, Commit, Committed, JoinedChange, Limits, RequestMark};
use crate::machine::{
    Active, BatchFacts, BatchRecord, BatchState, BuildState, BuildUpdate, Decision, Effects, Pending, Phase, SiteKey,
    SiteState, Wake,
};

/// Number of cases. A backend that runs fewer has lost some.
pub const CASES: usize = 13;

/// One test per case. `$open` is an async function that returns a fresh store and whatever keeps it alive. With
/// `, if condition` behind it, a case passes without a look where the condition does not hold.
#[macro_export]
macro_rules! build_store_contract {
    ($open:path) => {
        $crate::build_store_contract!($open, if true);
    };
    ($open:path, if $there:expr) => {
        $crate::build_store_contract!(@cases $open, [$there]
            a_new_site_is_idle, a_commit_is_read_back, a_stale_version_is_a_conflict, p2_a_change_joins_a_site_once,
            limits_hold_in_the_commit, due_sites_come_in_order, sites_with_work_are_paged, builds_are_listed_newest_first,
            build_updates_keep_what_they_do_not_name, joined_batches_show_their_changes, p7_clients_are_apart,
            a_request_id_has_effect_once, settled_batches_are_forgotten);
    };
    (@cases $open:path, [$there:expr] $($case:ident),+) => {
        $(
            #[tokio::test]
            async fn $case() {
                if !$there {
                    return;
                }
                let (store, _alive) = $open().await;
                $crate::store::contract::$case(&store).await;
            }
        )+

        #[test]
        fn every_case_runs() {
            assert_eq!([$(stringify!($case)),+].len(), $crate::store::contract::CASES);
        }
    };
}

fn key(client: &str, site: &str) -> SiteKey {
    SiteKey::new(ClientId::new(client).expect("a name"), SiteId::new(site).expect("a name"))
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

fn facts(batch: BatchId) -> BatchFacts {
    BatchFacts {
        first_change_at: Some(at(10)),
        last_change_at: Some(at(11)),
        changes: 2,
        lane: Some(Lane::Normal),
        traceparent: "00-x".into(),
        ..BatchFacts::new(batch, at(10))
    }
}

fn change(delivery: DeliveryId, index: u32, id: &str) -> JoinedChange {
    let key = EntryKey::new(SourceId::new("blog").expect("a name"), "article", id);
    JoinedChange { id: ChangeId { delivery, index }, key, op: ChangeOp::Upsert, sequence: u64::from(index) + 1 }
}

fn commit(expected: u64) -> Commit {
    Commit {
        expected,
        state: SiteState::default(),
        wake: Wake::default(),
        effects: Effects::default(),
        changes: None,
        limits: Limits { client: 10, global: 10 },
        request: None,
        now: at(10),
    }
}

fn record(batch: BatchId, state: BatchState) -> BatchRecord {
    BatchRecord { facts: facts(batch), state, ended_at: None, joined_into: None }
}

fn build(id: BuildId, batch: BatchId, state: BuildState) -> BuildUpdate {
    BuildUpdate {
        build: id,
        batch,
        attempt: 1,
        state,
        create_time: at(20),
        start_time: None,
        end_time: None,
        changes: 2,
        entries: None,
        error: None,
        log_tail: None,
        log_location: None,
        traceparent: None,
    }
}

fn pending(batch: BatchId) -> SiteState {
    SiteState {
        pending: Some(Pending { facts: facts(batch), asked: None, fired: None, held: None }),
        ..SiteState::default()
    }
}

fn running(batch: BatchId, id: BuildId) -> SiteState {
    let active = Active {
        facts: facts(batch),
        build: id,
        attempt: 1,
        failures: 0,
        interruptions: 0,
        create_time: at(20),
        start_time: None,
        phase: Phase::Starting,
        held: None,
    };
    SiteState { active: Some(active), ..SiteState::default() }
}

async fn put(store: &dyn BuildStore, site: &SiteKey, commit: Commit) {
    assert_eq!(store.commit(site, commit).await.expect("committed"), Committed::Done);
}

/// A site that was never stored.
pub async fn a_new_site_is_idle(store: &dyn BuildStore) {
    let stored = store.load(&key("acme", "shop")).await.expect("loaded");
    assert_eq!((stored.state, stored.version, stored.wake), (SiteState::default(), 0, Wake::default()));
    assert_eq!(store.next_wake().await.expect("read"), None);
    assert_eq!(store.due(at(i64::MAX / 2_000_000), 10).await.expect("read"), []);
}

/// State, batch, decisions and changes come back as they were given.
pub async fn a_commit_is_read_back(store: &dyn BuildStore) {
    let (site, batch) = (key("acme", "shop"), BatchId::generate());
    let delivery = DeliveryId::generate();
    let wake = Wake { at: Some(at(15)), room_since: Some(at(14)) };
    let decision =
        Decision { at: at(10), batch, build: None, code: "CHANGE_ADDED", reason: "blog/article/1 changed".into() };
    let effects =
        Effects { batches: vec![record(batch, BatchState::Pending)], decisions: vec![decision], ..Effects::default() };
    let changes = vec![change(delivery, 0, "1"), change(delivery, 1, "2")];
    let state = pending(batch);
    put(store, &site, Commit { state: state.clone(), wake, effects, changes: Some((batch, changes)), ..commit(0) })
        .await;
    let stored = store.load(&site).await.expect("loaded");
    assert_eq!((stored.state, stored.version, stored.wake), (state, 1, wake));
    let view = store.batch(&site.client, batch).await.expect("read").expect("there");
    assert_eq!((view.key, view.record), (site.clone(), record(batch, BatchState::Pending)));
    assert_eq!(view.decisions.len(), 1);
    assert_eq!((view.decisions[0].code.as_str(), view.decisions[0].build), ("CHANGE_ADDED", None));
    let keys = store.changed_keys(&site.client, batch, 10).await.expect("read");
    assert_eq!(keys.iter().map(|changed| changed.key.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(store.changed_keys(&site.client, batch, 1).await.expect("read").len(), 1);
}

/// Compare and set.
pub async fn a_stale_version_is_a_conflict(store: &dyn BuildStore) {
    let (site, batch) = (key("acme", "shop"), BatchId::generate());
    put(store, &site, commit(0)).await;
    put(store, &site, commit(1)).await;
    for stale in [0, 1, 3] {
        let effects = Effects { batches: vec![record(batch, BatchState::Pending)], ..Effects::default() };
        let answer = store.commit(&site, Commit { effects, state: pending(batch), ..commit(stale) }).await;
        assert_eq!(answer.expect("answered"), Committed::Conflict);
    }
    assert_eq!(store.batch(&site.client, batch).await.expect("read"), None);
    assert_eq!(store.load(&site).await.expect("loaded").version, 2);
}

/// The same change joins a site once, and every site once.
pub async fn p2_a_change_joins_a_site_once(store: &dyn BuildStore) {
    let (shop, blog, batch) = (key("acme", "shop"), key("acme", "blog"), BatchId::generate());
    let delivery = DeliveryId::generate();
    let one = change(delivery, 0, "1");
    let two = change(delivery, 1, "1");
    put(store, &shop, Commit { changes: Some((batch, vec![one.clone()])), ..commit(0) }).await;
    let ids = vec![one.id, two.id, two.id, one.id];
    assert_eq!(store.unseen(&shop, ids.clone()).await.expect("read"), [1]);
    assert_eq!(store.unseen(&blog, ids).await.expect("read"), [0, 1]);
    let again = Commit { changes: Some((batch, vec![two.clone(), one.clone()])), ..commit(1) };
    assert_eq!(store.commit(&shop, again).await.expect("answered"), Committed::Conflict);
    assert_eq!(store.unseen(&shop, vec![two.id]).await.expect("read"), [0], "a conflict leaves nothing");
    put(store, &blog, Commit { changes: Some((BatchId::generate(), vec![one, two])), ..commit(0) }).await;
}

/// The last word on limits is the store's.
pub async fn limits_hold_in_the_commit(store: &dyn BuildStore) {
    let limits = Limits { client: 1, global: 2 };
    let start =
        |expected| Commit { state: running(BatchId::generate(), BuildId::generate()), limits, ..commit(expected) };
    put(store, &key("acme", "a"), start(0)).await;
    let of_client = store.commit(&key("acme", "b"), start(0)).await.expect("answered");
    assert!(matches!(of_client, Committed::NoRoom(_)), "{of_client:?}");
    assert_eq!(store.load(&key("acme", "b")).await.expect("loaded").version, 0);
    put(store, &key("beta", "a"), start(0)).await;
    let of_all = store.commit(&key("gamma", "a"), start(0)).await.expect("answered");
    assert!(matches!(of_all, Committed::NoRoom(_)), "{of_all:?}");
    // Going on running takes no further place, whatever the limits have become.
    let tight = Commit { limits: Limits { client: 0, global: 0 }, ..start(1) };
    put(store, &key("acme", "a"), tight).await;
    put(store, &key("acme", "a"), Commit { limits, ..commit(2) }).await;
    put(store, &key("acme", "b"), start(0)).await;
}

/// The scheduler's questions.
pub async fn due_sites_come_in_order(store: &dyn BuildStore) {
    for (site, due, room) in [
        ("a", Some(30), None),
        ("b", Some(10), None),
        ("c", None, Some(20)),
        ("d", Some(40), Some(5)),
        ("e", Some(50), None),
    ] {
        let wake = Wake { at: due.map(at), room_since: room.map(at) };
        put(store, &key("acme", site), Commit { wake, ..commit(0) }).await;
    }
    assert_eq!(store.due(at(30), 10).await.expect("read"), [key("acme", "b"), key("acme", "a")]);
    assert_eq!(store.due(at(30), 1).await.expect("read"), [key("acme", "b")]);
    assert_eq!(store.waiting_for_room(10).await.expect("read"), [key("acme", "d"), key("acme", "c")]);
    assert_eq!(store.next_wake().await.expect("read"), Some(at(10)));
    put(store, &key("acme", "b"), commit(1)).await;
    assert_eq!(store.next_wake().await.expect("read"), Some(at(30)));
}

/// For recovery and new catalogues.
pub async fn sites_with_work_are_paged(store: &dyn BuildStore) {
    for (client, site) in [("b", "x"), ("a", "y"), ("a", "x")] {
        put(store, &key(client, site), Commit { state: pending(BatchId::generate()), ..commit(0) }).await;
    }
    put(store, &key("a", "idle"), commit(0)).await;
    let first = store.sites_with_work(None, 2).await.expect("read");
    assert_eq!(first, [key("a", "x"), key("a", "y")]);
    assert_eq!(store.sites_with_work(first.last().cloned(), 2).await.expect("read"), [key("b", "x")]);
}

/// Lists and their filters.
pub async fn builds_are_listed_newest_first(store: &dyn BuildStore) {
    let mut all = Vec::new();
    for (number, site) in ["shop", "blog", "shop", "shop"].into_iter().enumerate() {
        let id = BuildId::generate();
        let state = if number == 0 { BuildState::Failed } else { BuildState::Succeeded };
        let effects = Effects { builds: vec![build(id, BatchId::generate(), state)], ..Effects::default() };
        let site = key("acme", site);
        let version = store.load(&site).await.expect("loaded").version;
        put(store, &site, Commit { effects, ..commit(version) }).await;
        all.push(id);
    }
    let client = ClientId::new("acme").expect("a name");
    let query = BuildQuery { client, site: None, state: None, before: None, max: 10 };
    let ids = |builds: Vec<super::BuildRecord>| builds.into_iter().map(|record| record.build).collect::<Vec<_>>();
    let newest_first = [all[3], all[2], all[1], all[0]];
    assert_eq!(ids(store.builds(query.clone()).await.expect("read")), newest_first);
    let shop = BuildQuery { site: Some(SiteId::new("shop").expect("a name")), max: 2, ..query.clone() };
    assert_eq!(ids(store.builds(shop.clone()).await.expect("read")), [all[3], all[2]]);
    let rest = BuildQuery { before: Some(all[2]), ..shop };
    assert_eq!(ids(store.builds(rest).await.expect("read")), [all[0]]);
    let failed = BuildQuery { state: Some(BuildState::Failed), ..query };
    assert_eq!(ids(store.builds(failed).await.expect("read")), [all[0]]);
}

/// `None` means "as it is".
pub async fn build_updates_keep_what_they_do_not_name(store: &dyn BuildStore) {
    let (site, batch, id) = (key("acme", "shop"), BatchId::generate(), BuildId::generate());
    let first = BuildUpdate {
        entries: Some(7),
        log_location: Some("/logs/1".into()),
        traceparent: Some("00-t".into()),
        start_time: Some(at(21)),
        ..build(id, batch, BuildState::Running)
    };
    let second = BuildUpdate {
        error: Some("no".into()),
        log_tail: Some("tail".into()),
        start_time: Some(at(21)),
        end_time: Some(at(22)),
        ..build(id, batch, BuildState::Failed)
    };
    let decision = Decision { at: at(22), batch, build: Some(id), code: "FAILED", reason: "no".into() };
    put(store, &site, Commit { effects: Effects { builds: vec![first], ..Effects::default() }, ..commit(0) }).await;
    let effects = Effects { builds: vec![second], decisions: vec![decision], ..Effects::default() };
    put(store, &site, Commit { effects, ..commit(1) }).await;
    let view = store.build(&site.client, id).await.expect("read").expect("there");
    let record = view.record;
    assert_eq!((record.entries, record.error.as_str(), record.log_tail.as_str()), (7, "no", "tail"));
    assert_eq!((record.log_location.as_str(), record.traceparent.as_str()), ("/logs/1", "00-t"));
    assert_eq!((record.start_time, record.end_time, record.state), (Some(at(21)), Some(at(22)), BuildState::Failed));
    assert_eq!((view.decisions.len(), view.decisions[0].build), (1, Some(id)));
    let query = BuildQuery { client: site.client, site: None, state: None, before: None, max: 1 };
    assert_eq!(store.builds(query).await.expect("read")[0].log_tail, "", "lists have no logs");
}

/// Changes of failed batches are in the batch that they joined, and in those that it joined.
pub async fn joined_batches_show_their_changes(store: &dyn BuildStore) {
    let site = key("acme", "shop");
    let ids = [BatchId::generate(), BatchId::generate(), BatchId::generate()];
    let (old, new) = (DeliveryId::generate(), DeliveryId::generate());
    let batches = |states: [BatchState; 3]| ids.iter().zip(states).map(|(id, state)| record(*id, state)).collect();
    let failed = [BatchState::Failed, BatchState::Failed, BatchState::Pending];
    let effects = Effects { batches: batches(failed), joins: vec![(ids[0], ids[1])], ..Effects::default() };
    let changes = vec![change(old, 3, "1"), change(old, 4, "2")];
    put(store, &site, Commit { effects, changes: Some((ids[0], changes)), ..commit(0) }).await;
    let effects = Effects { joins: vec![(ids[1], ids[2])], ..Effects::default() };
    let mut newer = change(new, 0, "1");
    newer.op = ChangeOp::Delete;
    newer.sequence = 99;
    let joined = Commit { effects, changes: Some((ids[2], vec![newer])), now: at(77), ..commit(1) };
    put(store, &site, joined).await;
    let keys = store.changed_keys(&site.client, ids[2], 10).await.expect("read");
    assert_eq!(
        keys.iter().map(|changed| (changed.key.id.as_str(), changed.op)).collect::<Vec<_>>(),
        [("1", ChangeOp::Delete), ("2", ChangeOp::Upsert)]
    );
    let found = store.delivery_batches(&site.client, old).await.expect("read");
    assert_eq!(found.iter().map(|batch| batch.batch).collect::<Vec<_>>(), ids);
    assert!(found.iter().all(|batch| batch.indexes == [3, 4]));
    assert_eq!((found[0].joined_at, found[2].joined_at), (at(10), at(77)));
    assert_eq!(store.delivery_batches(&site.client, new).await.expect("read").len(), 1);
    let view = store.batch(&site.client, ids[0]).await.expect("read").expect("there");
    assert_eq!(view.record.joined_into, Some(ids[1]));
}

/// Ids of another client are not there.
pub async fn p7_clients_are_apart(store: &dyn BuildStore) {
    let (site, other) = (key("acme", "shop"), ClientId::new("beta").expect("a name"));
    let (batch, id, delivery) = (BatchId::generate(), BuildId::generate(), DeliveryId::generate());
    let effects = Effects {
        batches: vec![record(batch, BatchState::Building)],
        builds: vec![build(id, batch, BuildState::Running)],
        ..Effects::default()
    };
    let changes = Some((batch, vec![change(delivery, 0, "1")]));
    put(store, &site, Commit { effects, changes, ..commit(0) }).await;
    assert_eq!(store.batch(&other, batch).await.expect("read"), None);
    assert_eq!(store.build(&other, id).await.expect("read"), None);
    assert_eq!(store.changed_keys(&other, batch, 10).await.expect("read"), []);
    assert_eq!(store.delivery_batches(&other, delivery).await.expect("read"), []);
    let same = SiteKey::new(other, site.site.clone());
    let ids = vec![ChangeId { delivery, index: 0 }];
    assert_eq!(store.unseen(&same, ids).await.expect("read"), [0]);
}

/// AIP-155.
pub async fn a_request_id_has_effect_once(store: &dyn BuildStore) {
    let (site, batch) = (key("acme", "shop"), BatchId::generate());
    let mark = RequestMark {
        request_id: "r-1".into(),
        fingerprint: "TriggerBuild shop".into(),
        batch: Some(batch),
        build: None,
    };
    put(store, &site, Commit { request: Some(mark.clone()), ..commit(0) }).await;
    assert_eq!(store.request(&site.client, "r-1").await.expect("read"), Some(mark.clone()));
    assert_eq!(store.request(&site.client, "r-2").await.expect("read"), None);
    let again = Commit { request: Some(mark.clone()), state: pending(batch), ..commit(1) };
    assert_eq!(store.commit(&site, again).await.expect("answered"), Committed::DuplicateRequest);
    assert_eq!(store.load(&site).await.expect("loaded").state, SiteState::default());
    put(store, &key("beta", "shop"), Commit { request: Some(mark), ..commit(0) }).await;
}

/// What has been live for long is forgotten, with everything that joined it; the rest stays.
pub async fn settled_batches_are_forgotten(store: &dyn BuildStore) {
    let site = key("acme", "shop");
    let ids = [BatchId::generate(), BatchId::generate(), BatchId::generate(), BatchId::generate()];
    let builds = [BuildId::generate(), BuildId::generate()];
    let delivery = DeliveryId::generate();
    let effects = Effects {
        batches: vec![
            record(ids[0], BatchState::Failed),
            record(ids[1], BatchState::Succeeded),
            record(ids[2], BatchState::Succeeded),
            record(ids[3], BatchState::Failed),
        ],
        joins: vec![(ids[0], ids[1])],
        builds: vec![build(builds[0], ids[1], BuildState::Succeeded), build(builds[1], ids[2], BuildState::Succeeded)],
        ..Effects::default()
    };
    let live = SiteState { live: Some(builds[1]), ..SiteState::default() };
    let changes = Some((ids[0], vec![change(delivery, 0, "1")]));
    put(store, &site, Commit { effects, state: live, changes, now: at(100), ..commit(0) }).await;
    assert_eq!(store.prune(at(100), 10).await.expect("pruned"), 0);
    let later = at(100).plus(Duration::from_secs(1));
    assert_eq!(store.prune(later, 10).await.expect("pruned"), 2);
    assert_eq!(store.prune(later, 10).await.expect("pruned"), 0);
    for (id, is_kept) in [(ids[0], false), (ids[1], false), (ids[2], true), (ids[3], true)] {
        assert_eq!(store.batch(&site.client, id).await.expect("read").is_some(), is_kept);
    }
    assert_eq!(store.build(&site.client, builds[0]).await.expect("read"), None);
    assert!(store.build(&site.client, builds[1]).await.expect("read").is_some());
    assert_eq!(store.delivery_batches(&site.client, delivery).await.expect("read"), []);
}
