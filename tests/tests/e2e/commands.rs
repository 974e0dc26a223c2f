//! The operators' commands, run as programs.

use std::process::Output;

use freshet_tests::catalogues::secrets;
use freshet_tests::process::{Dev, command, printed, run};

use crate::script;

fn freshet(dev: &Dev, words: &[&str]) -> Output {
    let mut command = command(&secrets());
    command.args(words).arg("--data").arg(&dev.data);
    run(command)
}

/// Scripts wait for a change and go by the exit code.
#[tokio::test]
async fn send_with_wait_succeeds_when_the_change_is_live_and_only_then() {
    let folder = tempfile::tempdir().expect("a folder");
    script::prepare(folder.path());
    let dev = Dev::new(folder.path(), &script::catalogue("max_attempts = 1\n"), secrets());
    let mut process = dev.start().await;
    let live = freshet(&dev, &["send", "strapi", "--wait"]);
    assert!(live.status.success(), "{}", printed(&live));

    std::fs::write(folder.path().join("site").join("fail"), "").expect("written");
    let failed = freshet(&dev, &["send", "strapi", "--wait"]);
    assert!(!failed.status.success() && printed(&failed).contains("failed"), "{}", printed(&failed));
    let paused = freshet(&dev, &["site", "pause", "www"]);
    assert!(paused.status.success(), "{}", printed(&paused));
    let held = freshet(&dev, &["send", "strapi", "--wait"]);
    assert!(!held.status.success() && printed(&held).contains("held"), "{}", printed(&held));

    // It posts to the suite of the data folder, whatever suite is named besides.
    let elsewhere = freshet(&dev, &["send", "strapi", "--server", "http://127.0.0.1:1"]);
    assert!(!elsewhere.status.success() && printed(&elsewhere).contains("--server"), "{}", printed(&elsewhere));
    process.stop().await;
}
