use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use aws_sdk_cloudfront::types::{
    DefaultCacheBehavior, DistributionConfig, Origin, Origins, S3OriginConfig, ViewerProtocolPolicy,
};
use freshet_aws::{CallCounts, Headers, testing};
use freshet_domain::catalogue::{BuildPolicy, Catalogue, Client, Preset, RateLimit, Site, SiteAws, SiteBuild};
use freshet_domain::{ClientId, SiteId};

use super::manifest::{Plan, Release};
use super::*;
use crate::hosting::contract::Subject;
use crate::runner::OutputFolder;

/// Three sites of two clients, each with its bucket, none with a distribution.
struct Cloud {
    hosting: S3Hosting,
    counts: CallCounts,
}

fn emulator() -> bool {
    testing::endpoint().is_some()
}

fn key(client: &str, site: &str) -> SiteKey {
    SiteKey::new(ClientId::new(client).expect("a name"), SiteId::new(site).expect("a name"))
}

async fn open() -> Cloud {
    with_distribution(None).await
}

async fn with_distribution(distribution: Option<&str>) -> Cloud {
    let counts = CallCounts::new();
    let config = counts.attach(testing::config().expect("an emulator"));
    let mut clients: BTreeMap<ClientId, Client> = BTreeMap::new();
    for key in [key("acme", "shop"), key("acme", "www"), key("other", "www")] {
        let bucket = testing::bucket(&config, "site").await.bucket().to_owned();
        let rate = RateLimit { per_second: 1, burst: 1 };
        let client = clients.entry(key.client.clone()).or_insert_with(|| Client {
            id: key.client.clone(),
            title: String::new(),
            content_ttl: Duration::from_secs(48 * 3600),
            max_running_builds: 1,
            rate,
            sources: BTreeMap::new(),
            sites: BTreeMap::new(),
        });
        client.sites.insert(key.site.clone(), Arc::new(site(&key, &bucket, distribution)));
    }
    let clients = clients.into_iter().map(|(id, client)| (id, Arc::new(client))).collect();
    let catalogue = CatalogueHandle::new(Catalogue { clients, ..Catalogue::default() });
    let mut hosting = S3Hosting::new(&config, catalogue);
    hosting.backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(2) };
    Cloud { hosting, counts }
}

fn site(key: &SiteKey, bucket: &str, distribution: Option<&str>) -> Site {
    let aws = SiteAws {
        project: None,
        bucket: bucket.to_owned(),
        distribution: distribution.map(str::to_owned),
        secret_env: BTreeMap::new(),
    };
    let build = SiteBuild {
        preset: Preset::Builtin,
        command: Vec::new(),
        directory: None,
        output: std::path::PathBuf::new(),
        env: BTreeMap::new(),
        timeout: Duration::from_secs(60),
    };
    Site {
        client: key.client.clone(),
        id: key.site.clone(),
        title: String::new(),
        sources: Vec::new(),
        build,
        policy: BuildPolicy::default(),
        aws: Some(aws),
    }
}

impl Subject for Cloud {
    fn hosting(&self) -> &dyn Hosting {
        &self.hosting
    }

    async fn visit(&self, site: &SiteKey, path: &str) -> Option<String> {
        let objects = self.hosting.place(site).expect("a bucket").objects;
        let object = objects.get(&format!("live/{path}")).await.expect("asked")?;
        Some(String::from_utf8(object.body.to_vec()).expect("text"))
    }

    fn releases_kept(&self) -> usize {
        RELEASES_KEPT
    }
}

crate::hosting_contract!(open, if emulator());

fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Output) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let file = folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).expect("a folder");
        std::fs::write(file, text).expect("a file");
    }
    let path = folder.path().to_owned();
    (folder, Output::Folder(OutputFolder { folder: path.clone(), inside: path, owned: true }))
}

impl Cloud {
    async fn stage(&self, files: &[(&str, &str)]) -> BuildId {
        let (build, (_folder, output)) = (BuildId::generate(), folder(files));
        self.hosting.stage(&key("acme", "shop"), build, &output).await.expect("staged");
        build
    }

    async fn publish(&self, files: &[(&str, &str)]) -> BuildId {
        let build = self.stage(files).await;
        self.activate(build).await;
        build
    }

    async fn activate(&self, build: BuildId) {
        self.hosting.activate(&key("acme", "shop"), build).await.expect("activated");
    }

    fn place(&self) -> Place {
        self.hosting.place(&key("acme", "shop")).expect("a bucket")
    }

    async fn live(&self) -> BTreeMap<String, String> {
        let place = self.place();
        let mut live = BTreeMap::new();
        for object in place.objects.list("live/").await.expect("listed") {
            let body = place.objects.get(&object.key).await.expect("asked").expect("there").body;
            let path = object.key.strip_prefix("live/").expect("below it").to_owned();
            live.insert(path, String::from_utf8(body.to_vec()).expect("text"));
        }
        live
    }
}

fn of(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
}

#[tokio::test]
async fn a_switch_copies_what_differs_and_removes_what_is_gone() {
    if !emulator() {
        return;
    }
    let cloud = open().await;
    cloud.publish(&[("index.html", "1"), ("a.css", "1"), ("b.css", "1"), ("old/index.html", "1")]).await;
    assert_eq!(cloud.counts.requests("s3", "CopyObject"), 4);
    let second = [("index.html", "2"), ("a.css", "2"), ("b.css", "1"), ("ü + %.html", "1")];
    cloud.publish(&second).await;
    assert_eq!(cloud.live().await, of(&second));
    assert_eq!(cloud.counts.requests("s3", "CopyObject"), 7);
    // The same content again: nothing is copied.
    cloud.publish(&second).await;
    assert_eq!(cloud.counts.requests("s3", "CopyObject"), 7);
    assert_eq!(cloud.live().await, of(&second));
}

#[tokio::test]
async fn an_interrupted_switch_is_finished_by_the_next_whatever_it_is() {
    if !emulator() {
        return;
    }
    let cloud = open().await;
    let first = [("index.html", "1"), ("a.css", "1"), ("gone.html", "1")];
    cloud.publish(&first).await;
    let second = cloud.stage(&[("index.html", "2"), ("a.css", "2"), ("new.html", "2")]).await;
    // As far as a task that is killed in the middle comes.
    let place = cloud.place();
    let (live, etag) = place.live().await.expect("read");
    let (release, _) =
        manifest::read::<Release>(&place.objects, &manifest::manifest(second)).await.expect("read").expect("there");
    let during = Plan::of(&live, &release).while_it_runs(&live);
    let (text, headers) = manifest::write(&during).expect("text");
    let noted = place.objects.put_over(LIVE_MANIFEST, text.into(), &headers, etag.as_deref()).await.expect("put");
    assert!(noted.is_some());
    for path in ["a.css", "new.html"] {
        place.objects.put(&format!("live/{path}"), "2".into(), &Headers::default()).await.expect("put");
    }
    // Pages that the first release had, and more.
    let third = [("index.html", "1"), ("a.css", "1"), ("third.html", "3")];
    cloud.publish(&third).await;
    assert_eq!(cloud.live().await, of(&third));
    let (live, _) = place.live().await.expect("read");
    assert!(live.unsure.is_empty());
}

/// Every call of a switch is refused in turn.
#[tokio::test]
async fn a_switch_that_breaks_at_any_call_is_finished_by_the_next() {
    if !emulator() {
        return;
    }
    let cloud = open().await;
    let bucket = cloud.place().objects.bucket().to_owned();
    let (mut calls, mut has_ended) = (0, false);
    while !has_ended {
        let first = [("index.html", "1"), ("a.css", "1"), ("gone.html", "1"), ("b.css", "same")];
        cloud.publish(&first).await;
        let second = cloud.stage(&[("index.html", "2"), ("a.css", "2"), ("new.html", "2"), ("b.css", "same")]).await;
        let fault = serde_json::json!({
            "name": &bucket, "service": "s3", "kind": "error", "code": "AccessDenied", "status": 403,
            "times": 1, "skip": calls,
        });
        testing::tell("/_faults", &fault.to_string()).await;
        // The first call after the switch, where old releases are looked for, fails nothing any more.
        has_ended = cloud.hosting.activate(&key("acme", "shop"), second).await.is_ok();
        let third = [("index.html", "1"), ("a.css", "3"), ("third.html", "3"), ("b.css", "same")];
        cloud.publish(&third).await;
        assert_eq!(cloud.live().await, of(&third), "after call {calls}");
        calls += 1;
    }
    assert!(calls > 8, "a switch makes more calls than {calls}");
}

#[tokio::test]
async fn what_a_build_uploaded_is_published_once_it_is_checked() {
    if !emulator() {
        return;
    }
    let cloud = open().await;
    let (shop, build) = (key("acme", "shop"), BuildId::generate());
    let empty = cloud.hosting.stage(&shop, build, &Output::Uploaded).await.expect_err("empty");
    assert!(empty.message().contains("empty"), "{empty}");
    let place = cloud.place();
    for (path, text) in [("index.html", "1"), ("deep/a.js", "1"), ("deep/", "")] {
        let key = format!("releases/{build}/{path}");
        place.objects.put(&key, text.into(), &Headers::default()).await.expect("put");
    }
    assert_eq!(cloud.hosting.releases(&shop).await.expect("listed"), []);
    let gone = cloud.hosting.activate(&shop, build).await.expect_err("not complete");
    assert_eq!(gone.kind(), ErrorKind::Missing);
    cloud.hosting.stage(&shop, build, &Output::Uploaded).await.expect("staged");
    assert_eq!(cloud.hosting.releases(&shop).await.expect("listed"), [build]);
    // What an earlier build uploaded before it failed goes with the next switch.
    let failed = BuildId::from_bytes([0; 16]);
    place.objects.put(&format!("releases/{failed}/x"), "x".into(), &Headers::default()).await.expect("put");
    cloud.activate(build).await;
    assert_eq!(cloud.live().await, of(&[("deep/a.js", "1"), ("index.html", "1")]));
    assert_eq!(place.objects.list(&format!("releases/{failed}/")).await.expect("listed"), []);
}

#[tokio::test]
async fn two_switches_at_once_leave_one_whole_release() {
    if !emulator() {
        return;
    }
    let cloud = open().await;
    let files = |text: &'static str| [("index.html", text), ("a.css", text), ("b.css", "same")];
    cloud.publish(&files("0")).await;
    let (first, second) = (cloud.stage(&files("1")).await, cloud.stage(&files("2")).await);
    tokio::join!(cloud.activate(first), cloud.activate(second));
    let (live, _) = cloud.place().live().await.expect("read");
    let wanted = if live.build == Some(first.to_string()) { "1" } else { "2" };
    // The one that came second copied everything again that the first had touched.
    assert_eq!(cloud.live().await, of(&files(wanted)));
}

async fn distribution(config: &SdkConfig) -> String {
    let origin = Origin::builder().id("s3").domain_name("site.s3.amazonaws.com");
    let origin = origin.s3_origin_config(S3OriginConfig::builder().origin_access_identity("").build());
    let origins = Origins::builder().quantity(1).items(origin.build().expect("an origin")).build();
    let cache = DefaultCacheBehavior::builder()
        .target_origin_id("s3")
        .viewer_protocol_policy(ViewerProtocolPolicy::RedirectToHttps)
        .build();
    let config_of = DistributionConfig::builder()
        .caller_reference(testing::name("distribution"))
        .comment("")
        .enabled(true)
        .origins(origins.expect("origins"))
        .default_cache_behavior(cache.expect("a behaviour"))
        .build();
    let client = aws_sdk_cloudfront::Client::new(config);
    let made = client.create_distribution().distribution_config(config_of.expect("a configuration")).send().await;
    made.expect("made").distribution.expect("a distribution").id
}

#[tokio::test]
async fn caches_are_told_what_changed() {
    let Some(config) = testing::config() else { return };
    let id = distribution(&config).await;
    let cloud = with_distribution(Some(&id)).await;
    cloud.publish(&[("index.html", "1"), ("a/index.html", "1"), ("a.css", "1"), ("b.css", "1")]).await;
    let second = cloud.publish(&[("index.html", "1"), ("a/index.html", "2"), ("a.css", "1"), ("b.css", "2")]).await;
    let many: Vec<(String, String)> = (0..101).map(|number| (format!("{number}.html"), "x".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    cloud.publish(&many).await;
    let client = aws_sdk_cloudfront::Client::new(&config);
    let listed = client.list_invalidations().distribution_id(&id).send().await.expect("listed");
    let mut seen = Vec::new();
    for summary in listed.invalidation_list.expect("a list").items() {
        let got = client.get_invalidation().distribution_id(&id).id(summary.id()).send().await.expect("there");
        let batch = got.invalidation.and_then(|made| made.invalidation_batch).expect("a batch");
        let paths = batch.paths().expect("paths").items().to_vec();
        seen.push((batch.caller_reference().to_owned(), paths));
    }
    seen.sort_by_key(|(reference, _)| reference.clone());
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(seen[0].1, ["/", "/a", "/a/", "/a/index.html", "/index.html"]);
    assert_eq!(seen[1], (format!("{second}-2"), ["/a", "/a/", "/a/index.html", "/b.css"].map(str::to_owned).into()));
    assert_eq!(seen[2].1, ["/*"]);
}

#[tokio::test]
async fn a_site_is_live_although_cloudfront_was_not_told() {
    if !emulator() {
        return;
    }
    let cloud = with_distribution(Some("ENONE")).await;
    cloud.publish(&[("index.html", "1")]).await;
    assert_eq!(cloud.live().await, of(&[("index.html", "1")]));
    assert_eq!(cloud.counts.requests("cloudfront", "CreateInvalidation"), 1);
}
