//! What site commands do to a build, and what a build does to them.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use freshet_build::machine::SiteKey;
use freshet_build::runner::contract::{Plan, Subject};
use freshet_build::runner::{BuildJob, BuiltinRunner, Output, ProcessRunner, RunOutcome, RunResult, Runner};
use freshet_domain::catalogue::{Site, SiteBuild};
use freshet_domain::{BatchId, BuildId, ClientId, SiteId, SourceId, Timestamp};
use tokio_util::sync::CancellationToken;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["project", "work/build"] {
            std::fs::create_dir_all(folder.path().join(name)).expect("a folder");
        }
        Self { folder }
    }

    fn project(&self) -> std::path::PathBuf {
        self.folder.path().join("project")
    }

    fn job(&self, build: SiteBuild) -> BuildJob {
        let (client, site) = (ClientId::new("acme").expect("a name"), SiteId::new("shop").expect("a name"));
        let site = Site {
            client: client.clone(),
            id: site,
            title: "Shop".into(),
            sources: vec![SourceId::new("blog").expect("a name")],
            build,
            policy: support::quick(),
            aws: None,
        };
        let folder = self.folder.path().join("work/build");
        BuildJob {
            key: SiteKey::new(client, site.id.clone()),
            site: Arc::new(site),
            build: BuildId::generate(),
            batch: BatchId::generate(),
            attempt: 2,
            content: folder.join("content.ndjson.zst"),
            changed_keys: folder.join("changed-keys.ndjson"),
            log: self.folder.path().join("build.log"),
            traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
            site_path: "/".into(),
            now: Timestamp::now(),
            folder,
        }
    }

    async fn run(&self, text: &str) -> RunResult {
        self.run_job(&self.job(support::script(&self.project(), text))).await
    }

    async fn run_job(&self, job: &BuildJob) -> RunResult {
        ProcessRunner::with_grace(Duration::from_millis(300)).run(job, &CancellationToken::new()).await
    }
}

fn error(result: &RunResult) -> &str {
    match &result.outcome {
        RunOutcome::Failed(error) => error,
        other => panic!("not failed: {other:?}"),
    }
}

/// True while the process of this id is alive. A dead one that nobody has waited for does not count.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

async fn until_gone(pid_file: &Path) {
    let pid = std::fs::read_to_string(pid_file).expect("a pid");
    support::until(async || if is_alive(&pid) { Err(format!("{pid} is alive")) } else { Ok(()) }).await;
}

#[tokio::test]
async fn a_command_that_works_leaves_its_output() {
    let bench = Bench::new();
    let result = bench.run("mkdir -p out && echo hello > out/index.html && echo built && echo warned >&2").await;
    let RunOutcome::Succeeded(Output::Folder(output)) = &result.outcome else { panic!("{result:?}") };
    assert_eq!(output.folder, bench.project().canonicalize().expect("a path").join("out"));
    assert_eq!(result.log_tail, "built\nwarned\n");
}

#[tokio::test]
async fn failures_are_one_clear_sentence() {
    let bench = Bench::new();
    let result = bench.run("echo broken >&2; exit 3").await;
    assert!(error(&result).ends_with("ended with exit code 3"), "{result:?}");
    assert_eq!(result.log_tail, "broken\n");
    assert!(error(&bench.run("kill -11 $$").await).contains("killed by signal 11"));
    let mut build = support::script(&bench.project(), "true");
    build.command = vec!["no-such-generator".into()];
    let missing = bench.run_job(&bench.job(build.clone())).await;
    assert!(error(&missing).contains("`no-such-generator` was not found"), "{missing:?}");
    build.directory = Some(bench.project().join("nowhere"));
    let nowhere = bench.run_job(&bench.job(build)).await;
    assert!(error(&nowhere).contains("directory cannot be entered"), "{nowhere:?}");
}

#[tokio::test]
async fn p8_only_the_documented_environment_reaches_a_command() {
    let bench = Bench::new();
    // Cargo puts dozens of variables into a test's environment; none of them may come through.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "this test needs something that could leak");
    let mut build =
        support::script(&bench.project(), "env > env.txt; mkdir -p out; echo x > out/x; ls -ld \"$HOME\" > home.txt");
    build.env = BTreeMap::from([("MODE".into(), "draft".into()), ("FRESHET_SITE".into(), "forged".into())]);
    let job = bench.job(build);
    let result = bench.run_job(&job).await;
    assert!(matches!(result.outcome, RunOutcome::Succeeded(_)), "{result:?}");
    let text = std::fs::read_to_string(bench.project().join("env.txt")).expect("the environment");
    let seen: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    let names: Vec<&str> = seen.keys().copied().filter(|name| !shell.contains(name)).collect();
    assert_eq!(
        names,
        [
            "FRESHET_ATTEMPT",
            "FRESHET_BATCH_ID",
            "FRESHET_BUILD_ID",
            "FRESHET_CHANGED_KEYS",
            "FRESHET_CLIENT",
            "FRESHET_CONTENT",
            "FRESHET_OUTPUT",
            "FRESHET_SITE",
            "HOME",
            "LANG",
            "MODE",
            "PATH",
            "TRACEPARENT",
        ]
    );
    assert_eq!((seen["FRESHET_SITE"], seen["FRESHET_ATTEMPT"], seen["MODE"]), ("shop", "2", "draft"));
    assert_eq!(seen["FRESHET_BUILD_ID"], job.build.to_string());
    assert!(seen["FRESHET_CONTENT"].ends_with("content.ndjson.zst"));
    assert_ne!(Some(seen["HOME"]), std::env::var("HOME").ok().as_deref());
    let home = std::fs::read_to_string(bench.project().join("home.txt")).expect("the home");
    assert!(home.starts_with("drwx------"), "{home}");
}

/// Whoever waits for an answer comes first.
#[tokio::test]
async fn a_command_gives_way_to_the_service_that_started_it() {
    let bench = Bench::new();
    let result = bench.run("sleep 0.3; mkdir -p out; nice > out/index.html").await;
    assert!(matches!(result.outcome, RunOutcome::Succeeded(_)), "{result:?}");
    let own = String::from_utf8(std::process::Command::new("nice").output().expect("ran").stdout).expect("text");
    let own: i32 = own.trim().parse().expect("a number");
    let told = std::fs::read_to_string(bench.project().join("out/index.html")).expect("written");
    let told: i32 = told.trim().parse().expect("a number");
    assert!(told > own || own >= 5, "{told} beside {own}");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_everything_it_started() {
    let bench = Bench::new();
    // Deaf to SIGTERM, and with a child.
    let mut build = support::script(
        &bench.project(),
        "trap '' TERM; sleep 1000 & echo $! > child.pid; while true; do sleep 1; done",
    );
    build.timeout = Duration::from_millis(500);
    let result = bench.run_job(&bench.job(build)).await;
    assert!(error(&result).contains("was not done within its time limit of 0.5 s"), "{result:?}");
    until_gone(&bench.project().join("child.pid")).await;
}

#[tokio::test]
async fn a_stopped_build_ends_soon() {
    let bench = Bench::new();
    let job = bench.job(support::script(&bench.project(), "echo $$ > own.pid; sleep 1000"));
    let stop = CancellationToken::new();
    let pid_file = bench.project().join("own.pid");
    let runner = ProcessRunner::new();
    let (result, ()) = tokio::join!(runner.run(&job, &stop), async {
        support::until(async || {
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            if text.ends_with('\n') { Ok(()) } else { Err("not started".to_owned()) }
        })
        .await;
        stop.cancel();
    });
    assert_eq!(result.outcome, RunOutcome::Stopped);
    until_gone(&pid_file).await;
}

#[tokio::test]
async fn children_that_outlive_a_successful_command_are_killed_and_do_not_hold_it_up() {
    let bench = Bench::new();
    // One child in the group and one in a session of its own; both keep the output pipe open.
    let text = "mkdir -p out; echo x > out/x; sleep 1000 & echo $! > group.pid; \
                setsid sh -c 'echo $$ > session.pid; exec sleep 1000' & \
                while [ ! -s session.pid ]; do sleep 0.01; done; echo done";
    let result = bench.run(text).await;
    assert!(matches!(result.outcome, RunOutcome::Succeeded(_)), "{result:?}");
    assert!(result.log_tail.starts_with("done\n"), "{result:?}");
    until_gone(&bench.project().join("group.pid")).await;
    until_gone(&bench.project().join("session.pid")).await;
}

#[tokio::test]
async fn a_flood_of_output_is_cut_and_does_not_stop_the_build() {
    let bench = Bench::new();
    let result =
        bench.run("mkdir -p out; echo x > out/x; head -c 15000000 /dev/zero | tr '\\0' 'x'; echo; echo the end").await;
    assert!(matches!(result.outcome, RunOutcome::Succeeded(_)), "{:?}", result.outcome);
    assert!(result.log_tail.len() <= 16 << 10 && result.log_tail.ends_with("the end\n"));
    let log = std::fs::read(bench.folder.path().join("build.log")).expect("the log");
    assert!(log.len() <= (10 << 20) + 100, "{}", log.len());
}

#[tokio::test]
async fn a_dropped_build_leaves_nothing_running() {
    let bench = Bench::new();
    let job = bench.job(support::script(&bench.project(), "echo $$ > own.pid; sleep 1000"));
    let pid_file = bench.project().join("own.pid");
    let (runner, stop) = (ProcessRunner::new(), CancellationToken::new());
    tokio::select! {
        result = runner.run(&job, &stop) => panic!("{result:?}"),
        () = support::until(async || {
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            if text.ends_with('\n') { Ok(()) } else { Err("not started".to_owned()) }
        }) => {}
    }
    until_gone(&pid_file).await;
}

#[tokio::test]
async fn what_a_killed_process_left_running_is_found_by_its_environment() {
    let (build, other) = (BuildId::generate(), BuildId::generate());
    let spawn = |build: BuildId| {
        let mut command = tokio::process::Command::new("sleep");
        command.arg("1000").env("FRESHET_BUILD_ID", build.to_string()).process_group(0).kill_on_drop(true);
        command.spawn().expect("started")
    };
    let (mut left, mut unrelated) = (spawn(build), spawn(other));
    ProcessRunner::new().abandon(build).await;
    let ended = tokio::time::timeout(support::PATIENCE, left.wait()).await.expect("ended").expect("a status");
    assert!(!ended.success());
    assert!(unrelated.try_wait().expect("a status").is_none(), "a build is never taken for another one");
    unrelated.kill().await.expect("ended");
}

/// The contract, of commands.
mod commands {
    use super::*;

    struct Commands(Bench);

    impl Subject for Commands {
        fn runner(&self) -> &dyn Runner {
            static RUNNER: std::sync::LazyLock<ProcessRunner> =
                std::sync::LazyLock::new(|| ProcessRunner::with_grace(Duration::from_millis(300)));
            &*RUNNER
        }

        async fn next_process(&self) -> Box<dyn Runner> {
            Box::new(ProcessRunner::with_grace(Duration::from_millis(300)))
        }

        async fn job(&self, plan: Plan) -> BuildJob {
            let text = match plan {
                Plan::Succeeds => "mkdir -p out && echo page > out/index.html",
                Plan::Fails => "echo broken >&2; exit 3",
                Plan::Lasts => "echo $$ > own.pid; sleep 1000",
            };
            self.0.job(support::script(&self.0.project(), text))
        }

        async fn is_running(&self, _: &BuildJob) -> bool {
            let pid = std::fs::read_to_string(self.0.project().join("own.pid")).unwrap_or_default();
            pid.ends_with('\n') && is_alive(&pid)
        }

        async fn finish(&self, _: &BuildJob) {}
    }

    async fn open() -> Commands {
        Commands(Bench::new())
    }

    freshet_build::runner_contract!(open);
}

/// The contract, of the built-in renderer.
mod builtin {
    use super::*;

    struct Builtin(Bench);

    impl Subject for Builtin {
        fn runner(&self) -> &dyn Runner {
            &BuiltinRunner
        }

        async fn next_process(&self) -> Box<dyn Runner> {
            Box::new(BuiltinRunner)
        }

        async fn job(&self, plan: Plan) -> BuildJob {
            let job = self.0.job(support::builtin());
            let line = |number: u32| {
                format!(
                    "{{\"source\":\"blog\",\"type\":\"article\",\"id\":\"{number}\",\"kind\":\"document\",\
                     \"title\":\"{number}\",\"fields\":{{\"body\":\"{}\"}}}}\n",
                    "text ".repeat(50)
                )
            };
            let entries = if plan == Plan::Lasts { 60_000 } else { 1 };
            let text: String = (0..entries).map(line).collect();
            let packed = match plan {
                Plan::Fails => b"no snapshot".to_vec(),
                Plan::Succeeds | Plan::Lasts => zstd::encode_all(text.as_bytes(), 1).expect("packed"),
            };
            std::fs::write(&job.content, packed).expect("written");
            job
        }

        /// Renders as long as its pages become more.
        async fn is_running(&self, job: &BuildJob) -> bool {
            let pages = || std::fs::read_dir(job.folder.join("output/articles")).map_or(0, Iterator::count);
            let before = pages();
            tokio::time::sleep(Duration::from_millis(100)).await;
            pages() > before
        }

        async fn finish(&self, _: &BuildJob) {}
    }

    async fn open() -> Builtin {
        Builtin(Bench::new())
    }

    freshet_build::runner_contract!(open);
}
