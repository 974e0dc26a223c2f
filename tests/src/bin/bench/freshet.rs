//! The real binary, as a process of its own on a temporary folder.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use freshet_proto::content::v1::ListDeliveriesRequest;
use freshet_tests::Clients;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The client of every catalogue here.
pub(crate) const CLIENT: &str = "tidewater";

/// Secret of every source.
pub(crate) const SECRET: &str = "a-secret-that-only-the-bench-knows-0001";

/// Name of the variable with it.
pub(crate) const SECRET_VARIABLE: &str = "BENCH_SECRET";

/// Two sources and a site over both, with limits that no generator reaches.
pub(crate) fn catalogue(quiet_period: &str, max_wait: &str) -> String {
    let rate = "rate_limit = { per_second = 1000000, burst = 10000000 }";
    format!(
        r#"
[[client]]
id = "{CLIENT}"
content_ttl = "30d"
{rate}

[[client.source]]
id = "journal"
provider = "strapi"
secrets = ["env:{SECRET_VARIABLE}"]
{rate}

[[client.source]]
id = "shop"
provider = "shopify_basic"
secrets = ["env:{SECRET_VARIABLE}"]
{rate}

[[client.site]]
id = "www"
sources = ["journal", "shop"]
quiet_period = "{quiet_period}"
max_wait = "{max_wait}"
"#
    )
}

/// A running `freshet dev`. Dropped, it is killed.
pub(crate) struct Freshet {
    child: Child,
    /// Open for as long as it runs, or its greeting would fail.
    _stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) clients: Clients,
    /// From the start of the process until every part had proved itself ready.
    pub(crate) ready_after: Duration,
}

impl Freshet {
    /// Starts it on `folder/data` with the catalogue in `folder/freshet.toml` and waits until it is ready.
    pub(crate) fn start(binary: &Path, folder: &Path) -> anyhow::Result<Self> {
        let data = folder.join("data");
        let begun = Instant::now();
        let mut child = Command::new(binary)
            .args(["dev", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--log", "error", "--data"])
            .arg(&data)
            .arg("--catalogue")
            .arg(folder.join("freshet.toml"))
            .env(SECRET_VARIABLE, SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let mut stdout = BufReader::new(child.stdout.take().context("was piped")?);
        // It greets when it is ready, and not before.
        let mut greeting = String::new();
        stdout.read_line(&mut greeting)?;
        let ready_after = begun.elapsed();
        let running = freshet_suite::data::running(&data).context("it ended instead of starting")?;
        let clients = Clients::new(&running.grpc, &freshet_suite::data::root_key(&data)?);
        let address = running.http.trim_start_matches("http://").parse()?;
        Ok(Self { child, _stdout: stdout, address, clients, ready_after })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// MiB of memory that are resident.
    pub(crate) fn resident_mib(&self) -> anyhow::Result<f64> {
        resident_mib(self.pid())
    }

    /// Waits until everything that was answered can be read: a read waits for it.
    pub(crate) async fn settle(&self) -> anyhow::Result<()> {
        let request = ListDeliveriesRequest { client_id: CLIENT.to_owned(), page_size: 1, ..Default::default() };
        self.clients.content().list_deliveries(request).await?;
        Ok(())
    }

    /// Ends it as Ctrl-C does, so that everything is in its files.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        signal(self.pid(), Signal::SIGTERM)?;
        for _ in 0..600 {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("it did not end within half a minute")
    }
}

impl Drop for Freshet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// MiB of a process's memory that are resident.
pub(crate) fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

/// A temporary folder with a catalogue.
pub(crate) fn folder(catalogue: &str) -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("freshet-bench-").tempdir()?;
    std::fs::write(folder.path().join("freshet.toml"), catalogue)?;
    Ok(folder)
}

/// Stops a process of ours, so that it does not disturb what is measured, or lets it go on.
pub(crate) fn freeze(pid: u32, frozen: bool) -> anyhow::Result<()> {
    signal(pid, if frozen { Signal::SIGSTOP } else { Signal::SIGCONT })
}

fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
}

/// The size of the files below a folder.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    let files: Vec<PathBuf> = freshet_tests::files::all_below(folder);
    files.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
}
