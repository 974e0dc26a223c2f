//! The catalogue is edited while the suite runs.

use std::time::Duration;

use freshet_suite::compose::RpcPath;
use freshet_tests::catalogues::{SOON, client, source, variable};
use freshet_tests::{Options, Sample, both_paths, wait_for};

both_paths!(a_bad_edit_is_refused_and_a_good_one_adds_a_source, a_secret_can_be_rotated_without_a_gap);

async fn a_bad_edit_is_refused_and_a_good_one_adds_a_source(path: RpcPath) {
    let mut suite = Options::new(client("tidewater", &["journal"], SOON)).path(path).start().await;
    suite.send("journal", Sample::new(0, 0)).await.kept("accepted");
    let good = client("tidewater", &["journal", "stories"], SOON);
    let before = suite.catalogue.get();

    suite.edit_catalogue(good.replace("sanity", "sanitee"));
    // The file is looked at each second. Nothing tells that an edit was refused but the log, so this must wait.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(std::sync::Arc::ptr_eq(&before, &suite.catalogue.get()), "a bad edit is in force");
    suite.send("journal", Sample::new(1, 0)).await.kept("accepted");
    let url = format!("{}/webhook/sanity/stories", suite.http);
    suite.poster.send("POST", &url, &[], "{}").await.problem(404);

    suite.edit_catalogue(good);
    wait_for("the good edit to be in force", || async {
        let found = suite.catalogue.get().source("tidewater", "stories").is_some();
        if found { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let story = suite.send("stories", Sample::new(0, 0)).await.kept("accepted").delivery_id();
    suite.clients.wait_live("tidewater", &story).await;
    assert_eq!(suite.clients.wait_idle("tidewater", "www").await.source_ids, ["journal", "stories"]);

    // A site that comes later is built with what is there.
    let more =
        format!("{}\n[[client.site]]\nid = \"second\"\nsources = [\"stories\"]\n{SOON}\n", suite.catalogue_text());
    suite.edit_catalogue(more);
    wait_for("the new site to be in force", || async {
        let found = suite.catalogue.get().site("tidewater", "second").is_some();
        if found { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
    let story = suite.send("stories", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    let receipt = suite.clients.wait_live("tidewater", &story).await;
    let sites: Vec<&str> = receipt.changes[0].sites.iter().map(|site| site.site_id.as_str()).collect();
    assert_eq!(sites, ["second", "www"]);
    assert_eq!(suite.page("tidewater", "second", "").await.status, 200);
}

async fn a_secret_can_be_rotated_without_a_gap(path: RpcPath) {
    let old = client("tidewater", &[], SOON).replace("sources = []", "sources = [\"stories\"]");
    let (head, site) = old.split_once("\n[[client.site]]").expect("a site");
    let catalogue = |secrets: &str| {
        let source = source("tidewater", "stories");
        let reference = format!("\"env:{}\"", variable("tidewater", "stories"));
        format!("{head}{}\n[[client.site]]{site}", source.replace(&reference, secrets))
    };
    let (was, is) = (format!("\"env:{}\"", variable("tidewater", "stories")), "\"env:NEXT\"".to_owned());
    let mut suite = Options::new(catalogue(&was)).secret("NEXT", "the next secret").path(path).start().await;
    let with_old = suite.source("tidewater", "stories");
    suite.send("stories", Sample::new(0, 0)).await.kept("accepted");

    suite.edit_catalogue(catalogue(&format!("{was}, {is}")));
    wait_for("both secrets to be valid", || async {
        let secrets = suite.source("tidewater", "stories").secrets.len();
        if secrets == 2 { Ok(()) } else { Err(format!("{secrets}")) }
    })
    .await;
    let first = suite.send("stories", Sample::new(1, 0)).await.kept("accepted").delivery_id();
    assert_eq!(suite.clients.receipt("tidewater", &first).await.expect("known").proof, "secret:0");

    suite.edit_catalogue(catalogue(&is));
    wait_for("only the new secret to be valid", || async {
        let secrets = suite.source("tidewater", "stories").secrets.len();
        if secrets == 1 { Ok(()) } else { Err(format!("{secrets}")) }
    })
    .await;
    suite.send("stories", Sample::new(2, 0)).await.kept("accepted");
    let stale = suite.sample(&with_old, Sample::new(3, 0));
    suite.post(&with_old, &stale).await.problem(401);
}
