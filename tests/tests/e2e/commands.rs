//! The operators' commands, run as programs.

use std::process::Output;

use freshet_tests::catalogues::{SOON, client, secrets, variable};
use freshet_tests::process::{Dev, command, printed, run};
use freshet_tests::wait::wait_for;

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

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", printed(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", printed(output)))
}

/// Without a word about it, a team that has a key for its client could not tell that it must name the client.
#[tokio::test]
async fn a_key_for_one_client_needs_no_client_named_and_is_refused_for_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = [client("tidewater", &["journal"], SOON), client("alpha", &["notes"], SOON)].concat();
    let dev = Dev::new(folder.path(), &text, secrets());
    let mut process = dev.start().await;
    let new = ["keys", "new", "team", "--scopes", "control:read,content:read", "--write"];
    let file = dev.folder.join("freshet.toml").display().to_string();
    let before = std::fs::read_to_string(&file).expect("there");

    for (wrong, word) in [
        (&["--for", "nobody"][..], "names `nobody`"),
        (&["--for", "No body"], "--for"),
        (&["--for", "tidewater", "--source", "notes"], "names `notes`"),
        (&["--for", "tidewater,*"], "stands alone"),
    ] {
        let refused = freshet(&dev, &[&new[..], &[&file], wrong].concat());
        assert!(!refused.status.success() && printed(&refused).contains(word), "{word}: {}", printed(&refused));
        assert_eq!(std::fs::read_to_string(&file).expect("there"), before, "{word}");
    }
    let made = freshet(&dev, &[&new[..], &[&file, "--for", "tidewater"]].concat());
    assert!(made.status.success(), "{}", printed(&made));
    let key = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    let twice = freshet(&dev, &[&new[..], &[&file, "--for", "alpha"]].concat());
    assert!(!twice.status.success() && printed(&twice).contains("used by two keys"), "{}", printed(&twice));

    let sent = freshet(&dev, &["send", "strapi", "--client", "tidewater", "--wait"]);
    assert!(sent.status.success(), "{}", printed(&sent));
    wait_for("the key to be in force", || async {
        let receipts = freshet(&dev, &["receipt", "--key", &key]);
        let text = printed(&receipts);
        if receipts.status.success() && text.contains("live after") { Ok(()) } else { Err(text) }
    })
    .await;
    let status = freshet(&dev, &["status", "--key", &key]);
    let text = printed(&status);
    assert!(status.status.success() && text.contains("tidewater/") && !text.contains("alpha/"), "{text}");
    let other = freshet(&dev, &["receipt", "--key", &key, "--client", "alpha"]);
    assert!(!other.status.success() && printed(&other).contains("does not have the scope"), "{}", printed(&other));
    let root = freshet(&dev, &["receipt"]);
    assert!(!root.status.success() && printed(&root).contains("--client: alpha, tidewater"), "{}", printed(&root));
    process.stop().await;
}

#[tokio::test]
async fn lists_say_what_they_do_not_show_and_send_answers_in_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = Dev::new(folder.path(), &client("tidewater", &["journal"], SOON), secrets());
    let mut process = dev.start().await;
    let burst = json(&freshet(&dev, &["send", "strapi", "--burst", "250", "--json"]));
    assert_eq!(burst["by_status"]["202"], 250, "{burst}");
    let sent = json(&freshet(&dev, &["send", "strapi", "--number", "500", "--wait", "--json"]));
    assert_eq!((&sent["answers"][0]["status"], &sent["receipt"]["progress"]), (&202.into(), &"PROGRESS_LIVE".into()));
    // A page has 100 at most.
    let listed = |list: &str, words: &[&str]| {
        let answer = json(&freshet(&dev, &[&[list, "--json"], words].concat()));
        answer
            .as_object()
            .and_then(|answer| answer.values().find_map(|list| Some(list.as_array()?.len())))
            .unwrap_or_default()
    };
    assert_eq!(listed("receipt", &["--limit", "230"]), 230);
    assert_eq!(listed("deliveries", &["--limit", "1000"]), 251);
    let some = freshet(&dev, &["entries", "--limit", "7"]);
    assert!(printed(&some).contains("the first 7; more with --limit"), "{}", printed(&some));
    let all = freshet(&dev, &["entries", "--limit", "1000"]);
    assert!(!printed(&all).contains("--limit"), "{}", printed(&all));
    let none = freshet(&dev, &["deliveries", "--source", "nosuch"]);
    assert!(printed(&none).contains("there is none"), "{}", printed(&none));
    let tampered = freshet(&dev, &["send", "strapi", "--burst", "3", "--tamper"]);
    assert_eq!(tampered.status.success(), freshet(&dev, &["send", "strapi", "--tamper"]).status.success());
    process.stop().await;

    let gone = freshet(&dev, &["status"]);
    assert!(!gone.status.success() && printed(&gone).contains("freshet dev"), "{}", printed(&gone));
    let elsewhere = freshet(&dev, &["status", "--server", "http://127.0.0.1:1", "--key", "k"]);
    let text = printed(&elsewhere);
    assert!(!elsewhere.status.success() && text.contains("nothing answers at http://127.0.0.1:1"), "{text}");
}

/// A rotation needs no restart and no touch of the catalogue.
#[tokio::test]
async fn a_secret_that_is_rotated_in_its_file_is_the_one_that_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "first-secret-of-the-journal").expect("written");
    let text = client("tidewater", &["journal"], SOON);
    let reference = format!("env:{}", variable("tidewater", "journal"));
    assert!(text.contains(&reference), "{text}");
    let dev = Dev::new(folder.path(), &text.replace(&reference, "file:secret"), secrets());
    let mut process = dev.start().await;
    let sent = freshet(&dev, &["send", "strapi"]);
    assert!(sent.status.success(), "{}", printed(&sent));
    std::fs::write(&secret, "second-secret-of-the-journal").expect("written");
    wait_for("the new secret to count", || async {
        let sent = freshet(&dev, &["send", "strapi"]);
        if sent.status.success() { Ok(()) } else { Err(printed(&sent)) }
    })
    .await;
    std::fs::write(&secret, "first-secret-of-the-journal").expect("written");
    let stale = freshet(&dev, &["send", "strapi"]);
    assert!(!stale.status.success() && printed(&stale).contains("401"), "{}", printed(&stale));
    process.stop().await;
}
