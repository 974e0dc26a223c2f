//! `freshet-control`: receipts and status as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use freshet_control::ControlDeps;
use freshet_kit::config::Layers;
use freshet_kit::rpc::MESSAGE_BYTES_MAX;
use freshet_launch::{Asked, Base, Program};
use freshet_proto::build::v1::build_service_client::BuildServiceClient;
use freshet_proto::content::v1::content_service_client::ContentServiceClient;
use freshet_proto::validation::v1::validation_service_client::ValidationServiceClient;

const PROGRAM: Program = Program {
    name: "freshet-control",
    defaults: &[include_str!("program.default.toml")],
    health: Asked::Grpc("grpc.address"),
};

struct Settings {
    address: SocketAddr,
    key: String,
    validation: String,
    content: String,
    build: String,
}

fn read(layers: &Layers) -> Settings {
    Settings {
        address: layers.address("grpc.address"),
        key: layers.required("rpc.key"),
        validation: layers.required("rpc.validation"),
        content: layers.required("rpc.content"),
        build: layers.required("rpc.build"),
    }
}

async fn start(base: Base, settings: Settings) -> anyhow::Result<()> {
    let links = base.links(&settings.key).await?;
    let deps = ControlDeps {
        content: ContentServiceClient::new(links.to(&settings.content)?).max_decoding_message_size(MESSAGE_BYTES_MAX),
        build: BuildServiceClient::new(links.to(&settings.build)?),
        validation: ValidationServiceClient::new(links.to(&settings.validation)?),
        catalogue: base.catalogue.clone(),
        probes: Vec::new(),
        engine: "aws",
    };
    let mut server = base.grpc_server().await;
    server.add(freshet_control::server(&deps)).await;
    let listener = base.bind(settings.address, "grpc").await?;
    base.serve_grpc(server, listener);
    Ok(())
}

fn main() -> ExitCode {
    freshet_launch::main(PROGRAM, read, start)
}
