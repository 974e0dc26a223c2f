//! `freshet-content`: deliveries and entries as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use freshet_aws::Objects;
use freshet_bus::aws::SnsPublisher;
use freshet_content::ContentDeps;
use freshet_content::store::dynamodb::{DynamoStore, Tables};
use freshet_kit::config::Layers;
use freshet_launch::{Asked, Base, Program, prove};

const PROGRAM: Program = Program {
    name: "freshet-content",
    defaults: &[include_str!("program.default.toml")],
    health: Asked::Grpc("grpc.address"),
};

struct Settings {
    address: SocketAddr,
    tables: Tables,
    bucket: String,
    topic: String,
    publish_pause: Duration,
}

fn read(layers: &Layers) -> Settings {
    Settings {
        address: layers.address("grpc.address"),
        tables: Tables {
            prefix: layers.text("content.table_prefix"),
            deliveries: layers.required("content.deliveries_table"),
        },
        bucket: layers.required("content.bodies_bucket"),
        topic: layers.required("bus.topic_arn"),
        publish_pause: layers.duration("bus.publish_pause"),
    }
}

async fn start(base: Base, settings: Settings) -> anyhow::Result<()> {
    let catalogue = base.catalogue.clone();
    let clients = move || catalogue.get().clients.keys().cloned().collect();
    let dynamo = aws_sdk_dynamodb::Client::new(&base.aws);
    let objects = Objects::new(&base.aws, settings.bucket.as_str());
    let store = Arc::new(DynamoStore::new(dynamo, objects, settings.tables, clients));
    let publisher = Arc::new(SnsPublisher::new(aws_sdk_sns::Client::new(&base.aws), &settings.topic));
    let (checked, loaded) = ((store.clone(), publisher.clone()), base.readiness.clone());
    prove("content tables, bucket and topic", &base.readiness, &base.shutdown, move || {
        let ((store, publisher), loaded) = (checked.clone(), loaded.clone());
        async move {
            // Which tables there should be is in the catalogue.
            if loaded.pending().contains(&freshet_launch::CATALOGUE) {
                return Err(freshet_kit::Error::unavailable("the catalogue is not loaded yet"));
            }
            store.check().await?;
            publisher.check().await
        }
    });
    let deps = ContentDeps {
        store,
        publisher,
        publish_pause: settings.publish_pause,
        catalogue: base.catalogue.clone(),
        clock: base.clock.clone(),
    };
    let mut server = base.grpc_server().await;
    server.add(freshet_content::server(freshet_content::service(&deps))).await;
    freshet_content::spawn_background(&deps, &base.shutdown, &base.readiness);
    let listener = base.bind(settings.address, "grpc").await?;
    base.serve_grpc(server, listener);
    Ok(())
}

fn main() -> ExitCode {
    freshet_launch::main(PROGRAM, read, start)
}
