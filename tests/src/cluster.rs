//! The five programs on the AWS engine: real processes, an emulator behind them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use freshet_aws::{Headers, Objects, testing};
use freshet_bus::aws::provision::{NewQueue, create};
use freshet_kit::secret;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::collector::Collector;
use crate::grpc::Clients;
use crate::http::Poster;
use crate::process::workspace;
use crate::wait::wait_for;

/// The programs, in the order in which they are started: who is called comes first.
pub const PROGRAMS: [&str; 5] = ["validation", "content", "build", "control", "ingress"];

/// Scopes of the key that the services show to each other, and of the tests' own.
const SCOPES: &str = "[\"webhook\", \"content:read\", \"content:write\", \"build:read\", \"build:write\", \
                      \"control:read\", \"control:write\"]";

/// Lines of each program's log that a failed test shows.
const LOG_LINES_TOLD: usize = 60;

/// A program, built by whoever runs the tests of the whole workspace, or in the folder FRESHET_PROGRAMS.
fn binary(service: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(|| {
        if let Some(folder) = std::env::var_os("FRESHET_PROGRAMS") {
            return folder.into();
        }
        // Through cargo, because an old binary would prove nothing. The same packages and features as the tests have:
        // others would compile half of the workspace again.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(["test", "--quiet", "--workspace", "--all-features", "--no-run"])
            .current_dir(workspace())
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "the programs cannot be built");
        crate::process::target().join("debug")
    });
    folder.join(format!("freshet-{}", service.trim_end_matches("-2")))
}

/// One running program.
struct Program {
    child: Child,
    address: String,
}

/// An environment on the emulator, with all programs running.
pub struct Cluster {
    config: freshet_aws::SdkConfig,
    folder: TempDir,
    environment: BTreeMap<String, BTreeMap<String, String>>,
    programs: BTreeMap<String, Program>,
    /// The key that may do everything.
    pub key: String,
    /// What all names in AWS begin with.
    pub prefix: String,
    /// Posts.
    pub poster: Poster,
    /// Takes what the programs export.
    pub collector: Collector,
}

impl Cluster {
    /// Makes everything that Terraform would, puts the catalogue into S3 and starts the programs. `None` where no emulator
    /// runs.
    ///
    /// `catalogue` makes the text from the bucket of finished sites. `told` has further variables: program, name,
    /// value.
    pub async fn start(
        clients: &[&str],
        catalogue: impl Fn(&str) -> String,
        told: &[(&str, &str, &str)],
    ) -> Option<Self> {
        let config = testing::config()?;
        let prefix = format!("{}-", testing::name("freshet"));
        let dynamo = aws_sdk_dynamodb::Client::new(&config);
        for client in clients {
            let name = format!("{prefix}{client}-content-cache");
            made(freshet_content::store::dynamodb::provision::client_table(&dynamo, &name).await);
        }
        let (deliveries, builds) = (format!("{prefix}deliveries"), format!("{prefix}builds"));
        made(freshet_content::store::dynamodb::provision::deliveries_table(&dynamo, &deliveries).await);
        made(freshet_build::store::dynamodb::provision::table(&dynamo, &builds).await);
        let (sns, sqs) = (aws_sdk_sns::Client::new(&config), aws_sdk_sqs::Client::new(&config));
        let queue = |name: &str| NewQueue {
            name: format!("{prefix}{name}"),
            filter: BTreeMap::new(),
            visibility: Duration::from_secs(30),
            max_receives: 5,
        };
        let topic = format!("{prefix}content-updates");
        made(create(&sns, &sqs, &topic, &[queue("build")]).await);
        let url = async |name: &str| {
            let found = sqs.get_queue_url().queue_name(format!("{prefix}{name}")).send().await;
            found.ok().and_then(|found| found.queue_url).unwrap_or_else(|| panic!("there is no queue {name}"))
        };
        let bodies = testing::bucket(&config, "bodies").await;
        let site = testing::bucket(&config, "site").await;
        let key = secret::generate("fk_").unwrap_or_else(|error| panic!("{error}"));
        let digest: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "{}\n[[key]]\nname = \"services\"\nsha256 = \"{digest}\"\nclients = \"*\"\nscopes = {SCOPES}\n",
            catalogue(site.bucket())
        );
        let catalogue = format!("s3://{}/catalogue.toml", bodies.bucket());
        made(bodies.put("catalogue.toml", text.into(), &Headers::default()).await);
        let mut common = aws_environment(&testing::endpoint()?);
        common.extend([
            ("FRESHET_CATALOGUE__LOCATION".to_owned(), catalogue),
            ("FRESHET_CATALOGUE__POLL".to_owned(), "1s".to_owned()),
            ("FRESHET_SERVICE__DRAIN_DELAY".to_owned(), "0s".to_owned()),
            ("FRESHET_SERVICE__LOG".to_owned(), "info,aws_config=warn,aws_smithy_runtime=off".to_owned()),
            ("SERVICES_KEY".to_owned(), key.clone()),
        ]);
        common.extend(crate::catalogues::secrets());
        let folder = TempDir::new().unwrap_or_else(|error| panic!("no temporary folder: {error}"));
        let of = |own: &[(&str, &str)]| {
            let own = own.iter().map(|(name, value)| (format!("FRESHET_{name}"), (*value).to_owned()));
            common.clone().into_iter().chain(own).collect::<BTreeMap<_, _>>()
        };
        let any = "127.0.0.1:0";
        let work = folder.path().join("builds").display().to_string();
        let arn = format!("arn:aws:sns:us-east-1:123456789012:{topic}");
        let mut environment = BTreeMap::from([
            ("validation".to_owned(), of(&[("GRPC__ADDRESS", any)])),
            (
                "content".to_owned(),
                of(&[
                    ("GRPC__ADDRESS", any),
                    ("CONTENT__TABLE_PREFIX", &prefix),
                    ("CONTENT__DELIVERIES_TABLE", &deliveries),
                    ("CONTENT__BODIES_BUCKET", bodies.bucket()),
                    ("BUS__TOPIC_ARN", &arn),
                ]),
            ),
            (
                "build".to_owned(),
                of(&[
                    ("GRPC__ADDRESS", any),
                    ("RPC__KEY", "env:SERVICES_KEY"),
                    ("BUILD__TABLE", &builds),
                    ("BUILD__BUCKET", bodies.bucket()),
                    ("BUILD__WORK_DIR", &work),
                    ("BUS__BUILD_QUEUE", &url("build").await),
                    ("BUS__BUILD_DEAD_LETTER_QUEUE", &url("build-dead").await),
                ]),
            ),
            ("control".to_owned(), of(&[("GRPC__ADDRESS", any), ("RPC__KEY", "env:SERVICES_KEY")])),
            (
                "ingress".to_owned(),
                of(&[
                    ("INGRESS__HTTP_ADDRESS", any),
                    ("RPC__KEY", "env:SERVICES_KEY"),
                    ("SPOOL__BUCKET", bodies.bucket()),
                ]),
            ),
        ]);
        for (program, name, value) in told {
            if let Some(environment) = environment.get_mut(*program) {
                environment.insert((*name).to_owned(), (*value).to_owned());
            }
        }
        Some(Self::run(config, folder, environment, key, prefix).await)
    }

    /// Starts the programs with these variables, on free ports, and waits until all are ready.
    pub async fn run(
        config: freshet_aws::SdkConfig,
        folder: TempDir,
        environment: BTreeMap<String, BTreeMap<String, String>>,
        key: String,
        prefix: String,
    ) -> Self {
        let collector = Collector::start().await;
        let mut environment = environment;
        for environment in environment.values_mut() {
            environment.extend([
                ("FRESHET_TELEMETRY__OTLP_ENDPOINT".to_owned(), format!("http://{}", collector.address)),
                ("OTEL_METRIC_EXPORT_INTERVAL".to_owned(), "1000".to_owned()),
                ("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "500".to_owned()),
            ]);
        }
        let poster = Poster::new();
        let mut cluster =
            Self { config, folder, environment, programs: BTreeMap::new(), key, prefix, poster, collector };
        for service in PROGRAMS {
            cluster.launch(service).await;
        }
        for service in PROGRAMS {
            cluster.wait_ready(service).await;
        }
        cluster
    }

    fn log(&self, service: &str) -> PathBuf {
        self.folder.path().join(format!("{service}.log"))
    }

    /// Everything that a program has written.
    pub fn logged(&self, service: &str) -> String {
        std::fs::read_to_string(self.log(service)).unwrap_or_default()
    }

    /// Starts a program, at the address that it had before, and waits until it listens.
    pub async fn launch(&mut self, service: &str) {
        for other in ["validation", "content", "build"] {
            if let Some(address) = self.programs.get(other).map(|program| program.address.clone()) {
                let name = format!("FRESHET_RPC__{}", other.to_ascii_uppercase());
                let wants = match service {
                    "ingress" => other != "build",
                    "build" => other == "content",
                    "control" => true,
                    _ => false,
                };
                if wants && let Some(environment) = self.environment.get_mut(service) {
                    environment.insert(name, format!("http://{address}"));
                }
            }
        }
        let log = std::fs::File::options().create(true).append(true).open(self.log(service));
        let log = log.unwrap_or_else(|error| panic!("no log: {error}"));
        let before = self.logged(service).len();
        let child = Command::new(binary(service))
            .env_clear()
            .envs(&self.environment[service])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{service} does not start: {error}"));
        let mut program = Program { child, address: String::new() };
        let path = self.log(service);
        program.address = wait_for(&format!("{service} to listen"), || {
            let ended = program.child.try_wait().ok().flatten();
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            async move {
                assert!(ended.is_none(), "{service} ended: {text}");
                listening(&text[before.min(text.len())..]).ok_or(text)
            }
        })
        .await;
        let setting = if service == "ingress" { "FRESHET_INGRESS__HTTP_ADDRESS" } else { "FRESHET_GRPC__ADDRESS" };
        if let Some(environment) = self.environment.get_mut(service) {
            environment.insert(setting.to_owned(), program.address.clone());
        }
        self.programs.insert(service.to_owned(), program);
    }

    /// Starts a program and tells how long it took until it was ready.
    pub async fn launch_timed(&mut self, service: &str) -> Duration {
        let before = self.logged(service).len();
        let begun = std::time::SystemTime::now();
        self.launch(service).await;
        self.wait_ready(service).await;
        let ready = wait_for(&format!("{service} to say that it is ready"), || {
            let text = self.logged(service);
            async move { logged_at(&text[before.min(text.len())..], "ready").ok_or(text) }
        })
        .await;
        let begun = begun.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        ready.since(freshet_domain::Timestamp::EPOCH).saturating_sub(begun)
    }

    /// The process id of a program.
    pub fn pid(&self, service: &str) -> u32 {
        self.programs[service].child.id()
    }

    /// Starts a second task of the build service, named `build-2`.
    pub async fn second_build(&mut self) {
        let mut environment = self.environment["build"].clone();
        environment.insert("FRESHET_GRPC__ADDRESS".to_owned(), "127.0.0.1:0".to_owned());
        let work = self.folder.path().join("builds-2").display().to_string();
        environment.insert("FRESHET_BUILD__WORK_DIR".to_owned(), work);
        self.environment.insert("build-2".to_owned(), environment);
        self.launch("build-2").await;
        self.wait_ready("build-2").await;
    }

    /// Waits until a program's own health check says that it is ready.
    pub async fn wait_ready(&self, service: &str) {
        wait_for(&format!("{service} to be ready"), || async {
            if self.is_healthy(service) { Ok(()) } else { Err(self.logged(service)) }
        })
        .await;
    }

    /// What the program's health check says.
    pub fn is_healthy(&self, service: &str) -> bool {
        let check = Command::new(binary(service))
            .arg("healthcheck")
            .env_clear()
            .envs(&self.environment[service])
            .stderr(Stdio::null())
            .status();
        check.is_ok_and(|status| status.success())
    }

    /// `kill -9`, by its id.
    pub fn kill(&mut self, service: &str) {
        if let Some(program) = self.programs.get_mut(service) {
            let _ = program.child.kill();
            let _ = program.child.wait();
        }
    }

    /// SIGTERM; true if it ended by itself and well.
    pub async fn stop(&mut self, service: &str) -> bool {
        let Some(program) = self.programs.get_mut(service) else { return false };
        let Ok(pid) = i32::try_from(program.child.id()) else { return false };
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        let child = &mut program.child;
        let status = wait_for(&format!("{service} to end"), || {
            let ended = child.try_wait().ok().flatten();
            async move { ended.ok_or_else(|| "it runs".to_owned()) }
        })
        .await;
        status.success()
    }

    /// `http://host:port` of a program.
    pub fn address(&self, service: &str) -> String {
        format!("http://{}", self.programs[service].address)
    }

    /// Calls to one service with the key that may do everything.
    pub fn clients(&self, service: &str) -> Clients {
        Clients::new(&self.address(service), &self.key)
    }

    /// A bucket.
    pub fn bucket(&self, name: &str) -> Objects {
        Objects::new(&self.config, name)
    }

    /// The configuration of AWS clients.
    pub fn aws(&self) -> &freshet_aws::SdkConfig {
        &self.config
    }

    /// The folder of logs and builds.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for program in self.programs.values_mut() {
            let _ = program.child.kill();
            let _ = program.child.wait();
        }
        if std::thread::panicking() {
            for service in self.programs.keys() {
                let log = self.logged(service);
                let mut last: Vec<&str> = log.lines().rev().take(LOG_LINES_TOLD).collect();
                last.reverse();
                let text = format!("-- the end of the log of {service}:\n{}\n", last.join("\n"));
                let _ = std::io::stderr().write_all(text.as_bytes());
            }
        }
    }
}

/// What AWS clients read from the environment.
pub fn aws_environment(endpoint: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn made<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("could not be made: {error:?}"))
}

/// When this message was written.
fn logged_at(log: &str, message: &str) -> Option<freshet_domain::Timestamp> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["message"] == message).then(|| freshet_domain::Timestamp::parse_rfc3339(line["timestamp"].as_str()?))?
    })
}

/// The address in the line that says where the program listens.
fn listening(log: &str) -> Option<String> {
    log.lines().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["message"] == "listening").then(|| line["address"].as_str().map(str::to_owned))?
    })
}
