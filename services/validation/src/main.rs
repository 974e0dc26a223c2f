//! `freshet-validation`: the adapter registry as a program of its own.

use std::net::SocketAddr;
use std::process::ExitCode;

use freshet_kit::config::Layers;
use freshet_launch::{Asked, Base, Program};
use freshet_validation::ValidationDeps;

const PROGRAM: Program = Program {
    name: "freshet-validation",
    defaults: &[include_str!("program.default.toml")],
    health: Asked::Grpc("grpc.address"),
};

fn read(layers: &Layers) -> SocketAddr {
    layers.address("grpc.address")
}

async fn start(base: Base, address: SocketAddr) -> anyhow::Result<()> {
    let deps = ValidationDeps {
        registry: base.registry.clone(),
        catalogue: base.catalogue.clone(),
        clock: base.clock.clone(),
    };
    let mut server = base.grpc_server().await;
    server.add(freshet_validation::server(freshet_validation::service(&deps))).await;
    let listener = base.bind(address, "grpc").await?;
    base.serve_grpc(server, listener);
    Ok(())
}

fn main() -> ExitCode {
    freshet_launch::main(PROGRAM, read, start)
}
