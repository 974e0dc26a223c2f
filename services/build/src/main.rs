//! `freshet-build`: batches and builds as a program of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use freshet_build::runner::CodeBuildRunner;
use freshet_build::store::dynamodb::{DynamoBuildStore, DynamoLease};
use freshet_build::{BuildDeps, Hub, Runners, S3Hosting};
use freshet_bus::aws::{SqsQueue, SqsQueueConfig};
use freshet_kit::config::Layers;
use freshet_kit::rpc::MESSAGE_BYTES_MAX;
use freshet_launch::{Asked, Base, Program, prove, some};
use freshet_proto::content::v1::content_service_client::ContentServiceClient;

const PROGRAM: Program = Program {
    name: "freshet-build",
    defaults: &[include_str!("program.default.toml")],
    health: Asked::Grpc("grpc.address"),
};

struct Settings {
    address: SocketAddr,
    key: String,
    content: String,
    table: String,
    bucket: String,
    work_dir: PathBuf,
    queue: SqsQueueConfig,
    events_queue: Option<String>,
}

fn read(layers: &Layers) -> Settings {
    let visibility = layers.duration("bus.visibility");
    // Handling a batch of events takes well under a second; less than this would hand it to two workers at once.
    if visibility < Duration::from_secs(5) {
        layers.problem("`bus.visibility` must be at least 5s, or an event could be handled twice at the same time");
    }
    Settings {
        address: layers.address("grpc.address"),
        key: layers.required("rpc.key"),
        content: layers.required("rpc.content"),
        table: layers.required("build.table"),
        bucket: layers.required("build.bucket"),
        work_dir: layers.path("build.work_dir"),
        queue: SqsQueueConfig {
            url: layers.required("bus.build_queue"),
            dead_url: layers.required("bus.build_dead_letter_queue"),
            visibility,
        },
        events_queue: some(layers.text("bus.build_events_queue")),
    }
}

async fn start(base: Base, settings: Settings) -> anyhow::Result<()> {
    let links = base.links(&settings.key).await?;
    let (dynamo, sqs) = (aws_sdk_dynamodb::Client::new(&base.aws), aws_sdk_sqs::Client::new(&base.aws));
    let store = Arc::new(DynamoBuildStore::new(dynamo.clone(), &settings.table));
    let lease = Arc::new(DynamoLease::new(dynamo, &settings.table, base.instance.clone()));
    let queue = Arc::new(SqsQueue::new(sqs.clone(), settings.queue.clone()));
    let bucket = freshet_aws::Objects::new(&base.aws, settings.bucket.as_str());
    let codebuild = Arc::new(CodeBuildRunner::new(&base.aws, &settings.bucket));
    let checked = (store.clone(), queue.clone(), bucket);
    prove("build table, queue and bucket", &base.readiness, &base.shutdown, move || {
        let (store, queue, bucket) = checked.clone();
        async move {
            store.check().await?;
            queue.check().await?;
            bucket.probe().await
        }
    });
    let content = ContentServiceClient::new(links.to(&settings.content)?).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let deps = BuildDeps {
        store,
        queue,
        lease: Some(lease),
        runners: Runners::aws(codebuild.clone()),
        content,
        catalogue: base.catalogue.clone(),
        clock: base.clock.clone(),
        hosting: Arc::new(S3Hosting::new(&base.aws, base.catalogue.clone())),
        work_dir: settings.work_dir,
        hub: Hub::new(),
    };
    if let Some(url) = settings.events_queue {
        // Everything that comes is deleted, so nothing ever goes to a dead-letter queue.
        let config = SqsQueueConfig { url: url.clone(), dead_url: url, visibility: settings.queue.visibility };
        let events = Arc::new(SqsQueue::new(sqs, config));
        freshet_build::events::spawn(events, codebuild, &base.shutdown, &base.readiness);
    }
    let mut server = base.grpc_server().await;
    server.add(freshet_build::server(&deps)).await;
    freshet_build::spawn_background(deps, &base.shutdown, &base.readiness);
    let listener = base.bind(settings.address, "grpc").await?;
    base.serve_grpc(server, listener);
    Ok(())
}

fn main() -> ExitCode {
    freshet_launch::main(PROGRAM, read, start)
}
