//! What a push means.

use freshet_domain::{EntryStatus, Kind, SourceVersion, Timestamp};

use super::*;

const HOSTS: [&str; 3] = ["github", "gitlab", "gitea"];

fn ids(body: String) -> Vec<String> {
    let summaries: Vec<Vec<String>> =
        HOSTS.iter().map(|host| summary(&normalise(host, &[], body.clone()).expect("push"))).collect();
    assert!(summaries.iter().all(|summary| *summary == summaries[0]), "{summaries:?}");
    summaries[0].clone()
}

#[test]
fn written_files_are_touched_and_removed_files_deleted() {
    let normalised = normalise("github", &[], main_push(&[one_commit()])).expect("push");
    assert_eq!(summary(&normalised), ["-content/old.md", "content/new.md", "content/mug.md"]);
    assert_eq!(normalised.event, "push");
    for change in &normalised.changes {
        assert_eq!((change.kind, &*change.key.entry_type), (Kind::File, "file"));
        assert!(change.content.is_none() && change.build_relevant);
    }
    assert_eq!(normalised.changes[0].status, EntryStatus::Deleted);
}

#[test]
fn the_last_state_of_a_path_counts_whichever_commit_comes_first_in_the_list() {
    let remove = commit("aa", "2026-11-23T10:00:00Z", "", "", r#""a.md","b.md""#);
    let write = commit(AFTER, "2026-11-23T11:00:00Z", r#""a.md""#, r#""c.md""#, "");
    let expected = ["a.md", "-b.md", "c.md"];
    assert_eq!(ids(main_push(&[remove.clone(), write.clone()])), expected);
    // Gitea lists the newest first.
    assert_eq!(ids(main_push(&[write, remove])), expected);
    // Without the pushed commit in the list the times tell.
    let old = commit("aa", "2026-11-23T10:00:00Z", r#""a.md""#, "", "");
    let new = commit("bb", "2026-11-23T11:00:00Z", "", "", r#""a.md""#);
    assert_eq!(ids(main_push(&[new.clone(), old.clone()])), ["-a.md"]);
    assert_eq!(ids(main_push(&[old, new])), ["-a.md"]);
    // Inside one commit a rename of letters only can name one path twice.
    assert_eq!(ids(main_push(&[commit(AFTER, "2026-11-23T10:00:00Z", r#""a.md""#, "", r#""a.md""#)])), ["a.md"]);
}

#[test]
fn incomplete_lists_touch_everything_besides_what_is_known() {
    let cut = |host, member: &str| {
        let body = main_push(&[one_commit()]).replace(&format!(r#""{member}":1"#), &format!(r#""{member}":7"#));
        summary(&normalise(host, &[], body).expect("push"))
    };
    let expected = ["-content/old.md", "content/new.md", "content/mug.md", "*"];
    assert_eq!(cut("gitlab", "total_commits_count"), expected);
    assert_eq!(cut("gitea", "total_commits"), expected);
    for more in [r#","forced":true"#, r#","created":true"#] {
        let body = push(BEFORE, AFTER, "refs/heads/main", &[one_commit()], more);
        assert_eq!(summary(&normalise("github", &[], body).expect("push")), expected, "{more}");
    }
    assert_eq!(ids(push(ZERO, AFTER, "refs/heads/main", &[one_commit()], "")), expected);
    assert_eq!(ids(push(&ZERO.repeat(2)[..64], AFTER, "refs/heads/main", &[one_commit()], "")), expected);
    // Set back by force: there are no new commits, but something changed.
    assert_eq!(ids(main_push(&[])), ["*"]);
    let merge = one_commit().replace("\"Update\"", "\"Merge pull request #12 from tidewater/cms/mug\"");
    assert_eq!(ids(main_push(&[merge])), expected);
    assert_eq!(
        ids(main_push(&[one_commit().replace(r#","removed":["content/old.md"]"#, "")])),
        ["content/new.md", "content/mug.md", "*"]
    );
}

#[test]
fn githubs_limits_make_a_list_incomplete() {
    let is_incomplete = |commits: &[String]| {
        summary(&normalise("github", &[], main_push(commits)).expect("push")).last().is_some_and(|id| id == "*")
    };
    let files = |count: usize| (0..count).map(|n| format!("\"f{n}\"")).collect::<Vec<_>>().join(",");
    let with_files = |count| [commit(AFTER, "2026-11-23T10:00:00Z", "", &files(count), "")];
    assert!(!is_incomplete(&with_files(2999)));
    assert!(is_incomplete(&with_files(3000)));
    let commits = |count: usize| {
        (0..count).map(|n| commit(&format!("{n}"), "2026-11-23T10:00:00Z", "\"a\"", "", "")).collect::<Vec<_>>()
    };
    assert!(!is_incomplete(&commits(2047)));
    assert!(is_incomplete(&commits(2048)));
}

#[test]
fn only_the_content_branch_counts() {
    let to = |reference: &str| push(BEFORE, AFTER, reference, &[one_commit()], "");
    for host in HOSTS {
        let reason_of = |reference, settings: &[(&str, &str)]| {
            reason(&normalise(host, settings, to(reference)).expect("push")).to_owned()
        };
        assert_eq!(reason_of("refs/heads/main", &[]), "");
        assert_eq!(reason_of("refs/heads/cms/products/mug", &[]), "FOREIGN_BRANCH");
        assert_eq!(reason_of("refs/heads/main", &[("branch", "live")]), "FOREIGN_BRANCH");
        assert_eq!(reason_of("refs/heads/live", &[("branch", "live")]), "");
        assert_eq!(reason_of("refs/tags/main", &[]), "TAG");
        let deletion = push(BEFORE, ZERO, "refs/heads/main", &[], r#","deleted":true"#);
        assert_eq!(reason(&normalise(host, &[], deletion).expect("push")), "BRANCH_DELETED");
        // Without a default branch in the payload it is main.
        let body = to("refs/heads/main").replace(r#","default_branch":"main""#, "");
        assert_eq!(reason(&normalise(host, &[], body).expect("push")), "");
        let body = to("refs/heads/master").replace(r#""default_branch":"main""#, r#""default_branch":"master""#);
        assert_eq!(reason(&normalise(host, &[], body).expect("push")), "");
    }
}

#[test]
fn other_repositories_and_other_folders_are_ignored() {
    let of = |settings: &[(&str, &str)]| normalise("github", settings, main_push(&[one_commit()])).expect("push");
    assert_eq!(reason(&of(&[("repository", "tidewater/other")])), "FOREIGN_REPOSITORY");
    assert_eq!(reason(&of(&[("repository", "Tidewater/Site")])), "");
    assert_eq!(reason(&of(&[("content", "cont")])), "NO_CONTENT_CHANGE");
    assert_eq!(reason(&of(&[("content", "posts")])), "NO_CONTENT_CHANGE");
    assert_eq!(summary(&of(&[("content", "./content/mug.md")])), ["content/mug.md"]);
    assert_eq!(summary(&of(&[("content", "/content/")])).len(), 3);
    // What is not known could be below the folder.
    let forced = push(BEFORE, AFTER, "refs/heads/main", &[one_commit()], r#","forced":true"#);
    assert_eq!(summary(&normalise("github", &[("content", "posts")], forced).expect("push")), ["*"]);
}

#[test]
fn events_without_content_are_ignored() {
    let ping = delivery("github", r#"{"zen":"Keep it logically awesome.","hook_id":1}"#)
        .with("x-github-event", Some("ping"))
        .normalise(&*source("github", &[]))
        .expect("ping");
    assert_eq!((reason(&ping), ping.event.as_str(), ping.dedup_keys.len()), ("PING", "ping", 1));
    for (host, header, name, body) in [
        ("github", "x-github-event", "release", r#"{"action":"published"}"#),
        ("gitea", "x-gitea-event", "create", r#"{"ref":"x","ref_type":"branch"}"#),
        ("gitlab", "x-gitlab-event", "Release Hook", r#"{"object_kind":"release"}"#),
        ("bitbucket", "x-event-key", "repo:updated", r#"{"changes":{}}"#),
    ] {
        let other = delivery(host, body).with(header, Some(name)).normalise(&*source(host, &[])).expect("event");
        assert_eq!(reason(&other), "IRRELEVANT_EVENT", "{host}");
    }
    let tag = r#"{"object_kind":"tag_push","ref":"refs/tags/v1","before":"00","after":"11","project":{"path_with_namespace":"a/b"}}"#;
    let tag = delivery("gitlab", tag).with("x-gitlab-event", Some("Tag Push Hook"));
    assert_eq!(reason(&tag.normalise(&*source("gitlab", &[])).expect("event")), "TAG");
    // Gitea's test button pushes a commit onto itself.
    assert_eq!(reason(&normalise("gitea", &[], push(AFTER, AFTER, "refs/heads/main", &[], "")).expect("push")), "TEST");
    let long = delivery("github", "{}").with("x-github-event", Some(&"é".repeat(300)));
    assert_eq!(long.normalise(&*source("github", &[])).expect("event").event.chars().count(), 100);
}

#[test]
fn p4_a_later_push_is_newer_whatever_times_its_commits_have() {
    let versions = |host, body: String| -> Vec<SourceVersion> {
        normalise(host, &[], body).expect("push").changes.iter().map(|change| change.version).collect()
    };
    // A rebase keeps the authors' times, a clock can be wrong, and a time need not be one.
    for time in ["2020-01-01T00:00:00Z", "2031-01-01T00:00:00Z", "yesterday"] {
        let body = main_push(&[commit(AFTER, time, r#""a.md""#, "", r#""b.md""#)]);
        for host in ["github", "gitlab", "gitea"] {
            assert_eq!(versions(host, body.clone()), [SourceVersion::at(NOON); 2], "{host}: {time}");
        }
    }
    // Deleted and written again in one second: what came last counts.
    let body = main_push(&[commit(AFTER, "2026-11-23T11:00:00Z", r#""a.md""#, "", r#""b.md""#)]);
    for pushed_at in ["1795400000", "\"2026-11-23T02:13:20Z\""] {
        let body = body.replace(r#""full_name""#, &format!(r#""pushed_at":{pushed_at},"full_name""#));
        assert_eq!(versions("github", body), [SourceVersion::at(Timestamp::from_secs(1_795_400_000)); 2]);
    }
}

#[test]
fn a_path_that_is_too_long_for_an_id_touches_everything() {
    let long = format!(r#""content/{}.md""#, "я".repeat(250));
    let body =
        |removed: &str| main_push(&[commit(AFTER, "2026-11-23T11:00:00Z", &long, r#""content/mug.md""#, removed)]);
    assert_eq!(ids(body("")), ["content/mug.md", "*"]);
    let only_long = main_push(&[commit(AFTER, "2026-11-23T11:00:00Z", "", "", &long)]);
    assert_eq!(ids(only_long), ["*"]);
}

#[test]
fn a_push_is_known_again_by_its_delivery_and_by_its_commits() {
    let keys = |delivery: TestDelivery, host: &str| delivery.normalise(&*source(host, &[])).expect("push").dedup_keys;
    for (host, id) in [("github", "x-github-delivery"), ("gitlab", "idempotency-key"), ("gitea", "x-gitea-delivery")] {
        let first = keys(delivery(host, main_push(&[one_commit()])), host);
        assert_eq!(first.len(), 2, "{host}");
        // The group's hook sends the same push under an id of its own.
        let again = keys(delivery(host, main_push(&[one_commit()])).with(id, Some("d2")), host);
        assert_ne!(again[0], first[0], "{host}");
        assert_eq!(again[1], first[1], "{host}");
        let next = keys(delivery(host, push(BEFORE, BEFORE, "refs/heads/main", &[one_commit()], "")), host);
        assert_ne!(next[1], first[1], "{host}");
    }
    let without = delivery("github", main_push(&[one_commit()])).with("x-github-delivery", None);
    assert_eq!(keys(without, "github").len(), 1);
    // Set back by force and pushed once more, at another time.
    let at = |time| main_push(&[one_commit()]).replace(r#""full_name""#, &format!(r#""pushed_at":{time},"full_name""#));
    assert_ne!(keys(delivery("github", at(1)), "github")[1], keys(delivery("github", at(2)), "github")[1]);
}

#[test]
fn bitbucket_names_no_files() {
    let state = |name: &str, kind: &str, hash: &str| {
        format!(r#"{{"type":"{kind}","name":"{name}","target":{{"hash":"{hash}"}}}}"#)
    };
    let body = |changes: &str| {
        format!(r#"{{"repository":{{"full_name":"tidewater/site"}},"push":{{"changes":[{changes}]}}}}"#)
    };
    let change = |old: &str, new: &str| format!(r#"{{"old":{old},"new":{new},"forced":false,"truncated":false}}"#);
    let of = |changes: &str| normalise("bitbucket", &[], body(changes)).expect("push");
    let main = |hash| state("main", "branch", hash);

    let normal = of(&change(&main(BEFORE), &main(AFTER)));
    assert_eq!((summary(&normal), normal.event.as_str()), (vec!["*".to_owned()], "repo:push"));
    assert_eq!(normal.changes[0].version, SourceVersion::at(NOON));
    assert_eq!(summary(&of(&change("null", &main(AFTER)))), ["*"]);
    assert_eq!(reason(&of(&change(&main(BEFORE), "null"))), "BRANCH_DELETED");
    assert_eq!(reason(&of(&change("null", &state("v1", "annotated_tag", AFTER)))), "TAG");
    let foreign = change("null", &state("cms/products/mug", "branch", AFTER));
    assert_eq!(reason(&of(&foreign)), "FOREIGN_BRANCH");
    // Several branches in one push: one is enough.
    let several = format!("{foreign},{}", change(&main(BEFORE), &main(AFTER)));
    assert_eq!(summary(&of(&several)), ["*"]);
    assert_eq!(of(&several).dedup_keys.len(), 2);
    assert_eq!(reason(&of("")), "NO_CONTENT_CHANGE");
    assert!(normalise("bitbucket", &[], body(&change("null", "null"))).is_err());
    let renamed = delivery("bitbucket", body("")).with("x-event-key", Some("repo:updated"));
    assert_eq!(renamed.normalise(&*source("bitbucket", &[])).expect_err("refused").reason, "EVENT_MISMATCH");
}
