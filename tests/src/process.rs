//! The real binary as a child process.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use freshet_suite::data::{Running, root_key, running};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::grpc::Clients;
use crate::wait::wait_for;

/// The binary `freshet`, built if need be.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // Always through cargo: an old binary would prove nothing. It is quick when nothing changed.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["build", "--quiet", "--package", "freshet-suite", "--bin", "freshet"])
            .current_dir(workspace())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "`cargo build -p freshet-suite` failed");
        let path = target().join("debug").join("freshet");
        assert!(path.is_file(), "{} is not there", path.display());
        path
    })
}

/// The workspace's root.
pub fn workspace() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path
}

pub(crate) fn target() -> PathBuf {
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
        return workspace().join(target);
    }
    // <target>/<profile>/deps/<this test>
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe.ancestors().nth(3).map(Path::to_owned).unwrap_or_default();
    if target.join("debug").is_dir() { target } else { workspace().join("target") }
}

/// A command of the binary with nothing inherited but `PATH`.
pub fn command(environment: &BTreeMap<String, String>) -> Command {
    clean(Command::new(binary()), environment)
}

fn clean(mut command: Command, environment: &BTreeMap<String, String>) -> Command {
    command.env_clear().envs(environment).stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Runs a command to its end and returns what it printed.
pub fn run(mut command: Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
}

/// What both outputs say.
pub fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// How `freshet dev` is started.
#[derive(Clone, Debug)]
pub struct Dev {
    /// Catalogue, logs and the data folder are below it.
    pub folder: PathBuf,
    /// The data folder.
    pub data: PathBuf,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Log directives.
    pub log: String,
    /// Runs the binary through `sh -c` with these commands before it, `ulimit` for example.
    pub shell: Option<String>,
}

impl Dev {
    /// In this folder, with this catalogue.
    pub fn new(folder: &Path, catalogue: &str, environment: BTreeMap<String, String>) -> Self {
        std::fs::write(folder.join("freshet.toml"), catalogue).unwrap_or_else(|error| panic!("{error}"));
        Self { folder: folder.to_owned(), data: folder.join("data"), environment, log: "warn".to_owned(), shell: None }
    }

    fn command(&self) -> Command {
        let flags = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
        let mut command = match &self.shell {
            None => Command::new(binary()),
            Some(before) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(format!("{before}\nexec \"$0\" \"$@\"")).arg(binary());
                shell
            }
        };
        command
            .arg("dev")
            .arg("--data")
            .arg(&self.data)
            .arg("--catalogue")
            .arg(self.folder.join("freshet.toml"))
            .args(["--log", &self.log])
            .args(flags);
        clean(command, &self.environment)
    }

    /// Runs it to its end, for starts that must fail. It is ended after a minute.
    pub fn run(&self) -> Output {
        let mut child = self
            .command()
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start: {error}"));
        for _ in 0..600 {
            match child.try_wait() {
                Ok(Some(_)) => break,
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
        let _ = child.kill();
        child.wait_with_output().unwrap_or_else(|error| panic!("no output: {error}"))
    }

    /// Starts it and waits until it can be reached.
    pub async fn start(&self) -> Process {
        let open = |name: &str| {
            let path = self.folder.join(name);
            File::options().create(true).append(true).open(path).unwrap_or_else(|error| panic!("no log: {error}"))
        };
        let mut child = self
            .command()
            .stdout(open("stdout.log"))
            .stderr(open("stderr.log"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start: {error}"));
        let pid = child.id();
        let data = self.data.clone();
        let stderr = self.folder.join("stderr.log");
        let announced = wait_for("the process to announce itself", || {
            // The file of a killed process stays until the next one replaces it.
            let found = running(&data).filter(|running| running.pid == pid);
            let ended = child.try_wait().ok().flatten();
            let stderr = stderr.clone();
            async move {
                if let Some(status) = ended {
                    panic!("it ended: {status}\n{}", std::fs::read_to_string(stderr).unwrap_or_default());
                }
                found.ok_or_else(|| "nothing announced".to_owned())
            }
        })
        .await;
        let key = root_key(&self.data).unwrap_or_else(|error| panic!("{error:#}"));
        Process { child: Some(child), clients: Clients::new(&announced.grpc, &key), running: announced, root_key: key }
    }

    /// Starts it and kills it after this time, however far it has come.
    pub async fn start_and_kill(&self, after: Duration) {
        let child = self.command().stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot start: {error}"));
        tokio::time::sleep(after).await;
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Everything that it has written to its standard error.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.join("stderr.log")).unwrap_or_default()).into_owned()
    }
}

/// A running `freshet dev`. Dropped, it is killed.
pub struct Process {
    child: Option<Child>,
    /// Where it can be reached.
    pub running: Running,
    /// Calls with the root key.
    pub clients: Clients,
    /// The key that may do everything.
    pub root_key: String,
}

impl Process {
    /// `kill -9`, by its id.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Ends it as Ctrl-C does and waits for its end.
    pub async fn stop(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let pid = Pid::from_raw(i32::try_from(child.id()).ok()?);
        let _ = kill(pid, Signal::SIGTERM);
        let status = wait_for("the process to end", || {
            let ended = child.try_wait().ok().flatten();
            async move { ended.ok_or_else(|| "it runs".to_owned()) }
        })
        .await;
        Some(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
