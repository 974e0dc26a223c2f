//! Runs the site's own command as a child process in a process group of its own.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use freshet_domain::BuildId;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::environment::environment;
use super::log::BuildLog;
use super::{BuildJob, Output, OutputFolder, RunOutcome, RunResult, Runner, nice, preset_defaults, sweep};

/// Between a polite end and a certain one.
const TERMINATION_GRACE: Duration = Duration::from_secs(5);

/// For what is still in the pipe once nobody can write to it any more.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// Runs commands on this machine.
#[derive(Clone, Debug)]
pub struct ProcessRunner {
    grace: Duration,
}

impl Default for ProcessRunner {
    fn default() -> Self {
        Self::new()
    }
}

impl ProcessRunner {
    /// With the usual grace between SIGTERM and SIGKILL.
    pub const fn new() -> Self {
        Self { grace: TERMINATION_GRACE }
    }

    /// With another grace between SIGTERM and SIGKILL.
    pub const fn with_grace(grace: Duration) -> Self {
        Self { grace }
    }
}

#[async_trait]
impl Runner for ProcessRunner {
    async fn run(&self, job: &BuildJob, stop: &CancellationToken) -> RunResult {
        let log = Arc::new(Mutex::new(BuildLog::create(&job.log)));
        let outcome = self.run_logged(job, stop, &log).await;
        // The group is gone, and with it whoever stayed in it; the others are found by their environment.
        sweep::sweep(job.build).await;
        let log = std::mem::replace(
            &mut *log.lock().unwrap_or_else(PoisonError::into_inner),
            BuildLog::create(Path::new("/dev/null")),
        );
        RunResult { outcome, log_tail: log.finish(), log_location: None }
    }

    async fn abandon(&self, build: BuildId) {
        sweep::sweep(build).await;
    }
}

type SharedLog = Arc<Mutex<BuildLog>>;

impl ProcessRunner {
    async fn run_logged(&self, job: &BuildJob, stop: &CancellationToken, log: &SharedLog) -> RunOutcome {
        let plan = match Plan::of(job).await {
            Ok(plan) => plan,
            Err(error) => return RunOutcome::Failed(error),
        };
        let Started { child, group, pipe } = match plan.start(job).await {
            Ok(started) => started,
            Err(error) => return RunOutcome::Failed(plan.start_error(&error)),
        };
        let drain = Drain(tokio::spawn(drain(pipe, log.clone())));
        let end = self.supervise(child, group, job.site.build.timeout, stop).await;
        sweep::sweep(job.build).await;
        drain.finish(log).await;
        let note = |text: &str| log.lock().unwrap_or_else(PoisonError::into_inner).note(text);
        match end {
            End::Exited(Ok(status)) if status.success() => RunOutcome::Succeeded(plan.output()),
            End::Exited(Ok(status)) => RunOutcome::Failed(format!("the command `{}` {}", plan.shown, how(status))),
            End::Exited(Err(error)) => {
                RunOutcome::Failed(format!("the command `{}` could not be waited for: {error}", plan.shown))
            }
            End::TimedOut => {
                let limit = seconds(job.site.build.timeout);
                let text = format!("the command `{}` was not done within its time limit of {limit}", plan.shown);
                note(&text);
                RunOutcome::Failed(text)
            }
            End::Stopped => {
                note("stopped");
                RunOutcome::Stopped
            }
        }
    }

    async fn supervise(&self, mut child: Child, group: Group, limit: Duration, stop: &CancellationToken) -> End {
        let end = tokio::select! {
            status = child.wait() => End::Exited(status),
            () = tokio::time::sleep(limit) => End::TimedOut,
            () = stop.cancelled() => End::Stopped,
        };
        if !matches!(end, End::Exited(_)) {
            group.signal(Signal::SIGTERM);
            let ended = tokio::time::timeout(self.grace, child.wait()).await;
            if ended.is_err() {
                group.signal(Signal::SIGKILL);
                let _ = child.wait().await;
            }
        }
        // Dropping the group kills whatever is left in it.
        drop(group);
        end
    }
}

enum End {
    Exited(std::io::Result<ExitStatus>),
    TimedOut,
    Stopped,
}

/// What will be run.
struct Plan {
    program: String,
    arguments: Vec<String>,
    shown: String,
    directory: PathBuf,
    output: PathBuf,
    home: PathBuf,
}

impl Plan {
    async fn of(job: &BuildJob) -> Result<Self, String> {
        let build = &job.site.build;
        let defaults = preset_defaults(build.preset);
        let mut command = build.command.clone();
        if command.is_empty() {
            command = defaults.command.iter().map(|word| (*word).to_owned()).collect();
        }
        let shown = command.join(" ");
        let mut words = command.into_iter();
        let Some(program) = words.next() else { return Err("the site has no command to run".to_owned()) };
        let Some(directory) = &build.directory else { return Err("the site has no directory to run in".to_owned()) };
        let directory = tokio::fs::canonicalize(directory)
            .await
            .map_err(|error| format!("the site's directory cannot be entered: {error}"))?;
        let output = if build.output.as_os_str().is_empty() { Path::new(defaults.output) } else { &build.output };
        let home = home(job).await.map_err(|error| format!("the build's home folder could not be made: {error}"))?;
        Ok(Self { program, arguments: words.collect(), shown, output: directory.join(output), directory, home })
    }

    async fn start(&self, job: &BuildJob) -> std::io::Result<Started> {
        // One pipe for both, so that the log has the order in which the lines were printed.
        let (reader, writer) = std::io::pipe()?;
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(&self.directory)
            .env_clear()
            .envs(environment(job, &self.output, &self.home, std::env::var_os("PATH")))
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .kill_on_drop(true);
        // Not by a worker of the runtime, whose processor the build would have to keep to, see `freshet_kit::processors`.
        let start = move || {
            let child = command.spawn()?;
            let group = Group::of(&child);
            nice::group(child.id());
            Ok(Started { child, group, pipe: reader })
        };
        tokio::task::spawn_blocking(start).await.map_err(std::io::Error::other)?
    }

    fn start_error(&self, error: &std::io::Error) -> String {
        match error.kind() {
            std::io::ErrorKind::NotFound => {
                format!("the program `{}` was not found; install it or change the site's `command`", self.program)
            }
            std::io::ErrorKind::PermissionDenied => format!("the program `{}` may not be run", self.program),
            _ => format!("the command `{}` could not be started: {error}", self.shown),
        }
    }

    fn output(&self) -> Output {
        Output::Folder(OutputFolder { folder: self.output.clone(), inside: self.directory.clone(), owned: false })
    }
}

/// A command that runs.
struct Started {
    child: Child,
    /// Ends with this, also if nobody waits for the start any more.
    group: Group,
    /// What it prints.
    pipe: std::io::PipeReader,
}

/// A folder of the site's own that only this user can read. It stays between builds: package managers keep their
/// caches there.
async fn home(job: &BuildJob) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let root = job.folder.parent().unwrap_or(&job.folder);
    let home = root.join("homes").join(job.key.client.as_str()).join(job.key.site.as_str());
    tokio::fs::create_dir_all(&home).await?;
    tokio::fs::set_permissions(&home, std::fs::Permissions::from_mode(0o700)).await?;
    Ok(home)
}

/// The child's process group. Killed when this is dropped, so that nothing survives an end of whatever sort.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // An empty group is what we want.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

struct Drain(tokio::task::JoinHandle<()>);

impl Drain {
    /// Waits for the end of the pipe. Nobody should be able to write to it any more; who still can is not waited for.
    async fn finish(mut self, log: &SharedLog) {
        if tokio::time::timeout(DRAIN_MAX, &mut self.0).await.is_err() {
            log.lock().unwrap_or_else(PoisonError::into_inner).note("something still holds the build's output open");
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads to the end, also what is not kept: a full pipe would stop the build.
async fn drain(pipe: std::io::PipeReader, log: SharedLog) {
    let Ok(mut pipe) = tokio::net::unix::pipe::Receiver::from_owned_fd(pipe.into()) else { return };
    let mut buffer = vec![0; 64 << 10];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => {
                let bytes = buffer.get(..read).unwrap_or_default();
                log.lock().unwrap_or_else(PoisonError::into_inner).write(bytes);
            }
        }
    }
}

fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
