//! Which processors the real program's threads and builds may use (decision 0024).

use std::collections::BTreeMap;
use std::path::Path;

use freshet_proto::build::v1::TriggerBuildRequest;
use freshet_tests::catalogues::secrets;
use freshet_tests::grpc::request_id;
use freshet_tests::process::Dev;
use freshet_tests::wait_for;

use crate::script;

/// Tells the build's own processors, as its page.
const SCRIPT: &str = "mkdir -p out && grep Cpus_allowed_list: /proc/self/status > out/index.html";

/// The processors of a thread, as the system lists them: `0-1`.
fn processors(task: &Path) -> String {
    let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap_or_default().trim().to_owned()
}

/// How many there are in such a list.
fn count(list: &str) -> usize {
    let of = |part: &str| -> Option<usize> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(1 + last.parse::<usize>().ok()? - first.parse::<usize>().ok()?)
    };
    list.split(',').filter_map(of).sum()
}

/// Of each thread of a process: its name and its processors.
fn threads(pid: u32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let of = |task: &Path| Some((std::fs::read_to_string(task.join("comm")).ok()?.trim().to_owned(), processors(task)));
    tasks.filter_map(|task| of(&task.ok()?.path())).collect()
}

#[tokio::test]
async fn only_the_runtimes_workers_keep_to_a_processor() {
    let folder = tempfile::tempdir().expect("a folder");
    script::prepare(folder.path());
    std::fs::write(folder.path().join("site").join("build.sh"), SCRIPT).expect("a script");
    let mut process = Dev::new(folder.path(), &script::catalogue(""), secrets()).start().await;

    let trigger = TriggerBuildRequest {
        client_id: "tidewater".into(),
        site_id: "www".into(),
        request_id: request_id(),
        reason: "a page that tells where it was built".into(),
    };
    process.clients.build().trigger_build(trigger).await.expect("asked");
    wait_for("the site", || async {
        let site = process.clients.site("tidewater", "www").await;
        site.live_build.map(|_| ()).ok_or_else(|| format!("{:?}", site.pending_batch))
    })
    .await;

    let all = processors(Path::new("/proc/thread-self"));
    let page = std::fs::read_to_string(folder.path().join("site").join("out").join("index.html")).expect("built");
    assert_eq!(page.trim_start_matches("Cpus_allowed_list:").trim(), all, "a build has all processors");
    let mut held = BTreeMap::<String, usize>::new();
    for (name, own) in threads(process.running.pid) {
        if own != all {
            assert_eq!(name, "tokio-rt-worker", "it has only {own}");
            *held.entry(own).or_default() += 1;
        }
    }
    let workers = std::thread::available_parallelism().expect("known").get();
    // Not where the process has only a share of their time.
    let expected = if (2..=4).contains(&workers) && workers == count(&all) { workers } else { 0 };
    assert_eq!(held.values().copied().collect::<Vec<_>>(), vec![1; expected], "one each: {held:?}");
    process.stop().await;
}
